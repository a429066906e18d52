import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Dockerode from "dockerode";
import { afterEach, expect, test } from "vitest";
import { engineCall, statusOf } from "../../../../src/adapters/docker/engine-call.ts";
import { ExecutorError } from "../../../../src/model/failure.ts";

const never = new AbortController().signal;
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An engine that answers every request as told; `gone` resolves when a client lets go of one. */
async function fakeEngine(listener: RequestListener): Promise<{ docker: Dockerode; gone: Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "engine-"));
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    response.once("close", resolve);
    listener(request, response);
  });
  server.listen(join(folder, "s"));
  await once(server, "listening");
  closers.push(async () => {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  });
  return { docker: new Dockerode({ socketPath: join(folder, "s") }), gone };
}

const list = (docker: Dockerode, ms: number, signal: AbortSignal) =>
  engineCall("list containers", ms, (abortSignal) => docker.listContainers({ abortSignal }), signal);

test("an answer in time is the answer", async () => {
  const { docker } = await fakeEngine((_, response) => response.end("[]"));
  expect(await list(docker, 5000, never)).toEqual([]);
});

test("an engine that never answers fails the call at its deadline, and the request is dropped", async () => {
  const { docker, gone } = await fakeEngine(() => undefined);
  await expect(list(docker, 30, never)).rejects.toMatchObject({
    code: "sandbox",
    message: expect.stringMatching(/list containers.*30 ms/),
  });
  await gone;
});

test("so does one that stops in the middle of its answer", async () => {
  const { docker, gone } = await fakeEngine((_, response) => void response.write("["));
  await expect(list(docker, 30, never)).rejects.toMatchObject({
    code: "sandbox",
    message: expect.stringMatching(/30 ms/),
  });
  await gone;
});

test("a call that takes no signal is left behind at its deadline", async () => {
  const { docker } = await fakeEngine(() => undefined);
  const ping = engineCall("ping", 30, () => docker.ping(), never);
  await expect(ping).rejects.toMatchObject({ code: "sandbox", message: expect.stringMatching(/ping/) });
});

test("the caller's own reason comes out when the caller gives up", async () => {
  const { docker } = await fakeEngine(() => undefined);
  const controller = new AbortController();
  const listed = list(docker, 60_000, controller.signal);
  controller.abort(new Error("enough"));
  await expect(listed).rejects.toThrow("enough");
});

test("a refusal keeps the engine's words and status", async () => {
  const { docker } = await fakeEngine((_, response) => {
    response.statusCode = 409;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ message: "it is busy" }));
  });
  const refusal = await list(docker, 5000, never).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(ExecutorError);
  expect(refusal).toMatchObject({ code: "sandbox", message: "list containers: it is busy" });
  expect(statusOf(refusal)).toBe(409);
});

test("no engine at all is said so", async () => {
  const docker = new Dockerode({ socketPath: "/nowhere/engine.sock" });
  await expect(list(docker, 5000, never)).rejects.toMatchObject({
    code: "sandbox",
    message: expect.stringMatching(/ENOENT.*nowhere/),
  });
});
