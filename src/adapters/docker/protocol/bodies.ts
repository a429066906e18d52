import type { CollectEnd, Exit } from "../../../model/exit.ts";
import type { GivenSecret } from "../../../model/secret.ts";
import type { JsonObject } from "../../../model/task.ts";
import type { CollectCaps, SandboxCommand, SandboxEvent, StartFailure } from "../../../ports/sandbox.ts";
import { type Frame, frameType } from "./frame.ts";
import { readSecrets, secretsOnWire } from "./secrets-on-wire.ts";

/** What `ready` tells after every attach. */
export interface Ready {
  readonly token: string;
  readonly state: "idle" | "running" | "exited" | "ended";
  readonly lastInSeq: number;
  readonly firstSeq: number;
  readonly secrets: readonly GivenSecret[];
  /** Whether it can carry connections; one of an older image cannot. */
  readonly channels: boolean;
  /** Whether it can start a program before the task is known. */
  readonly prepares: boolean;
  /** Whether it can be asked for what its task leaves before that has ended. */
  readonly collectsEarly: boolean;
  /** Whether it can be told its task ahead of `start`. */
  readonly arms: boolean;
  /** Whether it can run a program to its end before its task is known. */
  readonly rehearses: boolean;
  /** Whether the door that `hello` asked for is open. */
  readonly door: boolean;
}

/** The limits a task is started with, inside the cgroup's. */
export interface StartLimits {
  readonly nproc: number;
  readonly nofile: number;
  readonly fsizeBytes: number;
  readonly memoryBytes: number;
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** `door`: what the socket is to be called by which we would come in; null: none is wanted. */
export const helloBody = (lastSeq: number, door: string | null): Buffer =>
  json({ version: 1, last_seq: lastSeq, ...(door !== null && { door }) });

const limitsOnWire = (limits: StartLimits): object => ({
  nproc: limits.nproc,
  nofile: limits.nofile,
  fsize_bytes: limits.fsizeBytes,
  memory_bytes: limits.memoryBytes,
});

export const prepareBody = (
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  limits: StartLimits,
): Buffer => json({ argv, env, limits: limitsOnWire(limits) });

export const rehearseBody = (argv: readonly string[]): Buffer => json({ argv });

/** Whether the program that was asked for waits for its task. */
export const parsePrepared = (body: Buffer): boolean => parsed(body).ready === true;

/** `prepared`: the task is for the program that was started before. */
export const startBody = (command: SandboxCommand, limits: StartLimits, prepared: boolean): Buffer =>
  json({
    argv: command.argv,
    env: command.env,
    cwd: command.cwd,
    stdin: command.stdin,
    deadline_ms: command.deadlineMs,
    grace_ms: command.graceMs,
    user_name: "sandbox",
    limits: limitsOnWire(limits),
    secrets: secretsOnWire(command.secrets ?? []),
    listen: command.out?.listen ?? [],
    extra_ca: command.out?.extraCa ?? "",
    ...(prepared && { prepared }),
  });

/** The start of a task that it was told ahead. */
export const armedBody = (): Buffer => json({ armed: true });

export const signalBody = (signal: "SIGTERM" | "SIGKILL", graceMs: number): Buffer =>
  json({ signal, grace_ms: graceMs });

export const collectBody = (caps: CollectCaps): Buffer =>
  json({ max_bytes: caps.maxBytes, max_entries: caps.maxEntries, max_depth: caps.maxDepth });

export const closeBody = (error: string | null): Buffer => json({ error });

export function windowBody(bytes: number): Buffer {
  const body = Buffer.allocUnsafe(4);
  body.writeUInt32BE(bytes);
  return body;
}

/** What an `open` asks for; null for one that asks for nothing. */
export function parseOpen(body: Buffer): { readonly to: string; readonly window: number } | null {
  const value = parsed(body);
  const to = text(value.to);
  return to === "" || to.length > 300 ? null : { to, window: count(value.window) };
}

/** The ready frame's body, or null for one that is none of version 1. */
export function parseReady(body: Buffer): Ready | null {
  const value = parsed(body);
  const token = text(value.token);
  const state = text(value.state);
  if (value.version !== 1 || !/^[0-9a-f]{32}$/.test(token)) return null;
  if (state !== "idle" && state !== "running" && state !== "exited" && state !== "ended") return null;
  const secrets = readSecrets(value.secrets);
  // SAFETY: what cannot be read could not be redacted.
  if (secrets === null) return null;
  const [channels, prepares] = [value.channels === true, value.prepares === true];
  const [lastInSeq, firstSeq] = [count(value.last_in_seq), count(value.first_seq)];
  const [collectsEarly, arms, door] = [value.collects_early === true, value.arms === true, value.door === true];
  const rehearses = value.rehearses === true;
  return { token, state, lastInSeq, firstSeq, channels, prepares, collectsEarly, arms, rehearses, door, secrets };
}

/**
 * What a numbered frame means to the line.
 * The sandbox is believed about its own task only: every figure is checked for its kind, not for its truth.
 */
export function eventOf(frame: Frame): SandboxEvent {
  const { seq, timeUs, body } = frame;
  switch (frame.type) {
    case frameType.stdout:
      return { kind: "stdout", seq, timeUs, bytes: body };
    case frameType.stderr:
      return { kind: "stderr", seq, timeUs, bytes: body };
    case frameType.artifacts:
      return { kind: "artifacts", seq, timeUs, bytes: body };
    case frameType.started:
      return { kind: "started", seq, timeUs };
    case frameType.progress:
      return { kind: "progress", seq, timeUs, value: parsed(body) as JsonObject };
    case frameType.exit:
      return { kind: "exit", seq, timeUs, exit: exitOf(parsed(body)) };
    case frameType.failed:
      return { kind: "failed", seq, timeUs, failure: failureOf(parsed(body)) };
    case frameType.end:
      return { kind: "end", seq, timeUs, end: endOf(parsed(body)) };
  }
  return { kind: "unknown", seq, timeUs };
}

function exitOf(value: Record<string, unknown>): Exit {
  const cause = text(value.cause);
  return {
    code: figure(value.code),
    signal: typeof value.signal === "string" ? value.signal : null,
    cause: cause === "deadline" || cause === "signal" || cause === "memory" ? cause : "exited",
    runUs: count(value.run_us),
    cpuUs: figure(value.cpu_us),
    memoryPeakBytes: figure(value.memory_peak_bytes),
    oomKills: figure(value.oom_kills),
    pidsPeak: figure(value.pids_peak),
    pidsCapped: value.pids_capped === true,
    diskFull: strings(value.disk_full),
    stdoutBytes: count(value.stdout_bytes),
    stderrBytes: count(value.stderr_bytes),
    source: value.source === "cgroup" ? "cgroup" : "sampled",
  };
}

function failureOf(value: Record<string, unknown>): StartFailure {
  return {
    stage: value.stage === "input" ? "input" : "start",
    code: text(value.code),
    message: text(value.message),
  };
}

function endOf(value: Record<string, unknown>): CollectEnd {
  const skipped = Array.isArray(value.skipped) ? value.skipped : [];
  const { limit } = value;
  return {
    entries: count(value.entries),
    bytes: count(value.bytes),
    skipped: skipped
      .filter((one) => typeof one === "object" && one !== null)
      .map((one) => ({ path: text(one.path), why: text(one.why) })),
    skippedCount: count(value.skipped_count),
    limit: limit === "bytes" || limit === "entries" || limit === "depth" ? limit : null,
  };
}

/** A body as an object; anything else is an empty one, so that no frame can throw. */
function parsed(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const figure = (value: unknown): number | null =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
const count = (value: unknown): number => figure(value) ?? 0;
const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
