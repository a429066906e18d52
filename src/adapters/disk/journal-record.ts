import type { HeldBack, RedactionPoint } from "../../model/redaction-point.ts";
import type { LogEntry } from "../../ports/log-sink.ts";

type Output = Extract<LogEntry, { kind: "output" }>;

/** Kind (1 stdout, 2 stderr), length, sequence number, Unix milliseconds; then the bytes. */
const recordHeaderBytes = 21;
/** Beside the kind, for a piece of a task with secrets: behind the header stands its point. */
const withPoint = 2;
/** The version of the forms, the count of marks; of each stream the pattern, its bytes, those covered. */
const pointBytes = 32;

export function encodeRecord(entry: Output): readonly [Buffer, Buffer] {
  const { redaction: point } = entry;
  const header = Buffer.allocUnsafe(recordHeaderBytes + (point === undefined ? 0 : pointBytes));
  header[0] = (entry.stream === "stdout" ? 1 : 2) + (point === undefined ? 0 : withPoint);
  header.writeUInt32BE(entry.bytes.length, 1);
  header.writeBigUInt64BE(BigInt(entry.seq), 5);
  header.writeBigUInt64BE(BigInt(Math.trunc(entry.atMs)), 13);
  if (point !== undefined)
    for (const [index, number] of numbersOf(point).entries())
      header.writeUInt32BE(number, recordHeaderBytes + index * 4);
  return [header, entry.bytes];
}

/** The whole records at the start of `bytes`, and how many bytes they took; a half-written last one is left. */
export function decodeRecords(bytes: Buffer): { readonly entries: readonly Output[]; readonly usedBytes: number } {
  const entries: Output[] = [];
  let at = 0;
  while (at + recordHeaderBytes <= bytes.length) {
    const kind = bytes[at] ?? 0;
    const hasPoint = kind > withPoint;
    const begin = at + recordHeaderBytes + (hasPoint ? pointBytes : 0);
    const end = begin + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    entries.push({
      kind: "output",
      stream: kind % withPoint === 1 ? "stdout" : "stderr",
      seq: Number(bytes.readBigUInt64BE(at + 5)),
      atMs: Number(bytes.readBigUInt64BE(at + 13)),
      bytes: bytes.subarray(begin, end),
      ...(hasPoint && { redaction: pointAt(bytes, at + recordHeaderBytes) }),
    });
    at = end;
  }
  return { entries, usedBytes: at };
}

const numbersOf = ({ formsVersion, markCount, stdout, stderr }: RedactionPoint): readonly number[] => [
  formsVersion,
  markCount % 2 ** 32,
  ...[stdout, stderr].flatMap(({ pattern, bytes, coveredBytes }) => [pattern, bytes, coveredBytes]),
];

function pointAt(bytes: Buffer, at: number): RedactionPoint {
  const number = (index: number): number => bytes.readUInt32BE(at + index * 4);
  const held = (from: number): HeldBack => ({
    pattern: number(from),
    bytes: number(from + 1),
    coveredBytes: number(from + 2),
  });
  return { formsVersion: number(0), markCount: number(1), stdout: held(2), stderr: held(5) };
}
