import fc from "fast-check";
import { expect, test } from "vitest";
import { startBody } from "../../../src/adapters/docker/protocol/bodies.ts";
import { maxBodyBytes } from "../../../src/adapters/docker/protocol/frame.ts";
import { maxCommandBytes, refuseLargeCommand } from "../../../src/executor/command-size.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import type { SandboxCommand } from "../../../src/ports/sandbox.ts";
import { toldByATask } from "../../support/told-by-a-task.ts";

const most = Number.MAX_SAFE_INTEGER;
const limits = { nproc: most, nofile: most, fsizeBytes: most, memoryBytes: most };
const command = (differences: Partial<SandboxCommand> = {}): SandboxCommand => ({
  ...{ argv: ["true"], env: {}, cwd: "/workspace", stdin: false, deadlineMs: most, graceMs: most },
  ...differences,
});

function isRefused(each: SandboxCommand): boolean {
  try {
    refuseLargeCommand(each);
    return false;
  } catch (error) {
    if (!(error instanceof ExecutorError) || error.code !== "validation") throw error;
    return true;
  }
}

const text = (maxLength: number) => fc.string({ unit: "binary", maxLength });
const long = fc
  .tuple(fc.constantFrom("a", "\n", '"', "é", "\u0001", "😀"), fc.nat(90_000))
  .map(([unit, length]) => unit.repeat(length));
const some = fc.oneof(text(50), long);
const secret = fc.record({
  name: fc.constantFrom("A", "A_LONG_NAME_OF_A_SECRET"),
  as: fc.constantFrom("env" as const, "file" as const),
  value: fc.nat(8192).map((length) => Buffer.alloc(length, 1)),
});
const port = fc.record({ port: fc.nat(65_535), to: text(300) });
const commands = fc
  .record({
    argv: fc.array(some, { maxLength: 6 }),
    env: fc.dictionary(text(20), some, { maxKeys: 4 }),
    cwd: text(4096),
    secrets: fc.array(secret, { maxLength: 16 }),
    out: fc.record({ listen: fc.array(port, { maxLength: 20 }), extraCa: some }),
  })
  .map(command);

test("what is not refused fits into one frame, and what does not fit is refused", { timeout: 60_000 }, () => {
  const seen = { fitting: 0, refused: 0 };
  fc.assert(
    fc.property(commands, (each) => {
      const bytes = startBody(each, limits, true).length;
      const refused = isRefused(each);
      seen[refused ? "refused" : "fitting"] += 1;
      if (!refused) expect(bytes).toBeLessThanOrEqual(maxBodyBytes);
      // Nor is anything refused that is far from it.
      if (bytes < maxCommandBytes) expect(refused).toBe(false);
    }),
    { seed: 58, numRuns: 300 },
  );
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(20);
});

const secrets = { A: Buffer.alloc(8000, "abcdefg"), B: Buffer.alloc(8000, "hijklmn") };
const filled = (bytes: number): object => ({
  payload: { argv: ["printf", "x".repeat(120_000)] },
  env: { LARGE: "y".repeat(bytes) },
});

test("secrets, variables and arguments that are too large together are refused in one message, and nothing is made", async () => {
  const refusal = await toldByATask({ secrets, does: () => ({}), request: filled(120_000) }).then(
    () => null,
    (error: unknown) => error,
  );
  expect(refusal).toBeInstanceOf(ExecutorError);
  expect(refusal).toMatchObject({ code: "validation" });
  const message = String(refusal);
  expect(message).toMatch(
    /is \d{6} bytes long as JSON, at most 260096: program and arguments 12\d{4}, variables 12\d{4}/,
  );
  expect(message).toMatch(/secrets 21\d{3}/);
  expect(message).not.toMatch(/xxx|yyy|abcd|hijk/);
});

test("the same with a little less runs", async () => {
  const { result, madeCount } = await toldByATask({ secrets, does: () => ({}), request: filled(110_000) });
  expect([result.reason, madeCount]).toEqual(["ok", 1]);
});

test("variables of the image count when the task begins: it ends before a sandbox is made", async () => {
  const { result, madeCount } = await toldByATask({
    ...{ secrets, does: () => ({}), request: filled(110_000) },
    parts: {
      images: {
        names: () => ["shell"],
        resolve: async (name) => ({ name, id: name, env: { OF_IMAGE: "z".repeat(20_000) } }),
      },
    },
  });
  expect([result.reason, result.error?.code, madeCount]).toEqual(["validation", "validation", 0]);
});
