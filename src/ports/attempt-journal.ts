import type { Owner } from "../model/owner.ts";
import type { RedactionPoint } from "../model/redaction-point.ts";
import type { Journal } from "./journal.ts";
import type { ResumePoint } from "./sandbox.ts";

/** What another process of this host needs to go on with an attempt, beside the row in the store. Secret, as the point is. */
export interface Succession extends ResumePoint {
  /** Whose name the sandbox carries, through however many hands it goes. */
  readonly maker: Owner;
  readonly image: { readonly name: string; readonly id: string };
  readonly runtime: string;
  /** Whether the sandbox stood ready before its task asked for it; not there: noted before there were such. */
  readonly warm?: boolean;
  /** Unix milliseconds by which the sandbox has ended its task. */
  readonly deadlineAt: number;
  /** Unix milliseconds of the lease. */
  readonly leasedAt: number;
  /** How many executors died with the attempt in their hands. */
  readonly deaths: number;
  /** Null: it is not known whether the task was given its command. */
  readonly started: {
    /** The number of the frame that started the task: what follows it is its standard input. */
    readonly seq: number;
    /** Unix milliseconds. */
    readonly at: number;
  } | null;
  /** The number of the frame that asks for what the task left; not there: none was sent. The sandbox knows whether it has come. */
  readonly collecting?: number;
}

/** The journal of one attempt with what a successor must know beside it; all of it is gone after dispose. */
export interface AttemptJournal extends Journal {
  /** Whole or not at all, in the place of what was noted before. @throws ExecutorError internal when the disk is full or not writable. */
  note(succession: Succession): void;
  /** Of the last output that stands here; null where there is none, or the task has no secrets. */
  redactionPoint(): RedactionPoint | null;
  /** Everything the sandbox said up to `seq` is dealt with, though it is no output and stands nowhere else. */
  passed(seq: number): void;
  /** Dispose closes and leaves everything for a successor. `onPurpose`: whoever finds it finds no death more. */
  leave(onPurpose: boolean): void;
}
