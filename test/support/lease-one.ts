import type { Attempt } from "../../src/model/attempt.ts";
import type { Owner } from "../../src/model/owner.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { never } from "./samples.ts";

/** The attempt whose turn it is, of one that asks for no more. */
export async function leaseOne(store: TaskStore, owner: Owner, leaseMs: number): Promise<Attempt | null> {
  const [leased] = await store.leaseNext(1, owner, leaseMs, never());
  return leased?.attempt ?? null;
}
