import { isUtf8 } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MemoryTask } from "../../../src/adapters/memory/memory-sandboxes.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { secretForms } from "../../../src/secrets/forms.ts";
import { type Told, tarOf, toldByATask } from "../../support/told-by-a-task.ts";

/** Whole tasks with secrets, on sandboxes in memory: what anybody hears of them. */

const secrets = {
  TOKEN: Buffer.from("ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
  PASSWORD: Buffer.from("p'ä\"s$s/w\\o<r>d&+ !"),
};
const forms = Object.entries(secrets).flatMap(([name, value]) => secretForms(value).map((form) => ({ name, form })));

/** Many tasks: on a busy machine they take their time. */
const patience = { timeout: 240_000 };

type Said = NonNullable<MemoryTask["says"]>[number];

const bytewise = (kind: "stdout" | "stderr", text: Buffer): readonly Said[] =>
  [...text].map((byte) => ({ kind, bytes: Buffer.from([byte]) }));
const inTwo = (kind: "stdout" | "stderr", text: Buffer, at: number): readonly Said[] => [
  { kind, bytes: text.subarray(0, at) },
  { kind, bytes: text.subarray(at) },
];

/** Where a form of a secret still stands: the sink and the form. */
const leaks = (told: Told): readonly string[] =>
  Object.entries(told).flatMap(([sink, bytes]) =>
    forms.filter(({ form }) => bytes.includes(form)).map(({ name, form }) => `${sink}: ${name} as ${form}`),
  );

const isText = (form: Buffer): boolean => isUtf8(form) && !form.includes(0);
const isFileName = (form: Buffer): boolean => isText(form) && form.length < 200 && !/[/\r\n]/.test(form.toString());

/** A task that tells a form in every way that it has. */
function tellsEverywhere(form: Buffer): MemoryTask {
  const around = Buffer.concat([Buffer.from("<<"), form, Buffer.from(">>\n")]);
  const text = form.toString();
  return {
    says: [
      ...bytewise("stdout", around),
      ...inTwo("stderr", around, Math.floor(around.length / 2)),
      ...(isText(form) ? [{ kind: "progress", value: { message: `at ${text}!` } } as const] : []),
    ],
    leaves: tarOf(
      [
        ...(isText(form) ? ([["result.json", JSON.stringify({ [`k ${text}`]: [`v ${text}`] })]] as const) : []),
        ...(isText(form) ? ([["note.txt", around]] as const) : []),
        ...(isFileName(form) ? ([[Buffer.from(`a-${text}.txt`), "of no interest"]] as const) : []),
        ["fine.txt", "nothing in it"],
      ],
      200,
    ),
  };
}

describe("whatever form a task tells a secret in, wherever, nobody hears of it", patience, () => {
  test.each(Object.keys(secrets))("%s", async (name) => {
    for (const { form } of forms.filter((each) => each.name === name)) {
      const { told, result } = await toldByATask({ secrets, inArtifacts: "redact", does: () => tellsEverywhere(form) });
      expect(leaks(told), form.toString("latin1")).toEqual([]);
      const marked = `<<[redacted:${name}]>>\n`;
      expect([result.reason, result.output.stdout, result.output.stderr]).toEqual(["ok", marked, marked]);
      for (const sink of ["journal, stdout", "log sink, stdout", "watcher, stdout", "log object, stdout"])
        expect(told[sink]?.toString(), sink).toBe(marked);
      expect(result.output.artifacts.map(({ path }) => path)).toContain("fine.txt");
      expect(result.metrics.redactions).toBeGreaterThanOrEqual(2);
      expect(told.metrics?.toString()).toContain(
        `tool_executor_redactions_total{tool="shell"} ${result.metrics.redactions}\n`,
      );
    }
  });
});

test("a form cut anywhere, among others, on both streams at once, is in no sink", patience, async () => {
  const piece = fc.record({ of: fc.constantFrom(...forms), stream: fc.constantFrom("stdout", "stderr") });
  const cases = fc.tuple(fc.array(piece, { minLength: 1, maxLength: 6 }), fc.array(fc.nat(40), { maxLength: 30 }));
  await fc.assert(
    fc.asyncProperty(cases, async ([pieces, cuts]) => {
      const wanted = { stdout: "", stderr: "" };
      const said: Record<"stdout" | "stderr", Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
      for (const { of, stream } of pieces) {
        said[stream] = Buffer.concat([said[stream], Buffer.from("\n<<"), of.form, Buffer.from(">>")]);
        wanted[stream] += `\n<<[redacted:${of.name}]>>`;
      }
      const { told, result } = await toldByATask({ secrets, does: () => ({ says: interleaved(said, cuts) }) });
      expect(leaks(told)).toEqual([]);
      expect([result.output.stdout, result.output.stderr]).toEqual([wanted.stdout, wanted.stderr]);
      expect(result.output).toMatchObject({ stdout_bytes: said.stdout.length, stderr_bytes: said.stderr.length });
      expect(result.metrics.redactions).toBe(pieces.length);
    }),
    { seed: 55, numRuns: 60 },
  );
});

/** Both streams in pieces of these lengths, in turns. */
function interleaved(said: Readonly<Record<"stdout" | "stderr", Buffer>>, cuts: readonly number[]): readonly Said[] {
  const at = { stdout: 0, stderr: 0 };
  const pieces: Said[] = [];
  const next = (kind: "stdout" | "stderr", length: number): void => {
    const bytes = said[kind].subarray(at[kind], at[kind] + length);
    at[kind] += bytes.length;
    if (bytes.length > 0) pieces.push({ kind, bytes });
  };
  for (const [index, length] of cuts.entries()) next(index % 2 === 0 ? "stdout" : "stderr", length + 1);
  for (const kind of ["stdout", "stderr"] as const) next(kind, said[kind].length);
  return pieces;
}

test("a task without secrets is told as it is, and counts none", async () => {
  const text = Buffer.from(`<<${secrets.TOKEN}>>`);
  const { told, result } = await toldByATask({ secrets: {}, does: () => ({ says: bytewise("stdout", text) }) });
  expect(result).toMatchObject({ output: { stdout: text.toString() }, metrics: { redactions: 0 } });
  expect(told["journal, stdout"]).toEqual(text);
});

test("the sandbox itself is given the values as they are, and by no variable of its settings", async () => {
  const { command } = await toldByATask({ secrets, does: () => ({}) });
  expect(command?.secrets?.map(({ name, as, value }) => [name, as, Buffer.from(value)])).toEqual(
    Object.entries(secrets).map(([name, value]) => [name, "env", value]),
  );
  expect(Object.keys(command?.env ?? {})).not.toContain("TOKEN");
});

describe("a task whose secrets cannot be had when it begins", { timeout: 20_000 }, () => {
  const away = () => new ExecutorError("internal", "the secret store is sealed", { away: "secrets" });

  test("is given back without a strike, and begins when they can be had again", async () => {
    let asked = 0;
    const find = async (): Promise<Buffer> => {
      asked += 1;
      // Once at the way in; then at each start.
      if (asked === 2) throw away();
      return secrets.TOKEN;
    };
    const { result, madeCount, strikes } = await toldByATask({
      ...{ secrets: { TOKEN: secrets.TOKEN }, parts: { secrets: [{ find }] } },
      does: () => ({ says: bytewise("stdout", secrets.TOKEN) }),
    });
    expect(result).toMatchObject({ reason: "ok", attempt: 2, output: { stdout: "[redacted:TOKEN]" } });
    expect([asked, madeCount, strikes]).toEqual([3, 1, 0]);
  });

  test("ends when its time to begin is over", async () => {
    let asked = 0;
    const find = async (): Promise<Buffer> => {
      asked += 1;
      if (asked > 1) throw away();
      return secrets.TOKEN;
    };
    const { result, madeCount } = await toldByATask({
      ...{ secrets: { TOKEN: secrets.TOKEN }, parts: { secrets: [{ find }] }, does: () => ({}) },
      request: { expires_at: new Date(Date.now() + 1500).toISOString() },
    });
    expect([result.reason, madeCount]).toEqual(["expired", 0]);
  });
});
