import type { Attempt } from "../model/attempt.ts";
import { bytesPerMb } from "../model/limits.ts";
import type { RedactionPoint } from "../model/redaction-point.ts";
import { type Task, taskKey } from "../model/task.ts";
import type { AttemptJournal, Succession } from "../ports/attempt-journal.ts";
import type { Resumed, Sandbox } from "../ports/sandbox.ts";
import type { Holder, TaskRecord } from "../ports/task-store.ts";
import type { Ground } from "./ground.ts";
import type { Parts } from "./parts.ts";
import { isKnown } from "./redacted-output.ts";
import { secretsHandedBack, type TaskSecrets } from "./task-secrets.ts";

/** An attempt of a dead executor that is ours now, with its sandbox still at it. */
export interface TakenOver extends Ground {
  readonly attempt: Attempt;
  readonly record: TaskRecord;
  readonly succession: Succession;
  readonly resumed: Resumed;
  readonly secrets: TaskSecrets | null;
  readonly redactionPoint: RedactionPoint | null;
  /** Lets go of all of it for somebody else, instead of dispose. */
  leave(): Promise<void>;
}

export type TakeOver =
  | { readonly kind: "taken"; readonly taken: TakenOver }
  /** Another process was first. */
  | { readonly kind: "another" }
  /** Nobody can go on with it; `holder` has it in the store. */
  | { readonly kind: "lost"; readonly holder: Holder; readonly wasStarted: boolean; readonly deaths: number };

/**
 * Takes over the attempt of an executor of this host that is known to be dead: its folder, its row (attempt kept), its sandbox, in this
 * order, so that whoever looks meanwhile finds a living holder. Only an attempt whose task runs, or has ended and left little enough that the
 * sandbox has all of it still, can be gone on with, and none for ever: it may be what its executors die of.
 */
export async function takeOver(parts: Parts, record: TaskRecord, signal: AbortSignal): Promise<TakeOver> {
  const { store, liveness, policy } = parts;
  const { task, owner, attempt: number } = record;
  const key = taskKey(task);
  const before: Holder = { attempt: number, owner };
  const gone: TakeOver = { kind: "lost", holder: before, wasStarted: true, deaths: 1 };
  if (owner === null || (record.state !== "RUNNING" && record.state !== "COLLECTING")) return gone;
  await using stack = new AsyncDisposableStack();
  const mine = { key, number, owner: liveness.self };
  const found = await parts.reopenJournal(mine, record.sandboxId ?? "", task.limits.log_mb * bytesPerMb);
  if (found === null) return gone;
  const { journal, succession } = found;
  const { deaths } = succession;
  stack.use(journal);
  if (record.strikes + deaths >= policy.maxStrikes) return { ...gone, deaths };
  const attempt = await store.adopt({ key, number, owner }, liveness.self, policy.leaseMs, signal);
  if (attempt === null) {
    journal.leave(false);
    return { kind: "another" };
  }
  journal.note(succession);
  const lost: TakeOver = { kind: "lost", holder: { attempt: number, owner: liveness.self }, wasStarted: true, deaths };
  const sandbox = await attached(parts, succession, signal);
  if (sandbox === null) return lost;
  stack.use(sandbox);
  const { resumed } = sandbox;
  if (resumed === null || (resumed.state === "ended" && !wasAsked(succession, resumed))) return lost;
  if (resumed.state === "idle") return { ...lost, wasStarted: false };
  // Nobody knows where its input stands.
  if (task.stdin !== null && succession.started === null) return lost;
  const redactionPoint = journal.redactionPoint();
  // Nor what this is the beginning of.
  if (!isKnown(redactionPoint)) return lost;
  const secrets = handedBack(parts, task, resumed);
  if (secrets === "lost") return lost;
  stack.use(await liveness.standInFor(succession.maker));
  const held = stack.move();
  const things = { attempt, record, journal, succession, resumed, sandbox, secrets, redactionPoint };
  return { kind: "taken", taken: takenOver(parts, things, held) };
}

/** Whether the sandbox was asked for what its task left; then all of that comes again. */
const wasAsked = ({ collecting }: Succession, { lastInSeq }: Resumed): boolean =>
  collecting !== undefined && collecting <= lastInSeq;

function handedBack(parts: Parts, task: Task, { secrets }: Resumed): TaskSecrets | null | "lost" {
  try {
    return secretsHandedBack(task, secrets);
  } catch (error) {
    parts.log.note("warn", "adopt.failed", { message: error instanceof Error ? error.message : String(error) });
    return "lost";
  }
}

async function attached(parts: Parts, succession: Succession, signal: AbortSignal): Promise<Sandbox | null> {
  try {
    return await parts.sandboxes.attach(succession, signal);
  } catch (error) {
    signal.throwIfAborted();
    parts.log.note("warn", "adopt.failed", { message: error instanceof Error ? error.message : String(error) });
    return null;
  }
}

function takenOver(
  parts: Parts,
  held: Omit<TakenOver, keyof Ground | "leave"> & Pick<Ground, "sandbox" | "journal">,
  stack: AsyncDisposableStack,
): TakenOver {
  const { succession, journal, sandbox, resumed } = held;
  const leftMs = Math.max(0, succession.deadlineAt - parts.clock.now());
  return {
    ...held,
    image: succession.image,
    runtime: succession.runtime,
    warm: succession.warm ?? false,
    launch: { kind: "go_on", leftMs, graceMs: parts.policy.graceMs, startedAt: succession.started?.at ?? null },
    asking: {
      isAsked: wasAsked(succession, resumed),
      onNumber: (seq) => journal.note({ ...succession, collecting: seq }),
    },
    async leave() {
      journal.leave(true);
      await sandbox.detach();
      await stack.disposeAsync();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** What of the task's standard input the sandbox does not have yet, and null where it has its end too. */
export function restOfStdin(text: string | null, { succession, resumed }: Pick<TakenOver, "succession" | "resumed">) {
  if (text === null || succession.started === null) return null;
  const bytes = Buffer.from(text);
  const pieces = resumed.lastInSeq - succession.started.seq;
  // The end is a piece of its own.
  if (pieces > Math.ceil(bytes.length / resumed.stdinPieceBytes)) return null;
  return bytes.subarray(pieces * resumed.stdinPieceBytes);
}

/** What the journal kept, put where the result's text comes from. */
export function replay(journal: AttemptJournal, outputs: Readonly<Record<"stdout" | "stderr", Replayed>>): void {
  for (const entry of journal.entries())
    if (entry.kind === "output") outputs[entry.stream].add(entry.bytes);
    else for (const stream of ["stdout", "stderr"] as const) outputs[stream].skip(0);
}

interface Replayed {
  add(bytes: Buffer): void;
  skip(bytes: number): void;
}
