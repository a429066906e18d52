import { createHash } from "node:crypto";

/** Numbers from 0 to below 1 that are the same for the same seed, so that a run that fails can be had again. */
export function seededRandom(seed: string): () => number {
  let drawn = 0;
  return () => {
    drawn += 1;
    return createHash("sha256").update(`${seed} ${drawn}`).digest().readUInt32BE(0) / 2 ** 32;
  };
}
