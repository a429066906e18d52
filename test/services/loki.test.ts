import { expect, test } from "vitest";
import { defaultLokiLogSinkOptions, lokiLogSink } from "../../src/adapters/loki/loki-log-sink.ts";
import type { Attempt } from "../../src/model/attempt.ts";
import type { LogEntry } from "../../src/ports/log-sink.ts";
import { openCli, printed } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { anOwner } from "../support/samples.ts";
import { startLoki } from "../support/services.ts";
import { startToxiproxy } from "../support/toxiproxy.ts";
import { until } from "../support/until.ts";

const loki = forThisFile(startLoki);

interface Found {
  readonly data: {
    readonly result: readonly {
      readonly stream: Readonly<Record<string, string>>;
      readonly values: readonly (readonly [string, string])[];
    }[];
  };
}

async function ask<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
  const answer = await fetch(`${loki().url}/loki/api/v1/${path}?${new URLSearchParams(query)}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** The lines of one task, the oldest first. */
async function linesOf(taskId: string, stream = "stdout"): Promise<readonly string[]> {
  const query = `{app="tool-executor", stream="${stream}"} | task_id="${taskId}"`;
  const { data } = await ask<Found>("query_range", { query, limit: "5000", direction: "forward" });
  return data.result
    .flatMap(({ values }) => values)
    .sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1))
    .map(([, line]) => line);
}

const attemptOf = (taskId: string): Attempt => ({ key: { tenantId: "acme", taskId }, number: 1, owner: anOwner() });
const output = (seq: number, text: string): LogEntry => ({
  ...{ kind: "output", seq, atMs: Date.now(), stream: "stdout" },
  bytes: Buffer.from(text),
});

test("what a task writes can be queried while it still runs, by its id, and the id is no label", async () => {
  await using toolx = await openCli();
  const command = "echo first; echo wrong >&2; read -r line; echo second $line";
  const args = ["run", "shell", "--task-id", "t-live", "--stdin", "--", command];
  const run = toolx.start(args, { env: { LOKI_URL: loki().url }, openStdin: true });
  await printed(run, "first");
  await until("the line in Loki", async () => (await linesOf("t-live")).includes("first"), 10_000);
  await until("the line of stderr", async () => (await linesOf("t-live", "stderr")).includes("wrong"), 10_000);
  run.type("here\n");
  expect((await run.ended()).code).toBe(0);
  expect(await linesOf("t-live")).toEqual(["first", "second here"]);

  const { data: labels } = await ask<{ data: readonly string[] }>("labels");
  expect(labels.filter((label) => !label.startsWith("__")).sort()).toEqual(
    // Loki makes the last one itself.
    ["app", "host", "service_name", "stream", "tool"],
  );
  const { data: tools } = await ask<{ data: readonly string[] }>("label/tool/values");
  expect(tools).toContain("shell");
});

test("a thousand equal lines of one moment are a thousand lines", async () => {
  {
    await using sink = lokiLogSink({ url: loki().url, authorization: null });
    sink.write(attemptOf("t-equal"), [output(1, "tick\n".repeat(1000))], "shell");
  }
  await until("the lines", async () => (await linesOf("t-equal")).length === 1000, 10_000);
});

test.each(["cut", "blackHole"] as const)(
  "Loki away (%s): nobody waits, and afterwards every line is there or told",
  async (fault) => {
    await using proxy = await startToxiproxy(loki(), 3100);
    const options = { ...defaultLokiLogSinkOptions, maxWaitingBytes: 200_000, requestMs: 1000, maxRetryMs: 1000 };
    const taskId = `t-${fault}`;
    const total = 20_000;
    let dropped = 0;
    {
      await using sink = lokiLogSink({ url: `http://localhost:${proxy.port}`, authorization: null }, options);
      await proxy[fault]();
      const startedAt = performance.now();
      for (let seq = 1; seq <= total; seq++) sink.write(attemptOf(taskId), [output(seq, `line ${seq}\n`)], "shell");
      expect(performance.now() - startedAt).toBeLessThan(1000);
      dropped = sink.dropped();
      expect(dropped).toBeGreaterThan(total / 2);
      await proxy.mend();
      const told = `[tool-executor] ${dropped} lines`;
      await until("what is told", async () => (await linesOf(taskId)).some((line) => line.startsWith(told)), 20_000);
    }
    const lines = await linesOf(taskId);
    expect(lines.filter((line) => line.startsWith("line "))).toHaveLength(total - dropped);
    expect(lines.at(-1)).toMatch(/^\[tool-executor\]/);
  },
);

test("D15 a Loki that takes 1 KB a second, or nothing at all, does not slow a task down", async () => {
  await using toolx = await openCli();
  await using proxy = await startToxiproxy(loki(), 3100);
  // A million lines.
  const args = (id: string) => ["run", "shell", "--task-id", id, "--", "yes 0123456789 | head -n 1000000 >&2"];
  const timeOf = async (id: string, env: Readonly<Record<string, string>>): Promise<number> => {
    const { metrics, reason } = await toolx.result(args(id), { env });
    expect(reason).toBe("ok");
    return metrics.run_ms ?? Number.NaN;
  };
  const env = { LOKI_URL: `http://localhost:${proxy.port}` };
  // One after the other, round after round: whatever else the machine does meets all alike.
  const times: Record<string, number[]> = { alone: [], slow: [], silent: [] };
  for (let round = 0; round < 3; round++) {
    times.alone?.push(await timeOf(`t-alone-${round}`, {}));
    await proxy.throttle(1000);
    times.slow?.push(await timeOf(`t-slow-${round}`, env));
    await proxy.mend();
    await proxy.blackHole();
    times.silent?.push(await timeOf(`t-silent-${round}`, env));
    await proxy.mend();
  }
  const best = (name: string): number => Math.min(...(times[name] ?? []));
  expect(Math.max(best("slow"), best("silent"))).toBeLessThan(best("alone") * 1.5 + 200);
});
