import { createHash } from "node:crypto";
import type { Attempt } from "../../model/attempt.ts";
import { type Owner, ownerText } from "../../model/owner.ts";
import { type TaskKey, taskKey } from "../../model/task.ts";
import {
  type Holder,
  type Leased,
  type QueueBounds,
  type TaskRecord,
  type TaskStore,
  unbounded,
} from "../../ports/task-store.ts";
import { auditRecord } from "../../schema/audit-record.ts";
import { type CallBounds, openConnections } from "./connections.ts";
import type { DatabaseAddress } from "./database-address.ts";
import { fencedLots } from "./fenced-lots.ts";
import { intakeLots } from "./intake-lots.ts";
import { oldTasks } from "./old-tasks.ts";
import { callbackRow, letterHead, outboxRow } from "./outbox-row.ts";
import type { Values } from "./positional.ts";
import { requireSchema } from "./schema.ts";
import * as statements from "./statements.ts";
import { taskRecord } from "./task-record.ts";

/** Long enough for a server under load, short enough for what waits behind it. */
export const defaultCallBounds: CallBounds = { callMs: 10_000, retryMs: 2000 };

/**
 * The task store of many machines, in one PostgreSQL database. Leases and times go by the database's clock, so that the clocks of
 * the workers do not matter. A call ends within `callMs`. A step of an attempt, or its end, whose answer was lost is asked for again and
 * then looked at; any other write that fails after it was sent may have been carried out all the same. What comes at once goes together
 * (`lots.ts`).
 * @throws ExecutorError internal, for a database that cannot be reached or whose schema is not this version's.
 */
export async function postgresTaskStore(
  address: DatabaseAddress,
  signal: AbortSignal,
  bounds: CallBounds = defaultCallBounds,
  queue: QueueBounds = unbounded,
): Promise<TaskStore> {
  await using stack = new AsyncDisposableStack();
  const connections = stack.use(openConnections(address, bounds));
  await requireSchema(connections, signal);

  const { rows } = connections;
  const written = async (sql: string, values: Values, signal: AbortSignal): Promise<boolean> =>
    (await rows(sql, values, signal)).length > 0;

  const get = async (key: TaskKey, signal: AbortSignal): Promise<TaskRecord | null> => {
    const [found] = await rows(statements.selectTask, { ...key }, signal, "twice is once");
    return found === undefined ? null : taskRecord(found);
  };

  const leaseWith = async (
    sql: string,
    owner: Owner,
    values: Values,
    signal: AbortSignal,
  ): Promise<readonly Leased[]> =>
    (await rows(sql, { ...values, owner: ownerText(owner) }, signal)).map(taskRecord).map((record) => ({
      attempt: { key: taskKey(record.task), number: record.attempt, owner },
      record,
    }));

  /** The task with its cancel marked, the finished task, or null for a key that is not known. */
  const markCancel = async (key: TaskKey, signal: AbortSignal): Promise<TaskRecord | null> => {
    for (;;) {
      const [marked] = await rows(statements.requestCancel, { ...key }, signal, "twice is once");
      if (marked !== undefined) return taskRecord(marked);
      const record = await get(key, signal);
      // Taken in between the two statements: it can be marked now.
      if (record === null || record.state === "FINISHED") return record;
    }
  };

  const { intake, settled } = intakeLots(connections, queue, get);
  stack.defer(settled);
  const held = stack.move();
  return {
    ...oldTasks(connections),
    ...fencedLots(connections, get),
    intake,
    async leaseTask(key, owner, leaseMs, signal) {
      const [leased] = await leaseWith(statements.leaseTask, owner, { ...key, leaseMs }, signal);
      return leased?.attempt ?? null;
    },
    leaseNext: (count, owner, leaseMs, signal) =>
      leaseWith(statements.leaseNext, owner, { count: atMost1000(count), leaseMs }, signal),
    release: (attempt, strike, signal) =>
      written(statements.release, { ...fence(attempt), ending: "released", strike: strike ? 1 : 0 }, signal),
    async listExpired(limit, signal) {
      return (await rows(statements.listExpired, { limit: atMost1000(limit) }, signal, "twice is once")).map(
        taskRecord,
      );
    },
    async adopt(attempt, owner, leaseMs, signal) {
      const values = { ...fence(attempt), newOwner: ownerText(owner), leaseMs };
      return (await written(statements.adopt, values, signal)) ? { ...attempt, owner } : null;
    },
    releaseLost: (key, expected, strike, signal) =>
      written(statements.releaseLost, { ...asSeen(key, expected), ending: "lost", strike: strike ? 1 : 0 }, signal),
    async claimOutbox(limit, claimMs, signal) {
      // A claim whose answer was lost is anybody's again when its time is over.
      return (await rows(statements.claimOutbox, { limit: atMost1000(limit), claimMs }, signal)).map(outboxRow);
    },
    async claimCallbacks(limit, claimMs, signal) {
      return (await rows(statements.claimCallbacks, { limit: atMost1000(limit), claimMs }, signal)).map(callbackRow);
    },
    callbackLater: (id, tries, delayMs, signal) => written(statements.callbackLater, { id, tries, delayMs }, signal),
    callbackDead: (id, tries, headers, signal) =>
      written(statements.callbackDead, { id, tries, headers: Buffer.from(JSON.stringify(headers)) }, signal),
    async markPublished(ids, signal) {
      await rows(statements.markPublished, { ids }, signal, "twice is once");
    },
    async outboxAgeMs(signal) {
      const [oldest] = await rows(statements.outboxAge, {}, signal, "twice is once");
      return oldest === undefined ? null : Number(oldest.age);
    },
    republish: (key, signal) => written(statements.republish, { ...key }, signal),
    async deadLetter(headers, value, signal) {
      await rows(statements.deadLetter, { headers: Buffer.from(JSON.stringify(headers)), value }, signal);
    },
    async keepLetter(key, headers, value, signal) {
      const named = { tenantId: key?.tenantId ?? null, taskId: key?.taskId ?? null };
      await rows(statements.keepLetter, { ...named, headers: Buffer.from(JSON.stringify(headers)), value }, signal);
    },
    async audit(records, signal) {
      const flat = records.map(({ key, ...rest }) => ({ ...key, ...rest }));
      await rows(statements.insertAudit, { records: JSON.stringify(flat) }, signal);
    },
    async listAudit(key, limit, signal) {
      const found = await rows(statements.listAudit, { ...key, limit: atMost1000(limit) }, signal, "twice is once");
      return found.map((row) => auditRecord(key, row));
    },
    async refuse({ key, resultBytes, letter }, signal) {
      const sha256 = createHash("sha256").update(resultBytes).digest("hex");
      const headers = Buffer.from(JSON.stringify(letter.headers));
      const values = { ...key, headers, letter: letter.value, result: resultBytes, sha256 };
      const [sent] = await rows(statements.refuse, values, signal);
      return sent?.kind === "result" ? "answered" : "known";
    },
    async listLetters({ tenantId, olderThan, limit }, signal) {
      const values = { tenantId: tenantId ?? null, olderThan: olderThan ?? null, limit: atMost1000(limit) };
      return (await rows(statements.listLetters, values, signal, "twice is once")).map(letterHead);
    },
    async getLetter(id, signal) {
      const [letter] = await rows(statements.selectLetter, { id }, signal, "twice is once");
      return letter === undefined ? null : outboxRow(letter);
    },
    callbackAgain: (id, signal) => written(statements.callbackAgain, { id }, signal),
    async requestCancel(key, stubTtlMs, signal) {
      const record = await markCancel(key, signal);
      if (record !== null) return record;
      await rows(statements.putStub, { ...key, stubTtlMs }, signal, "twice is once");
      // A task that came in meanwhile may not have seen the stub: it is there by now.
      return await markCancel(key, signal);
    },
    get,
    async list(filter, signal) {
      const values = {
        tenantId: filter.tenantId ?? null,
        states: filter.states ?? null,
        olderTenant: filter.olderThan?.tenantId ?? null,
        olderTask: filter.olderThan?.taskId ?? null,
        limit: atMost1000(filter.limit),
      };
      return (await rows(statements.listTasks, values, signal, "twice is once")).map(taskRecord);
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

const atMost1000 = (limit: number): number => Math.min(Math.max(limit, 1), 1000);

const asSeen = (key: TaskKey, { attempt, owner, leaseExpired = false }: Holder) => ({
  ...key,
  number: attempt,
  owner: owner === null ? null : ownerText(owner),
  leaseExpired,
});

/** What a write expects to find: the attempt, and its owner where one has it. */
type Held = {
  readonly tenantId: string;
  readonly taskId: string;
  readonly number: number;
  readonly owner: string | null;
};

const fence = ({ key, number, owner }: Attempt): Held => ({
  tenantId: key.tenantId,
  taskId: key.taskId,
  number,
  owner: ownerText(owner),
});
