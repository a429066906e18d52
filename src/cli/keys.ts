import { join } from "node:path";
import { apiKeysFolder } from "../adapters/disk/api-keys-folder.ts";
import type { ApiKeyRecord } from "../model/api-key.ts";
import { ExecutorError } from "../model/failure.ts";
import { newApiKey } from "../schema/api-key.ts";
import type { CliContext } from "./context.ts";
import { say, table, written } from "./io.ts";
import { badFlag } from "./quantities.ts";

const keysOf = (context: CliContext) => apiKeysFolder(join(context.config().dataDir, "keys"));

/** `toolx keys create`: prints the key, once; what is kept of it opens nothing. */
export async function keysCreate(
  context: CliContext,
  flags: { readonly tenant: string; readonly expires?: string; readonly output: string },
): Promise<void> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(flags.tenant))
    throw badFlag("--tenant", flags.tenant, "1 to 63 letters, digits, _ and -");
  const now = Date.now();
  const { text, record } = newApiKey(
    flags.tenant,
    now,
    flags.expires === undefined ? null : now + daysOf(flags.expires),
  );
  keysOf(context).put(record);
  if (flags.output === "json")
    return await written(context.io.stdout, `${JSON.stringify({ ...shown(record, now), key: text })}\n`);
  await written(context.io.stdout, `${text}\n`);
  say(context.io, `key ${record.id} of tenant ${record.tenantId}; it is not shown again`);
}

/** `toolx keys ls`: who has which, without what opens. */
export async function keysLs(context: CliContext, json: boolean): Promise<void> {
  const now = Date.now();
  const keys = keysOf(context)
    .list()
    .map((record) => shown(record, now));
  if (json) return await written(context.io.stdout, keys.map((key) => `${JSON.stringify(key)}\n`).join(""));
  const rows = keys.map(({ id, tenant_id, state, created_at, expires_at }) => [
    id,
    tenant_id,
    state,
    created_at,
    expires_at ?? "never",
  ]);
  await written(context.io.stdout, table([["KEY", "TENANT", "STATE", "CREATED", "EXPIRES"], ...rows]));
}

/** `toolx keys revoke`: at once, also for a server that runs. Idempotent. @throws ExecutorError validation, for no such key. */
export async function keysRevoke(context: CliContext, id: string): Promise<void> {
  const keys = keysOf(context);
  const record = keys.find(id);
  if (record === null)
    throw new ExecutorError("validation", `no key ${JSON.stringify(id)}`, { hint: "toolx keys ls lists them" });
  if (record.revokedAt === null) keys.put({ ...record, revokedAt: Date.now() });
  say(context.io, `key ${id} is revoked`);
}

function shown({ id, tenantId, createdAt, expiresAt, revokedAt }: ApiKeyRecord, now: number) {
  const isOver = expiresAt !== null && expiresAt <= now;
  return {
    id,
    tenant_id: tenantId,
    state: revokedAt !== null ? "revoked" : isOver ? "expired" : "valid",
    created_at: new Date(createdAt).toISOString(),
    expires_at: expiresAt === null ? null : new Date(expiresAt).toISOString(),
  };
}

function daysOf(text: string): number {
  const days = /^(\d{1,4})d$/.exec(text)?.[1];
  if (days === undefined || Number(days) === 0) throw badFlag("--expires", text, "a number of days such as 90d");
  return Number(days) * 24 * 60 * 60 * 1000;
}
