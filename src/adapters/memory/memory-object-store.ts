import { objectKeySegments } from "../../model/object-key.ts";
import type { ObjectStore } from "../../ports/object-store.ts";

/** Objects in this process's memory, gone with it. */
export function memoryObjectStore(): ObjectStore {
  const objects = new Map<string, Buffer>();
  const putAt = new Map<string, number>();
  const under = (prefix: string): readonly string[] =>
    [...objects.keys()].filter((key) => key === prefix || key.startsWith(`${prefix}/`));
  return {
    async put(key, body, signal) {
      signal.throwIfAborted();
      objectKeySegments(key);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) {
        signal.throwIfAborted();
        chunks.push(Buffer.from(chunk));
      }
      const bytes = Buffer.concat(chunks);
      objects.set(key, bytes);
      putAt.set(key, Date.now());
      return { key, sizeBytes: bytes.byteLength };
    },
    async get(key, signal, range) {
      signal.throwIfAborted();
      objectKeySegments(key);
      const bytes = objects.get(key);
      if (bytes === undefined) return null;
      return once(range === undefined ? bytes : bytes.subarray(range.start, Math.max(range.start, range.end)));
    },
    async list(prefix, signal) {
      signal.throwIfAborted();
      objectKeySegments(prefix);
      return under(prefix)
        .map((key) => ({ key, sizeBytes: objects.get(key)?.byteLength ?? 0 }))
        .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
    },
    async remove(prefix, signal) {
      signal.throwIfAborted();
      objectKeySegments(prefix);
      for (const key of under(prefix)) objects.delete(key);
    },
    async removeKeys(keys, signal) {
      signal.throwIfAborted();
      for (const key of keys) objectKeySegments(key);
      for (const key of keys) objects.delete(key);
    },
    async expire(prefix, { putBefore, limit, isSpared = () => false }, signal) {
      signal.throwIfAborted();
      objectKeySegments(prefix);
      const old = under(prefix).filter((key) => (putAt.get(key) ?? 0) < putBefore && !isSpared(key));
      for (const key of old.slice(0, limit)) objects.delete(key);
      return Math.min(old.length, limit);
    },
    // A body that breaks off was never here.
    sweep: async () => 0,
    async [Symbol.asyncDispose]() {
      objects.clear();
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}
