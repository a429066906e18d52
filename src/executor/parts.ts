import type { Egress } from "../egress/egress.ts";
import type { Attempt } from "../model/attempt.ts";
import type { Result } from "../model/result.ts";
import type { TaskState } from "../model/task.ts";
import type { Log } from "../observe/log.ts";
import type { Tracing } from "../observe/tracing.ts";
import type { AttemptJournal, Succession } from "../ports/attempt-journal.ts";
import type { Clock } from "../ports/clock.ts";
import type { Liveness } from "../ports/liveness.ts";
import type { LogSink } from "../ports/log-sink.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { Images, Sandboxes } from "../ports/sandbox.ts";
import type { SecretProvider } from "../ports/secret-provider.ts";
import type { TaskStore } from "../ports/task-store.ts";
import type { Progress } from "../schema/progress.ts";
import type { Catalog } from "../tools/catalog.ts";
import type { HostServices } from "./host-calls.ts";
import type { Slots } from "./slots.ts";

/** Everything the line works with; composed once by the app. */
export interface Parts {
  readonly catalog: Catalog;
  readonly images: Images;
  readonly sandboxes: Sandboxes;
  /** Asked in this order: the first that has a secret counts. */
  readonly secrets: readonly SecretProvider[];
  readonly slots: Slots;
  readonly store: TaskStore;
  readonly objects: ObjectStore;
  readonly logSink: LogSink;
  readonly clock: Clock;
  readonly log: Log;
  readonly tracing: Tracing;
  /** What tools may call from their sandboxes. */
  readonly services: HostServices;
  readonly liveness: Liveness;
  /** A scratch folder of the attempt with its journal in it, gone after dispose. */
  openJournal(attempt: Attempt, capBytes: number): Promise<AttemptJournal>;
  /** The same that a dead owner of this host left of this attempt and sandbox, as the attempt's owner's; null where there is none. */
  reopenJournal(
    attempt: Attempt,
    sandboxId: string,
    capBytes: number,
  ): Promise<{ readonly journal: AttemptJournal; readonly succession: Succession } | null>;
  readonly policy: Policy;
  readonly egress: Egress;
}

/**
 * What becomes of a file of `/output` with a secret in it. `flag`: it is kept, and the result names the secret. `redact`: the same, and text
 * is kept without the value. `refuse`: no file is kept, and the task ends as `policy_denied`.
 */
export type SecretsInArtifacts = "flag" | "redact" | "refuse";

/** What the operator allows. */
export interface Policy {
  /** Runtimes a task may name; the first is the default. */
  readonly runtimes: readonly string[];
  /** SIGTERM to SIGKILL. */
  readonly graceMs: number;
  readonly leaseMs: number;
  readonly maxArtifactEntries: number;
  readonly maxArtifactDepth: number;
  readonly secretsInArtifacts: SecretsInArtifacts;
  /** Head and tail of a stream in the result. */
  readonly inlineBytes: number;
  /** Tries of a sandbox that cannot be started. */
  readonly maxStrikes: number;
}

/** What somebody who watches a task sees, in order. */
export type LiveEvent =
  | { readonly kind: "state"; readonly state: TaskState }
  | { readonly kind: "output"; readonly stream: "stdout" | "stderr"; readonly bytes: Buffer }
  | { readonly kind: "progress"; readonly progress: Progress }
  /** Stored, as these bytes; before the state `FINISHED`. */
  | { readonly kind: "result"; readonly result: Result; readonly bytes: Buffer };

/** Called in order; the task waits for a promise, as it would at a full pipe. */
export type Watcher = (event: LiveEvent) => void | Promise<void>;
