import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeRecords, encodeRecord } from "../../../src/adapters/disk/journal-record.ts";
import { isKnown, type RunEvent, redactedOutput, type ToldBefore } from "../../../src/executor/redacted-output.ts";
import { secretsFor, type TaskSecrets } from "../../../src/executor/task-secrets.ts";
import { cleanExit } from "../../../src/model/exit.ts";
import type { RedactionPoint } from "../../../src/model/redaction-point.ts";
import type { SandboxEvent } from "../../../src/ports/sandbox.ts";
import { formsVersion } from "../../../src/secrets/forms.ts";
import { aTask, never } from "../../support/samples.ts";

const values: Readonly<Record<string, string>> = { TOKEN: "s3cr3t-T0ken", REPEATED: "abcabcabcabc", INNER: "cr3t-T" };

async function someSecrets(): Promise<TaskSecrets> {
  const provider = { find: async (_tenant: string, name: string) => Buffer.from(values[name] ?? "") };
  const task = aTask({ secrets: Object.keys(values).map((name) => ({ name, as: "env" as const })) });
  const secrets = await secretsFor([provider], task, never());
  if (secrets === null) throw new Error("the task has secrets");
  return secrets;
}

type Stream = "stdout" | "stderr";
const said = (kind: Stream, seq: number, text: string): SandboxEvent => ({
  ...{ kind, seq, timeUs: seq * 10, bytes: Buffer.from(text) },
});
const ended = (seq: number): SandboxEvent => ({ kind: "exit", seq, timeUs: seq * 10, exit: cleanExit });

const textOf = (events: readonly RunEvent[], stream: Stream): string =>
  events.map((event) => (event.kind === stream ? event.bytes.toString() : "")).join("");

/** What a successor finds of the last piece in the journal: its point, as it was read back from the disk. */
function pointIn(events: readonly RunEvent[]): RedactionPoint | null {
  let point: RedactionPoint | null = null;
  for (const event of events) {
    if (event.kind !== "stdout" && event.kind !== "stderr") continue;
    const entry = { kind: "output", seq: event.seq, atMs: 1, stream: event.kind, bytes: event.bytes } as const;
    const record = encodeRecord(event.redaction === undefined ? entry : { ...entry, redaction: event.redaction });
    point = decodeRecords(Buffer.concat(record)).entries[0]?.redaction ?? null;
  }
  return point;
}

describe("events", () => {
  test("come in their order and number, an emptied piece too, and what is held back comes before the end", async () => {
    const output = redactedOutput(await someSecrets(), null);
    const events = output.batch([
      { kind: "started", seq: 1, timeUs: 1 },
      said("stdout", 2, "a s3cr3t-"),
      said("stderr", 3, "b"),
      said("stdout", 4, "T0ken c s3cr"),
      ended(5),
    ]);
    expect(
      events.map((event) => [
        event.kind,
        "seq" in event ? event.seq : null,
        "bytes" in event ? `${event.bytes}` : null,
      ]),
    ).toEqual([
      ["started", 1, null],
      ["stdout", 2, "a "],
      ["stderr", 3, "b"],
      ["stdout", 4, "[redacted:TOKEN] c "],
      ["stdout", 4, "s3cr"],
      ["exit", 5, null],
    ]);
    expect([output.takenBytes("stdout"), output.takenBytes("stderr")]).toEqual([21, 1]);
  });

  test("of a sandbox that is gone: what is held back is told all the same", async () => {
    const output = redactedOutput(await someSecrets(), null);
    output.batch([said("stderr", 7, "s3cr3t")]);
    const gone: SandboxEvent = { kind: "gone", gone: { oomKilled: false, exitCode: null, diagnosis: "" } };
    expect(textOf(output.batch([gone]), "stderr")).toBe("s3cr3t");
  });

  test("of progress are the same but for secrets, in names too", async () => {
    const output = redactedOutput(await someSecrets(), null);
    const value = { message: "at s3cr3t-T0ken", "s3cr3t-T0ken": 1 };
    expect(output.batch([{ kind: "progress", seq: 1, timeUs: 1, value }])).toMatchObject([
      { value: { message: "at [redacted:TOKEN]", "[redacted:TOKEN]": 1 } },
    ]);
  });
});

describe("what is held back goes on elsewhere", () => {
  test.each([
    ["in the middle of a secret", "x s3cr3t-", "T0ken y", "x [redacted:TOKEN] y", 1],
    ["at what turns out to be none", "x s3cr3t-", "X1ken y", "x s3cr3t-X1ken y", 0],
    ["behind a secret that lay within what was none", "x s3cr3t-T", "1 y", "x s3[redacted:INNER]1 y", 1],
    ["in a secret that goes on and has its mark", "x abcabcabcabcab", "cabc y", "x [redacted:REPEATED] y", 1],
    ["behind a whole secret", "x s3cr3t-T0ken", " y", "x [redacted:TOKEN] y", 1],
    ["with nothing held", "x y", " z", "x y z", 0],
  ])("%s", async (_name, first, second, wanted, marks) => {
    const before = redactedOutput(await someSecrets(), null);
    const heard = before.batch([said("stdout", 1, first)]);
    const point = pointIn(heard);
    const secrets = await someSecrets();
    const after = redactedOutput(secrets, { point, lastSeq: 1 });
    const rest = after.batch([said("stdout", 2, second), ended(3)]);
    expect(textOf([...heard, ...rest], "stdout")).toBe(wanted);
    expect(after.markedBefore + secrets.markCount()).toBe(marks);
  });

  test("in the journal stands no byte of what is held back: it can be told only by who has the secrets", async () => {
    const heard = redactedOutput(await someSecrets(), null).batch([said("stdout", 1, "x s3cr3t-T0k")]);
    const records = heard.flatMap((event) =>
      event.kind === "stdout" && event.redaction !== undefined
        ? encodeRecord({
            ...{ kind: "output", seq: event.seq, atMs: 1, stream: "stdout", bytes: event.bytes },
            redaction: event.redaction,
          })
        : [],
    );
    const bytes = Buffer.concat(records);
    expect(bytes.includes("x ")).toBe(true);
    for (let at = 0; at < "s3cr3t-T0k".length - 2; at += 1)
      expect(bytes.includes("s3cr3t-T0k".slice(at, at + 3))).toBe(false);
  });

  const piece = fc.record({
    stream: fc.constantFrom<Stream>("stdout", "stderr"),
    text: fc.oneof(
      fc.constantFrom(...Object.values(values), "s3cr", "3t-T0ken", "abcabc", "c", " "),
      fc.string({ unit: fc.constantFrom("a", "b", "c", "s", "3"), maxLength: 5 }),
    ),
  });
  const turns = fc.array(fc.boolean(), { minLength: 20, maxLength: 20 });

  test("however often, and wherever it is cut, it comes out as from one process", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 20 }), turns, async (pieces, handsOver) => {
        const events = pieces.map(({ stream, text }, index) => said(stream, index + 1, text));
        const end = ended(events.length + 1);
        const whole = redactedOutput(await someSecrets(), null).batch([...events, end]);

        let told: readonly RunEvent[] = [];
        let before: ToldBefore | null = null;
        let [mine, markedBefore] = [await someSecrets(), 0];
        let output = redactedOutput(mine, before);
        for (const [index, event] of events.entries()) {
          told = [...told, ...output.batch([event])];
          if (!handsOver[index]) continue;
          before = { point: pointIn(told), lastSeq: event.kind === "gone" ? 0 : event.seq };
          mine = await someSecrets();
          output = redactedOutput(mine, before);
          markedBefore = output.markedBefore;
        }
        told = [...told, ...output.batch([end])];
        for (const stream of ["stdout", "stderr"] as const) expect(textOf(told, stream)).toBe(textOf(whole, stream));
        const marks = textOf(whole, "stdout") + textOf(whole, "stderr");
        expect(markedBefore + mine.markCount()).toBe(marks.split("[redacted:").length - 1);
      }),
      { seed: 56, numRuns: 200 },
    );
  });
});

test("a place in forms of another version is known to nobody, unless nothing was held back", () => {
  const held = { pattern: 3, bytes: 4, coveredBytes: 0 };
  const none = { pattern: 0, bytes: 0, coveredBytes: 0 };
  const other = { formsVersion: formsVersion + 1, markCount: 2, stdout: none, stderr: none };
  expect(isKnown(null)).toBe(true);
  expect(isKnown(other)).toBe(true);
  expect(isKnown({ ...other, formsVersion, stderr: held })).toBe(true);
  expect(isKnown({ ...other, stderr: held })).toBe(false);
});
