import type { Attempt } from "../model/attempt.ts";
import { bytesPerMb } from "../model/limits.ts";
import type { Task } from "../model/task.ts";
import type { AttemptJournal, Succession } from "../ports/attempt-journal.ts";
import type { ResumePoint, Sandbox, SandboxSpec } from "../ports/sandbox.ts";
import type { Tool, ToolCommand } from "../tools/tool.ts";
import type { Asking } from "./collect.ts";
import { refuseLargeCommand } from "./command-size.ts";
import type { Parts } from "./parts.ts";
import { allowedSpec, collectCaps, commandFor, putInputs, specFor } from "./prepare.ts";
import type { Launch } from "./run.ts";
import type { TaskSecrets } from "./task-secrets.ts";
import type { WayOut } from "./way-out.ts";
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
  const allowed = allowedSpec(task, tool, toolCommand, parts.images, policy);
  const spec = standing?.spec ?? (await specFor(task, allowed, parts.images, cancel));
  const openCommand = commandFor(task, toolCommand, spec.image, policy, given);
  const command = given.secrets === null ? openCommand : { ...openCommand, secrets: given.secrets.given };
  refuseLargeCommand(command);

  await using stack = new AsyncDisposableStack();
  const { sandbox, journal, deadlineAt } = stack.use(
    standing ?? (await setUp(parts, attempt, task, spec, given.leasedAt, cancel)),
  );
  const { image, runtime } = spec;
  const rest = { maker: attempt.owner, warm: sandbox.warm, deadlineAt, leasedAt: given.leasedAt };
  let told: Pick<Succession, "started" | "collecting"> = { started: null };
  const tell = (more: Partial<typeof told>): void => {
    told = { ...told, ...more };
    journal.note({ ...unstarted(sandbox.resumePoint(), spec, rest), ...told });
  };
  await putInputs(sandbox, task, toolCommand, objects, cancel);
  const onStarted = (seq: number): void => tell({ started: { seq, at: clock.now() } });
  const onNumber = (seq: number): void => tell({ collecting: seq });
  // Then it need not be waited for from the task's end on.
  if (sandbox.collectsEarly) sandbox.collect(collectCaps(task, policy), onNumber);
  const held = stack.move();
  return {
    ...{ sandbox, journal, image, runtime, warm: sandbox.warm },
    launch: { kind: "start", command, onStarted },
    asking: { isAsked: sandbox.collectsEarly, onNumber },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

async function setUp(
  parts: Parts,
  attempt: Attempt,
  task: Task,
  spec: SandboxSpec,
  leasedAt: number,
  cancel: AbortSignal,
): Promise<Standing> {
  await ours(parts.store.starting(attempt, cancel));
  await using stack = new AsyncDisposableStack();
  const journal = stack.use(await parts.openJournal(attempt, task.limits.log_mb * bytesPerMb));
  const sandbox = stack.use(await parts.sandboxes.create(spec, cancel));
  const deadlineAt = deadlineOf(task, parts);
  // Before the row says that it runs: who finds the row finds this.
  journal.note(
    unstarted(sandbox.resumePoint(), spec, { maker: attempt.owner, warm: sandbox.warm, deadlineAt, leasedAt }),
  );
  await ours(parts.store.running(attempt, sandbox.id, deadlineAt, cancel));
  const held = stack.move();
  return { sandbox, journal, spec, deadlineAt, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
