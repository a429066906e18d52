import { expect } from "vitest";
import type { Reason } from "../../src/model/failure.ts";
import type { Limits } from "../../src/model/limits.ts";
import type { Result } from "../../src/model/result.ts";
import type { Ground, Ran, Request } from "./ground.ts";

/** One hostile input and what must come of it. What must hold after every case stands in invariants.ts. */
export interface HostileCase {
  /** Of the row; several cases may share one. */
  readonly id: string;
  readonly name: string;
  /** Over in less than a second: the neighbour starts with it, not a second later. */
  readonly isBrief: boolean;
  /** The neighbour may take so many times its idle time; 3 unless the row says otherwise. */
  readonly neighbourFactor: number;
  /** How many concrete inputs it tries: paths, calls, devices, … One that is not as it must be is named. */
  readonly inputs: number;
  /** All of it, the invariants too. */
  readonly boundMs: number;
  act(ground: Ground): Promise<void>;
}

export type Traits = Partial<Pick<HostileCase, "isBrief" | "neighbourFactor" | "inputs" | "boundMs">>;

/** `TOOLX_TEST_CASES=one_a_row`: the first case of each row, where another run has them all; crowds and floods in it are smaller. */
export const isCovering = process.env.TOOLX_TEST_CASES === "one_a_row";

/** A case that does more than run one task. */
export function hostile(
  id: string,
  name: string,
  act: (ground: Ground) => Promise<void>,
  { isBrief = false, neighbourFactor = 3, inputs = 1, boundMs = 120_000 }: Traits = {},
): HostileCase {
  return { id, name, isBrief, neighbourFactor, inputs, boundMs, act };
}

/** One task, and what is expected of its end. */
export function attack(
  id: string,
  name: string,
  request: Request,
  expected: (ran: Ran) => void | Promise<void>,
  traits: Traits = {},
): HostileCase {
  return hostile(id, name, async (ground) => expected(await ground.run(request)), traits);
}

export const brief: Traits = { isBrief: true };

export const shell = (command: string, limits: Partial<Limits> = {}): Request => ({
  tool_name: "shell",
  payload: { command },
  limits,
});

/** A program and its arguments, in any image, with no shell in between. */
export const program = (argv: readonly string[], limits: Partial<Limits> = {}, image = "shell"): Request => ({
  tool_name: "shell",
  payload: { argv },
  limits,
  image,
});

export const python = (code: string, limits: Partial<Limits> = {}): Request =>
  program(["python3", "-c", code], limits, "python");

/** @throws an assertion, with the end of stderr in it: a program that could not even try is no attack. */
export function expectReason(result: Result, ...allowed: readonly Reason[]): void {
  const { reason, exit_code, signal, error, output } = result;
  const met = `${reason} (exit ${exit_code}, signal ${signal}; ${error?.message}); stderr: ${output.stderr.slice(-500)}`;
  expect(allowed, met).toContain(reason);
}

/** Where gVisor's own kernel answered; what differs there stands in docs/security.md#gvisor. */
export const isGvisor = ({ sandbox }: Result): boolean => sandbox?.runtime === "runsc";

/** What the container existed for beside the task's own time, ms. */
export function cleanupMs({ metrics }: Result): number {
  const { duration_ms, queue_ms, start_ms, run_ms } = metrics;
  return (duration_ms ?? Number.NaN) - (queue_ms ?? 0) - (start_ms ?? 0) - (run_ms ?? 0);
}
