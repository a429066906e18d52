import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Config, loadConfig } from "../../src/app/config.ts";
import { type House, openHouse } from "../../src/app/house.ts";

/** A whole house on folders of its own, which are gone after dispose. */
export interface TestHouse extends House {
  readonly config: Config;
}

const programDir = resolve(import.meta.dirname, "../..");

/** The runtime that whole suites are run under: `TOOLX_TEST_RUNTIME=runsc npm run test:security`. */
export const testRuntime = process.env.TOOLX_TEST_RUNTIME || "runc";

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
    ...settings,
  });
  const house = stack.use(await openHouse(config));
  const held = stack.move();
  return { ...house, config, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
