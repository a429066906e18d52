import type { SQLOutputValue } from "node:sqlite";
import type { Reason } from "../../model/failure.ts";
import { type CallbackRow, deadLetterHeaders, type OutboxRow, resultHeaders } from "../../model/outbox.ts";

/** A row of `outbox`, with the columns of its task where it stands for bytes of one. */
export function outboxRow(row: Readonly<Record<string, SQLOutputValue>>): OutboxRow {
  const common = { id: Number(row.id), createdAt: Number(row.created_at) };
  if (row.value instanceof Uint8Array) {
    const headers = JSON.parse(String(row.headers)) as OutboxRow["headers"];
    return { ...common, kind: "dead_letter", key: null, headers, value: Buffer.from(row.value) };
  }
  const key = { tenantId: String(row.tenant_id), taskId: String(row.task_id) };
  if (row.kind === "result") {
    const headers = resultHeaders(String(row.result_sha256));
    return { ...common, kind: "result", key, headers, value: resultOf(row) };
  }
  if (row.headers !== null) {
    const headers = JSON.parse(String(row.headers)) as OutboxRow["headers"];
    return { ...common, kind: "dead_letter", key, headers, value: resultOf(row) };
  }
  const facts = { stage: "execute", attempts: Number(row.attempt), firstSeenAt: Number(row.received_at) };
  const headers = deadLetterHeaders({ ...facts, reason: String(row.reason) as Reason });
  return { ...common, kind: "dead_letter", key, headers, value: Buffer.from(String(row.request)) };
}

/** A callback, with the columns of its task. */
export function callbackRow(row: Readonly<Record<string, SQLOutputValue>>): CallbackRow {
  return {
    id: Number(row.id),
    key: { tenantId: String(row.tenant_id), taskId: String(row.task_id) },
    url: String(row.callback_url),
    value: resultOf(row),
    tries: Number(row.tries),
    createdAt: Number(row.created_at),
  };
}

function resultOf({ result }: Readonly<Record<string, SQLOutputValue>>): Buffer {
  if (result instanceof Uint8Array) return Buffer.from(result);
  throw new Error("a row of the outbox has no result");
}
