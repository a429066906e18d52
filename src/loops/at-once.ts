import { setTimeout as sleep } from "node:timers/promises";
import { collectingOf, deadlineOf, type Standing, type ToldAhead, toldAhead, unstarted } from "../executor/ground.ts";
import type { Parts } from "../executor/parts.ts";
import { specFor } from "../executor/prepare.ts";
import type { AtOnce } from "../executor/take-in.ts";
import type { Attempt } from "../model/attempt.ts";
import { bytesPerMb } from "../model/limits.ts";
import { ownerText } from "../model/owner.ts";
import { type Task, taskKey } from "../model/task.ts";
import type { AttemptJournal } from "../ports/attempt-journal.ts";
import type { OfferedSandbox, ReadySandboxes, SandboxSpec } from "../ports/sandbox.ts";
import type { Leased } from "../ports/task-store.ts";
import type { Reservation, Schedule } from "./schedule.ts";

/**
 * Tasks that need not wait begin in the write that takes them in: there is room for one, and a sandbox stands ready for it just as it is
 * asked for. Everything that a leased attempt has when its row says RUNNING is there before that write, so whoever dies behind it leaves
 * what any other would; the sandbox has been told the task, and waits for the word to begin. A task that turns out to be known, or has
 * others before it, costs a folder and that sandbox; until one begins again, sandboxes are told nothing and stand ready again.
 */
export function atOnce(parts: Parts, scheduled: Pick<Schedule, "reserve">, ready: ReadySandboxes): AtOnce {
  const outlook: Outlook = { isGood: true };
  return {
    async prepared(task, allowed) {
      const attempt: Attempt = { key: taskKey(task), number: 1, owner: parts.liveness.self };
      const reservation = task.not_before === null ? scheduled.reserve(attempt) : null;
      if (reservation === null) return null;
      const held = await heldFor(parts, task, allowed, attempt, ready, outlook);
      if (held === null) {
        reservation.free();
        return null;
      }
      const { leaseMs } = parts.policy;
      const { offered, deadlineAt } = held;
      return {
        beginning: { owner: attempt.owner, leaseMs, sandboxId: offered.id, deadlineAt },
        settled(begun) {
          outlook.isGood = begun !== null;
          if (begun === "unknown") void settledLater(parts, attempt, held, reservation);
          else if (begun === null) void letGo(held, reservation);
          else reservation.begin(begun, standing(held, begun));
        },
      };
    },
  };
}

/** Whether the next task is likely to begin: as the last one did. */
interface Outlook {
  isGood: boolean;
}

interface Held {
  readonly offered: OfferedSandbox;
  readonly journal: AttemptJournal;
  readonly spec: SandboxSpec;
  readonly deadlineAt: number;
  readonly told: ToldAhead | null;
}

/** Null where it takes more than is ready, or anything is in the way: whoever leases the task meets that. */
async function heldFor(
  parts: Parts,
  task: Task,
  allowed: Parameters<AtOnce["prepared"]>[1],
  attempt: Attempt,
  ready: ReadySandboxes,
  outlook: Outlook,
): Promise<Held | null> {
  let offered: OfferedSandbox | null = null;
  try {
    const spec = await specFor(task, allowed, parts.images, uninterrupted);
    offered = ready.offer(spec);
    if (offered === null) return null;
    const { ahead } = offered;
    // It works on that while the disk works for us.
    const told = outlook.isGood ? toldAhead(parts, { attempt, task }, spec, ahead) : null;
    const chosen = { offered, spec, deadlineAt: deadlineOf(task, parts), told };
    return { ...chosen, journal: await notedJournal(parts, task, attempt, chosen) };
  } catch {
    offered?.giveBack();
    outlook.isGood = false;
    return null;
  }
}

async function notedJournal(
  { openJournal, clock }: Parts,
  { limits }: Task,
  attempt: Attempt,
  { offered: { resumePoint }, spec, deadlineAt, told }: Omit<Held, "journal">,
): Promise<AttemptJournal> {
  await using stack = new AsyncDisposableStack();
  const journal = stack.use(await openJournal(attempt, limits.log_mb * bytesPerMb));
  const note = unstarted(resumePoint, spec, { maker: attempt.owner, warm: true, deadlineAt, leasedAt: clock.now() });
  journal.note({ ...note, ...collectingOf(told) });
  stack.move();
  return journal;
}

function standing({ offered, journal, spec, deadlineAt, told }: Held, { record }: Leased): Standing {
  const stack = new AsyncDisposableStack();
  stack.use(journal);
  const sandbox = stack.use(offered.take());
  const started = told !== null && startsNow(record) ? sandbox.start(told.command, uninterrupted) : null;
  // Whoever runs it hears of a failure.
  started?.catch(() => undefined);
  return { sandbox, journal, spec, deadlineAt, told, started, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/**
 * It stands in the store, and nothing else has to be there before it runs: no input that is counted from its start on, no time to look at. All
 * that surrounds a run is made while its sandbox is at it; what it connects to before its way out is there waits for that.
 */
const startsNow = ({ task, cancelRequested }: Leased["record"]): boolean =>
  task.stdin === null && task.expires_at === null && !cancelRequested;

async function letGo({ offered, journal }: Held, reservation: Reservation): Promise<void> {
  offered.giveBack();
  await closed(journal);
  reservation.free();
}

/** How often a store that is away is asked whether the attempt began. */
const askEveryMs = 250;

/** The write may have been carried out. As long as nobody knows, all that the attempt would need is kept; when we are to end, for a successor. */
async function settledLater(parts: Parts, attempt: Attempt, held: Held, reservation: Reservation): Promise<void> {
  const { offered, journal } = held;
  do {
    const begun = await begunAfterAll(parts, attempt, offered.id).catch(() => "unknown" as const);
    if (begun === null) return await letGo(held, reservation);
    if (begun !== "unknown") return reservation.begin(begun, standing(held, begun));
    await sleep(askEveryMs, undefined, { signal: reservation.stop }).catch(() => undefined);
  } while (!reservation.stop.aborted);
  journal.leave(true);
  await offered.take().detach();
  await closed(journal);
  reservation.free();
}

async function closed(journal: AttemptJournal): Promise<void> {
  try {
    await journal[Symbol.asyncDispose]();
  } catch {
    // A folder that cannot be removed is the reaper's.
  }
}

async function begunAfterAll({ store }: Parts, attempt: Attempt, sandboxId: string): Promise<Leased | null> {
  const record = await store.get(attempt.key, uninterrupted);
  const isOurs = record?.owner && ownerText(record.owner) === ownerText(attempt.owner);
  return record && isOurs && record.sandboxId === sandboxId && record.attempt === 1 ? { attempt, record } : null;
}

/** Each call has a bound of its own. */
const uninterrupted: AbortSignal = new AbortController().signal;
