import assert from "node:assert/strict";
import { cleanExit } from "../model/exit.ts";
import type { Reason } from "../model/failure.ts";
import type { Limits } from "../model/limits.ts";
import type { JsonValue } from "../model/task.ts";
import type { Tool } from "../tools/tool.ts";
import type { ContractCase } from "./contract.ts";
import { type KitRequest, kitRun } from "./kit-run.ts";

/**
 * How the tool ends when it goes wrong. Its command is exchanged for one that does go wrong (`sh`, `sleep` and `tail` must be in
 * the image); image, runtime, files, environment and schemas are the tool's.
 */
export function limitCases(tool: Tool, request: KitRequest): readonly ContractCase[] {
  const misfit = misfitFor(tool);
  return [
    ending(tool, request, "ends as timeout at its time limit", "timeout", ["sleep", "600"], { timeout_seconds: 1 }),
    ending(tool, request, "ends as oom at its memory limit", "oom", ["tail", "/dev/zero"], { memory_mb: 32 }),
    ending(tool, request, "ends as nonzero_exit by its own exit code", "nonzero_exit", ["sh", "-c", "exit 3"], {}),
    leaving(tool, request, "a value that is no JSON", "{"),
    ...(misfit === null ? [] : [leaving(tool, request, "a value that does not fit", misfit)]),
  ];
}

function ending(
  tool: Tool,
  request: KitRequest,
  what: string,
  reason: Reason,
  argv: readonly string[],
  limits: Partial<Limits>,
): ContractCase {
  return {
    name: `${tool.name}: ${what}`,
    async check() {
      const asked = { ...request, limits: { ...request.limits, ...limits } };
      const result = await kitRun(withCommand(tool, argv), asked);
      assert.deepEqual([result.status, result.reason, result.error?.code], ["failed", reason, reason]);
    },
  };
}

const leaving = (tool: Tool, request: KitRequest, what: string, resultJson: string): ContractCase =>
  ending(
    tool,
    request,
    `ends as result_invalid with ${what}`,
    "result_invalid",
    ["sh", "-c", 'printf %s "$1" > /output/result.json', "sh", resultJson],
    {},
  );

const withCommand = (tool: Tool, argv: readonly string[]): Tool => ({
  ...tool,
  command: (task) => ({ ...tool.command(task), argv }),
});

/** Some JSON that the output schema refuses; null when it takes anything. */
function misfitFor(tool: Tool): string | null {
  const candidates: readonly JsonValue[] = [null, 0, "", [], {}, true, { unknown_field: 1 }, [[]], -0.5];
  for (const candidate of candidates) {
    const text = JSON.stringify(candidate);
    try {
      tool.value(cleanExit, Buffer.from(text));
    } catch {
      return text;
    }
  }
  return null;
}
