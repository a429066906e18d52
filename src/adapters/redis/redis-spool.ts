import { randomUUID } from "node:crypto";
import { ExecutorError } from "../../model/failure.ts";
import {
  countsOf,
  type Lane,
  laneOf,
  type SpoolEntry,
  sameness,
  spooledKey,
  spoolKinds,
} from "../../model/spool-entry.ts";
import { keyText } from "../../model/task.ts";
import type { Put, Spool, Spooled, SpoolTotals } from "../../ports/spool.ts";
import { decodeSpoolEntry, encodeSpoolEntry } from "../../schema/spool-entry.ts";
import { type RedisAddress, redisText } from "./redis-address.ts";
import { connectRedis, type RedisConnection } from "./redis-connection.ts";
import { prolongLock, putEntry, releaseLock, removeEntries } from "./scripts.ts";

export interface RedisSpoolOptions {
  /** Of all requests that wait; ends have no bound of their own. */
  readonly maxIntakeBytes: number;
}

/** All keys have one hash tag, so that a cluster keeps them together. */
const keyOf = (name: "ends" | "intakes" | "marks" | "counts" | "lock"): string => `{tool-executor}:buffer:${name}`;
const [marks, counts, lock] = [keyOf("marks"), keyOf("counts"), keyOf("lock")];
/** Less than the time for which nobody's attempt is taken over after an outage. */
const lockMs = 6000;

/**
 * A spool in two streams of one Redis database, which all executors of one installation share, and nobody else. Of a server that may evict
 * or lose what it was given nothing is taken for kept.
 * @throws ExecutorError validation, for such a server. One that cannot be reached is tried on in the background.
 */
export async function redisSpool(address: RedisAddress, { maxIntakeBytes }: RedisSpoolOptions): Promise<Spool> {
  const connection = await connectRedis(address);
  const { asked } = connection;
  return {
    async put(entry, signal) {
      const lane = laneOf(entry.kind);
      const body = encodeSpoolEntry(entry);
      const keys = [keyOf(lane), marks, counts];
      const most = lane === "ends" ? "" : String(maxIntakeBytes);
      const given = [entry.kind, markName(entry), sameness(entry), body, most];
      const answer = await asked((redis) => redis.eval(putEntry, 3, ...keys, ...given), signal);
      if (answer !== "full") return answer as Put;
      throw new ExecutorError(
        "internal",
        `buffer redis ${redisText(address)}: it is full (${maxIntakeBytes} bytes of requests wait)`,
        { hint: "bring the database back, or raise TOOL_EXECUTOR_BUFFER_MAX_MB", away: "buffer" },
      );
    },
    async read(lane, after, limit, signal) {
      const from = after === null ? "-" : `(${streamId(after)}`;
      const found = await asked((redis) => redis.xrangeBuffer(keyOf(lane), from, "+", "COUNT", limit), signal);
      return found.map(([id, fields]): Spooled => ({ id: `${lane}/${id}`, entry: decodeSpoolEntry(bodyOf(fields)) }));
    },
    async remove(ids, signal) {
      for (const lane of ["ends", "intakes"] as const) {
        const own = ids.filter((id) => id.startsWith(`${lane}/`)).map(streamId);
        if (own.length > 0)
          await asked((redis) => redis.eval(removeEntries, 3, keyOf(lane), marks, counts, ...own), signal);
      }
    },
    async find(key, signal) {
      const names = [`end ${keyText(key)}`, keyText(key)];
      const found = await asked((redis) => redis.hmget(marks, ...names), signal);
      for (const [index, lane] of (["ends", "intakes"] as const).entries()) {
        const id = found[index]?.split("@")[1];
        if (id === undefined) continue;
        const [place] = await asked((redis) => redis.xrangeBuffer(keyOf(lane), id, id), signal);
        const entry = place === undefined ? null : decodeSpoolEntry(bodyOf(place[1]));
        if (entry !== null) return { entry, putAt: Number(id.split("-")[0]) };
      }
      return null;
    },
    async totals(signal): Promise<SpoolTotals> {
      const numbers = await asked((redis) => redis.hmget(counts, ...spoolKinds), signal);
      const found = Object.fromEntries(spoolKinds.map((kind, index) => [kind, Number(numbers[index] ?? 0)]));
      if (Object.values(found).every((count) => count === 0)) return { counts: countsOf(found), oldestAt: null };
      const first = (lane: Lane) => asked((redis) => redis.xrange(keyOf(lane), "-", "+", "COUNT", 1), signal);
      const oldest = [...(await first("ends")), ...(await first("intakes"))].map(([id]) => Number(id.split("-")[0]));
      return { counts: countsOf(found), oldestAt: oldest.length === 0 ? null : Math.min(...oldest) };
    },
    async exclusively(work, signal) {
      const token = randomUUID();
      const taken = await asked((redis) => redis.set(lock, token, "PX", lockMs, "NX"), signal);
      if (taken !== "OK") return null;
      await using held = heldLock(connection, token, signal);
      return await work(held.signal);
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

/** Of what is asked one of a name waits; of what ends an attempt the last one is found by it. */
function markName(entry: SpoolEntry): string {
  const name = keyText(spooledKey(entry));
  switch (entry.kind) {
    case "intake":
      return name;
    case "cancel":
      return `cancel ${name}`;
    case "refusal":
      return `refusal ${name} ${sameness(entry)}`;
    case "finish":
    case "release":
      return `end ${name}`;
  }
}

/** Prolongs the lock three times in its life; `signal` aborts when that fails. */
function heldLock(
  { asked }: RedisConnection,
  token: string,
  parent: AbortSignal,
): AsyncDisposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const follow = (): void => controller.abort(parent.reason);
  if (parent.aborted) follow();
  else parent.addEventListener("abort", follow, { once: true });
  const lost = new ExecutorError("internal", "the right to empty the buffer was lost", { away: "buffer" });
  const timer = setInterval(() => {
    asked((redis) => redis.eval(prolongLock, 1, lock, token, lockMs), controller.signal).then(
      (prolonged) => {
        if (prolonged !== 1) controller.abort(lost);
      },
      () => controller.abort(lost),
    );
  }, lockMs / 3);
  return {
    signal: controller.signal,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      parent.removeEventListener("abort", follow);
      // It lapses by itself where it cannot be given back.
      await asked((redis) => redis.eval(releaseLock, 1, lock, token), new AbortController().signal).catch(
        () => undefined,
      );
    },
  };
}

/** What Redis calls it, without our lane in front. */
const streamId = (id: string): string => id.slice(id.indexOf("/") + 1);

function bodyOf(fields: readonly Buffer[]): Buffer {
  const at = fields.findIndex((field, index) => index % 2 === 0 && field.toString() === "body");
  return fields[at + 1] ?? Buffer.alloc(0);
}
