import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { deadline } from "../../model/deadline.ts";
import { ExecutorError } from "../../model/failure.ts";
import { addressText, type DatabaseAddress, type TlsMode } from "./database-address.ts";
import { positionalQueries, type Values } from "./positional.ts";
import { aftermath, noAnswer, postgresFailure } from "./postgres-failure.ts";

export type Row = Readonly<Record<string, unknown>>;

/** How long a call may take in all, and for how much of that a failure that may pass is tried again. */
export interface CallBounds {
  readonly callMs: number;
  readonly retryMs: number;
}

/**
 * A few connections to one database, made when they are needed. A call that fails is tried again when the server cannot have
 * carried it out; one whose answer was lost, only when it says that twice is as good as once.
 */
export interface Connections extends AsyncDisposable {
  /** Where they lead, for messages. */
  readonly address: string;
  /**
   * The rows of one statement, which is a transaction of its own.
   * @throws ExecutorError internal, naming the database and why, within the bounds; the signal's reason when it aborts.
   */
  rows(sql: string, values: Values, signal: AbortSignal, repeat?: "twice is once" | "once"): Promise<readonly Row[]>;
  /**
   * The same for a write that its own success refuses a second time, and whether an answer was lost on the way: then a row that is missing
   * means that the caller has to look.
   */
  write(
    sql: string,
    values: Values,
    signal: AbortSignal,
  ): Promise<{ readonly rows: readonly Row[]; readonly isLost: boolean }>;
  /** Several statements in one transaction, on one connection; rolled back when `work` throws. Never tried again. */
  transaction<T>(
    work: (rows: (sql: string, values?: Values) => Promise<readonly Row[]>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>;
}

const maxConnections = 8;

const sessionSettings = {
  // A call that we have given up must not be carried out later, nor hold its locks for ever.
  client_connection_check_interval: 250,
  // Our statements are made for indexes. What the server knows of a table that fills and empties by the minute says otherwise at times, and a
  // bitmap does not clear an index of what is gone, as the walk along it does. So nothing is won by a plan for the values of one call.
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
} as const;

const connectMs = 3000;
const retryDelayMs = 25;
const goodbyeMs = 1000;

/** @throws ExecutorError validation, when the file of certificates cannot be read. */
export function openConnections(address: DatabaseAddress, { callMs, retryMs }: CallBounds): Connections {
  const where = addressText(address);
  const sockets = new Set<Socket>();
  const positional = positionalQueries();
  const { host, port, database, user, password } = address;
  const pool = new pg.Pool({
    ...{ host, port, database, user, password, ssl: sslOptions(address.tls) },
    application_name: "tool-executor",
    max: maxConnections,
    connectionTimeoutMillis: connectMs,
    options: Object.entries(sessionSettings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    statement_timeout: callMs,
    idle_in_transaction_session_timeout: callMs,
    keepAlive: true,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return socket;
    },
  });
  // A connection that breaks while nobody uses it: the pool makes another.
  pool.on("error", () => undefined);

  /** Lends one connection; it is closed, not given back, when anything fails on it. */
  const lent = async <T>(signal: AbortSignal, use: (client: pg.PoolClient) => Promise<T>): Promise<T> => {
    const connecting = pool.connect();
    // Nobody waits any longer: what comes late is for the next.
    const client = await unlessAborted(connecting, signal).catch((error: unknown) => {
      connecting.then((late) => late.release()).catch(() => undefined);
      throw error;
    });
    const onError = (): void => undefined;
    client.on("error", onError);
    let failed = true;
    try {
      const value = await unlessAborted(use(client), signal);
      failed = false;
      return value;
    } finally {
      client.off("error", onError);
      client.release(failed);
    }
  };

  const bounded = async <T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    using bound = deadline(signal, callMs, () => noAnswer(where, callMs));
    try {
      return await work(bound.signal);
    } catch (cause) {
      bound.signal.throwIfAborted();
      throw postgresFailure(where, cause);
    }
  };

  /** `onLost` hears of an answer that was lost, and says whether to ask again. */
  const asked = (sql: string, values: Values, signal: AbortSignal, onLost: () => boolean): Promise<readonly Row[]> =>
    bounded(signal, async (bound) => {
      const query = positional(sql, values);
      const giveUpAt = performance.now() + retryMs;
      for (let delayMs = retryDelayMs; ; delayMs *= 2) {
        try {
          return (await lent(bound, (client) => client.query<Row>(query))).rows;
        } catch (cause) {
          const next = aftermath(cause);
          const mayRepeat = next === "retry" || (next === "unknown" && onLost());
          if (!mayRepeat || performance.now() + delayMs > giveUpAt) throw cause;
        }
        await sleep(delayMs, undefined, { signal: bound });
      }
    });

  return {
    address: where,
    rows: (sql, values, signal, repeat = "once") => asked(sql, values, signal, () => repeat === "twice is once"),
    async write(sql, values, signal) {
      let isLost = false;
      const rows = await asked(sql, values, signal, () => {
        isLost = true;
        return true;
      });
      return { rows, isLost };
    },
    transaction: (work, signal) =>
      bounded(signal, (bound) =>
        lent(bound, async (client) => {
          await client.query("begin");
          const value = await work(async (sql, values) => {
            // Without values it may be several statements.
            return (await client.query<Row>(values === undefined ? sql : positional(sql, values))).rows;
          });
          await client.query("commit");
          return value;
        }),
      ),
    async [Symbol.asyncDispose]() {
      if (pool.ending) return;
      await pool.end();
      const closed = [...sockets].map((socket) => once(socket, "close"));
      const goodbye = AbortSignal.timeout(goodbyeMs);
      // A server that is gone answers no goodbye, and an open socket would keep the process alive.
      goodbye.addEventListener("abort", () => sockets.forEach((socket) => void socket.destroy()));
      await Promise.allSettled(closed);
    },
  };
}

function sslOptions(tls: TlsMode): false | { readonly rejectUnauthorized: boolean; readonly ca?: Buffer } {
  switch (tls.kind) {
    case "disable":
      return false;
    case "require":
      return { rejectUnauthorized: false };
    case "verify-full":
      return tls.caFile === null ? { rejectUnauthorized: true } : { rejectUnauthorized: true, ca: readCa(tls.caFile) };
  }
}

function readCa(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ExecutorError("validation", `sslrootcert ${path} in DATABASE_URL cannot be read`, { cause });
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Whichever lost the race has nobody left to tell.
    work.catch(() => undefined);
    aborted.promise.catch(() => undefined);
  }
}
