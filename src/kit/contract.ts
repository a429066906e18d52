import assert from "node:assert/strict";
import { loadConfig } from "../app/config.ts";
import { toolPlaces } from "../app/custom-tools.ts";
import type { Result } from "../model/result.ts";
import type { JsonObject } from "../model/task.ts";
import { builtInTools, toolCatalog } from "../tools/catalog.ts";
import { toolsOf } from "../tools/custom/find-tools.ts";
import type { Tool } from "../tools/tool.ts";
import { examplesOf, isClosed } from "../tools/tool-problems.ts";
import { type KitRequest, kitRun, programDir, refusalOf } from "./kit-run.ts";
import { limitCases } from "./limit-cases.ts";

/** What a contract test knows beside what the tool says of itself. */
export interface ContractOptions {
  /** Calls that must succeed, beside the examples of the input schema. A bare `payload` is enough. */
  readonly calls?: readonly KitRequest[];
  /** Payloads that must be refused, beside those that follow from the input schema. */
  readonly refused?: readonly JsonObject[];
  /** Looks at the result of each call that succeeded; throws for what should not be. */
  readonly check?: (result: Result, request: KitRequest) => void | Promise<void>;
}

/** One test: its name, and what throws when the contract is not kept. */
export interface ContractCase {
  readonly name: string;
  check(): Promise<void>;
}

/**
 * The contract of the tools of a folder, module or package, as tests for any runner that takes a name and a function:
 *
 *     for (const { name, check } of await contractOf(import.meta.dirname)) test(name, check);
 *
 * Each runs on the real line, in sandboxes on the configured engine, with data and scratch folders of its own, and looks at the
 * end for what was left behind; so they run one after the other, not at once. Takes some seconds a tool.
 * @param source a path, or a package's name; relative paths are the process's.
 * @throws AssertionError when a tool is broken, with all that is wrong, or has nothing it could be called with.
 */
export async function contractOf(source: string, options: ContractOptions = {}): Promise<readonly ContractCase[]> {
  const config = loadConfig(programDir);
  const catalog = toolCatalog(builtInTools(), await toolsOf(source, toolPlaces(config)));
  const broken = catalog.broken().flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`));
  assert.deepEqual(broken, [], `tools of ${source} are broken`);
  const builtIn = new Set(builtInTools().map(({ name }) => name));
  return catalog
    .list()
    .filter(({ name }) => !builtIn.has(name))
    .flatMap((tool) => casesOf(tool, options));
}

function casesOf(tool: Tool, options: ContractOptions): readonly ContractCase[] {
  const examples = examplesOf(tool.inputSchema).map((payload): KitRequest => ({ payload: payload as JsonObject }));
  const calls = [...examples, ...(options.calls ?? [])];
  const [first] = calls;
  assert.ok(first, `tool ${tool.name}: give its input schema examples, or the contract test calls`);
  return [
    ...calls.map((request, index) => ({
      name: `${tool.name}: call ${index + 1} succeeds with a valid value`,
      async check() {
        const result = await kitRun(tool, request);
        assert.deepEqual([result.reason, result.error], ["ok", null], result.output.stderr);
        await options.check?.(result, request);
      },
    })),
    ...refusedPayloads(tool, first.payload, options.refused ?? []).map(({ what, payload }) => ({
      name: `${tool.name}: refuses ${what}`,
      async check() {
        const { code, details } = await refusalOf(tool, { payload });
        assert.equal(code, "validation");
        assert.ok(
          details.length > 0 && details.every(({ path }) => path.startsWith("/payload")),
          `the refusal must say where: ${JSON.stringify(details)}`,
        );
      },
    })),
    ...limitCases(tool, first),
  ];
}

interface RefusedPayload {
  readonly what: string;
  readonly payload: JsonObject;
}

/** What must be refused by the tool's own word: an unknown field, a missing one, one of no type that is ever allowed. */
function refusedPayloads(tool: Tool, good: JsonObject, more: readonly JsonObject[]): readonly RefusedPayload[] {
  const { inputSchema } = tool;
  const required = Array.isArray(inputSchema.required) ? inputSchema.required.map(String) : [];
  return [
    ...(isClosed(inputSchema) ? [{ what: "an unknown field", payload: { ...good, unknown_field: 1 } }] : []),
    ...required.map((name) => {
      const { [name]: _left, ...payload } = good;
      return { what: `a payload without ${name}`, payload };
    }),
    ...more.map((payload, index) => ({ what: `payload ${index + 1} of those it must`, payload })),
  ];
}
