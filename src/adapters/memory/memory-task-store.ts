import type { Attempt } from "../../model/attempt.ts";
import { type Owner, ownerText } from "../../model/owner.ts";
import type { Result } from "../../model/result.ts";
import { keyText, mayBecome, type TaskKey, type TaskState, taskKey } from "../../model/task.ts";
import type { Clock } from "../../ports/clock.ts";
import type { TaskRecord, TaskStore } from "../../ports/task-store.ts";

/** A task store in this process's memory: nothing outlives it. For tests, and for measuring the line without a disk. */
export function memoryTaskStore(clock: Clock): TaskStore {
  // In the order of intake.
  const records = new Map<string, TaskRecord>();
  const stubs = new Map<string, number>();

  const put = (record: TaskRecord): void => void records.set(keyText(taskKey(record.task)), record);

  /** The record, while this attempt of this owner has it. */
  const held = ({ key, number, owner }: Attempt): TaskRecord | null => {
    const record = records.get(keyText(key));
    return record !== undefined && record.attempt === number && sameOwner(record.owner, owner) ? record : null;
  };

  const advance = (
    attempt: Attempt,
    from: TaskState,
    changes: Partial<TaskRecord> & { readonly state: TaskState },
  ): boolean => {
    const record = held(attempt);
    if (record?.state !== from) return false;
    put({ ...record, ...changes });
    return true;
  };

  const isDue = ({ state, task }: TaskRecord): boolean =>
    state === "QUEUED" && (task.not_before === null || Date.parse(task.not_before) <= clock.now());

  const lease = (record: TaskRecord | undefined, owner: Owner, leaseMs: number): Attempt | null => {
    if (record === undefined || !isDue(record)) return null;
    const number = record.attempt + 1;
    put({ ...record, state: "LEASED", attempt: number, owner, leaseUntil: clock.now() + leaseMs });
    return { key: taskKey(record.task), number, owner };
  };

  const end = (record: TaskRecord, result: Result, bytes: Buffer): boolean => {
    if (!mayBecome(record.state, "FINISHED")) return false;
    const ended = { state: "FINISHED", owner: null, leaseUntil: null, reason: result.reason } as const;
    put({ ...record, ...ended, finishedAt: clock.now(), resultBytes: Buffer.from(bytes) });
    return true;
  };

  return {
    async intake(task, requestSha256, signal) {
      signal.throwIfAborted();
      const text = keyText(taskKey(task));
      const known = records.get(text);
      if (known !== undefined) {
        return known.requestSha256 === requestSha256 ? { kind: "duplicate", record: known } : { kind: "conflict" };
      }
      const now = clock.now();
      const cancelRequested = (stubs.get(text) ?? 0) > now;
      stubs.delete(text);
      put({
        task,
        requestSha256,
        state: "QUEUED",
        attempt: 0,
        strikes: 0,
        owner: null,
        leaseUntil: null,
        cancelRequested,
        receivedAt: now,
        startedAt: null,
        finishedAt: null,
        sandboxId: null,
        resultBytes: null,
        reason: null,
      });
      return { kind: "accepted" };
    },
    async leaseTask(key, owner, leaseMs, signal) {
      signal.throwIfAborted();
      return lease(records.get(keyText(key)), owner, leaseMs);
    },
    async leaseNext(owner, leaseMs, signal) {
      signal.throwIfAborted();
      const held = new Map<string, number>();
      for (const { task, owner: holder } of records.values())
        if (holder !== null) held.set(task.tenant_id, (held.get(task.tenant_id) ?? 0) + 1);
      const heldBy = ({ task }: TaskRecord): number => held.get(task.tenant_id) ?? 0;
      // Sorting is stable, so what is equal stays in the order of intake.
      const [first] = [...records.values()]
        .filter(isDue)
        .sort((a, b) => heldBy(a) - heldBy(b) || b.task.priority - a.task.priority);
      return lease(first, owner, leaseMs);
    },
    async starting(attempt, signal) {
      signal.throwIfAborted();
      return advance(attempt, "LEASED", { state: "STARTING" });
    },
    async running(attempt, sandboxId, _deadlineAt, signal) {
      signal.throwIfAborted();
      return advance(attempt, "STARTING", { state: "RUNNING", sandboxId, startedAt: clock.now() });
    },
    async collecting(attempt, signal) {
      signal.throwIfAborted();
      return advance(attempt, "RUNNING", { state: "COLLECTING" });
    },
    async renew(attempt, leaseMs, signal) {
      signal.throwIfAborted();
      const record = held(attempt);
      if (record === null) return null;
      put({ ...record, leaseUntil: clock.now() + leaseMs });
      return { cancelRequested: record.cancelRequested };
    },
    async release(attempt, strike, signal) {
      signal.throwIfAborted();
      const record = held(attempt);
      if (record === null) return false;
      const released = { state: "QUEUED", owner: null, leaseUntil: null, sandboxId: null, startedAt: null } as const;
      put({ ...record, ...released, strikes: record.strikes + (strike ? 1 : 0) });
      return true;
    },
    async finish(attempt, result, bytes, signal) {
      signal.throwIfAborted();
      const record = held(attempt);
      return record !== null && end(record, result, bytes);
    },
    async finishUnleased(key, expected, result, bytes, signal) {
      signal.throwIfAborted();
      const record = records.get(keyText(key));
      if (record === undefined || record.attempt !== expected.attempt) return false;
      return sameOwner(record.owner, expected.owner) && end(record, result, bytes);
    },
    async requestCancel(key, stubTtlMs, signal) {
      signal.throwIfAborted();
      const text = keyText(key);
      const record = records.get(text);
      if (record === undefined) {
        const now = clock.now();
        for (const [stub, expiresAt] of stubs) if (expiresAt <= now) stubs.delete(stub);
        stubs.set(text, Math.max(stubs.get(text) ?? 0, now + stubTtlMs));
        return null;
      }
      if (record.state !== "FINISHED") put({ ...record, cancelRequested: true });
      return records.get(text) ?? null;
    },
    async get(key: TaskKey, signal) {
      signal.throwIfAborted();
      return records.get(keyText(key)) ?? null;
    },
    async list({ tenantId, states, olderThan, limit }, signal) {
      signal.throwIfAborted();
      const all = [...records.values()];
      const end = olderThan === undefined ? all.length : [...records.keys()].indexOf(keyText(olderThan));
      return all
        .slice(0, Math.max(end, 0))
        .reverse()
        .filter(({ task }) => tenantId === undefined || task.tenant_id === tenantId)
        .filter(({ state }) => states === undefined || states.includes(state))
        .slice(0, Math.min(Math.max(limit, 1), 1000));
    },
    async [Symbol.asyncDispose]() {},
  };
}

const sameOwner = (a: Owner | null, b: Owner | null): boolean =>
  a === null || b === null ? a === b : ownerText(a) === ownerText(b);
