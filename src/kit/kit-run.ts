import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { dockerInventory } from "../adapters/docker/inventory.ts";
import { loadConfig } from "../app/config.ts";
import { type House, openHouse } from "../app/house.ts";
import { submit } from "../executor/submit.ts";
import { ExecutorError } from "../model/failure.ts";
import type { Limits } from "../model/limits.ts";
import { ownerText } from "../model/owner.ts";
import type { Result } from "../model/result.ts";
import type { JsonObject } from "../model/task.ts";
import { encodeResult } from "../schema/encode-result.ts";
import { resultSchema } from "../schema/result-schema.ts";
import { validator } from "../schema/validator.ts";
import { toolCatalog } from "../tools/catalog.ts";
import type { Tool } from "../tools/tool.ts";

/** The parts of a request that a test of a tool is about; fields as on the wire. */
export interface KitRequest {
  readonly payload: JsonObject;
  readonly files?: readonly { readonly path: string; readonly content_base64: string; readonly executable?: boolean }[];
  readonly env?: Readonly<Record<string, string>>;
  readonly limits?: Partial<Limits>;
  readonly stdin?: string;
}

/** The checkout this file is in. */
export const programDir = resolve(import.meta.dirname, "../..");

/**
 * One call of a tool on the real line: the request goes in as bytes, the result comes out as bytes and fits the result schema.
 * @throws AssertionError for a bad envelope, and for whatever is left behind: a container, a scratch folder.
 */
export async function kitRun(tool: Tool, request: KitRequest): Promise<Result> {
  await using bench = await openBench(tool);
  const result = await bench.run(request);
  await bench.assertNothingLeft();
  return result;
}

/** The refusal of a call that must be refused before anything is stored. @throws AssertionError when it is taken. */
export async function refusalOf(tool: Tool, request: KitRequest): Promise<ExecutorError> {
  await using bench = await openBench(tool);
  const refusal = await bench.run(request).then(
    ({ reason }) => assert.fail(`it was taken, and ended as ${reason}`),
    (error: unknown) => error,
  );
  if (!(refusal instanceof ExecutorError)) throw refusal;
  assert.deepEqual(await bench.house.parts.store.list({ limit: 1 }, never()), [], "a refused task must not be stored");
  await bench.assertNothingLeft();
  return refusal;
}

interface Bench extends AsyncDisposable {
  readonly house: House;
  run(request: KitRequest): Promise<Result>;
  assertNothingLeft(): Promise<void>;
}

/** A house with one tool in it, on folders of its own that are gone after dispose. */
async function openBench(tool: Tool): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const base = await mkdtemp(join(tmpdir(), "toolx-contract-"));
  stack.defer(() => rm(base, { recursive: true, force: true }));
  const sandboxRoot = join(base, "scratch");
  const config = { ...loadConfig(programDir), dataDir: join(base, "data"), sandboxRoot, toolSources: [] };
  const house = stack.use(await openHouse(config, toolCatalog([tool])));
  const inventory = dockerInventory(house.docker);
  const held = stack.move();
  return {
    house,
    async run(request) {
      const body = { task_id: `t-${randomBytes(5).toString("hex")}`, tool_name: tool.name, ...request };
      const task = house.parseTask(Buffer.from(JSON.stringify(body)));
      const following = { watcher: () => undefined, stdin: null };
      return envelope(await submit(house.parts, task, following, never()));
    },
    async assertNothingLeft() {
      const self = ownerText(house.parts.liveness.self);
      const owned = (await inventory.list(never())).filter(({ owner }) => owner !== null && ownerText(owner) === self);
      const folders = await readdir(sandboxRoot);
      assert.deepEqual([...owned.map(({ kind, id }) => `${kind} ${id}`), ...folders], [], "left behind");
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** The result as whoever asked for it reads it. */
function envelope(result: Result): Result {
  const read: unknown = JSON.parse(encodeResult(result).toString("utf8"));
  return validator<Result>(resultSchema, { subject: "result", at: "", code: "internal" })(read);
}

const never = (): AbortSignal => new AbortController().signal;
