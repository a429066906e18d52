import type { AuditRecord } from "../model/audit.ts";
import type { Dial } from "./dial.ts";
import type { Rule } from "./policy.ts";
import type { EgressCaps } from "./proxy.ts";

/** What an operator lets tasks reach, and how. */
export interface Egress {
  /** Hosts for bytes of any kind; a task names which of them it wants. */
  readonly tcp: readonly Rule[];
  readonly dial: Dial;
  readonly caps: EgressCaps;
  /** Certificates that sandboxes with a way out trust beside their image's, as PEM; empty: none. */
  readonly extraCa: string;
  /** The operator's record. If it throws, the task's way out is closed. */
  record(record: AuditRecord): void;
}
