import type { Attempt } from "../model/attempt.ts";
import { type Owner, type OwnerState, ownerText } from "../model/owner.ts";
import type { Result } from "../model/result.ts";
import { keyText, type TaskState, taskKey } from "../model/task.ts";
import type { Clock } from "../ports/clock.ts";
import type { Liveness } from "../ports/liveness.ts";
import type { OwnedObject, SandboxInventory } from "../ports/sandbox-inventory.ts";
import type { Scratch } from "../ports/scratch.ts";
import type { Holder, TaskRecord, TaskStore } from "../ports/task-store.ts";

export interface ReapPorts {
  readonly inventory: SandboxInventory;
  readonly scratch: Scratch;
  readonly liveness: Liveness;
  readonly store: TaskStore;
  readonly clock: Clock;
  /** Whether a task whose executor died is queued again instead of ended; null where nobody would lease it. */
  readonly mayRunAgain: ((record: TaskRecord) => boolean) | null;
  /** Whether this very process is at an attempt that it holds by its lease; false: its end could not be stored. */
  readonly isUnderWay: (attempt: Pick<Attempt, "key" | "number">) => boolean;
  /** Goes on with the task of a dead executor of this host where it left off; null where nobody would. */
  readonly adopt: ((record: TaskRecord, signal: AbortSignal) => Promise<Adoption>) | null;
  /** What stands on the engine under a dead owner's name may still be taken over by an executor of another store. */
  readonly mayBeAdopted: (owner: Owner) => boolean;
  /** What a task is answered whose executor died. */
  readonly concludeLost: (record: TaskRecord) => { readonly result: Result; readonly bytes: Buffer };
  /** How long what an owner elsewhere made may stand before it is taken for abandoned. */
  readonly maxAgeMs: number;
}

/** `another`: somebody else goes on with it. `lost`: nobody can; `holder` has it now. */
export type Adoption =
  | { readonly kind: "adopted" | "another" }
  /** With how many executors died at the attempt: 0 where it was handed over. */
  | { readonly kind: "lost"; readonly holder: Holder; readonly wasStarted: boolean; readonly deaths: number };

/** What one pass found. `left`: still there though nobody living is known to hold it, and why. */
export interface ReapReport {
  readonly removed: {
    readonly containers: number;
    readonly networks: number;
    readonly volumes: number;
    readonly directories: number;
    readonly sockets: number;
  };
  /** Tasks ended `worker_lost`. */
  readonly ended: number;
  /** Tasks queued for another attempt. */
  readonly requeued: number;
  /** Tasks whose sandbox goes on under us. */
  readonly adopted: number;
  /** What a living owner holds. */
  readonly spared: number;
  readonly left: readonly { readonly id: string; readonly why: string }[];
}

/**
 * Takes away what dead executors left, whatever data folder they used, and ends the tasks of our own store that they held, or queues
 * them again.
 * What cannot be removed is reported and stops nothing. May run beside any executor and any other pass.
 *
 * @throws ExecutorError sandbox or internal, when the engine, the disk or the store cannot be read at all.
 */
export async function reapOnce(ports: ReapPorts, signal: AbortSignal): Promise<ReapReport> {
  const stateOf = rememberedStates(ports.liveness, signal);
  const [objects, folders] = await Promise.all([ports.inventory.list(signal), ports.scratch.list()]);
  // Before the store is read: who is dead by then writes nothing behind it.
  const dead = await deadOwners(objects, stateOf);
  // After the list and before any removal: whatever of the list is somebody's by now is found here.
  const goneOn = await adoptWhatRuns(ports, stateOf, signal);
  // Whoever goes on with a task of the dead answers in their place, for everything that carries their name. What they kept ready for
  // tasks to come is nobody's all the same: their tasks are in our store, and none of them has it.
  const isAbandoned = (owner: Owner): boolean => dead.has(ownerText(owner)) && goneOn.makers.has(ownerText(owner));
  const settle = async (found: Found, removal: () => Promise<void>): Promise<Outcome> => {
    const state = found.owner === null ? found.ownerless : await stateOf(found.owner);
    const verdict = judge(found.createdAt, state, ports.clock.now(), ports.maxAgeMs);
    if (verdict.kind === "remove" && found.kind && found.owner && !goneOn.known.has(found.id))
      if (state === "dead" && !isAbandoned(found.owner) && ports.mayBeAdopted(found.owner))
        return { kind: "leave", id: found.id, why: freshlyDead };
    return verdict.kind === "remove" ? tried(found.id, removal, signal) : { ...verdict, id: found.id };
  };

  // Containers first: a task's record must not say that it ended while its processes run.
  // Listed again after a take-over: what the dead made in between would be spared from the next pass on.
  const standing = goneOn.adopted > 0 ? await ports.inventory.list(signal) : objects;
  const onEngine = await inTurns(standing, async (object) => ({
    kind: object.kind,
    // Somebody else's label, perhaps: not ours to take.
    outcome: goneOn.sandboxes.has(object.id)
      ? ({ kind: "spare", id: object.id } as const)
      : await settle({ ...object, ownerless: null }, () => ports.inventory.remove(object, signal)),
  }));
  const { ended, requeued } = await settleLostTasks(ports, goneOn, stateOf, signal);
  // Folders after tasks: a journal is of use until its task has an end. Read again: some have a living owner by now.
  const stillThere = goneOn.adopted > 0 ? await ports.scratch.list() : folders;
  const onDisk = await inTurns(stillThere, (folder) =>
    // Under our own root all is ours: without an owner, its maker died in the act. Age tells that from one that is at it.
    settle({ ...folder, id: folder.path, ownerless: "elsewhere" }, () => ports.scratch.remove(folder.path, signal)),
  );
  const sockets = await ports.liveness.sweep(signal);

  const outcomes = [...onEngine.map(({ outcome }) => outcome), ...onDisk];
  const removedOf = (kind: OwnedObject["kind"]): number =>
    count(onEngine, (each) => each.kind === kind && each.outcome.kind === "removed");
  return {
    removed: {
      containers: removedOf("container"),
      networks: removedOf("network"),
      volumes: removedOf("volume"),
      directories: count(onDisk, ({ kind }) => kind === "removed"),
      sockets,
    },
    ended,
    requeued,
    adopted: goneOn.adopted,
    spared: count(outcomes, ({ kind }) => kind === "spare"),
    left: outcomes.flatMap((each) => (each.kind === "leave" ? [{ id: each.id, why: each.why }] : [])),
  };
}

export type Verdict =
  | { readonly kind: "spare" }
  | { readonly kind: "remove" }
  | { readonly kind: "leave"; readonly why: string };

/**
 * The rule for one object or folder. `owner` is what is known of who made it, or null when that cannot be read.
 * Age alone condemns nothing of ours that lives, and an unreadable owner is nobody's to judge: it is reported.
 */
export function judge(createdAt: number, owner: OwnerState | null, now: number, maxAgeMs: number): Verdict {
  switch (owner) {
    case "alive":
      return { kind: "spare" };
    case "dead":
      return { kind: "remove" };
    case "elsewhere": {
      const leftMs = createdAt + maxAgeMs - now;
      if (leftMs <= 0) return { kind: "remove" };
      return {
        kind: "leave",
        why: `its owner cannot be judged from here; taken for abandoned in ${Math.ceil(leftMs / 1000)} s at the latest`,
      };
    }
    case null:
      return { kind: "leave", why: "nothing readable says whose it is" };
  }
}

const freshlyDead = "its owner has just died, and another executor may go on with it";

interface Found {
  readonly id: string;
  /** Of something on the engine; absent: a folder. */
  readonly kind?: OwnedObject["kind"];
  readonly owner: Owner | null;
  /** How it is judged when `owner` is null. */
  readonly ownerless: OwnerState | null;
  readonly createdAt: number;
}

type Outcome =
  | { readonly kind: "removed"; readonly id: string }
  | { readonly kind: "spare"; readonly id: string }
  | { readonly kind: "leave"; readonly id: string; readonly why: string };

async function tried(id: string, removal: () => Promise<void>, signal: AbortSignal): Promise<Outcome> {
  try {
    await removal();
    return { kind: "removed", id };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "leave", id, why: error instanceof Error ? error.message : String(error) };
  }
}

const held: readonly TaskState[] = ["LEASED", "STARTING", "RUNNING", "COLLECTING"];
const pageSize = 1000;

/** What became of the tasks that had a sandbox. */
interface GoneOn {
  readonly adopted: number;
  /** Sandboxes at which a living executor is, whatever their labels say. */
  readonly sandboxes: ReadonlySet<string>;
  /** All that our store knows. */
  readonly known: ReadonlySet<string>;
  /** Who had them, by name. */
  readonly makers: ReadonlySet<string>;
  /** By task and attempt: who has what could not be gone on with, and whether its task was given its command. */
  readonly lost: ReadonlyMap<string, Extract<Adoption, { kind: "lost" }>>;
}

async function adoptWhatRuns(
  { store, adopt }: ReapPorts,
  stateOf: (owner: Owner) => Promise<OwnerState>,
  signal: AbortSignal,
): Promise<GoneOn> {
  const [sandboxes, known, makers] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const lost = new Map<string, Extract<Adoption, { kind: "lost" }>>();
  let adopted = 0;
  const records = await store.list({ states: ["RUNNING", "COLLECTING"], limit: pageSize }, signal);
  await inTurns(records, async (record) => {
    const { sandboxId, owner } = record;
    if (sandboxId === null || owner === null) return;
    known.add(sandboxId);
    makers.add(ownerText(owner));
    const state = await stateOf(owner);
    if (state === "alive") sandboxes.add(sandboxId);
    if (state !== "dead" || adopt === null) return;
    const adoption = await adopt(record, signal);
    if (adoption.kind === "lost") lost.set(nameOf(record), adoption);
    else sandboxes.add(sandboxId);
    if (adoption.kind === "adopted") adopted += 1;
  });
  return { adopted, sandboxes, known, makers, lost };
}

async function deadOwners(
  objects: readonly OwnedObject[],
  stateOf: (owner: Owner) => Promise<OwnerState>,
): Promise<ReadonlySet<string>> {
  const owners = new Map(objects.flatMap(({ owner }) => (owner === null ? [] : [[ownerText(owner), owner] as const])));
  const dead = await inTurns([...owners], async ([name, owner]) => ((await stateOf(owner)) === "dead" ? [name] : []));
  return new Set(dead.flat());
}

const nameOf = ({ task, attempt }: TaskRecord): string => `${keyText(taskKey(task))}/${attempt}`;

async function settleLostTasks(
  { store, liveness, isUnderWay, mayRunAgain, concludeLost }: ReapPorts,
  { lost }: GoneOn,
  stateOf: (owner: Owner) => Promise<OwnerState>,
  signal: AbortSignal,
): Promise<Pick<ReapReport, "ended" | "requeued">> {
  let ended = 0;
  let requeued = 0;
  for (let more = true; more; ) {
    const records = await store.list({ states: held, limit: pageSize }, signal);
    const before = ended + requeued;
    for (const found of records) {
      const { owner, attempt } = found;
      if (owner === null) continue;
      const key = taskKey(found.task);
      const ungone = lost.get(nameOf(found));
      // Each death is a strike; the last is counted by whoever reads them.
      const record = { ...found, strikes: found.strikes + Math.max(0, (ungone?.deaths ?? 1) - 1) };
      const state = ungone ? "dead" : await stateOf(owner);
      // Of a living owner only what is our own and was given up by us: its end could not be stored.
      const isOurs = ownerText(owner) === ownerText(liveness.self);
      if (state === "alive" && (!isOurs || isUnderWay({ key, number: attempt }))) continue;
      const holder = ungone?.holder ?? { attempt, owner, leaseExpired: state !== "dead" };
      const wasStarted = ungone?.wasStarted ?? true;
      // False: its lease lasts, or another pass or the task's new owner was first.
      if (mayRunAgain !== null && (!wasStarted || mayRunAgain(record))) {
        if (await store.releaseLost(key, holder, wasStarted, signal)) requeued += 1;
        continue;
      }
      const { result, bytes } = concludeLost(record);
      if (await store.finishUnleased(key, holder, result, bytes, signal)) ended += 1;
    }
    // What was settled makes room on the page for what was behind it.
    more = records.length === pageSize && ended + requeued > before;
  }
  return { ended, requeued };
}

/** Asks once for each owner: one that is dead stays so, and one that lives is spared for this pass. */
function rememberedStates(liveness: Liveness, signal: AbortSignal): (owner: Owner) => Promise<OwnerState> {
  const states = new Map<string, Promise<OwnerState>>();
  return (owner) => {
    const text = ownerText(owner);
    const state = states.get(text) ?? liveness.stateOf(owner, signal);
    states.set(text, state);
    return state;
  };
}

// An engine takes containers down one after the other anyway; more at once only makes each slower.
const atOnce = 4;

async function inTurns<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<readonly R[]> {
  const done: R[] = [];
  for (let at = 0; at < items.length; at += atOnce)
    done.push(...(await Promise.all(items.slice(at, at + atOnce).map(act))));
  return done;
}

function count<T>(items: readonly T[], holds: (item: T) => boolean): number {
  return items.filter(holds).length;
}
