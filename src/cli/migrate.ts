import { migrateDatabase } from "../adapters/postgres/schema.ts";
import { ExecutorError } from "../model/failure.ts";
import type { CliContext } from "./context.ts";
import { say, written } from "./io.ts";

/**
 * `toolx migrate`: brings the database of DATABASE_URL to the schema of this version. What is there already is left as it is.
 * @throws ExecutorError validation, without a database; internal, with the database as it was.
 */
export async function migrateCommand(context: CliContext, json: boolean): Promise<void> {
  const { io } = context;
  const { database } = context.config();
  if (database === null) {
    throw new ExecutorError("validation", "DATABASE_URL is not set, so there is no database to migrate", {
      hint: "the file that tasks are kept in without it is migrated when it is opened",
    });
  }
  const { from, to } = await migrateDatabase(database, io.interrupt);
  if (json) return await written(io.stdout, `${JSON.stringify({ from, to })}\n`);
  say(io, from === to ? `schema ${to}: nothing to do` : `schema ${from} → ${to}`);
}
