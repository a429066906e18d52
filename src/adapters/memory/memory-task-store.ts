import { createHash } from "node:crypto";
import type { Attempt } from "../../model/attempt.ts";
import type { AuditRecord } from "../../model/audit.ts";
import { reasonTable } from "../../model/failure.ts";
import { deadLetterHeaders, type OutboxKind, type OutboxRow, resultHeaders } from "../../model/outbox.ts";
import { type Owner, ownerText } from "../../model/owner.ts";
import type { Result } from "../../model/result.ts";
import { keyText, mayBecome, type TaskKey, type TaskState, taskKey } from "../../model/task.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Leaving, OldTask } from "../../ports/old-tasks.ts";
import {
  type Holder,
  type Leased,
  lookedThrough,
  type QueueBounds,
  type TaskRecord,
  type TaskStore,
  unbounded,
} from "../../ports/task-store.ts";

/** A task store in this process's memory: nothing outlives it. For tests, and for measuring the line without a disk. */
export function memoryTaskStore(clock: Clock, bounds: QueueBounds = unbounded): TaskStore {
  // In the order of intake.
  const records = new Map<string, TaskRecord>();
  const stubs = new Map<string, number>();
  /** By tenant. */
  const lastLeases = new Map<string, number>();
  let outbox: Waiting[] = [];
  let audited: AuditRecord[] = [];
  let sentCount = 0;
  let endCount = 0;
  const swept: Record<Leaving, number> = { results: 0, logs: 0, artifacts: 0 };
  /** In the order that they ended, as a task ends once. */
  let finished: OldTask[] = [];

  const send = (message: Pick<Waiting, "kind" | "key" | "headers" | "value">): void =>
    void outbox.push({
      ...{ ...message, id: ++sentCount, createdAt: clock.now() },
      ...{ claimedUntil: 0, published: false, publishedAt: 0, tries: 0 },
    });

  const sendResult = (record: TaskRecord, bytes: Buffer): void => {
    const headers = resultHeaders(createHash("sha256").update(bytes).digest("hex"));
    send({ kind: "result", key: taskKey(record.task), headers, value: bytes });
  };

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
    lastLeases.set(record.task.tenant_id, clock.now());
    put({ ...record, state: "LEASED", attempt: number, owner, leaseUntil: clock.now() + leaseMs });
    return { key: taskKey(record.task), number, owner };
  };

  const nextInTurn = (): TaskRecord | undefined => {
    const held = new Map<string, number>();
    for (const { task, owner: holder } of records.values())
      if (holder !== null) held.set(task.tenant_id, (held.get(task.tenant_id) ?? 0) + 1);
    const turnOf = ({ task }: TaskRecord): readonly [number, number] => [
      held.get(task.tenant_id) ?? 0,
      lastLeases.get(task.tenant_id) ?? 0,
    ];
    // Sorting is stable, so what is equal stays in the order of intake.
    const [first] = [...records.values()].filter(isDue).sort((a, b) => {
      const [aHeld, aLast] = turnOf(a);
      const [bHeld, bLast] = turnOf(b);
      return aHeld - bHeld || aLast - bLast || b.task.priority - a.task.priority;
    });
    return first;
  };

  /** The record, while it is held as somebody has seen it. */
  const heldBy = (key: TaskKey, { attempt, owner, leaseExpired }: Holder): TaskRecord | null => {
    const record = records.get(keyText(key));
    if (record === undefined || record.attempt !== attempt || !sameOwner(record.owner, owner)) return null;
    return leaseExpired !== true || isExpired(record) ? record : null;
  };

  const isExpired = ({ leaseUntil }: TaskRecord): boolean => leaseUntil !== null && leaseUntil <= clock.now();

  const end = (record: TaskRecord, { reason }: Result, bytes: Buffer): boolean => {
    if (!mayBecome(record.state, "FINISHED")) return false;
    const resultBytes = Buffer.from(bytes);
    const ended = { state: "FINISHED", owner: null, leaseUntil: null, reason } as const;
    put({ ...record, ...ended, finishedAt: clock.now(), resultBytes });
    const facts = { key: taskKey(record.task), attempt: record.attempt, finishedAt: clock.now() };
    finished.push({ ...facts, serial: ++endCount });
    sendResult(record, resultBytes);
    if (reasonTable[reason].deadLetter) {
      const facts = { reason, stage: "execute", attempts: record.attempt, firstSeenAt: record.receivedAt };
      const value = Buffer.from(JSON.stringify(record.task));
      send({ kind: "dead_letter", key: taskKey(record.task), headers: deadLetterHeaders(facts), value });
    }
    if (record.task.callback_url !== null)
      send({ kind: "callback", key: taskKey(record.task), headers: {}, value: resultBytes });
    return true;
  };

  /** The callback, while this try of it is the last that began. */
  const tried = (id: number, tries: number): Waiting | undefined =>
    outbox.find((row) => row.id === id && row.kind === "callback" && row.tries === tries && !row.published);

  const giveBack = (record: TaskRecord, strike: boolean): boolean => {
    if (record.state === "QUEUED" || !mayBecome(record.state, "QUEUED")) return false;
    const released = { state: "QUEUED", owner: null, leaseUntil: null, sandboxId: null, startedAt: null } as const;
    put({ ...record, ...released, strikes: record.strikes + (strike ? 1 : 0) });
    return true;
  };

  const isOld = ({ key }: OldTask, abandoned: readonly OutboxKind[]): boolean =>
    records.get(keyText(key))?.state === "FINISHED" &&
    !outbox.some((row) => {
      const isItsOwn = row.key !== null && keyText(row.key) === keyText(key);
      return isItsOwn && !row.published && !abandoned.some((kind) => kind === row.kind);
    });

  return {
    async listOld(what, olderThanMs, abandoned, limit, signal) {
      signal.throwIfAborted();
      return finished
        .filter(({ serial, finishedAt }) => serial > swept[what] && finishedAt <= clock.now() - olderThanMs)
        .filter((task) => isOld(task, abandoned))
        .slice(0, atMost1000(limit));
    },
    async markSwept(what, { serial }, signal) {
      signal.throwIfAborted();
      swept[what] = Math.max(swept[what], serial);
    },
    async forget(tasks, abandoned, signal) {
      signal.throwIfAborted();
      const isThere = ({ serial }: OldTask): boolean => finished.some((task) => task.serial === serial);
      const gone = tasks.filter((task) => isThere(task) && isOld(task, abandoned)).map(({ key }) => keyText(key));
      for (const text of gone) records.delete(text);
      finished = finished.filter(({ key }) => !gone.includes(keyText(key)));
      outbox = outbox.filter(({ key }) => key === null || !gone.includes(keyText(key)));
      return gone.length;
    },
    async audit(records, signal) {
      signal.throwIfAborted();
      audited.push(...records);
    },
    async listAudit(key, limit, signal) {
      signal.throwIfAborted();
      return audited.filter((each) => keyText(each.key) === keyText(key)).slice(0, atMost1000(limit));
    },
    async forgetAudit(olderThanMs, limit, signal) {
      signal.throwIfAborted();
      const old = audited.filter(({ at }) => at <= clock.now() - olderThanMs).slice(0, atMost1000(limit));
      audited = audited.filter((each) => !old.includes(each));
      return old.length;
    },
    async forgetSent(kinds, olderThanMs, limit, signal) {
      signal.throwIfAborted();
      const old = outbox
        .filter(({ kind, published }) => published && kinds.some((each) => each === kind))
        .filter(({ publishedAt }) => publishedAt <= clock.now() - olderThanMs)
        .slice(0, atMost1000(limit));
      outbox = outbox.filter((row) => !old.includes(row));
      return old.length;
    },
    async intake(task, requestSha256, signal, beginning) {
      signal.throwIfAborted();
      const text = keyText(taskKey(task));
      const known = records.get(text);
      if (known !== undefined) {
        return known.requestSha256 === requestSha256 ? { kind: "duplicate", record: known } : { kind: "conflict" };
      }
      const queued = [...records.values()].filter(({ state }) => state === "QUEUED");
      const ofTenant = queued.filter((record) => record.task.tenant_id === task.tenant_id);
      if (ofTenant.length >= bounds.perTenant) return { kind: "full", of: "tenant", maxCount: bounds.perTenant };
      if (queued.length >= bounds.inAll) return { kind: "full", of: "all", maxCount: bounds.inAll };
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
      const mayBegin =
        beginning !== undefined && !cancelRequested && queued.length < lookedThrough && !queued.some(isDue);
      const attempt = mayBegin ? lease(records.get(text), beginning.owner, beginning.leaseMs) : null;
      const record = records.get(text);
      if (!attempt || !record || !beginning) return { kind: "accepted" };
      const running = { ...record, state: "RUNNING", sandboxId: beginning.sandboxId, startedAt: now } as const;
      put(running);
      return { kind: "accepted", begun: { attempt, record: running } };
    },
    async leaseTask(key, owner, leaseMs, signal) {
      signal.throwIfAborted();
      return lease(records.get(keyText(key)), owner, leaseMs);
    },
    async leaseNext(count, owner, leaseMs, signal) {
      signal.throwIfAborted();
      const all: Leased[] = [];
      while (all.length < atMost1000(count)) {
        const attempt = lease(nextInTurn(), owner, leaseMs);
        const record = attempt && records.get(keyText(attempt.key));
        if (!attempt || !record) break;
        all.push({ attempt, record });
      }
      return all;
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
      return record !== null && giveBack(record, strike);
    },
    async finish(attempt, result, bytes, signal) {
      signal.throwIfAborted();
      const record = held(attempt);
      return record !== null && end(record, result, bytes);
    },
    async finishUnleased(key, expected, result, bytes, signal) {
      signal.throwIfAborted();
      const record = heldBy(key, expected);
      return record !== null && end(record, result, bytes);
    },
    async listExpired(limit, signal) {
      signal.throwIfAborted();
      return [...records.values()]
        .filter(isExpired)
        .sort((a, b) => (a.leaseUntil ?? 0) - (b.leaseUntil ?? 0))
        .slice(0, atMost1000(limit));
    },
    async adopt(attempt, owner, leaseMs, signal) {
      signal.throwIfAborted();
      const record = held(attempt);
      if (record === null) return null;
      put({ ...record, owner, leaseUntil: clock.now() + leaseMs });
      return { ...attempt, owner };
    },
    async releaseLost(key, expected, strike, signal) {
      signal.throwIfAborted();
      const record = heldBy(key, expected);
      return record !== null && giveBack(record, strike);
    },
    async claimOutbox(limit, claimMs, signal) {
      signal.throwIfAborted();
      const now = clock.now();
      const claimed = outbox
        .filter(({ kind, published, claimedUntil }) => kind !== "callback" && !published && claimedUntil <= now)
        .slice(0, atMost1000(limit));
      for (const row of claimed) row.claimedUntil = now + claimMs;
      return claimed.flatMap(({ kind, id, key, headers, value, createdAt }) =>
        kind === "callback" ? [] : [{ kind, id, key, headers, value, createdAt }],
      );
    },
    async claimCallbacks(limit, claimMs, signal) {
      signal.throwIfAborted();
      const now = clock.now();
      const due = outbox
        .filter(({ kind, published, claimedUntil }) => kind === "callback" && !published && claimedUntil <= now)
        .sort((a, b) => a.claimedUntil - b.claimedUntil || a.id - b.id)
        .slice(0, atMost1000(limit));
      return due.flatMap((row) => {
        row.claimedUntil = now + claimMs;
        row.tries += 1;
        const { id, key, value, tries, createdAt } = row;
        const url = key === null ? null : records.get(keyText(key))?.task.callback_url;
        return key === null || url == null ? [] : [{ id, key, url, value, tries, createdAt }];
      });
    },
    async callbackLater(id, tries, delayMs, signal) {
      signal.throwIfAborted();
      const row = tried(id, tries);
      if (row !== undefined) row.claimedUntil = clock.now() + delayMs;
      return row !== undefined;
    },
    async callbackDead(id, tries, headers, signal) {
      signal.throwIfAborted();
      const row = tried(id, tries);
      if (row !== undefined) Object.assign(row, { kind: "dead_letter", headers, claimedUntil: 0 });
      return row !== undefined;
    },
    async markPublished(ids, signal) {
      signal.throwIfAborted();
      for (const row of outbox) {
        if (row.published || !ids.includes(row.id)) continue;
        row.published = true;
        row.publishedAt = clock.now();
      }
    },
    async outboxAgeMs(signal) {
      signal.throwIfAborted();
      const oldest = outbox.find(({ kind, published }) => kind !== "callback" && !published);
      return oldest === undefined ? null : clock.now() - oldest.createdAt;
    },
    async republish(key, signal) {
      signal.throwIfAborted();
      const record = records.get(keyText(key));
      if (!record?.resultBytes) return false;
      sendResult(record, record.resultBytes);
      return true;
    },
    async deadLetter(headers, value, signal) {
      signal.throwIfAborted();
      send({ kind: "dead_letter", key: null, headers, value: Buffer.from(value) });
    },
    async keepLetter(key, headers, value, signal) {
      signal.throwIfAborted();
      send({ kind: "dead_letter", key, headers, value: Buffer.from(value) });
      const kept = outbox.at(-1);
      if (kept !== undefined) kept.published = true;
    },
    async refuse({ key, resultBytes, letter }, signal) {
      signal.throwIfAborted();
      if (records.has(keyText(key))) {
        send({ kind: "dead_letter", key, headers: letter.headers, value: Buffer.from(letter.value) });
        return "known";
      }
      const headers = resultHeaders(createHash("sha256").update(resultBytes).digest("hex"));
      send({ kind: "result", key: null, headers, value: Buffer.from(resultBytes) });
      return "answered";
    },
    async listLetters({ tenantId, olderThan, limit }, signal) {
      signal.throwIfAborted();
      return outbox
        .filter(({ kind }) => kind === "dead_letter")
        .filter(({ key }) => tenantId === undefined || key?.tenantId === tenantId)
        .filter(({ id }) => olderThan === undefined || id < olderThan)
        .reverse()
        .slice(0, atMost1000(limit))
        .map(({ id, key, headers, createdAt }) => ({ id, key, headers, createdAt }));
    },
    async getLetter(id, signal) {
      signal.throwIfAborted();
      const row = outbox.find((each) => each.id === id);
      if (row?.kind !== "dead_letter") return null;
      const { key, headers, value, createdAt } = row;
      return { kind: "dead_letter", id, key, headers, value, createdAt };
    },
    async callbackAgain(id, signal) {
      signal.throwIfAborted();
      const row = outbox.find((each) => each.id === id && each.kind === "dead_letter");
      if (row?.headers["dlq-stage"] !== "callback" || row.key === null) return false;
      Object.assign(row, { kind: "callback", headers: {}, claimedUntil: 0, published: false, tries: 0 });
      return true;
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
        .slice(0, atMost1000(limit));
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** A row of the outbox, and what becomes of it. */
interface Waiting extends Omit<OutboxRow, "kind"> {
  readonly kind: OutboxRow["kind"] | "callback";
  claimedUntil: number;
  published: boolean;
  publishedAt: number;
  tries: number;
}

const atMost1000 = (limit: number): number => Math.min(Math.max(limit, 1), 1000);

const sameOwner = (a: Owner | null, b: Owner | null): boolean =>
  a === null || b === null ? a === b : ownerText(a) === ownerText(b);
