import { extractArtifacts } from "../../src/adapters/disk/extract-artifacts.ts";
import { type Manifest, manifestKey } from "../../src/model/manifest.ts";
import type { Result } from "../../src/model/result.ts";
import type { ObjectStore } from "../../src/ports/object-store.ts";
import { parseManifest } from "../../src/schema/manifest.ts";
import { never } from "./samples.ts";

/** What a task left, as it is stored. */
export interface StoredArtifacts {
  readonly tar: Buffer;
  readonly manifest: Manifest;
  /** Named in the manifest as left out. */
  readonly skipped: readonly { readonly path: string; readonly why: string }[];
  /** Puts all of it below a folder, as `toolx artifacts pull` does; answers how many files. */
  pull(folder: string): Promise<number>;
}

/** Null when the task kept nothing. */
export async function storedArtifacts(objects: ObjectStore, { output }: Result): Promise<StoredArtifacts | null> {
  const { artifacts_object: object } = output;
  if (object === null) return null;
  const key = manifestKey(object.slice(0, object.lastIndexOf("/")));
  const tar = await wholeObject(objects, object);
  const bytes = await wholeObject(objects, key);
  const manifest = parseManifest(bytes, key);
  return {
    tar,
    manifest,
    skipped: JSON.parse(bytes.toString("utf8")).end.skipped,
    pull: (folder) => extractArtifacts(manifest, async (start, end) => once(tar.subarray(start, end)), folder, null),
  };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** @throws when there is no such object. */
export async function wholeObject(objects: ObjectStore, key: string): Promise<Buffer> {
  const body = await objects.get(key, never());
  if (body === null) throw new Error(`no object ${key}`);
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
