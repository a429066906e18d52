import type { Attempt } from "../model/attempt.ts";
import { bytesPerMb } from "../model/limits.ts";
import type { Task } from "../model/task.ts";
import type { AttemptJournal, Succession } from "../ports/attempt-journal.ts";
import type { OfferedSandbox, ResumePoint, Sandbox, SandboxCommand, SandboxSpec } from "../ports/sandbox.ts";
import type { Tool, ToolCommand } from "../tools/tool.ts";
import type { Asking } from "./collect.ts";
import { refuseLargeCommand } from "./command-size.ts";
import type { Parts, Policy } from "./parts.ts";
import { allowedSpec, collectCaps, commandFor, putInputs, specFor } from "./prepare.ts";
import type { Launch } from "./run.ts";
import type { TaskSecrets } from "./task-secrets.ts";
import { type WayOut, wayOut } from "./way-out.ts";
import { ours } from "./worker-lost.ts";

/** What the running part of an attempt stands on. Dispose removes the sandbox, then the journal. */
export interface Ground extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly journal: AttemptJournal;
  readonly launch: Launch;
  readonly image: { readonly name: string; readonly id: string };
  readonly runtime: string;
  /** Whether the sandbox stood ready before the task asked for it. */
  readonly warm: boolean;
  /** How what the task left is asked for. */
  readonly asking: Omit<Asking, "rest">;
}

/** What an attempt that began with its task was begun with. Dispose removes the sandbox, then the journal. */
export interface Standing extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly journal: AttemptJournal;
  readonly spec: SandboxSpec;
  readonly deadlineAt: number;
  /** Null: its sandbox knows nothing of the task. */
  readonly told: ToldAhead | null;
  /** The number of the frame that started the task already; null: none has. */
  readonly started: Promise<number> | null;
}

/** What a sandbox was told of its task before anybody knew whether it begins. */
export interface ToldAhead {
  readonly command: SandboxCommand;
  /** The number of the frame that asked for what the task leaves; null: none did. */
  readonly collecting: number | null;
}

/** By when the sandbox of a task that is about to start has ended it, Unix milliseconds. */
export const deadlineOf = ({ limits }: Task, { clock, policy }: Pick<Parts, "clock" | "policy">): number =>
  clock.now() + limits.timeout_seconds * 1000 + policy.graceMs;

/** Of a sandbox whose task has not been given its command. */
export const unstarted = (
  point: ResumePoint,
  { image, runtime }: SandboxSpec,
  rest: Pick<Succession, "maker" | "warm" | "deadlineAt" | "leasedAt">,
): Succession => ({
  ...{ ...point, ...rest, image: { name: image.name, id: image.id }, runtime },
  ...{ deaths: 0, started: null },
});

/**
 * Tells a sandbox what its task will be, as {@link Standing} wants it, for a task that may not come to be. Null where only the attempt itself
 * can know that.
 * @throws ExecutorError validation | policy_denied, as the attempt itself would.
 */
export function toldAhead(
  parts: Parts,
  { attempt, task }: { readonly attempt: Attempt; readonly task: Task },
  { image }: SandboxSpec,
  ahead: OfferedSandbox["ahead"],
): ToldAhead | null {
  const toolCommand = parts.catalog.find(task.tool_name).command(task);
  if ((task.secrets ?? []).length > 0 || !isToldAhead(parts, task, toolCommand)) return null;
  using out = wayOut(parts, { attempt, task }, toolCommand.calls ?? [], null);
  const command = commandFor(task, toolCommand, image, parts.policy, { hasStdin: false, out });
  refuseLargeCommand(command);
  return tell(ahead(), command, task, parts.policy);
}

/** Files go before it, and a span is known when the task starts only. */
const isToldAhead = ({ tracing }: Parts, { files }: Task, toolCommand: ToolCommand): boolean =>
  files.length + toolCommand.files.length === 0 && !tracing.isOn;

function tell(
  sandbox: Pick<Sandbox, "arm" | "collect" | "collectsEarly">,
  command: SandboxCommand,
  task: Task,
  policy: Policy,
): ToldAhead {
  let collecting: number | null = null;
  const onNumber = (seq: number): void => {
    collecting = seq;
  };
  sandbox.arm(command);
  // Then it need not be waited for from the task's end on.
  if (sandbox.collectsEarly) sandbox.collect(collectCaps(task, policy), onNumber);
  return { command, collecting };
}

/** A sandbox with the task's files in it, noted in the store, new where none stands; its task has not been given its command. */
export async function freshGround(
  parts: Parts,
  { attempt, task, standing }: { readonly attempt: Attempt; readonly task: Task; readonly standing: Standing | null },
  tool: Tool,
  toolCommand: ToolCommand,
  given: {
    readonly leasedAt: number;
    readonly hasStdin: boolean;
    readonly out: WayOut;
    readonly secrets: TaskSecrets | null;
  },
  cancel: AbortSignal,
): Promise<Ground> {
  const { objects, policy, clock } = parts;
  const spec =
    standing?.spec ??
    (await specFor(task, allowedSpec(task, tool, toolCommand, parts.images, policy), parts.images, cancel));
  const command = standing?.told?.command ?? commandOf(task, toolCommand, spec, policy, given);

  await using stack = new AsyncDisposableStack();
  const wanted = { spec, command, isToldAhead: isToldAhead(parts, task, toolCommand) };
  const { sandbox, journal, deadlineAt, told, started } = stack.use(
    standing ?? (await setUp(parts, attempt, task, wanted, given.leasedAt, cancel)),
  );
  const { image, runtime } = spec;
  const rest = { maker: attempt.owner, warm: sandbox.warm, deadlineAt, leasedAt: given.leasedAt };
  let noted: Pick<Succession, "started" | "collecting"> = { started: null, ...collectingOf(told) };
  const note = (more: Partial<typeof noted>): void => {
    noted = { ...noted, ...more };
    journal.note({ ...unstarted(sandbox.resumePoint(), spec, rest), ...noted });
  };
  const onStarted = (seq: number): void => note({ started: { seq, at: clock.now() } });
  const onNumber = (seq: number): void => note({ collecting: seq });
  if (told === null) {
    await putInputs(sandbox, task, toolCommand, objects, cancel);
    if (sandbox.collectsEarly) sandbox.collect(collectCaps(task, policy), onNumber);
  }
  const held = stack.move();
  return {
    ...{ sandbox, journal, image, runtime, warm: sandbox.warm },
    launch: { kind: "start", command, onStarted, started },
    asking: { isAsked: sandbox.collectsEarly, onNumber },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** Of what was told ahead, for the note of where a sandbox stands. */
export const collectingOf = (told: ToldAhead | null): Pick<Succession, "collecting"> =>
  told === null || told.collecting === null ? {} : { collecting: told.collecting };

function commandOf(
  task: Task,
  toolCommand: ToolCommand,
  { image }: SandboxSpec,
  policy: Policy,
  given: { readonly hasStdin: boolean; readonly out: WayOut; readonly secrets: TaskSecrets | null },
): SandboxCommand {
  const open = commandFor(task, toolCommand, image, policy, given);
  const command = given.secrets === null ? open : { ...open, secrets: given.secrets.given };
  refuseLargeCommand(command);
  return command;
}

async function setUp(
  parts: Parts,
  attempt: Attempt,
  task: Task,
  wanted: { readonly spec: SandboxSpec; readonly command: SandboxCommand; readonly isToldAhead: boolean },
  leasedAt: number,
  cancel: AbortSignal,
): Promise<Standing> {
  const { spec } = wanted;
  await ours(parts.store.starting(attempt, cancel));
  await using stack = new AsyncDisposableStack();
  const journal = stack.use(await parts.openJournal(attempt, task.limits.log_mb * bytesPerMb));
  const sandbox = stack.use(await parts.sandboxes.create(spec, cancel));
  const deadlineAt = deadlineOf(task, parts);
  const told = wanted.isToldAhead ? tell(sandbox, wanted.command, task, parts.policy) : null;
  // Before the row says that it runs: who finds the row finds this.
  const rest = { maker: attempt.owner, warm: sandbox.warm, deadlineAt, leasedAt };
  journal.note({ ...unstarted(sandbox.resumePoint(), spec, rest), ...collectingOf(told) });
  await ours(parts.store.running(attempt, sandbox.id, deadlineAt, cancel));
  const held = stack.move();
  return { sandbox, journal, spec, deadlineAt, told, started: null, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
