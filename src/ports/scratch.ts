import type { Attempt } from "../model/attempt.ts";
import type { Owner } from "../model/owner.ts";

/** A folder of one attempt on this host's disk. */
export interface ScratchFolder {
  readonly path: string;
  /** Null when whoever made it died before it could say. */
  readonly owner: Owner | null;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** Where attempts keep what must outlive the process but not the attempt, such as journals. */
export interface Scratch {
  /**
   * A fresh folder for this attempt alone, that says whose it is.
   * @throws ExecutorError internal, when the disk is full or not writable, with nothing left.
   */
  make(attempt: Attempt): Promise<string>;
  /** The folder that a dead owner made for this attempt, as the attempt's owner's from now on; null when there is none. */
  take(attempt: Attempt): Promise<string | null>;
  /** Every attempt's folder, of any owner. */
  list(): Promise<readonly ScratchFolder[]>;
  /** Removes a folder that {@link make} or {@link list} named, however deep it is; gone already is no error. Follows no link. */
  remove(path: string, signal: AbortSignal): Promise<void>;
}
