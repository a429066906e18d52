import { createReadStream } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { processOwner } from "../../src/adapters/disk/process-owner.ts";
import { dockerSandboxes } from "../../src/adapters/docker/docker-sandboxes.ts";
import { localImages } from "../../src/adapters/docker/images.ts";
import { dockerAt } from "../../src/app/house.ts";
import type { Sandbox, Sandboxes } from "../../src/ports/sandbox.ts";
import { defaultLimits } from "../support/bare-container.ts";
import { type Cli, openCli } from "../support/cli.ts";
import { seededRandom } from "../support/random.ts";
import { cuttingProxy, type Digest, digestOf, noiseCommand, noiseDigest, peakRssBytes } from "../support/streams.ts";

const gib = 1024 ** 3;
const mib = 1024 ** 2;
const boundMs = 180_000;
const never = new AbortController().signal;

describe("1 GiB through a whole process, with memory growing by less than 64 MiB", () => {
  let toolx: Cli;
  beforeEach(async () => {
    toolx = await openCli();
  });
  afterEach(async () => {
    try {
      expect(await toolx.leftovers()).toEqual([]);
    } finally {
      await toolx[Symbol.asyncDispose]();
    }
  });

  /** Runs it, and tells what came out on stdout and how much memory the process held at most. */
  async function measured(args: readonly string[]): Promise<Digest & { readonly peakBytes: number }> {
    const run = toolx.start(args, { streamStdout: true });
    const { stdout } = run.child;
    if (stdout === null) throw new Error("no pipe from toolx");
    const [digest, peakBytes, { code, stderr }] = await Promise.all([
      digestOf(stdout),
      peakRssBytes(run.child),
      run.ended(),
    ]);
    expect(code, stderr).toBe(0);
    return { ...digest, peakBytes };
  }
  const runShell = (command: string, ...flags: readonly string[]) =>
    measured(["run", "shell", "--timeout", "150s", ...flags, "--", command]);

  test(
    "of stdout: every byte reaches the reader",
    async () => {
      const small = await runShell(noiseCommand(1000));
      const whole = await runShell(noiseCommand(gib));
      expect(whole).toMatchObject(await noiseDigest(gib));
      expect((whole.peakBytes - small.peakBytes) / mib).toBeLessThan(64);
    },
    boundMs,
  );

  test(
    "of one artifact: in the store and out of it",
    async () => {
      const flags = ["--output-size", "1100m"];
      const small = await runShell(`${noiseCommand(1000)} > /output/noise`, ...flags, "--task-id", "t-small");
      const whole = await runShell(`${noiseCommand(gib)} > /output/noise`, ...flags, "--task-id", "t-whole");
      expect((whole.peakBytes - small.peakBytes) / mib).toBeLessThan(64);

      const { sha256 } = await noiseDigest(gib);
      const { output } = await toolx.result(["get", "t-whole"]);
      expect(output.artifacts).toMatchObject([{ path: "noise", size_bytes: gib, sha256 }]);

      const smallPull = await measured(["artifacts", "pull", "t-small", "--out", "small"]);
      const wholePull = await measured(["artifacts", "pull", "t-whole", "--out", "whole"]);
      expect((wholePull.peakBytes - smallPull.peakBytes) / mib).toBeLessThan(64);
      expect(await digestOf(createReadStream(join(toolx.workDir, "whole/noise")))).toEqual({ bytes: gib, sha256 });
    },
    boundMs,
  );
});

describe("1 GiB of a sandbox's output over streams that break: nothing is lost or doubled", () => {
  const seed = "breaking streams";
  const engineSocket = "/var/run/docker.sock";

  async function noisy(sandboxes: Sandboxes): Promise<Sandbox> {
    const image = await localImages(dockerAt(`unix://${engineSocket}`), ["shell"]).resolve("shell", never);
    if (image === null) throw new Error("the image shell is not allowed here");
    const sandbox = await sandboxes.create({ image, runtime: "runc", limits: { ...defaultLimits, cpus: 2 } }, never);
    await sandbox.start(
      {
        argv: ["bash", "-c", noiseCommand(gib)],
        env: { PATH: "/usr/bin:/bin" },
        cwd: "/workspace",
        stdin: false,
        deadlineMs: boundMs,
        graceMs: 1000,
      },
      never,
    );
    return sandbox;
  }

  /** The bytes of stdout from all of its sandboxes; `next` says at each batch whether another one takes over. */
  async function* stdoutOf(
    first: Sandbox,
    next: (bytes: number, sandbox: Sandbox) => Promise<Sandbox>,
  ): AsyncGenerator<Buffer> {
    let bytes = 0;
    for (let sandbox = first; ; ) {
      let successor = sandbox;
      try {
        for await (const batch of sandbox.events()) {
          for (const event of batch) {
            if (event.kind === "gone") throw new Error(`the sandbox is gone: ${event.gone.diagnosis}`);
            if (event.kind === "stdout") {
              bytes += event.bytes.length;
              yield event.bytes;
            }
            sandbox.ack(event.seq);
            if (event.kind === "exit") {
              expect(event.exit).toMatchObject({ code: 0, stdoutBytes: gib });
              return;
            }
          }
          successor = await next(bytes, sandbox);
          if (successor !== sandbox) break;
        }
      } finally {
        if (successor === sandbox) await sandbox[Symbol.asyncDispose]();
      }
      if (successor === sandbox) throw new Error("the sandbox said no exit");
      sandbox = successor;
    }
  }

  test(
    "let go of and attached to again by a successor, at 24 places",
    async () => {
      await using sandboxes = dockerSandboxes(dockerAt(`unix://${engineSocket}`), {
        owner: await processOwner(),
        architecture: process.arch,
      });
      const random = seededRandom(seed);
      const places = Array.from({ length: 24 }, () => random() * gib).toSorted((a, b) => a - b);
      let takenOver = 0;
      const stdout = stdoutOf(await noisy(sandboxes), async (bytes, sandbox) => {
        if (bytes < (places[takenOver] ?? Number.POSITIVE_INFINITY)) return sandbox;
        takenOver += 1;
        const from = sandbox.resumePoint();
        await sandbox.detach();
        return await sandboxes.attach(from, never);
      });
      expect(await digestOf(stdout)).toEqual(await noiseDigest(gib));
      expect(takenOver).toBe(24);
    },
    boundMs,
  );

  test(
    "cut by a proxy at random bytes, at least 20 times: the link mends itself",
    async () => {
      const path = `/tmp/toolx-proxy-${process.pid}.sock`;
      const random = seededRandom(seed);
      await using proxy = await cuttingProxy(path, engineSocket, () => 1 + Math.floor(random() * 64 * mib));
      await using sandboxes = dockerSandboxes(dockerAt(`unix://${path}`), {
        owner: await processOwner(),
        architecture: process.arch,
        // All of it is to pass the proxy.
        direct: false,
      });
      const stdout = stdoutOf(await noisy(sandboxes), async (_bytes, sandbox) => sandbox);
      expect(await digestOf(stdout)).toEqual(await noiseDigest(gib));
      expect(proxy.cuts()).toBeGreaterThanOrEqual(20);
    },
    boundMs,
  );
});
