import type { Owner } from "../model/owner.ts";

/** Something on the engine that carries our label. */
export interface OwnedObject {
  readonly kind: "container" | "network" | "volume";
  /** The engine's own id; a volume's is its name. */
  readonly id: string;
  /** Null for a label that we did not write. */
  readonly owner: Owner | null;
  /** Unix milliseconds of the maker's clock, or the engine's where the label says nothing. */
  readonly createdAt: number;
}

/** What of ours an engine holds, whoever made it. Objects without our label are never seen here. */
export interface SandboxInventory {
  /** @throws ExecutorError sandbox, when the engine does not answer. */
  list(signal: AbortSignal): Promise<readonly OwnedObject[]>;
  /**
   * Ends and removes it, with what hangs on it; one that is gone already is no error.
   * @throws ExecutorError sandbox, when it is still there after three tries.
   */
  remove(object: OwnedObject, signal: AbortSignal): Promise<void>;
}
