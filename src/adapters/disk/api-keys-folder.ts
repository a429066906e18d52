import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ApiKeyRecord } from "../../model/api-key.ts";
import { ExecutorError } from "../../model/failure.ts";
import type { JsonObject } from "../../model/task.ts";
import type { ApiKeys } from "../../ports/api-keys.ts";
import { parseJson } from "../../schema/parse-json.ts";
import { validator } from "../../schema/validator.ts";
import { ifThere, namesIfThere, translated } from "./record-file.ts";

/**
 * One file a key, `ID.json`, in `folder` (0700, made at the first write). Every call reads what it needs, so a key that was revoked
 * by another process opens nothing from then on.
 */
export function apiKeysFolder(folder: string): ApiKeys {
  const pathOf = (id: string): string => join(folder, `${id}.json`);
  const find = (id: string): ApiKeyRecord | null => (idPattern.test(id) ? readRecord(pathOf(id), id) : null);
  return {
    find,
    list: () =>
      idsIn(folder)
        .flatMap((id) => find(id) ?? [])
        .sort((a, b) => a.createdAt - b.createdAt),
    put(record) {
      const draft = join(folder, `.${randomUUID()}`);
      translated("write", pathOf(record.id), () => {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        try {
          writeFileSync(draft, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flush: true });
          renameSync(draft, pathOf(record.id));
        } catch (error) {
          rmSync(draft, { force: true });
          throw error;
        }
      });
    },
  };
}

const idPattern = /^[0-9a-f]{12}$/;

function idsIn(folder: string): readonly string[] {
  const files = translated("list", folder, () => namesIfThere(folder));
  return files.filter((file) => file.endsWith(".json")).flatMap((file) => idPattern.exec(file.slice(0, -5))?.[0] ?? []);
}

const timeOrNull: JsonObject = { type: ["number", "null"] };

const checkRecord = validator<ApiKeyRecord>(
  {
    type: "object",
    required: ["id", "tenantId", "secretSha256", "createdAt", "expiresAt", "revokedAt"],
    properties: {
      id: { type: "string" },
      tenantId: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$" },
      secretSha256: { type: "string", pattern: "^[0-9a-f]{64}$" },
      createdAt: { type: "number" },
      expiresAt: timeOrNull,
      revokedAt: timeOrNull,
    },
  },
  { subject: "it", at: "", code: "internal" },
);

/** A file that is no record opens nothing and is not passed over: it may be one that was to be revoked. */
function readRecord(path: string, id: string): ApiKeyRecord | null {
  const bytes = translated("read", path, () => ifThere(() => readFileSync(path)));
  if (bytes === null) return null;
  const caps = { maxBytes: 64 * 1024, maxDepth: 2, maxValues: 20 };
  try {
    const record = checkRecord(parseJson(bytes, { subject: "it", code: "internal", caps, exactNumbers: true }));
    if (record.id === id) return record;
    throw new ExecutorError("internal", `it is the record of key ${record.id}`);
  } catch (cause) {
    if (!(cause instanceof ExecutorError)) throw cause;
    throw new ExecutorError("internal", `${path} is no record of an API key: ${cause.message}`, {
      cause,
      hint: "remove the file, and create another key",
    });
  }
}
