import type { SQLOutputValue } from "node:sqlite";
import type { Reason } from "../../model/failure.ts";
import { deadLetterHeaders, type OutboxRow, resultHeaders } from "../../model/outbox.ts";

/** A row of `outbox`, with the columns of its task where it stands for bytes of one. */
export function outboxRow(row: Readonly<Record<string, SQLOutputValue>>): OutboxRow {
  const common = { id: Number(row.id), createdAt: Number(row.created_at) };
  if (row.value instanceof Uint8Array) {
    const headers = JSON.parse(String(row.headers)) as OutboxRow["headers"];
    return { ...common, kind: "dead_letter", key: null, headers, value: Buffer.from(row.value) };
  }
  const key = { tenantId: String(row.tenant_id), taskId: String(row.task_id) };
  if (row.kind === "result") {
    const value = row.result instanceof Uint8Array ? Buffer.from(row.result) : null;
    if (value === null) throw new Error("a row of the outbox has no result");
    return { ...common, kind: "result", key, headers: resultHeaders(String(row.result_sha256)), value };
  }
  const facts = { stage: "execute", attempts: Number(row.attempt), firstSeenAt: Number(row.received_at) };
  const headers = deadLetterHeaders({ ...facts, reason: String(row.reason) as Reason });
  return { ...common, kind: "dead_letter", key, headers, value: Buffer.from(String(row.request)) };
}
