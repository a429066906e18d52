import type { SQLOutputValue } from "node:sqlite";
import type { Reason } from "../../model/failure.ts";
import { type CallbackRow, deadLetterHeaders, type OutboxRow, resultHeaders } from "../../model/outbox.ts";
import type { LetterHead } from "../../ports/task-store.ts";

type Row = Readonly<Record<string, SQLOutputValue>>;

/** A row of `outbox`, with the columns of its task where it stands for bytes of one. A refusal has bytes of its own. */
export function outboxRow(row: Row): OutboxRow {
  if (row.kind === "result") {
    const headers = resultHeaders(String(row.result_sha256));
    return {
      ...commonOf(row),
      kind: "result",
      headers,
      value: row.value instanceof Uint8Array ? Buffer.from(row.value) : resultOf(row),
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
  if (row.value instanceof Uint8Array) return Buffer.from(row.value);
  return row.headers === null ? Buffer.from(String(row.request)) : resultOf(row);
}

/** A callback, with the columns of its task. */
export function callbackRow(row: Row): CallbackRow {
  return {
    id: Number(row.id),
    key: { tenantId: String(row.tenant_id), taskId: String(row.task_id) },
    url: String(row.callback_url),
    value: resultOf(row),
    tries: Number(row.tries),
    createdAt: Number(row.created_at),
  };
}

function resultOf({ result }: Row): Buffer {
  if (result instanceof Uint8Array) return Buffer.from(result);
  throw new Error("a row of the outbox has no result");
}
