import { ExecutorError } from "../../model/failure.ts";
import { quoted } from "../../model/quoted.ts";
import type { ObjectStore } from "../../ports/object-store.ts";

/** Objects in this process's memory, gone with it. */
export function memoryObjectStore(): ObjectStore {
  const objects = new Map<string, Buffer>();
  const under = (prefix: string): readonly string[] =>
    [...objects.keys()].filter((key) => key === prefix || key.startsWith(`${prefix}/`));
  return {
    async put(key, body, signal) {
      signal.throwIfAborted();
      checkKey(key);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) {
        signal.throwIfAborted();
        chunks.push(Buffer.from(chunk));
      }
      const bytes = Buffer.concat(chunks);
      objects.set(key, bytes);
      return { key, sizeBytes: bytes.byteLength };
    },
    async get(key, signal, range) {
      signal.throwIfAborted();
      checkKey(key);
      const bytes = objects.get(key);
      if (bytes === undefined) return null;
      return once(range === undefined ? bytes : bytes.subarray(range.start, Math.max(range.start, range.end)));
    },
    async list(prefix, signal) {
      signal.throwIfAborted();
      checkKey(prefix);
      return under(prefix)
        .map((key) => ({ key, sizeBytes: objects.get(key)?.byteLength ?? 0 }))
        .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
    },
    async remove(prefix, signal) {
      signal.throwIfAborted();
      checkKey(prefix);
      for (const key of under(prefix)) objects.delete(key);
    },
    async [Symbol.asyncDispose]() {
      objects.clear();
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}

function checkKey(key: string): void {
  const segments = key.split("/");
  if (segments.length > 32 || !segments.every((name) => /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name))) {
    throw new ExecutorError("internal", `object key ${quoted(key)} is not allowed`);
  }
}
