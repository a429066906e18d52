import type { LogEntry } from "../../ports/log-sink.ts";

type Output = Extract<LogEntry, { kind: "output" }>;

/** Kind (1 stdout, 2 stderr), length, sequence number, Unix milliseconds; then the bytes. */
export const recordHeaderBytes = 21;

export function encodeRecord(entry: Output): readonly [Buffer, Buffer] {
  const header = Buffer.allocUnsafe(recordHeaderBytes);
  header[0] = entry.stream === "stdout" ? 1 : 2;
  header.writeUInt32BE(entry.bytes.length, 1);
  header.writeBigUInt64BE(BigInt(entry.seq), 5);
  header.writeBigUInt64BE(BigInt(Math.trunc(entry.atMs)), 13);
  return [header, entry.bytes];
}

/** The whole records at the start of `bytes`, and how many bytes they took; a half-written last one is left. */
export function decodeRecords(bytes: Buffer): { readonly entries: readonly Output[]; readonly usedBytes: number } {
  const entries: Output[] = [];
  let at = 0;
  while (at + recordHeaderBytes <= bytes.length) {
    const end = at + recordHeaderBytes + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    entries.push({
      kind: "output",
      stream: bytes[at] === 1 ? "stdout" : "stderr",
      seq: Number(bytes.readBigUInt64BE(at + 5)),
      atMs: Number(bytes.readBigUInt64BE(at + 13)),
      bytes: bytes.subarray(at + recordHeaderBytes, end),
    });
    at = end;
  }
  return { entries, usedBytes: at };
}
