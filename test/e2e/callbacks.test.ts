import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Cli, checkout } from "../support/cli.ts";
import { cliForEachTest } from "../support/cli-for-each-test.ts";
import { type Receiver, receiver } from "../support/receiver.ts";
import { type Server, shellCall, startServer, stopServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const secret = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
const nextSecret = `whsec_${Buffer.alloc(24, 10).toString("base64")}`;

let toolx: Cli;
cliForEachTest((cli) => {
  toolx = cli;
});

const settingsFor = (...receivers: readonly Pick<Receiver, "url">[]): Record<string, string> => ({
  TOOL_EXECUTOR_CALLBACK_HOSTS: receivers.map(({ url }) => `${url}=127.0.0.0/8`).join(","),
  TOOL_EXECUTOR_CALLBACK_SECRET: secret,
});

async function stopped(server: Server): Promise<void> {
  const { stderr } = await stopServer(server);
  expect(stderr).not.toContain(secret.slice("whsec_".length, 20));
}

const outcomes = async (server: Server, outcome: string): Promise<number> => {
  const text = (await server.ask("/metrics")).body.toString();
  return Number(
    new RegExp(`^tool_executor_callbacks_total\\{outcome="${outcome}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0,
  );
};

test("the example in Python takes what is signed, prints it, and refuses what is not; it has at most 20 lines", async () => {
  const path = join(checkout, "examples/callback/receive.py");
  expect((await readFile(path, "utf8")).trim().split("\n").length).toBeLessThanOrEqual(20);
  // A port that was free a moment ago.
  const port = await (async () => {
    await using there = await receiver();
    return there.port;
  })();
  const env = { ...process.env, CALLBACK_SECRET: secret, PORT: String(port) };
  const python = spawn("python3", [path], { env, stdio: ["ignore", "pipe", "ignore"] });
  let printed = "";
  python.stdout.on("data", (chunk) => {
    printed += chunk;
  });
  try {
    await until("it listens", () => answers(port), 20_000);
    const url = `http://localhost:${port}`;
    // The receiver has the old one still.
    const both = { TOOL_EXECUTOR_CALLBACK_SECRET: `${nextSecret} ${secret}` };
    const server = await startServer(toolx, { ...settingsFor({ url }), ...both });
    const result = await server.submit(shellCall("t-1", "echo hi", { callback_url: `${url}/done` }), "30s");
    await until("it is delivered", async () => (await outcomes(server, "delivered")) === 1, 10_000);
    await until("it is printed", () => printed.endsWith("\n"), 5000);
    expect(printed).toBe(`${result.body}\n`);

    const forged = { "webhook-id": "default/t-1", "webhook-timestamp": String(Math.floor(Date.now() / 1000)) };
    for (const signature of ["v1,", `v1,${Buffer.alloc(32).toString("base64")}`, undefined]) {
      const headers = { ...forged, ...(signature !== undefined && { "webhook-signature": signature }) };
      expect((await fetch(url, { method: "POST", headers, body: result.body.toString() })).status).toBe(401);
    }
    expect(printed).toBe(`${result.body}\n`);
    await stopped(server);
  } finally {
    python.kill("SIGKILL");
    await once(python, "close");
  }
});

test("a receiver that fails twice gets the same body a third time, and then never again", async () => {
  await using other = await receiver((response, count) => void response.writeHead(count < 3 ? 503 : 204).end());
  const server = await startServer(toolx, settingsFor(other));
  const call = shellCall("t-1", "echo again", { callback_url: `${other.url}/done` });
  const result = await server.submit(call, "30s");
  expect(JSON.parse(result.body.toString())).toMatchObject({ reason: "ok" });
  await until("it is delivered", async () => (await outcomes(server, "delivered")) === 1, 30_000);
  // The same request again is a duplicate: its answer is there, and nobody is called.
  expect((await server.submit(call)).body).toEqual(result.body);
  await server.submit(shellCall("t-2", "exit 3", { callback_url: `${other.url}/done` }), "30s");
  await until("the next is delivered", async () => (await outcomes(server, "delivered")) === 2, 10_000);
  expect(await outcomes(server, "failed")).toBe(2);
  const first = other.received.filter(({ headers }) => headers["webhook-id"] === "default/t-1");
  expect(first.map(({ body }) => body)).toEqual([result.body, result.body, result.body]);
  expect(other.received).toHaveLength(4);
  await stopped(server);
});

test("a host that no setting names is refused with what was allowed, and nothing is stored", async () => {
  await using other = await receiver();
  const call = shellCall("t-1", "true", { callback_url: `${other.url}/hunter2?token=hunter2` });
  let server = await startServer(toolx);
  const place = `callback_url leads to ${other.url}, where no callbacks may go`;
  const refused = await server.submit(call);
  expect([refused.status, JSON.parse(refused.body.toString())]).toMatchObject([
    403,
    { code: "policy_denied", detail: `${place}; allowed: none here`, details: [{ path: "/callback_url" }] },
  ]);
  expect((await server.ask("/v1/tasks/t-1")).status).toBe(404);
  await stopped(server);

  server = await startServer(toolx, {
    TOOL_EXECUTOR_CALLBACK_HOSTS: "hooks.example",
    TOOL_EXECUTOR_CALLBACK_SECRET: secret,
  });
  const other403 = JSON.parse((await server.submit(call)).body.toString());
  expect(other403).toMatchObject({ detail: `${place}; allowed: https://hooks.example:443` });
  expect(JSON.stringify(other403)).not.toContain("hunter2");
  await stopped(server);
  expect(other.received).toEqual([]);
});

test("a redirect is not followed, and after the last try there is a dead letter", async () => {
  await using elsewhere = await receiver();
  await using other = await receiver((response) => void response.writeHead(307, { location: elsewhere.url }).end());
  const server = await startServer(toolx, { ...settingsFor(other, elsewhere), TOOL_EXECUTOR_CALLBACK_TRIES: "2" });
  await server.submit(shellCall("t-1", "true", { callback_url: other.url }), "30s");
  await until("it is given up", async () => (await outcomes(server, "dead")) === 1, 15_000);
  expect([other.received.length, elsewhere.received.length]).toEqual([2, 0]);
  await stopped(server);
});

test("a server that is killed while it calls calls again at its next start, with the same body", async () => {
  await using other = await receiver((response, count) => {
    // The first is kept waiting.
    if (count > 1) response.writeHead(204).end();
  });
  const killed = await startServer(toolx, settingsFor(other));
  const result = await killed.submit(shellCall("t-1", "echo once", { callback_url: other.url }), "30s");
  await until("it is called", () => other.received.length === 1, 10_000);
  killed.process.child.kill("SIGKILL");
  await killed.process.ended();
  const server = await startServer(toolx, settingsFor(other));
  await until("it is called again", () => other.received.length === 2, 40_000);
  expect(other.received.map(({ body }) => body)).toEqual([result.body, result.body]);
  await until("it is delivered", async () => (await outcomes(server, "delivered")) === 1, 10_000);
  await stopped(server);
});

test("what ends while the server drains is told, too; a file may hold the secret and the next", async () => {
  await using other = await receiver();
  const file = join(toolx.workDir, "secret");
  await writeFile(file, `${secret}\n${nextSecret}\n`, { mode: 0o600 });
  const { TOOL_EXECUTOR_CALLBACK_SECRET: _secret, ...settings } = settingsFor(other);
  const server = await startServer(toolx, { ...settings, TOOL_EXECUTOR_CALLBACK_SECRET_FILE: file });
  await server.submit(shellCall("t-1", "echo ready; sleep 2", { callback_url: other.url }));
  await until("it runs", async () => (await server.ask("/v1/tasks/t-1/logs")).body.includes("ready"), 60_000);
  await stopped(server);
  expect(other.received).toHaveLength(1);
  expect(other.received[0]?.headers["webhook-signature"]).toMatch(/^v1,\S+ v1,\S+$/);
  expect(JSON.parse(other.received[0]?.body.toString() ?? "")).toMatchObject({ task_id: "t-1", reason: "ok" });
});

test.each<[string, Record<string, string>, string]>([
  [
    "hosts without a secret",
    { TOOL_EXECUTOR_CALLBACK_HOSTS: "hooks.example" },
    "TOOL_EXECUTOR_CALLBACK_HOSTS is set, but neither",
  ],
  [
    "a secret twice",
    { TOOL_EXECUTOR_CALLBACK_SECRET: secret, TOOL_EXECUTOR_CALLBACK_SECRET_FILE: "/x" },
    "are both set, must be one of them",
  ],
  ["a secret that is none", { TOOL_EXECUTOR_CALLBACK_SECRET: "hunter2" }, "TOOL_EXECUTOR_CALLBACK_SECRET in the"],
  [
    "a file that holds something else",
    { TOOL_EXECUTOR_CALLBACK_HOSTS: "hooks.example", TOOL_EXECUTOR_CALLBACK_SECRET_FILE: "/etc/hostname" },
    "must hold whsec_ and 24 to 64 random bytes in base64",
  ],
])("%s: the server does not start, and says why without the secret", async (_name, env, why) => {
  const { code, stderr } = await toolx.run(["serve"], { env: { ...env, TOOL_EXECUTOR_HTTP_LISTEN: "127.0.0.1:0" } });
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
  expect(stderr).not.toMatch(/hunter2|whsec_[A-Za-z0-9+/]{20}/);
});

function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}
