import { createHash } from "node:crypto";
import type { Secret } from "../../src/model/secret.ts";
import { type Redaction, redaction } from "../../src/secrets/redaction.ts";
import { type Figures, figures } from "./figures.ts";
import type { Part } from "./part.ts";

const barMbPerSecond = 100;
const secretCount = 10;
const pieceBytes = 64 * 1024;
const inputBytes = 16 * 1024 * 1024;
const warmUpRounds = 2;

/** How fast a stream is redacted, by the processor's time: what else the machine does counts less than by the clock. */
export const redactPart: Part = {
  name: "redact",
  async measure({ rounds }) {
    const secrets = someSecrets();
    const inputs = inputsAbout(secrets);
    const begun = process.cpuUsage();
    const redacting = redaction(secrets);
    const compiledMs = cpuMs(begun);
    const speeds = inputs.map(({ name }) => ({ name, seen: [] as number[] }));
    for (let round = -warmUpRounds; round < rounds; round += 1)
      for (const [index, { piece, marks }] of inputs.entries()) {
        const speed = mbPerSecond(redacting, piece, marks);
        if (round >= 0) speeds[index]?.seen.push(speed);
      }
    const rows = speeds.map(({ name, seen }): readonly [string, Figures] => [name, figures(seen)]);
    return {
      conditions: {
        secrets: `${secretCount}, one of them a key of ${secrets.at(-1)?.value.length} bytes; ready after ${compiledMs.toFixed(0)} ms`,
        "a look": `at each byte, and no more: ${lookMbPerSecond().toFixed(0)} MB/s`,
        input: `${inputBytes / 1024 / 1024} MiB in pieces of ${pieceBytes / 1024} KiB`,
      },
      tables: [{ title: "MB a second of one processor's time", rows }],
      verdicts: rows.map(([name, { median }], index) => ({
        ...{ name: `${name}, median`, value: median, unit: "MB/s" },
        bar: inputs[index]?.isHeldTo === true ? { atLeast: barMbPerSecond } : null,
      })),
    };
  },
};

const cpuMs = (begun: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
};

/** What this machine does now in the plainest loop: what the figures are to be compared with. */
function lookMbPerSecond(): number {
  const bytes = noise("look", pieceBytes);
  const rounds = inputBytes / pieceBytes;
  let sum = 0;
  const begun = process.cpuUsage();
  for (let round = 0; round < rounds; round += 1)
    for (let at = 0; at < bytes.length; at += 1) sum = (sum + (bytes[at] ?? 0)) & 0xffff;
  // Of no use but that the loop cannot be left out.
  return sum < 0 ? 0 : inputBytes / 1e6 / (cpuMs(begun) / 1000);
}

/** @param marks that must come of one piece: what redacts nothing is fast. */
function mbPerSecond(redacting: Redaction, piece: Buffer, marks: number): number {
  const marked = (): number => Object.values(redacting.counts()).reduce((sum, count) => sum + count, 0);
  const pieceCount = inputBytes / pieceBytes;
  const before = marked();
  const stream = redacting.stream();
  const begun = process.cpuUsage();
  for (let count = 0; count < pieceCount; count += 1) stream.push(piece);
  stream.flush();
  const ms = cpuMs(begun);
  if (marked() - before !== marks * pieceCount)
    throw new Error(`${marked() - before} marks, not ${marks * pieceCount}`);
  return inputBytes / 1e6 / (ms / 1000);
}

/** The same bytes each time, that look like any. */
function noise(seed: string, bytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, index) =>
    createHash("sha256").update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}

function someSecrets(): readonly Secret[] {
  const tokens = Array.from({ length: secretCount - 1 }, (_, index) => ({
    name: `TOKEN_${index}`,
    value: Buffer.from(noise(`token ${index}`, 30).toString("base64url")),
  }));
  const lines = noise("key", 1600).toString("base64").replaceAll(/.{64}/g, "$&\n");
  return [...tokens, { name: "KEY", value: Buffer.from(`-----BEGIN KEY-----\n${lines}\n-----END KEY-----\n`) }];
}

interface Input {
  readonly name: string;
  /** Sent again and again; no secret goes from one into the next. */
  readonly piece: Buffer;
  readonly marks: number;
  readonly isHeldTo: boolean;
}

function inputsAbout(secrets: readonly Secret[]): readonly Input[] {
  const line = '2026-01-31T12:00:00.000Z INFO  worker-7 GET /v1/items/4711?page=2 200 12ms user_agent="curl/8.5.0"\n';
  const text = Buffer.alloc(pieceBytes, line);
  const withSecrets = Buffer.from(text);
  const everyBytes = 1024;
  for (let at = 0; at < pieceBytes; at += everyBytes) {
    const { value } = secrets[(at / everyBytes) % (secretCount - 1)] ?? { value: Buffer.alloc(0) };
    withSecrets.set(value, at + 100);
  }
  const beginnings = secrets.slice(0, -1).map(({ value }) => Buffer.from(value).toString().slice(0, -1));
  return [
    { name: "lines of a log, no secret", piece: text, marks: 0, isHeldTo: true },
    { name: "… with a secret in each KiB", piece: withSecrets, marks: pieceBytes / everyBytes, isHeldTo: true },
    {
      name: "base64, no secret",
      piece: Buffer.from(noise("text", pieceBytes).toString("base64").slice(0, pieceBytes)),
      marks: 0,
      isHeldTo: true,
    },
    { name: "random bytes", piece: noise("bytes", pieceBytes), marks: 0, isHeldTo: true },
    { name: "one letter", piece: Buffer.alloc(pieceBytes, "a"), marks: 0, isHeldTo: true },
    {
      name: "secrets but for their last letters",
      piece: Buffer.alloc(pieceBytes, `${beginnings.join("!")}!`),
      marks: 0,
      isHeldTo: false,
    },
  ];
}
