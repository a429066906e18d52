import { randomBytes } from "node:crypto";
import pg from "pg";
import { type DatabaseAddress, parseDatabaseUrl } from "../../src/adapters/postgres/database-address.ts";
import { migrateDatabase } from "../../src/adapters/postgres/schema.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { TaskStore } from "../../src/ports/task-store.ts";
import { never } from "./samples.ts";
import type { Postgres } from "./services.ts";

/** A database of its own on a server of the tests; gone with the server. */
export interface FreshDatabase extends AsyncDisposable {
  readonly url: string;
  readonly address: DatabaseAddress;
  /** A connection beside those of the store that is tested. */
  readonly client: pg.Client;
}

/** Empty: nothing has been migrated. */
export async function emptyDatabase(postgres: Postgres): Promise<FreshDatabase> {
  const name = `t_${randomBytes(6).toString("hex")}`;
  const admin = new pg.Client(postgres.url());
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = postgres.url(name);
  const client = new pg.Client(url);
  // A test may end every connection of the server.
  client.on("error", () => undefined);
  await client.connect();
  return { url, address: addressOf(url), client, [Symbol.asyncDispose]: () => client.end() };
}

/** With the newest schema. */
export async function freshDatabase(postgres: Postgres): Promise<FreshDatabase> {
  const database = await emptyDatabase(postgres);
  await migrateDatabase(database.address, never());
  return database;
}

export function addressOf(url: string): DatabaseAddress {
  const address = parseDatabaseUrl(url);
  if (address === null) throw new Error(`no address of a database: ${url}`);
  return address;
}

/** Makes the database's clock the test's: what the function returns is a store whose every call finds it set. */
export async function underClock({ client }: FreshDatabase, clock: Clock): Promise<(store: TaskStore) => TaskStore> {
  await client.query(`
    create table test_clock (now bigint not null);
    insert into test_clock values (${clock.now()});
    create or replace function clock_ms() returns bigint language sql volatile as 'select now from test_clock'`);
  let set = clock.now();
  let setting: Promise<unknown> = Promise.resolve();
  const keepSet = (): Promise<unknown> => {
    if (clock.now() === set) return setting;
    set = clock.now();
    setting = client.query("update test_clock set now = $1", [set]);
    return setting;
  };
  return (store) =>
    new Proxy(store, {
      get(target, name: keyof TaskStore) {
        if (name === Symbol.asyncDispose) return target[name];
        const method = target[name] as (...args: readonly unknown[]) => Promise<unknown>;
        return async (...args: readonly unknown[]) => {
          await keepSet();
          return await method(...args);
        };
      },
    });
}
