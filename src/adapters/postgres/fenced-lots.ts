import { createHash } from "node:crypto";
import type { Attempt } from "../../model/attempt.ts";
import { isAway, type Reason, reasonTable } from "../../model/failure.ts";
import { ownerText } from "../../model/owner.ts";
import { keyText, type TaskKey, type TaskState } from "../../model/task.ts";
import type { Holder, TaskRecord, TaskStore } from "../../ports/task-store.ts";
import type { Connections, Row } from "./connections.ts";
import { joined } from "./joined.ts";
import { inLots, type LotBounds } from "./lots.ts";
import type { Values } from "./positional.ts";
import * as statements from "./statements.ts";

/** A task as a write expects to find it. */
interface Held {
  readonly key: TaskKey;
  readonly number: number;
  readonly owner: string | null;
}

interface End extends Held {
  readonly reason: Reason;
  readonly bytes: Buffer;
}

type FencedWrites = Pick<TaskStore, "starting" | "running" | "collecting" | "renew" | "finish" | "finishUnleased">;

/**
 * The writes that every attempt makes, those of many attempts in one statement while they come at once. Each has its own fence in it and
 * its own answer. One whose answer was lost has been carried out if its task now says so.
 */
export function fencedLots(
  { rows, write }: Connections,
  get: (key: TaskKey, signal: AbortSignal) => Promise<TaskRecord | null>,
): FencedWrites {
  /** For each of `helds`, which name different tasks, whether it was written. */
  const written = async <H extends Held>(
    sql: string,
    helds: readonly H[],
    more: Values,
    isSo: (held: H, now: TaskRecord) => boolean,
    signal: AbortSignal,
  ): Promise<readonly Promise<boolean>[]> => {
    const { rows: found, isLost } = await write(sql, { ...fences(helds), ...more }, signal);
    const done = new Set(found.map((row) => keyText(keyOf(row))));
    return helds.map(async (held) => {
      if (done.has(keyText(held.key)) || !isLost) return done.has(keyText(held.key));
      const now = await get(held.key, signal);
      return now !== null && isSo(held, now);
    });
  };

  /** To the next state; nobody else brings our attempt there. */
  const step = <H extends Held>(sql: string, to: TaskState, more: (helds: readonly H[]) => Values = () => ({})) => {
    const isThere = ({ number, owner }: Held, now: TaskRecord): boolean =>
      now.state === to && now.attempt === number && now.owner !== null && ownerText(now.owner) === owner;
    return inLots(
      (helds: readonly H[]) => written(sql, helds, more(helds), isThere, uninterrupted),
      bounds(() => 0),
    );
  };

  // Under this attempt nobody else ends it with these bytes.
  const isEnded = ({ number, bytes }: End, now: TaskRecord): boolean =>
    now.attempt === number && now.resultBytes !== null && now.resultBytes.equals(bytes);

  const starting = step(statements.starting, "STARTING");
  const running = step(statements.running, "RUNNING", (helds: readonly Begun[]) => ({
    sandboxIds: helds.map(({ sandboxId }) => sandboxId),
    deadlines: helds.map(({ deadlineAt }) => deadlineAt),
  }));
  const collecting = step(statements.collecting, "COLLECTING");
  /** Of those that this statement passed over each asks by itself. */
  const renewSome = inLots(
    async (helds: readonly Renewed[]) => {
      const values = { ...fences(helds), leaseMs: helds.map(({ leaseMs }) => leaseMs) };
      const found = await rows(statements.renewLot, values, uninterrupted, "twice is once");
      const renewed = new Map(found.map((row) => [keyText(keyOf(row)), row.cancel_requested === true]));
      return helds.map(({ key }) => renewed.get(keyText(key)) ?? null);
    },
    bounds<Renewed>(() => 0),
  );
  const finish = inLots(
    (ends: readonly End[]) => {
      const [end] = ends;
      return end !== undefined && ends.length === 1
        ? written(statements.finishOne, [end], ending(end), isEnded, uninterrupted)
        : written(statements.finish, ends, endings(ends, "finished"), isEnded, uninterrupted);
    },
    bounds(({ bytes }: End) => bytes.length),
  );
  return {
    starting: (attempt, signal) => starting(fence(attempt), signal),
    running: (attempt, sandboxId, deadlineAt, signal) => running({ ...fence(attempt), sandboxId, deadlineAt }, signal),
    collecting: (attempt, signal) => collecting(fence(attempt), signal),
    async renew(attempt, leaseMs, signal) {
      const isAsked = await renewSome({ ...fence(attempt), leaseMs }, signal);
      if (isAsked !== null) return { cancelRequested: isAsked };
      const { key, ...held } = fence(attempt);
      const [renewed] = await rows(statements.renew, { ...key, ...held, leaseMs }, signal, "twice is once");
      return renewed === undefined ? null : { cancelRequested: renewed.cancel_requested === true };
    },
    finish: (attempt, { reason }, bytes, signal) => finish({ ...fence(attempt), reason, bytes }, signal),
    async finishUnleased(key, { attempt, owner, leaseExpired = false }: Holder, { reason }, bytes, signal) {
      const end: End = { key, number: attempt, owner: owner === null ? null : ownerText(owner), reason, bytes };
      const values = { ...endings([end], "lost"), leaseExpired };
      const [isWritten] = await written(statements.finishUnleased, [end], values, isEnded, signal);
      return (await isWritten) ?? false;
    },
  };
}

interface Renewed extends Held {
  readonly leaseMs: number;
}

interface Begun extends Held {
  readonly sandboxId: string;
  readonly deadlineAt: number;
}

const bounds = <H extends Held>(bytesOf: (held: H) => number): LotBounds<H> => ({
  maxCount: 100,
  maxBytes: 1024 * 1024,
  bytesOf,
  nameOf: ({ key }) => keyText(key),
  isUndone: (error) => !isAway(error),
});

const fence = ({ key, number, owner }: Attempt): Held => ({ key, number, owner: ownerText(owner) });

const keyOf = (row: Row): TaskKey => ({ tenantId: String(row.tenant_id), taskId: String(row.task_id) });

const fences = (helds: readonly Held[]): Values => ({
  tenantIds: helds.map(({ key }) => key.tenantId),
  taskIds: helds.map(({ key }) => key.taskId),
  numbers: helds.map(({ number }) => number),
  owners: helds.map(({ owner }) => owner),
});

const ending = ({ key, number, owner, reason, bytes }: End): Values => ({
  ...{ ...key, number, owner, reason, result: bytes, sha256: sha256Of(bytes), ending: "finished" },
  isDead: reasonTable[reason].deadLetter,
});

const sha256Of = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

function endings(ends: readonly End[], ending: "finished" | "lost"): Values {
  const results = joined(ends.map(({ bytes }) => bytes));
  return {
    ...{ ending, results: results.bytes, starts: results.starts, lengths: results.lengths },
    reasons: ends.map(({ reason }) => reason),
    sha256s: ends.map(({ bytes }) => sha256Of(bytes)),
    areDead: ends.map(({ reason }) => reasonTable[reason].deadLetter),
  };
}

/** A lot is no single caller's to give up; each call to the server has a bound of its own. */
const uninterrupted: AbortSignal = new AbortController().signal;
