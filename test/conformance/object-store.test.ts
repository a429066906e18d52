import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskObjectStore } from "../../src/adapters/disk/disk-object-store.ts";
import { memoryObjectStore } from "../../src/adapters/memory/memory-object-store.ts";
import { objectStoreConformance } from "./object-store.ts";

objectStoreConformance("memory", async () => memoryObjectStore());

objectStoreConformance("disk", async () => {
  const folder = await mkdtemp(join(tmpdir(), "object-store-"));
  const store = diskObjectStore(join(folder, "objects"));
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});
