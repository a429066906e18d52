import { isAway } from "../../model/failure.ts";
import { keyText, type Task, type TaskKey, taskKey } from "../../model/task.ts";
import type { Intake, QueueBounds, TaskRecord, TaskStore } from "../../ports/task-store.ts";
import type { Connections } from "./connections.ts";
import { joined } from "./joined.ts";
import { inLots } from "./lots.ts";
import * as statements from "./statements.ts";

interface Asked {
  readonly task: Task;
  readonly key: TaskKey;
  readonly requestSha256: string;
  readonly request: Buffer;
}

/** The way in: what comes at once goes in together, in one transaction, and is answered when that is committed. */
export function intakeLots(
  { rows }: Connections,
  queue: QueueBounds,
  get: (key: TaskKey, signal: AbortSignal) => Promise<TaskRecord | null>,
): TaskStore["intake"] {
  const bounds = { maxOfTenant: queue.perTenant, maxInAll: queue.inAll };

  /** For each, whether it is in the store now and was not before. An answer that was lost makes our own task a duplicate: it is durable either way. */
  const inserted = async (asked: readonly Asked[], signal: AbortSignal): Promise<readonly boolean[]> => {
    const { bytes, starts, lengths } = joined(asked.map(({ request }) => request));
    const values = {
      ...{ ...keysOf(asked), ...bounds, requests: bytes, starts, lengths },
      sha256s: asked.map(({ requestSha256 }) => requestSha256),
      priorities: asked.map(({ task }) => task.priority),
      notBeforeAts: asked.map(({ task }) => (task.not_before === null ? null : Date.parse(task.not_before))),
      callbackUrls: asked.map(({ task }) => task.callback_url ?? null),
    };
    const rowsIn = await rows(statements.insertTasks, values, signal, "twice is once");
    // What is known already may be there since a lost answer, and its stub with it.
    await rows(statements.takeStubs, keysOf(asked), signal, "twice is once");
    const names = new Set(
      rowsIn.map((row) => keyText({ tenantId: String(row.tenant_id), taskId: String(row.task_id) })),
    );
    return asked.map(({ key }) => names.has(keyText(key)));
  };

  const insert = inLots((asked: readonly Asked[]) => inserted(asked, uninterrupted), {
    maxCount: 100,
    maxBytes: 1024 * 1024,
    bytesOf: ({ request }) => request.length,
    nameOf: ({ key }) => keyText(key),
    isUndone: (error) => !isAway(error),
  });

  return async (task, requestSha256, signal): Promise<Intake> => {
    const key = taskKey(task);
    const asked: Asked = { task, key, requestSha256, request: Buffer.from(JSON.stringify(task)) };
    for (;;) {
      if (await insert(asked, signal)) return { kind: "accepted" };
      const record = await get(key, signal);
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
}

const keysOf = (asked: readonly Asked[]) => ({
  tenantIds: asked.map(({ key }) => key.tenantId),
  taskIds: asked.map(({ key }) => key.taskId),
});

/** A lot is no single caller's to give up; each call to the server has a bound of its own. */
const uninterrupted: AbortSignal = new AbortController().signal;
