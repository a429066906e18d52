import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Reason } from "../../src/model/failure.ts";
import { reasonTable } from "../../src/model/failure.ts";
import { taskKey } from "../../src/model/task.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { onStores } from "../support/on-stores.ts";
import { anOwner, aResult, aTask, never } from "../support/samples.ts";
import type { OpenTaskStores } from "./task-store.ts";

const claimMs = 5000;

/** What every task store promises about the messages it holds for a relay. */
export function outboxConformance(name: string, open: OpenTaskStores): void {
  const withStores = onStores(open);

  describe(`${name}: the outbox`, () => {
    test("is empty as long as nothing has ended", () =>
      withStores(async (store) => {
        await store.intake(aTask(), "h1", never());
        expect(await store.claimOutbox(10, claimMs, never())).toEqual([]);
        expect(await store.outboxAgeMs(never())).toBeNull();
      }));

    test("has the result of a task that ended, byte for byte, with its hash", () =>
      withStores(async (store, other, clock) => {
        const odd = Buffer.from([0xff, 0x00, 0x0a, 0xc3, 0x28]);
        await finished(store, "t-1", "ok", odd);
        const createdAt = clock.now();
        clock.advance(7);
        expect(await other.outboxAgeMs(never())).toBe(7);
        expect(await other.claimOutbox(10, claimMs, never())).toEqual([
          {
            id: expect.any(Number),
            kind: "result",
            key: taskKey(aTask()),
            headers: { "result-sha256": createHash("sha256").update(odd).digest("hex") },
            value: odd,
            createdAt,
          },
        ]);
      }));

    test.each(Object.entries(reasonTable).map(([reason, { deadLetter }]) => [reason as Reason, deadLetter] as const))(
      "after a task ended as %s: a dead letter beside the result is %s",
      (reason, isDeadLettered) =>
        withStores(async (store, _other, clock) => {
          const firstSeen = new Date(clock.now()).toISOString();
          const task = aTask({ payload: { command: "\u0000" } });
          await finished(store, task, reason, Buffer.from("x"));
          const [result, letter, ...more] = await store.claimOutbox(10, claimMs, never());
          expect(result?.kind).toBe("result");
          expect(letter !== undefined).toBe(isDeadLettered);
          expect(more).toEqual([]);
          if (letter === undefined) return;
          const headers = { "dlq-reason": reason, "dlq-stage": "execute", "dlq-attempts": "1" };
          expect(letter).toMatchObject({ kind: "dead_letter", key: taskKey(task) });
          expect(letter.headers).toEqual({ ...headers, "dlq-first-seen": firstSeen });
          expect(JSON.parse(letter.value.toString())).toEqual(task);
        }),
    );

    test("keeps the bytes of what never became a task", () =>
      withStores(async (store, other) => {
        const headers = { "dlq-reason": "validation", "dlq-source": "topic/0/17" };
        const value = Buffer.from([0x00, 0xff, 0x7b]);
        await store.deadLetter(headers, value, never());
        value.fill(1);
        const [letter] = await other.claimOutbox(10, claimMs, never());
        expect(letter).toMatchObject({
          kind: "dead_letter",
          key: null,
          headers,
          value: Buffer.from([0x00, 0xff, 0x7b]),
        });
      }));

    test("has the refusal of a request that never became a task, byte for byte, for good", () =>
      withStores(async (store, other) => {
        const resultBytes = Buffer.from([0xff, 0x00, 0x7b]);
        const letter = { headers: { "dlq-reason": "conflict" }, value: Buffer.from("as it came") };
        const key = taskKey(aTask());
        expect(await store.refuse({ key, resultBytes, letter }, never())).toBe("answered");
        // A later task of that name has a result of its own.
        await finished(store, "t-1");
        const [refusal, result, ...more] = await other.claimOutbox(10, claimMs, never());
        expect(refusal).toMatchObject({
          ...{ kind: "result", key: null, value: resultBytes },
          headers: { "result-sha256": createHash("sha256").update(resultBytes).digest("hex") },
        });
        expect(result).toMatchObject({ kind: "result", key, value: Buffer.from("result") });
        expect(more).toEqual([]);
      }));

    test("has a dead letter in the place of a refusal, where a task of that name has an answer of its own", () =>
      withStores(async (store, other) => {
        const key = taskKey(aTask());
        const value = Buffer.from([0x00, 0xff]);
        const headers = { "dlq-reason": "conflict", "dlq-source": "tools/0/17" };
        await store.intake(aTask(), "h1", never());
        const refusal = { key, resultBytes: Buffer.from("no"), letter: { headers, value } };
        expect(await store.refuse(refusal, never())).toBe("known");
        const [letter, ...more] = await other.claimOutbox(10, claimMs, never());
        expect(letter).toMatchObject({ kind: "dead_letter", key, headers, value });
        expect(more).toEqual([]);
        expect(await other.listLetters({ tenantId: key.tenantId, limit: 10 }, never())).toHaveLength(1);
      }));

    test("is claimed in the order it came, no more than asked for, and by one at a time", () =>
      withStores(async (store, other) => {
        for (const taskId of ["t-1", "t-2", "t-3"]) await finished(store, taskId);
        expect(await claimed(store, 2)).toEqual(["t-1", "t-2"]);
        expect(await claimed(other, 10)).toEqual(["t-3"]);
        expect(await claimed(store, 10)).toEqual([]);
      }));

    test("of many claims at once each gets others", () =>
      withStores(async (store, other) => {
        const ids = Array.from({ length: 30 }, (_, index) => `t-${index}`);
        for (const taskId of ids) await finished(store, taskId);
        const claims = await Promise.all(
          Array.from({ length: 10 }, (_, index) => claimed(index % 2 === 0 ? store : other, 5)),
        );
        const rest = await claimed(store, 1000);
        expect([...claims.flat(), ...rest].sort()).toEqual(ids.sort());
      }));

    test("a claim that was not followed up is anybody's again when its time is over", () =>
      withStores(async (store, other, clock) => {
        await finished(store, "t-1");
        expect(await claimed(store, 10)).toEqual(["t-1"]);
        clock.advance(claimMs - 1);
        expect(await claimed(other, 10)).toEqual([]);
        clock.advance(1);
        expect(await claimed(other, 10)).toEqual(["t-1"]);
      }));

    test("what was published is never claimed again, and does not count as waiting", () =>
      withStores(async (store, other, clock) => {
        await finished(store, "t-1");
        clock.advance(1000);
        await finished(store, "t-2");
        const [first] = await store.claimOutbox(1, claimMs, never());
        await store.markPublished([first?.id ?? 0], never());
        await other.markPublished([first?.id ?? 0], never());
        clock.advance(claimMs);
        expect(await other.outboxAgeMs(never())).toBe(claimMs);
        expect(await claimed(other, 10)).toEqual(["t-2"]);
        await store.markPublished([], never());
      }));

    test("gets a finished task's result again for whoever asked again, the same bytes", () =>
      withStores(async (store, other) => {
        expect(await store.republish(taskKey(aTask()), never())).toBe(false);
        await store.intake(aTask(), "h1", never());
        expect(await store.republish(taskKey(aTask()), never())).toBe(false);
        await finished(store, "t-1");
        const [first] = await store.claimOutbox(10, claimMs, never());
        await store.markPublished([first?.id ?? 0], never());
        expect(await other.republish(taskKey(aTask()), never())).toBe(true);
        const again = await other.claimOutbox(10, claimMs, never());
        expect(again).toEqual([{ ...first, id: expect.any(Number) }]);
        expect(again[0]?.id).not.toBe(first?.id);
      }));
  });
}

async function claimed(store: TaskStore, limit: number): Promise<readonly string[]> {
  return (await store.claimOutbox(limit, claimMs, never())).map(({ key }) => key?.taskId ?? "");
}

async function finished(
  store: TaskStore,
  name: string | ReturnType<typeof aTask>,
  reason: Reason = "ok",
  bytes = Buffer.from("result"),
): Promise<void> {
  const task = typeof name === "string" ? aTask({ task_id: name }) : name;
  await store.intake(task, "h1", never());
  const attempt = await store.leaseTask(taskKey(task), anOwner(), 10_000, never());
  if (attempt === null) throw new Error("not leased");
  expect(await store.finish(attempt, aResult({ reason }), bytes, never())).toBe(true);
}
