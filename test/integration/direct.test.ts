import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { processOwner } from "../../src/adapters/disk/process-owner.ts";
import { dockerSandboxes } from "../../src/adapters/docker/docker-sandboxes.ts";
import { localImages } from "../../src/adapters/docker/images.ts";
import { dockerAt } from "../../src/app/house.ts";
import type { Sandbox, SandboxEvent } from "../../src/ports/sandbox.ts";
import { defaultLimits } from "../support/bare-container.ts";
import { openCli } from "../support/cli.ts";
import { engineProxy } from "../support/engine-proxy.ts";
import { type Digest, digestOf, noiseCommand, noiseDigest } from "../support/streams.ts";

const engineSocket = "/var/run/docker.sock";
const never = new AbortController().signal;
const boundMs = 60_000;
const mib = 1024 ** 2;

type Made = { readonly sandbox: Sandbox } & AsyncDisposable;

/** A sandbox whose task has been started, over the engine behind that socket. */
async function started(socketPath: string, command: string, direct?: boolean): Promise<Made> {
  await using stack = new AsyncDisposableStack();
  const docker = dockerAt(`unix://${socketPath}`);
  const image = await localImages(docker, ["shell"]).resolve("shell", never);
  if (image === null) throw new Error("the image shell is not allowed here");
  const sandboxes = stack.use(
    dockerSandboxes(docker, {
      owner: await processOwner(),
      architecture: process.arch,
      ...(direct !== undefined && { direct }),
    }),
  );
  const spec = { image, runtime: "runc", limits: { ...defaultLimits, cpus: 2 } };
  const sandbox = stack.use(await sandboxes.create(spec, never));
  const env = { PATH: "/usr/bin:/bin" };
  const bounds = { deadlineMs: boundMs, graceMs: 1000 };
  await sandbox.start({ argv: ["bash", "-c", command], env, cwd: "/workspace", stdin: false, ...bounds }, never);
  const held = stack.move();
  return { sandbox, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** What it says up to its exit; acknowledged. */
async function* eventsOf(sandbox: Sandbox): AsyncGenerator<SandboxEvent> {
  for await (const batch of sandbox.events()) {
    for (const event of batch) {
      yield event;
      if (event.kind === "exit" || event.kind === "gone") return;
      sandbox.ack(event.seq);
    }
  }
}

async function textOf(sandbox: Sandbox): Promise<string> {
  let text = "";
  for await (const event of eventsOf(sandbox)) if (event.kind === "stdout") text += event.bytes.toString();
  return text;
}

async function outputOf(sandbox: Sandbox, onOutput: (bytes: number) => Promise<void>): Promise<Digest> {
  let bytes = 0;
  async function* stdout(): AsyncGenerator<Buffer> {
    for await (const event of eventsOf(sandbox)) {
      if (event.kind === "gone") throw new Error("the sandbox said no exit");
      if (event.kind !== "stdout") continue;
      bytes += event.bytes.length;
      yield Buffer.from(event.bytes);
      await onOutput(bytes);
    }
  }
  return await digestOf(stdout());
}

test(
  "a task says its output and its end while the engine answers nobody",
  async () => {
    expect(process.geteuid?.(), "this test is run by root").toBe(0);
    await using proxy = await engineProxy(engineSocket);
    await using made = await started(proxy.socketPath, "echo begun; sleep 0.5; echo ended");
    const heard: string[] = [];
    for await (const event of eventsOf(made.sandbox)) {
      if (event.kind === "stdout") heard.push(event.bytes.toString());
      if (heard.length === 1) await proxy.freeze();
      if (event.kind === "exit") expect(event.exit.code).toBe(0);
    }
    expect(heard.join("")).toBe("begun\nended\n");
    await proxy.thaw();
  },
  boundMs,
);

test(
  "a direct connection that breaks in the middle: the rest comes over the engine, and not a byte is lost or doubled",
  async () => {
    expect(process.geteuid?.(), "this test is run by root").toBe(0);
    const sockets: Socket[] = [];
    const connected = (message: unknown): void => void sockets.push((message as { socket: Socket }).socket);
    subscribe("net.client.socket", connected);
    const sizeBytes = 256 * mib;
    await using made = await started(engineSocket, noiseCommand(sizeBytes));
    unsubscribe("net.client.socket", connected);
    const within = sockets.at(-1);
    const digest = await outputOf(made.sandbox, async (bytes) => {
      if (bytes < sizeBytes / 4 || within?.destroyed) return;
      // It went there, and nowhere else.
      expect(within?.bytesRead).toBeGreaterThan(bytes);
      within?.destroy();
    });
    expect(within?.destroyed).toBe(true);
    expect(digest).toEqual(await noiseDigest(sizeBytes));
  },
  boundMs,
);

test("the task finds no way to where its sandbox is spoken to", async () => {
  const look = "ls -A /run/toolx; grep -c toolx /proc/net/unix; ls -l /proc/1/fd 2>&1 | wc -l";
  await using one = await started(engineSocket, look);
  await using other = await started(engineSocket, look, false);
  const [inDirect, inOther] = await Promise.all([one, other].map(({ sandbox }) => textOf(sandbox)));
  expect(inDirect).toBe(inOther);
});

test("where a sandbox's process cannot be seen, it is spoken to over the engine", async () => {
  expect(process.geteuid?.(), "this test is run by root").toBe(0);
  await using toolx = await openCli();
  // As an executor in a container has it: the engine's numbers of processes mean nothing there.
  const through = ["unshare", "--pid", "--fork", "--mount-proc"];
  const { code, stdout, stderr } = await toolx.run(["run", "shell", "--", "echo heard"], { through });
  expect(code, stderr).toBe(0);
  expect(stdout).toBe("heard\n");
});
