import { afterAll, beforeAll } from "vitest";

/** A service that is waited for before the first test of a file and gone after its last. */
export function forThisFile<Kind extends AsyncDisposable>(start: () => Promise<Kind>): () => Kind {
  let started: Kind | undefined;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started?.[Symbol.asyncDispose]();
  });
  return () => {
    if (started === undefined) throw new Error("the service is there in tests only, not while they are collected");
    return started;
  };
}
