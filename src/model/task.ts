import type { Limits } from "./limits.ts";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** A task's name everywhere: the tenant is part of it. */
export interface TaskKey {
  readonly tenantId: string;
  readonly taskId: string;
}

/** `safe`: may run again after an executor died in the middle. */
export type RetryClass = "safe" | "unsafe";

/** A file given with the request, put under `/workspace` before the start: its bytes, or the name of bytes put before. */
export type InputFile = {
  /** Relative, forward slashes, no `..`. */
  readonly path: string;
  /** Unpacked with mode 0755 instead of 0644. */
  readonly executable: boolean;
} & (
  | { readonly content_base64: string; readonly sha256?: never }
  | { readonly sha256: string; readonly content_base64?: never }
);

/** A secret that a task asks for by the name it has with its tenant, and how it comes to the task. Never the value. */
export interface TaskSecret {
  readonly name: string;
  /** A variable of that name, or a file of that name in the folder that `TOOL_SECRETS_DIR` names. */
  readonly as: "env" | "file";
}

/** A request that has been checked, with every default filled in: what `execute-task` works on. Fields as on the wire. */
export interface Task {
  readonly schema_version: 1;
  readonly task_id: string;
  readonly tenant_id: string;
  readonly persona: string | null;
  readonly tool_name: string;
  readonly payload: JsonObject;
  readonly files: readonly InputFile[];
  readonly stdin: string | null;
  readonly limits: Limits;
  /** Hosts it may reach, as its request names them, at least one. */
  readonly network?: { readonly allow: readonly string[] };
  readonly env: Readonly<Record<string, string>>;
  /** Each name once, at least one. */
  readonly secrets?: readonly TaskSecret[];
  /** A name from the image allowlist; `null`: the tool's own. */
  readonly image: string | null;
  readonly runtime: string | null;
  /** 0–9, 9 first. */
  readonly priority: number;
  readonly retry: RetryClass;
  /** RFC 3339, or null. */
  readonly not_before: string | null;
  readonly expires_at: string | null;
  /** Who is told of the result over HTTP. */
  readonly callback_url: string | null;
  readonly metadata: JsonObject;
}

export type TaskState = "RECEIVED" | "QUEUED" | "LEASED" | "STARTING" | "RUNNING" | "COLLECTING" | "FINISHED";

const successors: Readonly<Record<TaskState, readonly TaskState[]>> = {
  RECEIVED: ["QUEUED", "FINISHED"],
  QUEUED: ["LEASED", "FINISHED"],
  LEASED: ["STARTING", "QUEUED", "FINISHED"],
  STARTING: ["RUNNING", "QUEUED", "FINISHED"],
  RUNNING: ["COLLECTING", "QUEUED", "FINISHED"],
  COLLECTING: ["QUEUED", "FINISHED"],
  FINISHED: [],
};

/** Whether the state machine of docs/architecture.md has this arrow. A finished task never changes. */
export function mayBecome(from: TaskState, to: TaskState): boolean {
  return successors[from].includes(to);
}

export const taskKey = (task: Pick<Task, "tenant_id" | "task_id">): TaskKey => ({
  tenantId: task.tenant_id,
  taskId: task.task_id,
});

/** How a task is named in messages: `tenant/task`. */
export const keyText = (key: TaskKey): string => `${key.tenantId}/${key.taskId}`;
