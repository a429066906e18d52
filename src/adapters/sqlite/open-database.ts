import { closeSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ExecutorError } from "../../model/failure.ts";
import { sqliteFailure } from "./sqlite-failure.ts";

/** How long a call waits for another process's write to end. It blocks the thread; a write takes milliseconds. */
export const lockWaitMs = 5000;

/** Stands in the file's header, so that another program's database is never written to: "toolx" cut to four bytes. */
const applicationId = 0x746f6f78;

/**
 * Opens the file, made with its folder (0700) where it is missing, and brings it to the newest schema. Every commit is on
 * disk when it returns. Several processes may have the same file open.
 * @throws ExecutorError internal, naming the file, for one that cannot be opened or written, is no database of ours,
 * or was written by a newer version.
 */
export function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // The log and its index get the mode of the file they belong to.
    closeSync(openSync(path, "a", 0o600));
    database = new DatabaseSync(path, { timeout: lockWaitMs });
    database.exec("pragma synchronous = full");
    migrate(database, path);
    return database;
  } catch (cause) {
    database?.close();
    throw sqliteFailure(path, cause);
  }
}

interface Migration {
  readonly version: number;
  readonly file: string;
}

function migrate(database: DatabaseSync, path: string): void {
  const migrations = knownMigrations();
  const newest = migrations.at(-1)?.version ?? 0;
  const { version, appId, objects } = headerOf(database);
  if (version > newest) {
    throw new ExecutorError(
      "internal",
      `task store ${path} has schema ${version}, this version knows ${newest} at most`,
      {
        hint: "run the newer version that wrote it, or set TOOL_EXECUTOR_DATA to another folder",
      },
    );
  }
  if (appId !== applicationId && objects > 0) throw notOurs(path);
  if (version === newest) return;
  makeWriteAhead(database);
  database.exec("begin immediate");
  try {
    // Another process may have been first while this one waited.
    const current = headerOf(database).version;
    for (const migration of migrations) {
      if (migration.version <= current) continue;
      database.exec(readFileSync(join(migrationsDir, migration.file), "utf8"));
    }
    database.exec(`pragma application_id = ${applicationId}; pragma user_version = ${newest}`);
    database.exec("commit");
  } catch (cause) {
    database.exec("rollback");
    throw cause;
  }
}

/**
 * The mode is kept in the file. Two processes that make a new file at once may meet here, and SQLite then answers
 * "locked" without waiting, because the other one could be waiting for us.
 */
function makeWriteAhead(database: DatabaseSync): void {
  const giveUpAt = performance.now() + lockWaitMs;
  for (;;) {
    try {
      database.exec("pragma journal_mode = wal");
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number" && (error.errcode & 0xff) === 5;

const migrationsDir = join(import.meta.dirname, "migrations");

/** Files `NNNN-what.sql`, oldest first; the number is the schema version after it. */
function knownMigrations(): readonly Migration[] {
  return readdirSync(migrationsDir)
    .filter((file) => /^\d{4}-[a-z-]+\.sql$/.test(file))
    .sort()
    .map((file) => ({ version: Number(file.slice(0, 4)), file }));
}

function notOurs(path: string): ExecutorError {
  return new ExecutorError("internal", `task store ${path} is another program's database`, {
    hint: "move the file away (a new one is made), or set TOOL_EXECUTOR_DATA to another folder",
  });
}

interface Header {
  readonly version: number;
  readonly appId: number;
  /** Tables and indexes; none in a new file. */
  readonly objects: number;
}

/** In one statement: another process may be making the file meanwhile. */
function headerOf(database: DatabaseSync): Header {
  const row = database
    .prepare(
      `select (select user_version from pragma_user_version) as version,
        (select application_id from pragma_application_id) as appId,
        (select count(*) from sqlite_schema) as objects`,
    )
    .get();
  return { version: Number(row?.version), appId: Number(row?.appId), objects: Number(row?.objects) };
}
