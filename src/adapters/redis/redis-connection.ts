import { Redis } from "ioredis";
import { ExecutorError } from "../../model/failure.ts";
import { type RedisAddress, redisText } from "./redis-address.ts";
import { redisFailure } from "./redis-failure.ts";

/** One connection that is made again by itself for as long as it is held. */
export interface RedisConnection extends AsyncDisposable {
  /**
   * What a command answers, from a server that keeps what it is given.
   * @throws ExecutorError internal and `isAway`: not connected, no answer in time, refused, or a server that may lose or evict things.
   */
  asked<T>(command: (redis: Redis) => Promise<T>, signal: AbortSignal): Promise<T>;
}

const connectMs = 3000;
const commandMs = 5000;
const longestPauseMs = 1000;

/**
 * Resolves once the server has answered, or not within 3 s: then it is tried on in the background.
 * @throws ExecutorError validation, for a server that answers and whose settings would lose what it is given.
 */
export async function connectRedis(address: RedisAddress): Promise<RedisConnection> {
  const where = redisText(address);
  const { host, port, database, user, password, tls } = address;
  const redis = new Redis({
    host,
    port,
    db: database,
    ...(user !== null && { username: user }),
    ...(password !== null && { password }),
    ...(tls && { tls: { servername: host } }),
    connectionName: "tool-executor",
    lazyConnect: true,
    connectTimeout: connectMs,
    commandTimeout: commandMs,
    // Whoever asks hears at once that it is away, and puts the thing elsewhere.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), longestPauseMs),
  });
  let lastError: unknown = new Error("not connected");
  /** Of this connection: the next one may lead to a server with other settings. */
  let verified: Promise<string | null> | null = null;
  redis.on("error", (error: unknown) => {
    lastError = error;
  });
  redis.on("close", () => {
    verified = null;
  });

  const fault = async (): Promise<string | null> => {
    verified ??= settingsFault(redis);
    try {
      return await verified;
    } catch (error) {
      verified = null;
      throw error;
    }
  };
  const refusal = (code: "validation" | "internal", why: string): ExecutorError =>
    new ExecutorError(code, `buffer redis ${where}: ${why}`, {
      hint: "the buffer needs a Redis with maxmemory-policy noeviction, appendonly yes and appendfsync always",
      ...(code === "internal" && { away: "buffer" }),
    });

  const connection: RedisConnection = {
    async asked(command, signal) {
      signal.throwIfAborted();
      try {
        if (redis.status !== "ready") throw lastError;
        const why = await fault();
        if (why !== null) throw refusal("internal", why);
        return await command(redis);
      } catch (error) {
        throw redisFailure(where, error);
      }
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect();
    },
  };

  await firstAnswer(redis);
  const why = redis.status === "ready" ? await fault().catch(() => null) : null;
  if (why === null) return connection;
  await connection[Symbol.asyncDispose]();
  throw refusal("validation", why);
}

/** Resolves when it is ready, or has failed for the first time. */
async function firstAnswer(redis: Redis): Promise<void> {
  await redis.connect().catch(() => undefined);
}

const needed = [
  ["maxmemory-policy", "noeviction"],
  ["appendonly", "yes"],
  ["appendfsync", "always"],
] as const;

/** Why this server is no place for the only copy of anything; null: it is one. */
async function settingsFault(redis: Redis): Promise<string | null> {
  for (const [name, value] of needed) {
    const found = await setting(redis, name);
    if (found === null)
      return `${name} cannot be read (this user must be allowed CONFIG GET), must be known to be ${value}`;
    if (found !== value) return `${name} is ${found}, must be ${value}`;
  }
  return null;
}

async function setting(redis: Redis, name: string): Promise<string | null> {
  try {
    const answer: unknown = await redis.config("GET", name);
    return Array.isArray(answer) && typeof answer[1] === "string" ? answer[1] : null;
  } catch (error) {
    if (error instanceof Error && error.name === "ReplyError") return null;
    throw error;
  }
}
