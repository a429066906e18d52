import { randomUUID } from "node:crypto";
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ExecutorError } from "../../model/failure.ts";
import { countsOf, laneOf, type SpoolEntry, type SpoolKind, sameness, spooledKey } from "../../model/spool-entry.ts";
import type { TaskKey } from "../../model/task.ts";
import type { Put, Spool } from "../../ports/spool.ts";
import { decodeSpoolEntry, encodeSpoolEntry } from "../../schema/spool-entry.ts";
import { codeOf, privateFolder } from "./private-folder.ts";

export interface DiskSpoolOptions {
  /** Of all requests that wait; ends have no bound but the disk. */
  readonly maxIntakeBytes: number;
  readonly now: () => number;
}

/**
 * A spool in a folder of one machine: a file an entry, under a name that sorts by age, there once it is on disk.
 * @throws ExecutorError validation, for a folder that is not this user's own.
 */
export async function diskSpool(root: string, { maxIntakeBytes, now }: DiskSpoolOptions): Promise<Spool> {
  privateFolder(root, "TOOL_EXECUTOR_DATA");
  await translated(root, () => removeDrafts(root));
  let [lastAt, count] = [0, 0];
  /** One put after the other: each looks at what is there first. */
  let turn: Promise<unknown> = Promise.resolve();

  const nameFor = (entry: SpoolEntry, sizeBytes: number): string => {
    // A clock that goes back puts nothing before what is there.
    lastAt = Math.max(lastAt, now());
    count += 1;
    const { tenantId, taskId } = spooledKey(entry);
    const place = `${String(lastAt).padStart(15, "0")}-${String(count).padStart(9, "0")}`;
    const hash = laneOf(entry.kind) === "intakes" ? sameness(entry) : "-";
    return [place, entry.kind, tenantId, taskId, hash, sizeBytes].join(".");
  };

  const putInTurn = async (entry: SpoolEntry, signal: AbortSignal): Promise<Put> => {
    signal.throwIfAborted();
    const body = encodeSpoolEntry(entry);
    const there = await listed(root);
    lastAt = Math.max(lastAt, there.at(-1)?.at ?? 0);
    if (laneOf(entry.kind) === "intakes") {
      const waiting = there.filter(({ kind }) => laneOf(kind) === "intakes");
      const ofTask = waiting.filter((each) => each.kind === entry.kind && isOf(each, spooledKey(entry)));
      if (ofTask.some(({ hash }) => hash === sameness(entry))) return "known";
      if (entry.kind === "intake" && ofTask.length > 0) return "conflict";
      const heldBytes = waiting.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      if (heldBytes + body.length > maxIntakeBytes) throw full(root, maxIntakeBytes);
    }
    await write(root, nameFor(entry, body.length), body);
    return "kept";
  };

  return {
    put(entry, signal) {
      const put = turn.then(() => translated(root, () => putInTurn(entry, signal)));
      turn = put.catch(() => undefined);
      return put;
    },
    read: (lane, after, limit, signal) =>
      translated(root, async () => {
        signal.throwIfAborted();
        const ofLane = (await listed(root)).filter(({ kind }) => laneOf(kind) === lane);
        const next = ofLane.filter(({ name }) => after === null || name > after).slice(0, limit);
        const found = await Promise.all(
          next.map(async ({ name }) => ({ id: name, bytes: await readFile(join(root, name)).catch(nullIfGone) })),
        );
        return found.flatMap(({ id, bytes }) => (bytes === null ? [] : [{ id, entry: decodeSpoolEntry(bytes) }]));
      }),
    remove: (ids, signal) =>
      translated(root, async () => {
        signal.throwIfAborted();
        for (const id of ids) if (parsedName(id) !== null) await rm(join(root, id), { force: true });
        await syncFolder(root);
      }),
    find: (key, signal) =>
      translated(root, async () => {
        signal.throwIfAborted();
        const own = (await listed(root)).filter((each) => isOf(each, key));
        const last = own.findLast(({ kind }) => laneOf(kind) === "ends") ?? own.find(({ kind }) => kind === "intake");
        const bytes = last === undefined ? null : await readFile(join(root, last.name)).catch(nullIfGone);
        const entry = bytes === null ? null : decodeSpoolEntry(bytes);
        return last === undefined || entry === null ? null : { entry, putAt: last.at };
      }),
    totals: (signal) =>
      translated(root, async () => {
        signal.throwIfAborted();
        const there = await listed(root);
        const counts: Record<string, number> = {};
        for (const { kind } of there) counts[kind] = (counts[kind] ?? 0) + 1;
        return { counts: countsOf(counts), oldestAt: there[0]?.at ?? null };
      }),
    async exclusively(work, signal) {
      using lock = takenLock(join(root, lockName));
      return lock === null ? null : await work(signal);
    },
    async [Symbol.asyncDispose]() {},
  };
}

const draftPrefix = ".draft-";
const lockName = "lock.db";

interface Named {
  readonly name: string;
  readonly at: number;
  readonly kind: SpoolKind;
  readonly tenantId: string;
  readonly taskId: string;
  readonly hash: string;
  readonly sizeBytes: number;
}

/** Null for a file that is none of ours. */
function parsedName(name: string): Named | null {
  const match =
    /^(\d{15})-\d{9}\.(intake|cancel|refusal|finish|release)\.([A-Za-z0-9_-]{1,63})\.([A-Za-z0-9_-]{1,63})\.([0-9a-f]{64}|-)\.(\d{1,10})$/.exec(
      name,
    );
  if (match === null) return null;
  const [, at = "", kind = "", tenantId = "", taskId = "", hash = "", size = ""] = match;
  return { name, at: Number(at), kind: kind as SpoolKind, tenantId, taskId, hash, sizeBytes: Number(size) };
}

const isOf = (named: Named, { tenantId, taskId }: TaskKey): boolean =>
  named.tenantId === tenantId && named.taskId === taskId;

/** Oldest first. */
async function listed(root: string): Promise<readonly Named[]> {
  const names = (await readdir(root)).sort();
  return names.map(parsedName).filter((each) => each !== null);
}

async function write(root: string, name: string, body: Buffer): Promise<void> {
  const draft = join(root, `${draftPrefix}${randomUUID()}`);
  try {
    await using file = await open(draft, "wx", 0o600);
    await file.writeFile(body);
    await file.sync();
    await rename(draft, join(root, name));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(root);
}

async function syncFolder(root: string): Promise<void> {
  await using folder = await open(root, "r");
  await folder.sync();
}

/** What a killed process left half-written; a young one may be somebody's who writes. */
async function removeDrafts(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith(draftPrefix)) continue;
    const found = await stat(join(root, name)).catch(nullIfGone);
    if (found !== null && Date.now() - found.mtimeMs > 60_000) await rm(join(root, name), { force: true });
  }
}

/** A lock that the system lets go of when its holder dies; null when somebody has it. */
function takenLock(path: string): Disposable | null {
  const database = new DatabaseSync(path);
  try {
    database.exec("begin exclusive");
  } catch (error) {
    database.close();
    if (error instanceof Error && "errcode" in error && error.errcode === sqliteBusy) return null;
    throw new ExecutorError("internal", `buffer ${path} cannot be locked`, { cause: error, away: "buffer" });
  }
  return { [Symbol.dispose]: () => database.close() };
}

const sqliteBusy = 5;

function full(root: string, maxBytes: number): ExecutorError {
  return new ExecutorError("internal", `buffer ${root}: it is full (${maxBytes} bytes of requests wait)`, {
    hint: "bring the database back, or raise TOOL_EXECUTOR_BUFFER_MAX_MB",
    away: "buffer",
  });
}

async function translated<T>(root: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof Error) || !("code" in cause) || cause instanceof ExecutorError) throw cause;
    throw new ExecutorError("internal", `buffer ${root} cannot be used (${codeOf(cause)})`, {
      cause,
      hint: "make room on the disk, or let this user write there",
      away: "buffer",
    });
  }
}

function nullIfGone(error: unknown): null {
  if (codeOf(error) === "ENOENT") return null;
  throw error;
}
