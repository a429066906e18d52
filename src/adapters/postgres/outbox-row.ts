import type { Reason } from "../../model/failure.ts";
import { type CallbackRow, deadLetterHeaders, type OutboxRow, resultHeaders } from "../../model/outbox.ts";
import type { LetterHead } from "../../ports/task-store.ts";
import type { Row } from "./connections.ts";

/** A row of `outbox`, with the columns of its task where it stands for bytes of one. A refusal has bytes of its own. */
export function outboxRow(row: Row): OutboxRow {
  if (row.kind === "result") {
    const headers = resultHeaders(String(row.result_sha256));
    return {
      ...commonOf(row),
      kind: "result",
      headers,
      value: row.value instanceof Buffer ? row.value : bytes(row.result),
    };
  }
  return { ...letterHead(row), kind: "dead_letter", value: letterValue(row) };
}

/** A dead letter, without its bytes. */
export function letterHead(row: Row): LetterHead {
  if (row.headers !== null) return { ...commonOf(row), headers: JSON.parse(String(row.headers)) };
  const facts = { stage: "execute", attempts: Number(row.attempt), firstSeenAt: Number(row.received_at) };
  return { ...commonOf(row), headers: deadLetterHeaders({ ...facts, reason: String(row.reason) as Reason }) };
}

const commonOf = (row: Row): Pick<OutboxRow, "id" | "createdAt" | "key"> => ({
  id: Number(row.id),
  createdAt: Number(row.created_at),
  key: row.task_id === null ? null : { tenantId: String(row.tenant_id), taskId: String(row.task_id) },
});

/** Its own; of a callback that was given up the result, otherwise the request. */
function letterValue(row: Row): Buffer {
  if (row.value instanceof Buffer) return row.value;
  return bytes(row.headers === null ? row.request : row.result);
}

/** A callback, with the columns of its task. */
export function callbackRow(row: Row): CallbackRow {
  return {
    id: Number(row.id),
    key: { tenantId: String(row.tenant_id), taskId: String(row.task_id) },
    url: String(row.callback_url),
    value: bytes(row.result),
    tries: Number(row.tries),
    createdAt: Number(row.created_at),
  };
}

function bytes(column: unknown): Buffer {
  if (column instanceof Buffer) return column;
  throw new Error("a row of the outbox has no task");
}
