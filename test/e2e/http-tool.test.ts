import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Cli, checkout, openCli } from "../support/cli.ts";
import { documentedCommands } from "../support/documented-commands.ts";
import { type EgressHosts, egressGround } from "../support/egress-hosts.ts";

const png = Buffer.from("89504e470d0a1a0a", "hex");

const server = createServer((request, response) => {
  switch (request.url) {
    case "/json":
      return void response.writeHead(200, { "Content-Type": "application/json" }).end('{"items": [1, 2]}');
    case "/png":
      return void response.writeHead(200, { "Content-Type": "image/png" }).end(png);
    case "/away":
      return void response.writeHead(302, { Location: "http://denied.test/" }).end();
    case "/there":
      // Read first: who answers and closes in the middle of a request may lose the answer.
      return void request.resume().once("end", () => response.writeHead(307, { Location: "/echo" }).end());
    case "/echo":
      return void request.pipe(response);
  }
  response.writeHead(404).end("no such thing");
});

let toolx: Cli;
let hosts: EgressHosts;
let at: string;

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  at = `http://allowed.test:${port}`;
  hosts = await egressGround(port);
  toolx = await openCli();
});
afterEach(async () => {
  expect(await toolx.leftovers()).toEqual([]);
});
afterAll(async () => {
  await toolx?.[Symbol.asyncDispose]();
  await hosts?.[Symbol.asyncDispose]();
  server.close();
});

const call = (payload: object, ...flags: readonly string[]) =>
  toolx.result(["run", "http", ...flags, "--payload", JSON.stringify(payload)], { env: hosts.env });

test("an answer is the task's value, an error's status too", async () => {
  expect(await call({ url: `${at}/json` }, "--allow", at)).toMatchObject({
    ...{ status: "success", reason: "ok" },
    output: { value: { status: 200, url: `${at}/json`, body_as: "json", body: { items: [1, 2] } }, stderr: "" },
  });
  const missing = await call({ url: `${at}/missing` }, "--allow", at);
  expect(missing).toMatchObject({ reason: "ok", output: { value: { status: 404, body: "no such thing" } } });
});

test("a URL alone is a GET", async () => {
  const result = await toolx.result(["run", "http", "--allow", at, `${at}/json`], { env: hosts.env });
  expect(result.output.value).toMatchObject({ status: 200, body: { items: [1, 2] } });
});

test("a body is sent, and sent again to where a redirect leads", async () => {
  const body = "ü".repeat(50_000);
  const { output } = await call({ url: `${at}/there`, body }, "--allow", at);
  expect(output.value, output.stderr).toMatchObject({
    body_as: "artifact",
    body_bytes: 100_000,
    redirects: [{ status: 307 }],
  });
});

test("a binary body is an artifact", async () => {
  const { task_id, output } = await call({ url: `${at}/png` }, "--allow", at);
  expect(output.value).toMatchObject({ body_as: "artifact", body_artifact: "body.png", body: null });
  expect(output.artifacts).toContainEqual(expect.objectContaining({ path: "body.png", mime: "image/png" }));
  await toolx.run(["artifacts", "pull", task_id ?? "", "--out", "pulled"]);
  expect((await readFile(join(toolx.workDir, "pulled", "body.png"))).equals(png)).toBe(true);
});

test("F9 a redirect to a host that is not allowed ends the task, in words", async () => {
  expect(await call({ url: `${at}/away` }, "--allow", at)).toMatchObject({
    ...{ status: "failed", reason: "nonzero_exit", exit_code: 1 },
    output: {
      ...{ value: null, artifacts: [] },
      stderr: `http: redirected by ${at.slice(7)}: denied denied.test:80: add it to network.allow: "denied.test:80"\n`,
    },
  });
});

test("without network.allow it is told what to add", async () => {
  const { reason, output } = await call({ url: `${at}/json` });
  expect(reason).toBe("nonzero_exit");
  expect(output.stderr).toBe(
    `http: denied ${at.slice(7)}: this task has no network: add it to network.allow: "${at}"\n`,
  );
});

test("the example makes a chat of documents, as docs/tools.md says", async () => {
  const [, hydrate = ""] = await documentedCommands("docs/tools.md", "Hydrate a chat context");
  const env = { ...toolx.env, ...hosts.env, FIRST: `${at}/json`, SECOND: `${at}/away` };
  // As a reader has it, but for where it leaves its file.
  const commands = hydrate.replaceAll("messages.json", join(toolx.workDir, "messages.json"));
  // Not at once: the hosts that it asks are in this process.
  const { stdout } = await promisify(execFile)("sh", ["-ec", commands], { cwd: checkout, env });
  expect(stdout).toMatch(/^system: \d+ .*\nuser: \d+ .*\n$/);
  const messages = JSON.parse(await readFile(join(toolx.workDir, "messages.json"), "utf8")) as { content: string }[];
  expect(messages[1]?.content).toContain('{\\"items\\":[1,2]}');
  expect(messages[1]?.content).toContain("could not be fetched: http: redirected by");
});
