import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { imageNamePattern } from "../../model/image-name.ts";
import type { JsonObject } from "../../model/task.ts";
import type { OwnImage, OwnImages } from "../../ports/own-images.ts";
import { parseJson } from "../../schema/parse-json.ts";
import { validator } from "../../schema/validator.ts";
import { ifThere, namesIfThere, translated } from "./record-file.ts";

/**
 * One file an image, `NAME.json`, in `folder` (0700, made at the first write): two processes that add images at the same time
 * never write the same file. Small and seldom many, so every call reads what it needs.
 */
export function ownImagesFolder(folder: string): OwnImages {
  const pathOf = (name: string): string => join(folder, `${name}${suffix}`);
  const names = (): readonly string[] => namesIn(folder);
  const find = (name: string): OwnImage | null => (imageNamePattern.test(name) ? readRecord(pathOf(name), name) : null);
  return {
    names,
    list: () => names().flatMap((name) => find(name) ?? []),
    find,
    put(image) {
      const draft = join(folder, `.${randomUUID()}`);
      translated("write", pathOf(image.name), () => {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        try {
          writeFileSync(draft, `${JSON.stringify(image, null, 2)}\n`, { mode: 0o600, flush: true });
          renameSync(draft, pathOf(image.name));
        } catch (error) {
          rmSync(draft, { force: true });
          throw error;
        }
      });
    },
    remove(name) {
      if (!names().includes(name)) return false;
      translated("remove", pathOf(name), () => rmSync(pathOf(name), { force: true }));
      return true;
    },
  };
}

const suffix = ".json";

function namesIn(folder: string): readonly string[] {
  const files = translated("list", folder, () => namesIfThere(folder));
  return files
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .filter((name) => imageNamePattern.test(name))
    .sort();
}

const imageId = { type: "string", pattern: "^sha256:[0-9a-f]{64}$" };

const recordSchema: JsonObject = {
  type: "object",
  required: ["name", "id", "source", "sourceId", "baseId", "addedAt"],
  properties: {
    name: { type: "string" },
    id: imageId,
    source: { type: "string" },
    sourceId: imageId,
    baseId: imageId,
    addedAt: { type: "number" },
  },
};

function readRecord(path: string, name: string): OwnImage | null {
  const bytes = translated("read", path, () => ifThere(() => readFileSync(path)));
  if (bytes === null) return null;
  const record = checkedRecord(bytes, path);
  // A copied file must not give one image two names.
  if (record.name === name) return record;
  throw new ExecutorError("internal", `${path} is the record of image ${record.name}, must be that of ${name}`);
}

/** Our own file: what is wrong in it matters less than which one it is. */
function checkedRecord(bytes: Uint8Array, path: string): OwnImage {
  const caps = { maxBytes: 64 * 1024, maxDepth: 4, maxValues: 100 };
  const source = { subject: "it", at: "", code: "internal" } as const;
  try {
    return validator<OwnImage>(recordSchema, source)(parseJson(bytes, { ...source, caps, exactNumbers: true }));
  } catch (cause) {
    if (!(cause instanceof ExecutorError)) throw cause;
    throw new ExecutorError("internal", `${path} is no record of an added image: ${cause.message}`, {
      cause,
      hint: "remove the file, and add the image again",
    });
  }
}
