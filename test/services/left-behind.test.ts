import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LABEL_TESTCONTAINERS_SESSION_ID } from "testcontainers";
import { expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { checkout } from "../support/cli.ts";
import { never } from "../support/samples.ts";
import { serviceImage } from "../support/service-images.ts";
import { until } from "../support/until.ts";

const docker = testDocker();

test("of a test run that was killed nothing is left, its reaper neither", async () => {
  const program = `
    import { startRedis } from ${JSON.stringify(join(checkout, "test/support/services.ts"))};
    const redis = await startRedis();
    console.log(redis.container.getId());
    setInterval(() => {}, 1000);`;
  const run = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const first = await createInterface({ input: run.stdout })[Symbol.asyncIterator]().next();
  const { Config } = await docker.getContainer(String(first.value)).inspect();
  const session = `${LABEL_TESTCONTAINERS_SESSION_ID}=${Config.Labels[LABEL_TESTCONTAINERS_SESSION_ID]}`;
  const left = async (): Promise<number> =>
    (await docker.listContainers({ all: true, filters: { label: [session] } })).length;
  expect(await left()).toBe(2);
  run.kill("SIGKILL");
  await once(run, "close");
  await until("nothing of the killed run", async () => (await left()) === 0, 30_000);
});

test("a service whose image is not built is a failure that says how to build it", async () => {
  const elsewhere = {
    getImage: () => ({ inspect: () => Promise.reject(Object.assign(new Error(), { statusCode: 404 })) }),
  };
  await expect(serviceImage(elsewhere as unknown as typeof docker, "loki", never())).rejects.toMatchObject({
    code: "image",
    message: expect.stringContaining("the tests' service loki"),
    hint: "build it with: npm run services -- loki",
  });
});
