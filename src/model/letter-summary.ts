import type { OutboxRow } from "./outbox.ts";

/** A dead letter, as on the wire. Times are RFC 3339. */
export interface LetterSummary {
  readonly id: number;
  /** Null where it names no task that could be one. */
  readonly tenant_id: string | null;
  readonly task_id: string | null;
  readonly reason: string;
  /** How far it came: `intake`, `execute`, `callback`. */
  readonly stage: string;
  readonly attempts: number;
  readonly first_seen: string | null;
  /** Where it stood when it came over a transport. */
  readonly source: string | null;
  readonly error: string | null;
  readonly created_at: string;
}

/** With its bytes. */
export interface Letter extends LetterSummary {
  readonly value: string;
  readonly value_encoding: "utf-8" | "base64";
}

export function letterSummary({ id, key, headers, createdAt }: Omit<OutboxRow, "value" | "kind">): LetterSummary {
  return {
    id,
    tenant_id: key?.tenantId ?? null,
    task_id: key?.taskId ?? null,
    reason: headers["dlq-reason"] ?? "internal",
    stage: headers["dlq-stage"] ?? "intake",
    attempts: Number(headers["dlq-attempts"] ?? 1),
    first_seen: headers["dlq-first-seen"] ?? null,
    source: headers["dlq-source"] ?? null,
    error: headers["dlq-error"] ?? null,
    created_at: new Date(createdAt).toISOString(),
  };
}

export function letterOf(row: OutboxRow): Letter {
  const text = row.value.toString("utf8");
  const isText = Buffer.from(text, "utf8").equals(row.value) && !text.includes("\0");
  return {
    ...letterSummary(row),
    value: isText ? text : row.value.toString("base64"),
    value_encoding: isText ? "utf-8" : "base64",
  };
}
