import type { CollectEnd } from "../model/exit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Manifest } from "../model/manifest.ts";
import type { JsonObject } from "../model/task.ts";
import { validator } from "./validator.ts";

/** The bytes of `manifest.json`. */
export function encodeManifest({ entries, folders }: Manifest, end: CollectEnd | null): Buffer {
  return Buffer.from(JSON.stringify({ entries, folders, end: end && endOnWire(end) }));
}

/**
 * Reads `manifest.json`; one from before folders were in it has none.
 * @throws ExecutorError internal, for bytes that are no manifest: the store gave back something else than was put.
 */
export function parseManifest(bytes: Uint8Array, key: string): Manifest {
  const damaged = (cause: unknown): ExecutorError =>
    new ExecutorError("internal", `${key} in the object store is damaged: it is no manifest of artifacts`, { cause });
  try {
    const { entries, folders = [] } = check(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    return { entries, folders };
  } catch (cause) {
    throw damaged(cause);
  }
}

const count: JsonObject = { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const name: JsonObject = { path: { type: "string", minLength: 1 }, path_base64: { type: "string", minLength: 1 } };

const check = validator<Pick<Manifest, "entries"> & Partial<Pick<Manifest, "folders">>>(
  {
    type: "object",
    required: ["entries"],
    properties: {
      entries: {
        type: "array",
        items: {
          type: "object",
          required: ["path", "size_bytes", "sha256", "mime", "offset"],
          properties: {
            ...name,
            size_bytes: count,
            sha256: { type: "string", pattern: "^[0-9a-f]{64}$" },
            mime: { type: "string" },
            offset: count,
          },
        },
      },
      folders: { type: "array", items: { type: "object", required: ["path"], properties: name } },
    },
  },
  { subject: "manifest.json", at: "", code: "internal" },
);

const endOnWire = ({ entries, bytes, skipped, skippedCount, limit }: CollectEnd) => ({
  entries,
  bytes,
  skipped,
  skipped_count: skippedCount,
  limit,
});
