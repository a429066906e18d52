import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Config, loadConfig } from "../../src/app/config.ts";
import { type House, openHouse } from "../../src/app/house.ts";
import { filledLimits } from "../../src/schema/task-parser.ts";
import { standingReady } from "./standing-ready.ts";

/** A whole house on folders of its own, which are gone after dispose. */
export interface TestHouse extends House {
  readonly config: Config;
}

const programDir = resolve(import.meta.dirname, "../..");

/** The runtime that whole suites are run under: `TOOLX_TEST_RUNTIME=runsc npm run test:security`. */
export const testRuntime = process.env.TOOLX_TEST_RUNTIME || "runc";

/** `TOOLX_TEST_SANDBOXES=warm`: whole suites in sandboxes that stood ready. */
export const testPool = process.env.TOOLX_TEST_SANDBOXES === "warm" ? "warm" : "cold";

/** Whole suites are run on another engine too: `npm run test:matrix`. */
const testEngine = process.env.DOCKER_HOST === undefined ? {} : { DOCKER_HOST: process.env.DOCKER_HOST };

/** What whole suites are said to run on they must run on. A test that has an engine of its own is told so by its settings. */
async function requireEngine({ docker }: House, settings: Readonly<Record<string, string>>): Promise<void> {
  const wanted = process.env.TOOLX_TEST_ENGINE_ID || null;
  if (wanted === null || settings.DOCKER_HOST !== undefined) return;
  const { ID } = await docker.info();
  if (ID !== wanted) throw new Error(`this is engine ${ID}, not ${wanted}`);
}

const partsOf = ({ parts }: House, config: Config): House["parts"] =>
  testPool === "warm" ? { ...parts, sandboxes: standingReady(parts.sandboxes, filledLimits({}, {}, config)) } : parts;

/** `settings`: as in the environment, beside the folders. Tasks run under {@link testRuntime} unless they name another. */
export async function testHouse(settings: Readonly<Record<string, string>> = {}): Promise<TestHouse> {
  await using stack = new AsyncDisposableStack();
  const base = await mkdtemp(join(tmpdir(), "toolx-house-"));
  stack.defer(() => rm(base, { recursive: true, force: true }));
  const config = loadConfig(programDir, {
    TOOL_EXECUTOR_DATA: join(base, "data"),
    SANDBOX_ROOT: join(base, "scratch"),
    TOOL_EXECUTOR_RUNTIME_DIR: join(base, "run"),
    TOOL_EXECUTOR_RUNTIMES: testRuntime === "runc" ? "runc,runsc" : `${testRuntime},runc`,
    ...testEngine,
    ...settings,
  });
  const house = stack.use(await openHouse(config));
  await requireEngine(house, settings);
  const held = stack.move();
  return { ...house, parts: partsOf(house, config), config, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
