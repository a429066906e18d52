import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ExecutorError } from "../../model/failure.ts";
import { type Connections, openConnections } from "./connections.ts";
import type { DatabaseAddress } from "./database-address.ts";

/** The schema's version before and after; the same when there was nothing to do. */
export interface Migrated {
  readonly from: number;
  readonly to: number;
}

/** One file of `migrations/`: `NNNN-what.sql`, whose number is the schema's version after it. */
interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** Whether a program that knows only the version before may go on with the database. */
  readonly olderMayRun: boolean;
}

/** A migration may rewrite a large table. */
const migrateMs = 30 * 60_000;

/** For the lock that only migrations take: "toolx" in four bytes, as in the header of the file that stands in our place on one machine. */
const lockNumber = 0x746f6f78;

/**
 * Brings the database to the newest schema that this version knows, in one transaction; two at once do it once. Never back.
 * @throws ExecutorError internal, with the database as it was; for a newer schema too.
 */
export async function migrateDatabase(address: DatabaseAddress, signal: AbortSignal): Promise<Migrated> {
  await using connections = openConnections(address, { callMs: migrateMs, retryMs: 0 });
  return await connections.transaction(async (rows) => {
    await rows(`select pg_advisory_xact_lock(${lockNumber})`);
    // What waits here for a worker's transaction makes all other workers wait behind it.
    await rows("set local lock_timeout = '30s'");
    await rows(`
      create table if not exists schema_migrations (
        version integer primary key,
        name text not null,
        older_may_run boolean not null,
        applied_at timestamptz not null default now())`);
    const migrations = knownMigrations();
    const [row] = await rows("select coalesce(max(version), 0) as version from schema_migrations");
    const from = Number(row?.version);
    const newest = migrations.at(-1)?.version ?? 0;
    if (from > newest) throw tooNew(connections.address, from, newest);
    for (const { version, name, sql, olderMayRun } of migrations) {
      if (version <= from) continue;
      await rows(sql);
      await rows(
        `insert into schema_migrations (version, name, older_may_run) values (${version}, '${name}', ${olderMayRun})`,
      );
    }
    return { from, to: newest };
  }, signal);
}

/**
 * Looks whether the database has the schema that this version works with: its own, or a newer one that lets older programs run.
 * @throws ExecutorError internal, saying what to do.
 */
export async function requireSchema(connections: Connections, signal: AbortSignal): Promise<void> {
  const newest = knownMigrations().at(-1)?.version ?? 0;
  const applied = await appliedMigrations(connections, signal);
  const version = Number(applied[0]?.version ?? 0);
  if (version < newest) {
    throw new ExecutorError(
      "internal",
      `task store ${connections.address} has schema ${version}, this version needs ${newest}`,
      { hint: "toolx migrate brings it there" },
    );
  }
  const isForbidding = applied.some((each) => Number(each.version) > newest && each.older_may_run !== true);
  if (isForbidding) throw tooNew(connections.address, version, newest);
}

/** The newest first; none where nothing was migrated yet. */
async function appliedMigrations({ rows }: Connections, signal: AbortSignal) {
  const there = "select to_regclass('schema_migrations') is not null as there";
  const [table] = await rows(there, {}, signal, "twice is once");
  if (table?.there !== true) return [];
  const all = "select version, older_may_run from schema_migrations order by version desc";
  return await rows(all, {}, signal, "twice is once");
}

function tooNew(address: string, version: number, newest: number): ExecutorError {
  return new ExecutorError(
    "internal",
    `task store ${address} has schema ${version}, this version knows ${newest} at most`,
    {
      hint: "run the newer version that migrated it, or name another database in DATABASE_URL",
    },
  );
}

const migrationsDir = join(import.meta.dirname, "../../../migrations");

/** Oldest first. */
function knownMigrations(): readonly Migration[] {
  return readdirSync(migrationsDir)
    .filter((file) => /^\d{4}-[a-z-]+\.sql$/.test(file))
    .sort()
    .map((file) => {
      const sql = readFileSync(join(migrationsDir, file), "utf8");
      const said = /^-- Older workers may still run: (yes|no)$/m.exec(sql);
      if (said === null) throw new Error(`migrations/${file} does not say whether older workers may still run`);
      return { version: Number(file.slice(0, 4)), name: file.slice(5, -4), sql, olderMayRun: said[1] === "yes" };
    });
}
