import type { Reason } from "../../model/failure.ts";
import { type CallbackRow, deadLetterHeaders, type OutboxRow, resultHeaders } from "../../model/outbox.ts";
import type { Row } from "./connections.ts";

/** A row of `outbox`, with the columns of its task where it stands for bytes of one. */
export function outboxRow(row: Row): OutboxRow {
  const common = { id: Number(row.id), createdAt: Number(row.created_at) };
  if (row.value instanceof Buffer) {
    const headers = JSON.parse(String(row.headers)) as OutboxRow["headers"];
    return { ...common, kind: "dead_letter", key: null, headers, value: row.value };
  }
  const key = { tenantId: String(row.tenant_id), taskId: String(row.task_id) };
  if (row.kind === "result") {
    return {
      ...common,
      kind: "result",
      key,
      headers: resultHeaders(String(row.result_sha256)),
      value: bytes(row.result),
    };
  }
  if (row.headers !== null) {
    const headers = JSON.parse(String(row.headers)) as OutboxRow["headers"];
    return { ...common, kind: "dead_letter", key, headers, value: bytes(row.result) };
  }
  const facts = { stage: "execute", attempts: Number(row.attempt), firstSeenAt: Number(row.received_at) };
  const headers = deadLetterHeaders({ ...facts, reason: String(row.reason) as Reason });
  return { ...common, kind: "dead_letter", key, headers, value: bytes(row.request) };
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
