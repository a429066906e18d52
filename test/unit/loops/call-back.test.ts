import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { memoryObjectStore } from "../../../src/adapters/memory/memory-object-store.ts";
import { memoryTaskStore } from "../../../src/adapters/memory/memory-task-store.ts";
import { bell } from "../../../src/loops/bell.ts";
import { type CallBackPorts, type CallbackOutcome, callBack } from "../../../src/loops/call-back.ts";
import { ExecutorError } from "../../../src/model/failure.ts";
import { type Task, taskKey } from "../../../src/model/task.ts";
import type { CallbackSender } from "../../../src/ports/callback-sender.ts";
import { encodeResult } from "../../../src/schema/encode-result.ts";
import { anOwner, aResult, aTask, handClock, never } from "../../support/samples.ts";
import { until } from "../../support/until.ts";

/** The one that receivers have, and the one that they change to. */
const secrets = [Buffer.alloc(32, 7), Buffer.alloc(24, 8)];
const url = "https://hooks.example/";
const boundMs = 5000;

interface Call {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The loop over a store in memory, and a receiver that answers as it is told. */
function calling(answer: (count: number) => Promise<void> | void, differences: Partial<CallBackPorts> = {}) {
  const clock = handClock();
  const store = memoryTaskStore(clock);
  const objects = memoryObjectStore();
  const calls: Call[] = [];
  const outcomes: CallbackOutcome[] = [];
  const troubles: unknown[] = [];
  const sender: CallbackSender = {
    async send(to, headers, body) {
      calls.push({ url: to, headers, body });
      await answer(calls.length);
    },
  };
  const ended = bell();
  const stop = new AbortController();
  const running = callBack(
    {
      ...{ store, objects, sender, clock, secrets, maxTries: 3, bell: ended },
      onTried: (_row, outcome) => outcomes.push(outcome),
      onTrouble: (_what, error) => troubles.push(error),
      ...differences,
    },
    stop.signal,
  );
  return {
    ...{ clock, store, objects, calls, outcomes, troubles },
    async finish(differences: Partial<Task>, bytes: Buffer): Promise<void> {
      const task = aTask({ callback_url: url, ...differences });
      await store.intake(task, task.task_id, never());
      const attempt = await store.leaseTask(taskKey(task), anOwner(), 1000, never());
      if (attempt === null) throw new Error("not leased");
      await store.finish(attempt, aResult(), bytes, never());
      ended.ring();
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

const away = (): never => {
  throw new ExecutorError("internal", "https://hooks.example:443 answered with status 500, not 2xx");
};

test("a task that ended is told of once, with its bytes and a signature of them by each secret", async () => {
  const bytes = Buffer.from('{"task_id": "t-1"}');
  await using at = calling(() => undefined);
  await at.finish({}, bytes);
  await until("it is told", () => at.outcomes.length === 1, boundMs);
  at.clock.advance(10_000_000);
  await at.finish({ task_id: "t-2" }, bytes);
  await until("the next is told", () => at.outcomes.length === 2, boundMs);
  expect(at.calls.map(({ headers }) => headers["webhook-id"])).toEqual(["acme/t-1", "acme/t-2"]);
  const [first] = at.calls;
  const signed = secrets.map((secret) =>
    createHmac("sha256", secret).update(`acme/t-1.1767225600.${bytes}`).digest("base64"),
  );
  expect(first).toEqual({
    url,
    headers: {
      "webhook-id": "acme/t-1",
      "webhook-timestamp": "1767225600",
      "webhook-signature": `v1,${signed[0]} v1,${signed[1]}`,
    },
    body: bytes,
  });
});

test("what fails is tried again, later and later, with the same body and a new time; then it is a dead letter", async () => {
  await using at = calling(away);
  await at.finish({}, Buffer.from("{}"));
  await until("the first try", () => at.outcomes.length === 1, boundMs);
  for (const [index, delayMs] of [1000, 4000].entries()) {
    at.clock.advance(delayMs - 1);
    expect(await at.store.claimCallbacks(1, 1, never())).toEqual([]);
    at.clock.advance(1);
    await until("the next try", () => at.outcomes.length === index + 2, boundMs);
  }
  expect(at.outcomes).toEqual(["failed", "failed", "dead"]);
  expect(new Set(at.calls.map(({ body }) => body.toString()))).toEqual(new Set(["{}"]));
  expect(new Set(at.calls.map(({ headers }) => headers["webhook-timestamp"])).size).toBe(3);
  const letters = (await at.store.claimOutbox(10, 1000, never())).filter(({ kind }) => kind === "dead_letter");
  expect(letters).toMatchObject([
    {
      value: Buffer.from("{}"),
      headers: {
        "dlq-reason": "internal",
        "dlq-stage": "callback",
        "dlq-attempts": "3",
        "dlq-error": "https://hooks.example:443 answered with status 500, not 2xx",
      },
    },
  ]);
});

test("a place that may not be called is dead at the first try", async () => {
  await using at = calling(() => {
    throw new ExecutorError("policy_denied", "callback_url leads to elsewhere");
  });
  await at.finish({}, Buffer.from("{}"));
  await until("it is dead", () => at.outcomes.includes("dead"), boundMs);
  expect(at.calls).toHaveLength(1);
});

test("a slow receiver holds nobody else up", async () => {
  const slow = Promise.withResolvers<void>();
  await using at = calling((count) => (count === 1 ? slow.promise : undefined));
  await at.finish({ task_id: "slow" }, Buffer.from("{}"));
  await until("the slow one is called", () => at.calls.length === 1, boundMs);
  await at.finish({ task_id: "quick" }, Buffer.from("{}"));
  await until("the quick one is told", () => at.outcomes.length === 1, boundMs);
  slow.resolve();
});

test("a result that is too large goes by reference", async () => {
  const bytes = encodeResult(aResult({ output: { ...aResult().output, stdout: "x".repeat(1024 * 1024) } }));
  await using at = calling(() => undefined);
  await at.finish({}, bytes);
  await until("it is told", () => at.outcomes.length === 1, boundMs);
  const body = JSON.parse(at.calls[0]?.body.toString() ?? "null");
  expect(body).toMatchObject({ task_id: "t-1", result_object: "tasks/acme/t-1/1/result.json", output: { stdout: "" } });
  expect(at.calls[0]?.body.length).toBeLessThan(10_000);
});

test("a store that is away is asked again, and what is told meanwhile is told again with the same body", async () => {
  const inner = memoryTaskStore(handClock());
  let isAway = true;
  const store = {
    ...inner,
    claimCallbacks: async (...call: Parameters<typeof inner.claimCallbacks>) =>
      isAway ? away() : await inner.claimCallbacks(...call),
  };
  await using at = calling(() => undefined, { store });
  await inner.intake(aTask({ callback_url: url }), "h", never());
  await inner.finishUnleased(taskKey(aTask()), { attempt: 0, owner: null }, aResult(), Buffer.from("{}"), never());
  await until("it was asked", () => at.troubles.length > 0, boundMs);
  isAway = false;
  await until("it is told", () => at.outcomes.length === 1, boundMs);
});
