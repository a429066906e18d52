import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/app/config.ts";
import { openTransport } from "../../src/app/transport-service.ts";
import { checkout } from "../support/cli.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { testHouse } from "../support/house.ts";
import { kafkaPython } from "../support/kafka-python.ts";
import { serviceUnderTest } from "../support/service-under-test.ts";
import { startKafka } from "../support/services.ts";

const run = promisify(execFile);
const broker = forThisFile(() => startKafka());

/** A service with every name as it is by default, since the examples name them. */
const service = forThisFile(async () => {
  await using stack = new AsyncDisposableStack();
  const house = stack.use(await testHouse());
  const config = loadConfig(checkout, { TOOL_EXECUTOR_DATA: house.config.dataDir, KAFKA_BROKERS: broker().broker });
  const transport = openTransport(config, () => undefined);
  if (transport === null) throw new Error("no transport is configured");
  stack.use(serviceUnderTest(house, transport));
  const held = stack.move();
  return { [Symbol.asyncDispose]: () => held.disposeAsync() };
});

const packages = forThisFile(kafkaPython);

const printed = async (program: string, file: string, env: NodeJS.ProcessEnv = {}): Promise<unknown> => {
  const { stdout } = await run(program, [join(checkout, "examples/kafka", file)], {
    env: { ...process.env, ...env, KAFKA_BROKERS: broker().broker },
    timeout: 60_000,
  });
  return JSON.parse(stdout);
};

test("the TypeScript example runs a call as it is written", async () => {
  service();
  expect(await printed(join(checkout, "node_modules/.bin/node"), "call.ts")).toMatchObject({
    reason: "ok",
    output: { stdout: "42\n" },
  });
});

test("so does the one in Python", async () => {
  service();
  expect(await printed("python3", "call.py", { PYTHONPATH: packages().folder })).toMatchObject({
    reason: "ok",
    output: { stdout: "42\n" },
  });
});

test.each(["call.ts", "call.py"])("%s has no more than 20 lines", async (file) => {
  const text = await readFile(join(checkout, "examples/kafka", file), "utf8");
  expect(text.trim().split("\n").length).toBeLessThanOrEqual(20);
});
