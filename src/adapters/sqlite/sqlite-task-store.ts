import { createHash } from "node:crypto";
import type { SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import type { Attempt } from "../../model/attempt.ts";
import { reasonTable } from "../../model/failure.ts";
import { type Owner, ownerText } from "../../model/owner.ts";
import type { Result } from "../../model/result.ts";
import type { Task, TaskKey } from "../../model/task.ts";
import type { Clock } from "../../ports/clock.ts";
import { type Look, queueRoom } from "../../ports/queue-room.ts";
import {
  begunWith,
  type Holder,
  type Leased,
  type QueueBounds,
  type TaskRecord,
  type TaskStore,
  unbounded,
} from "../../ports/task-store.ts";
import { auditRecord } from "../../schema/audit-record.ts";
import { immediately } from "./immediately.ts";
import { oldTasks } from "./old-tasks.ts";
import { openDatabase } from "./open-database.ts";
import { callbackRow, letterHead, outboxRow } from "./outbox-row.ts";
import { sqliteFailure } from "./sqlite-failure.ts";
import * as statements from "./statements.ts";
import { taskRecord } from "./task-record.ts";

/**
 * The task store of one machine, in one file. Several processes may share the file; a call blocks its thread while another
 * process writes (milliseconds, at most `lockWaitMs`).
 * @throws ExecutorError internal, for a file that cannot be used.
 */
export function sqliteTaskStore(path: string, clock: Clock, bounds: QueueBounds = unbounded): TaskStore {
  const database = openDatabase(path);
  const prepared = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    const known = prepared.get(sql);
    if (known !== undefined) return known;
    const statement = database.prepare(sql);
    prepared.set(sql, statement);
    return statement;
  };
  const row = (sql: string, values: Values): Row | undefined => prepare(sql).get(values);
  const changed = (sql: string, values: Values): number => Number(prepare(sql).run(values).changes);
  const changes = (sql: string, values: Values): boolean => changed(sql, values) > 0;

  /** One statement, or several in `transaction`, with failures named. */
  const call = async <T>(signal: AbortSignal, work: () => T): Promise<T> => {
    signal.throwIfAborted();
    try {
      return work();
    } catch (cause) {
      throw sqliteFailure(path, cause);
    }
  };
  const transaction = <T>(signal: AbortSignal, work: () => T): Promise<T> =>
    call(signal, () => immediately(database, work));

  /** Comes to the disk with the next transaction: a machine that dies before loses both or neither. What a process wrote outlives it anyway. */
  const unhurried = <T>(signal: AbortSignal, work: () => T): Promise<T> =>
    call(signal, () => {
      database.exec("pragma synchronous = normal");
      try {
        return immediately(database, work);
      } finally {
        database.exec("pragma synchronous = full");
      }
    });

  const lease = (sql: string, owner: Owner, leaseMs: number, values: Values): Attempt | null => {
    const now = clock.now();
    const leased = row(sql, { ...values, owner: ownerText(owner), leaseUntil: now + leaseMs, now });
    if (leased === undefined) return null;
    const attempt: Attempt = {
      key: { tenantId: String(leased.tenant_id), taskId: String(leased.task_id) },
      number: Number(leased.attempt),
      owner,
    };
    changes(statements.insertAttempt, { ...fence(attempt), now });
    return attempt;
  };

  const leaseSome = (count: number, owner: Owner, leaseMs: number): readonly Leased[] => {
    const all: Leased[] = [];
    while (all.length < atMost1000(count)) {
      const attempt = lease(statements.leaseNext, owner, leaseMs, {});
      const record = attempt && get(attempt.key);
      if (attempt === null || record === null) break;
      all.push({ attempt, record });
    }
    return all;
  };

  const endWith = (sql: string, held: Held, ending: string, result: Result, bytes: Buffer, signal: AbortSignal) =>
    transaction(signal, (): boolean => {
      const now = clock.now();
      if (!changes(sql, { ...held, now, reason: result.reason, result: bytes })) return false;
      const { tenantId, taskId, number } = held;
      changes(statements.endAttempt, { tenantId, taskId, number, ending, now });
      const message = { tenantId, taskId, sha256: sha256Of(bytes), now };
      changes(statements.insertOutbox, { ...message, kind: "result" });
      if (reasonTable[result.reason].deadLetter) changes(statements.insertOutbox, { ...message, kind: "dead_letter" });
      changes(statements.insertCallback, message);
      return true;
    });

  const get = (key: TaskKey): TaskRecord | null => {
    const found = row(statements.selectTask, { ...key });
    return found === undefined ? null : taskRecord(found);
  };

  const isNext = (task: Task, now: number): boolean => {
    if (task.not_before !== null && Date.parse(task.not_before) > now) return false;
    return row(statements.isNext, { tenantId: task.tenant_id, taskId: task.task_id, now })?.is_next === 1;
  };

  const room = queueRoom(bounds, clock.monotonicMs);
  /** How many tasks of the tenant wait, and how many in all; null: not counted. */
  const counts = (tenantId: string, { countTenant, countAll }: Look): [number | null, number | null] => {
    const waiting = { tenantId, maxOfTenant: bounds.perTenant };
    return [
      countTenant ? Number(row(statements.countOfTenant, waiting)?.waiting) : null,
      countAll ? Number(row(statements.countInAll, { maxInAll: bounds.inAll })?.waiting) : null,
    ];
  };

  return {
    ...oldTasks({ rows: (sql, values) => prepare(sql).all(values), changed, transaction }, clock),
    intake: (task, requestSha256, signal, beginning) =>
      transaction(signal, () => {
        const now = clock.now();
        const key: TaskKey = { tenantId: task.tenant_id, taskId: task.task_id };
        const look = room.look(key.tenantId);
        const full = look.full ?? look.counted(...counts(key.tenantId, look));
        const begins = beginning !== undefined && isNext(task, now) ? beginning : null;
        const values = {
          ...{ ...key, requestSha256, request: JSON.stringify(task), priority: task.priority, now },
          notBeforeAt: task.not_before === null ? null : Date.parse(task.not_before),
          callbackUrl: task.callback_url ?? null,
          state: begins === null ? "QUEUED" : "RUNNING",
          attempt: begins === null ? 0 : 1,
          owner: begins && ownerText(begins.owner),
          leaseUntil: begins && now + begins.leaseMs,
          sandboxId: begins?.sandboxId ?? null,
          startedAt: begins && now,
        };
        if (full === null && changes(statements.insertTask, values)) {
          if (begins === null) look.inserted();
          changes(statements.dropStub, { ...key });
          changes(statements.dropExpiredStubs, { now });
          if (begins === null) return { kind: "accepted" };
          const { sandboxId, deadlineAt } = begins;
          changes(statements.insertBegun, { ...key, owner: values.owner, sandboxId, deadlineAt, now });
          return { kind: "accepted", begun: begunWith(task, requestSha256, begins, now) };
        }
        const record = get(key);
        if (record !== null)
          return record.requestSha256 === requestSha256 ? { kind: "duplicate", record } : { kind: "conflict" };
        if (full !== null) return full;
        throw new Error(`a task of tenant ${key.tenantId} was neither new nor known`);
      }),
    leaseTask: (key, owner, leaseMs, signal) =>
      unhurried(signal, () => lease(statements.leaseTask, owner, leaseMs, { ...key })),
    leaseNext: (count, owner, leaseMs, signal) => unhurried(signal, () => leaseSome(count, owner, leaseMs)),
    starting: (attempt, signal) => unhurried(signal, () => changes(statements.starting, fence(attempt))),
    running: (attempt, sandboxId, deadlineAt, signal) =>
      transaction(signal, () => {
        const now = clock.now();
        if (!changes(statements.running, { ...fence(attempt), sandboxId, now })) return false;
        const { owner: _owner, ...key } = fence(attempt);
        return changes(statements.attemptRunning, { ...key, sandboxId, deadlineAt, now });
      }),
    collecting: (attempt, signal) => unhurried(signal, () => changes(statements.collecting, fence(attempt))),
    renew: (attempt, leaseMs, signal) =>
      call(signal, () => {
        const renewed = row(statements.renew, { ...fence(attempt), leaseUntil: clock.now() + leaseMs });
        return renewed === undefined ? null : { cancelRequested: renewed.cancel_requested === 1 };
      }),
    release: (attempt, strike, signal) =>
      transaction(signal, () => {
        if (!changes(statements.release, { ...fence(attempt), strike: strike ? 1 : 0 })) return false;
        const { owner: _owner, ...key } = fence(attempt);
        return changes(statements.endAttempt, { ...key, ending: "released", now: clock.now() });
      }),
    finish: (attempt, result, bytes, signal) =>
      endWith(statements.finish, fence(attempt), "finished", result, bytes, signal),
    finishUnleased: (key, expected, result, bytes, signal) =>
      endWith(statements.finishUnleased, asSeen(key, expected), "lost", result, bytes, signal),
    listExpired: (limit, signal) =>
      call(signal, () => {
        const values = { now: clock.now(), limit: atMost1000(limit) };
        return prepare(statements.listExpired).all(values).map(taskRecord);
      }),
    adopt: (attempt, owner, leaseMs, signal) =>
      transaction(signal, () => {
        const newOwner = ownerText(owner);
        const { owner: _owner, ...key } = fence(attempt);
        const values = { ...fence(attempt), newOwner, leaseUntil: clock.now() + leaseMs };
        if (!changes(statements.adopt, values)) return null;
        changes(statements.adoptAttempt, { ...key, newOwner });
        return { ...attempt, owner };
      }),
    releaseLost: (key, expected, strike, signal) =>
      transaction(signal, () => {
        const now = clock.now();
        const seen = asSeen(key, expected);
        if (!changes(statements.releaseLost, { ...seen, strike: strike ? 1 : 0, now })) return false;
        return changes(statements.endAttempt, { ...key, number: seen.number, ending: "lost", now });
      }),
    claimOutbox: (limit, claimMs, signal) =>
      transaction(signal, () => {
        const now = clock.now();
        const values = { now, claimedUntil: now + claimMs, limit: atMost1000(limit) };
        const ids = prepare(statements.claimOutbox)
          .all(values)
          .map(({ id }) => Number(id));
        return prepare(statements.selectOutbox)
          .all({ ids: JSON.stringify(ids) })
          .map(outboxRow);
      }),
    claimCallbacks: (limit, claimMs, signal) =>
      transaction(signal, () => {
        const now = clock.now();
        const values = { now, claimedUntil: now + claimMs, limit: atMost1000(limit) };
        const ids = prepare(statements.claimCallbacks)
          .all(values)
          .map(({ id }) => Number(id));
        return prepare(statements.selectCallbacks)
          .all({ ids: JSON.stringify(ids) })
          .map(callbackRow);
      }),
    callbackLater: (id, tries, delayMs, signal) =>
      call(signal, () => changes(statements.callbackLater, { id, tries, dueAt: clock.now() + delayMs })),
    callbackDead: (id, tries, headers, signal) =>
      call(signal, () => changes(statements.callbackDead, { id, tries, headers: JSON.stringify(headers) })),
    markPublished: (ids, signal) =>
      call(signal, () => void changes(statements.markPublished, { ids: JSON.stringify(ids), now: clock.now() })),
    outboxAgeMs: (signal) =>
      call(signal, () => {
        const oldest = row(statements.oldestWaiting, {});
        return oldest === undefined ? null : clock.now() - Number(oldest.created_at);
      }),
    republish: (key, signal) =>
      transaction(signal, () => {
        const bytes = get(key)?.resultBytes;
        if (!bytes) return false;
        return changes(statements.insertOutbox, { ...key, kind: "result", sha256: sha256Of(bytes), now: clock.now() });
      }),
    deadLetter: (headers, value, signal) =>
      call(
        signal,
        () => void changes(statements.insertDeadLetter, { headers: JSON.stringify(headers), value, now: clock.now() }),
      ),
    keepLetter: (key, headers, value, signal) =>
      call(signal, () => {
        const named = { tenantId: key?.tenantId ?? null, taskId: key?.taskId ?? null };
        changes(statements.keepLetter, { ...named, headers: JSON.stringify(headers), value, now: clock.now() });
      }),
    audit: (records, signal) =>
      transaction(signal, () => {
        for (const { key, attempt, at, kind, detail } of records)
          changes(statements.insertAudit, { ...key, attempt, at, kind, detail: JSON.stringify(detail) });
      }),
    listAudit: (key, limit, signal) =>
      call(signal, () =>
        prepare(statements.listAudit)
          .all({ ...key, limit: atMost1000(limit) })
          .map((found) => auditRecord(key, { ...found, detail: JSON.parse(String(found.detail)) })),
      ),
    refuse: ({ key, resultBytes, letter }, signal) =>
      transaction(signal, () => {
        const now = clock.now();
        if (get(key) === null) {
          changes(statements.insertRefusal, { value: resultBytes, sha256: sha256Of(resultBytes), now });
          return "answered";
        }
        changes(statements.insertLetter, { ...key, headers: JSON.stringify(letter.headers), value: letter.value, now });
        return "known";
      }),
    listLetters: ({ tenantId, olderThan, limit }, signal) =>
      call(signal, () => {
        const values = { tenantId: tenantId ?? null, olderThan: olderThan ?? null, limit: atMost1000(limit) };
        return prepare(statements.listLetters).all(values).map(letterHead);
      }),
    getLetter: (id, signal) =>
      call(signal, () => {
        const letter = row(statements.selectLetter, { id });
        return letter === undefined ? null : outboxRow(letter);
      }),
    callbackAgain: (id, signal) => call(signal, () => changes(statements.callbackAgain, { id })),
    requestCancel: (key, stubTtlMs, signal) =>
      transaction(signal, () => {
        const now = clock.now();
        changes(statements.requestCancel, { ...key });
        const record = get(key);
        if (record === null) {
          changes(statements.dropExpiredStubs, { now });
          changes(statements.putStub, { ...key, expiresAt: now + stubTtlMs });
        }
        return record;
      }),
    get: (key, signal) => call(signal, () => get(key)),
    list: (filter, signal) =>
      call(signal, () => {
        const values = {
          tenantId: filter.tenantId ?? null,
          states: filter.states === undefined ? null : JSON.stringify(filter.states),
          olderTenant: filter.olderThan?.tenantId ?? null,
          olderTask: filter.olderThan?.taskId ?? null,
          limit: atMost1000(filter.limit),
        };
        return prepare(statements.listTasks).all(values).map(taskRecord);
      }),
    async [Symbol.asyncDispose]() {
      if (database.isOpen) database.close();
    },
  };
}

type Values = Readonly<Record<string, SQLInputValue>>;
type Row = Readonly<Record<string, SQLOutputValue>>;

const atMost1000 = (limit: number): number => Math.min(Math.max(limit, 1), 1000);

const sha256Of = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

const asSeen = (key: TaskKey, { attempt, owner, leaseExpired = false }: Holder) => ({
  ...key,
  number: attempt,
  owner: owner === null ? null : ownerText(owner),
  leaseExpired: leaseExpired ? 1 : 0,
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
