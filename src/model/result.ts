import type { Reason, Status } from "./failure.ts";
import type { Limits } from "./limits.ts";
import type { JsonObject, JsonValue } from "./task.ts";

/** One kept file of `/output`. */
export interface Artifact {
  readonly path: string;
  readonly size_bytes: number;
  readonly sha256: string;
  readonly mime: string;
  readonly url: string;
  /** Names of the task's secrets that stand in it, or were taken out of it. */
  readonly secrets: readonly string[];
}

export interface ResultError {
  readonly code: Reason;
  readonly message: string;
  readonly hint: string | null;
  readonly retryable: boolean;
  readonly details: readonly { readonly path: string; readonly message: string }[];
}

/** What a task is answered with, as on the wire (docs/wire.md). Terminal: never changed once stored. */
export interface Result {
  readonly schema_version: 1;
  readonly task_id: string | null;
  readonly tenant_id: string;
  readonly tool_name: string | null;
  readonly status: Status;
  readonly reason: Reason;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly error: ResultError | null;
  readonly output: ResultOutput;
  readonly metrics: ResultMetrics;
  readonly egress: readonly ResultEgress[];
  readonly sandbox: ResultSandbox | null;
  readonly attempt: number;
  readonly trace_id: string | null;
  readonly metadata: JsonObject;
  /** Only in what is sent of a result that is too large to send: where all of it is. */
  readonly result_object?: string;
}

export interface ResultOutput {
  readonly value: JsonValue;
  /** Head and tail, at most 64 KiB together; a line in between says how much is left out. */
  readonly stdout: string;
  readonly stderr: string;
  /** `base64` when the bytes are no UTF-8 text. */
  readonly stdout_encoding: "utf-8" | "base64";
  readonly stderr_encoding: "utf-8" | "base64";
  /** All bytes the task wrote, stored or not. */
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
  /** Whether anything the task wrote is not in the log object. */
  readonly truncated: boolean;
  readonly results: readonly { readonly mime: string; readonly artifact: string }[];
  readonly artifacts: readonly Artifact[];
  readonly artifacts_object: string | null;
  readonly logs_object: string | null;
}

/** All connections of a task to one host with the same end. */
export interface ResultEgress {
  /** Null for what named no host. */
  readonly host: string | null;
  readonly port: number | null;
  /** `failed`: allowed, and not reached. */
  readonly verdict: "allowed" | "denied" | "failed";
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly connections: number;
  /** Why not; of what was allowed, what cut the first one off. */
  readonly why: string | null;
  readonly hint: string | null;
}

/** Figures the host cannot give are null; none is invented. */
export interface ResultMetrics {
  readonly queue_ms: number | null;
  readonly start_ms: number | null;
  readonly run_ms: number | null;
  readonly duration_ms: number | null;
  readonly cpu_ms: number | null;
  readonly memory_peak_bytes: number | null;
  readonly pids_peak: number | null;
  /** Both ways, of all connections. */
  readonly egress_bytes: number | null;
  readonly egress_connections: number | null;
  readonly source: "cgroup" | "sampled" | null;
  /** How often a secret was taken out of what is told of the task. */
  readonly redactions: number;
}

export interface ResultSandbox {
  readonly image: string;
  readonly image_id: string;
  readonly runtime: string;
  readonly warm: boolean;
  readonly limits: Limits;
}
