import { setTimeout as sleep } from "node:timers/promises";
import type { Attempt } from "../../model/attempt.ts";
import { isAway } from "../../model/failure.ts";
import { ownerText } from "../../model/owner.ts";
import { keyText, type Task, type TaskKey, taskKey } from "../../model/task.ts";
import {
  type Beginning,
  begunWith,
  type Intake,
  type QueueBounds,
  type TaskRecord,
  type TaskStore,
} from "../../ports/task-store.ts";
import type { Connections } from "./connections.ts";
import { joined } from "./joined.ts";
import { inLots } from "./lots.ts";
import * as statements from "./statements.ts";

interface Asked {
  readonly task: Task;
  readonly key: TaskKey;
  readonly requestSha256: string;
  readonly request: Buffer;
  /** Null: it is to wait for its turn. */
  readonly beginning: Beginning | null;
}

/** What a lot did with one task. */
interface Inserted {
  readonly receivedAt: number;
  readonly isRunning: boolean;
}

/** Most tasks that begin at once are over by then. */
const quietMs = 100;

export interface IntakeLots {
  readonly intake: TaskStore["intake"];
  /** Cancels that came in the same moment as a task that began have found it. Never rejects. */
  settled(): Promise<void>;
}

/** The way in: what comes at once goes in together, in one transaction, and is answered when that is committed. */
export function intakeLots(
  { rows }: Connections,
  queue: QueueBounds,
  get: (key: TaskKey, signal: AbortSignal) => Promise<TaskRecord | null>,
): IntakeLots {
  const underWay = new Set<Promise<void>>();
  const bounds = { maxOfTenant: queue.perTenant, maxInAll: queue.inAll };

  /** Null where the general statement has to look. */
  const begunAlone = async (
    [asked, ...others]: readonly Asked[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Inserted> | null> => {
    if (asked === undefined || asked.beginning === null || asked.task.not_before !== null || others.length > 0)
      return null;
    const { task, key, requestSha256, request, beginning } = asked;
    const { owner, leaseMs, sandboxId, deadlineAt } = beginning;
    const values = {
      ...{ ...key, ...bounds, sha256: requestSha256, request, priority: task.priority },
      ...{ callbackUrl: task.callback_url ?? null, owner: ownerText(owner), leaseMs, sandboxId, deadlineAt },
    };
    const [row] = await rows(statements.beginTask, values, signal, "twice is once");
    return row === undefined
      ? null
      : new Map([[keyText(key), { receivedAt: Number(row.received_at), isRunning: true }]]);
  };

  const insertedLot = async (asked: readonly Asked[], signal: AbortSignal): Promise<ReadonlyMap<string, Inserted>> => {
    const { bytes, starts, lengths } = joined(asked.map(({ request }) => request));
    const values = {
      ...{ ...keysOf(asked), ...bounds, requests: bytes, starts, lengths },
      sha256s: asked.map(({ requestSha256 }) => requestSha256),
      priorities: asked.map(({ task }) => task.priority),
      notBeforeAts: asked.map(({ task }) => (task.not_before === null ? null : Date.parse(task.not_before))),
      callbackUrls: asked.map(({ task }) => task.callback_url ?? null),
      owners: asked.map(({ beginning }) => beginning && ownerText(beginning.owner)),
      leasesMs: asked.map(({ beginning }) => beginning?.leaseMs ?? null),
      sandboxIds: asked.map(({ beginning }) => beginning?.sandboxId ?? null),
      deadlines: asked.map(({ beginning }) => beginning?.deadlineAt ?? null),
    };
    const found = new Map<string, Inserted>();
    for (const row of await rows(statements.insertTasks, values, signal, "twice is once")) {
      const key = { tenantId: String(row.tenant_id), taskId: String(row.task_id) };
      found.set(keyText(key), { receivedAt: Number(row.received_at), isRunning: Number(row.attempt) > 0 });
    }
    return found;
  };

  /**
   * For each, what it is now if it was not in the store before. An answer that was lost makes our own task a duplicate: it is durable either
   * way. What has begun does not wait for the cancels that came in the same moment: its lease's renewal finds them.
   */
  const inserted = async (
    asked: readonly Asked[],
    signal: AbortSignal,
  ): Promise<readonly (Inserted | null | Promise<Inserted | null>)[]> => {
    const found = (await begunAlone(asked, signal)) ?? (await insertedLot(asked, signal));
    const hasBegun = ({ key }: Asked): boolean => found.get(keyText(key))?.isRunning === true;
    const takeStubs = (of: readonly Asked[]) => rows(statements.takeStubs, keysOf(of), signal, "twice is once");
    // What is known already may be there since a lost answer, and its stub with it.
    // Of what has begun nobody waits for that, or asks again; and it has the processors now.
    const stubs = asked.every(hasBegun) ? sleep(quietMs).then(() => takeStubs(asked)) : takeStubs(asked);
    if (asked.some(hasBegun)) {
      const again = (): Promise<unknown> => takeStubs(asked.filter(hasBegun));
      const taking: Promise<void> = stubs
        .catch(again)
        .catch(() => undefined)
        .then(() => void underWay.delete(taking));
      underWay.add(taking);
    }
    return asked.map((each) => {
      const task = found.get(keyText(each.key)) ?? null;
      return hasBegun(each) ? task : stubs.then(() => task);
    });
  };

  const insert = inLots((asked: readonly Asked[]) => inserted(asked, uninterrupted), {
    maxCount: 100,
    maxBytes: 1024 * 1024,
    bytesOf: ({ request }) => request.length,
    nameOf: ({ key }) => keyText(key),
    isUndone: (error) => !isAway(error),
  });

  const intake: TaskStore["intake"] = async (task, requestSha256, signal, beginning): Promise<Intake> => {
    const key = taskKey(task);
    const request = Buffer.from(JSON.stringify(task));
    const asked: Asked = { task, key, requestSha256, request, beginning: beginning ?? null };
    for (;;) {
      const inserted = await insert(asked, signal);
      if (inserted !== null) {
        if (beginning === undefined || !inserted.isRunning) return { kind: "accepted" };
        return { kind: "accepted", begun: begunWith(task, requestSha256, beginning, inserted.receivedAt) };
      }
      const record = await get(key, signal);
      if (record !== null && beginning !== undefined && isOf(record, beginning))
        return { kind: "accepted", begun: { attempt: attemptOf(key, beginning), record } };
      if (record !== null)
        return record.requestSha256 === requestSha256 ? { kind: "duplicate", record } : { kind: "conflict" };
      const values = { tenantId: key.tenantId, ...bounds };
      const [waiting] = await rows(statements.countQueued, values, signal, "twice is once");
      if (Number(waiting?.of_tenant) >= queue.perTenant)
        return { kind: "full", of: "tenant", maxCount: queue.perTenant };
      if (Number(waiting?.in_all) >= queue.inAll) return { kind: "full", of: "all", maxCount: queue.inAll };
      // In the way of the insert, and forgotten or begun meanwhile, or counted in its lot before it turned out to be known: there is room.
    }
  };
  return { intake, settled: async () => void (await Promise.all(underWay)) };
}

const attemptOf = (key: TaskKey, { owner }: Beginning): Attempt => ({ key, number: 1, owner });

/** Begun by this very call, whose answer was lost: no other has that sandbox. */
const isOf = ({ state, sandboxId, owner }: TaskRecord, beginning: Beginning): boolean =>
  state === "RUNNING" &&
  sandboxId === beginning.sandboxId &&
  owner !== null &&
  ownerText(owner) === ownerText(beginning.owner);

const keysOf = (asked: readonly Asked[]) => ({
  tenantIds: asked.map(({ key }) => key.tenantId),
  taskIds: asked.map(({ key }) => key.taskId),
});

/** A lot is no single caller's to give up; each call to the server has a bound of its own. */
const uninterrupted: AbortSignal = new AbortController().signal;
