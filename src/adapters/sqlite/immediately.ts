import type { DatabaseSync } from "node:sqlite";

/** Takes the write lock before the first read, so that nothing read can be stale when it is written. */
export function immediately<T>(database: DatabaseSync, work: () => T): T {
  database.exec("begin immediate");
  try {
    const value = work();
    database.exec("commit");
    return value;
  } catch (error) {
    // A full disk has rolled back by itself.
    if (database.isTransaction) database.exec("rollback");
    throw error;
  }
}
