import type { Owner, OwnerState } from "../model/owner.ts";

/** Tells the living from the dead among executors of this host, whatever data folder they use. */
export interface Liveness extends AsyncDisposable {
  readonly self: Owner;
  /** `dead` only when the owner's socket does not answer and its process is provably gone. */
  stateOf(owner: Owner, signal: AbortSignal): Promise<OwnerState>;
  /** Wakes a living owner on this host so that it looks at its tasks now; no answer is no error. */
  poke(owner: Owner, signal: AbortSignal): Promise<void>;
  /**
   * Answers in a dead owner's place, until disposed: what it made is a living one's then, and carries the name of the dead for ever.
   * Any number may stand in for one owner.
   */
  standInFor(owner: Owner): Promise<AsyncDisposable>;
  /** Removes what dead owners of this host left in the folder where owners are found; answers how many. */
  sweep(signal: AbortSignal): Promise<number>;
  /** Calls back when somebody poked us. Returns the way to stop. */
  onPoke(callback: () => void): () => void;
}
