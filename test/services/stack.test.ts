import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { testDocker } from "../support/bare-container.ts";
import { checkout } from "../support/cli.ts";
import { documentedCommands } from "../support/documented-commands.ts";
import { forThisFile } from "../support/for-this-file.ts";
import { shellCall } from "../support/server.ts";
import { until } from "../support/until.ts";

const execute = promisify(execFile);
const node = join(checkout, "node_modules/.bin/node");

/** As `npm run up` starts it, on ports that nobody has; as `npm run down` takes it away, data and all. */
const stack = forThisFile(async () => {
  const [executorPort, kafkaPort] = await Promise.all([freePort(), freePort()]);
  const name = `stack-${randomBytes(4).toString("hex")}`;
  // Its executor is to be killed: other reapers on this engine take it for one of another host's, and leave what it ran.
  const folder = await mkdtemp(join(tmpdir(), "toolx-stack-"));
  const machineId = join(folder, "machine-id");
  await writeFile(machineId, randomBytes(16).toString("hex"));
  const env = {
    ...process.env,
    ...{ STACK_NAME: name, STACK_IMAGES: "built", MACHINE_ID_FILE: machineId, CI: "true" },
    ...{ EXECUTOR_PORT: String(executorPort), KAFKA_PORT: String(kafkaPort) },
  };
  const script = async (file: string, ...args: readonly string[]): Promise<string> => {
    const { stdout } = await execute(process.execPath, [join(checkout, "scripts", file), ...args], { env });
    return stdout;
  };
  const said = await script("up.mjs");
  const containerOf = async (service: string): Promise<string> => {
    const filters = { label: [`com.docker.compose.project=${name}`, `com.docker.compose.service=${service}`] };
    return (await testDocker().listContainers({ filters }))[0]?.Id ?? "";
  };
  return {
    said,
    url: `http://localhost:${executorPort}`,
    broker: `localhost:${kafkaPort}`,
    /** Runs in the container of a service; answers what it printed. */
    async inside(service: string, command: string): Promise<string> {
      return (await execute("docker", ["exec", await containerOf(service), "sh", "-c", command])).stdout;
    },
    /**
     * Ends the service's first process as a crash does, and waits until the engine has started it anew. The engine's stream of a command may
     * never end when its container dies with it: what counts is that it died.
     */
    async crash(service: string): Promise<void> {
      const id = await containerOf(service);
      const pidNow = async (): Promise<number> => (await testDocker().getContainer(id).inspect()).State.Pid;
      const pid = await pidNow();
      const kill = ["exec", "--detach", id, "sh", "-c", `kill -9 ${pid}`];
      await execute("docker", kill, { timeout: 10_000 }).catch(() => undefined);
      await until(`${service} is started anew`, async () => ![0, pid].includes(await pidNow()), 60_000);
    },
    async [Symbol.asyncDispose]() {
      await script("down.mjs", "--volumes");
      await rm(folder, { recursive: true });
      const filters = { label: [`com.docker.compose.project=${name}`] };
      expect(await testDocker().listContainers({ all: true, filters })).toEqual([]);
      expect((await testDocker().listVolumes({ filters })).Volumes ?? []).toEqual([]);
    },
  };
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test("npm run up: compose.yaml comes up from built images, serves the example, and an executor that dies in it loses nothing", async () => {
  const { said, url, broker, inside, crash } = stack();
  for (const place of [url, broker, "postgres:5432", "redis:6379", "minio:9000", "loki:3100"])
    expect(said).toContain(place);
  const example = [join(checkout, "examples/kafka/call.ts")];
  const { stdout } = await execute(node, example, { env: { ...process.env, KAFKA_BROKERS: broker }, timeout: 60_000 });
  expect(JSON.parse(stdout)).toMatchObject({ reason: "ok", output: { stdout: "42\n" } });
  expect((await fetch(`${url}/v1/tasks`)).status).toBe(401);

  const key = (await inside("executor", "cat /data/first-key")).trim();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const call = shellCall("t-killed", "echo ready; sleep 8; echo done; echo kept > /output/kept", { retry: "unsafe" });
  await fetch(`${url}/v1/tasks`, { method: "POST", headers, body: JSON.stringify(call) });
  const ask = (path: string): Promise<string> =>
    fetch(`${url}/v1/tasks/t-killed${path}`, { headers, signal: AbortSignal.timeout(20_000) })
      .then((answer) => answer.text())
      .catch(() => "");
  await until("it runs", async () => (await ask("/logs")).includes("ready"), 30_000);
  await crash("executor");
  const result = await until(
    "its result",
    async () => {
      const answer = await ask("?wait=10s");
      return answer.includes('"status"') ? JSON.parse(answer) : null;
    },
    60_000,
  );
  expect(result).toMatchObject({ reason: "ok", attempt: 1, output: { stdout: "ready\ndone\n" } });
  expect(await ask("/artifacts/kept")).toBe("kept\n");
});

test("the store is saved and brought back by the commands of docs/operations.md", async () => {
  const sql = "select task_id, state, reason, encode(result, 'hex') from tasks order by 1";
  const inDatabase = (commands: string): Promise<string> =>
    stack().inside(
      "postgres",
      `cd /tmp && export DATABASE_URL=postgres://postgres:$POSTGRES_PASSWORD@127.0.0.1/postgres && ${commands}`,
    );
  const rows = (): Promise<string> => inDatabase(`psql --tuples-only --command "${sql}" "$DATABASE_URL"`);
  const before = await rows();
  expect(before).toContain("t-killed");
  const [save = "", restore = ""] = await documentedCommands("docs/operations.md", "PostgreSQL");
  await inDatabase(save);
  await inDatabase('psql --quiet --command "truncate tasks cascade" "$DATABASE_URL"');
  expect(await rows()).not.toContain("t-killed");
  await inDatabase(restore);
  expect(await rows()).toBe(before);
});
