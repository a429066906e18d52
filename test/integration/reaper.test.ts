import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hostLiveness } from "../../src/adapters/disk/host-liveness.ts";
import { diskScratch } from "../../src/adapters/disk/scratch.ts";
import { dockerInventory } from "../../src/adapters/docker/inventory.ts";
import { labelsOf } from "../../src/adapters/docker/labels.ts";
import { memoryTaskStore } from "../../src/adapters/memory/memory-task-store.ts";
import { type ReapReport, reapOnce } from "../../src/loops/reap.ts";
import type { Owner } from "../../src/model/owner.ts";
import type { Liveness } from "../../src/ports/liveness.ts";
import type { SandboxInventory } from "../../src/ports/sandbox-inventory.ts";
import { ourImage, testDocker } from "../support/bare-container.ts";
import { type LiveProcess, liveProcess } from "../support/live-process.ts";
import { aResult } from "../support/samples.ts";

const never = new AbortController().signal;
const docker = testDocker();
const clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
const hourMs = 3_600_000;
const forgedTag = "tool-executor-test/forged:1";
const elsewhere: Owner = { host: "0".repeat(16), boot: "1".repeat(16), pid: 1, start: 1 };

describe("the reaper on a real engine", () => {
  let base = "";
  let image = "";
  let networkId = "";
  let liveness: Liveness;
  let living: LiveProcess;
  let killed: LiveProcess;
  const made = new Map<string, string>();
  const anonymous = new Map<string, string>();
  const existing = async (): Promise<readonly string[]> => {
    const ids = new Set((await docker.listContainers({ all: true })).map(({ Id }) => Id));
    return [...made].filter(([, id]) => ids.has(id)).map(([name]) => name);
  };

  const sleeper = async (name: string, Labels: Record<string, string>, Image = image): Promise<void> => {
    const container = await docker.createContainer({
      Image,
      Labels,
      Entrypoint: ["/usr/bin/sleep"],
      Cmd: ["600"],
      User: "200000:200000",
      Volumes: { "/anonymous": {} },
      HostConfig: { NetworkMode: "none" },
    });
    made.set(name, container.id);
    await container.start();
    const { Mounts } = await container.inspect();
    anonymous.set(name, Mounts[0]?.Name ?? "");
  };
  const owned = (owner: Owner, ageMs = 0): Record<string, string> =>
    labelsOf({ owner, pool: "cold", createdAt: Date.now() - ageMs });
  // Other tests have owners of their own on the same engine.
  const whole = dockerInventory(docker);
  const onlyOurs: SandboxInventory = {
    ...whole,
    async list(signal) {
      const ids = new Set([...made.values(), networkId, `reaper-${process.pid}`]);
      return (await whole.list(signal)).filter(({ id }) => ids.has(id));
    },
  };
  const reap = async (): Promise<ReapReport> =>
    reapOnce(
      {
        inventory: onlyOurs,
        scratch: await diskScratch(join(base, "scratch")),
        liveness,
        store: memoryTaskStore(clock),
        clock,
        maxAgeMs: hourMs,
        mayRunAgain: null,
        adopt: null,
        mayBeAdopted: () => false,
        isUnderWay: () => false,
        concludeLost: () => ({ result: aResult(), bytes: Buffer.from("{}") }),
      },
      never,
    );

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), "reaper-"));
    image = await ourImage(docker, "shell");
    liveness = await hostLiveness(join(base, "run"));
    living = await liveProcess(join(base, "other-run"));
    killed = await liveProcess(join(base, "run"));

    await sleeper("of a living process", owned(living.owner));
    await sleeper("of a killed process", owned(killed.owner));
    await sleeper("of another host", owned(elsewhere));
    await sleeper("of another host, long ago", owned(elsewhere, hourMs + 1));
    await sleeper("of nobody of ours", {});
    await sleeper("with a label that says nothing", { "tool-executor.owner": "me" });

    // Whoever runs this image by hand has our label on the container.
    const forger = docker.getContainer(made.get("of nobody of ours") ?? "");
    await forger.commit({
      repo: "tool-executor-test/forged",
      tag: "1",
      changes: `LABEL tool-executor.owner=${owned(killed.owner)["tool-executor.owner"]}`,
    });
    await sleeper("of an image that claims an owner", {}, forgedTag);

    const network = await docker.createNetwork({
      Name: `reaper-${process.pid}`,
      Internal: true,
      Labels: owned(killed.owner),
    });
    networkId = network.id;
    await docker.createVolume({ Name: `reaper-${process.pid}`, Labels: owned(killed.owner) });
    const scratch = await diskScratch(join(base, "scratch"));
    await scratch.make({ key: { tenantId: "acme", taskId: "living" }, number: 1, owner: living.owner });
    await scratch.make({ key: { tenantId: "acme", taskId: "killed" }, number: 1, owner: killed.owner });
  }, 120_000);

  afterAll(async () => {
    for (const id of made.values())
      await docker
        .getContainer(id)
        .remove({ force: true, v: true })
        .catch(() => undefined);
    await docker.getImage(forgedTag).remove({ force: true });
    await living[Symbol.asyncDispose]();
    await killed[Symbol.asyncDispose]();
    await liveness[Symbol.asyncDispose]();
    await rm(base, { recursive: true, force: true });
  }, 60_000);

  test("touches nothing of processes that live, and what is long abandoned only", async () => {
    const all = [...made.keys()];
    const report = await reap();
    expect(report.removed).toEqual({ containers: 1, networks: 0, volumes: 0, directories: 0, sockets: 0 });
    expect(await existing()).toEqual(all.filter((name) => name !== "of another host, long ago"));
  }, 60_000);

  test("removes what a killed process left, and that alone", async () => {
    killed.signal("SIGKILL");
    await killed.ended();
    const report = await reap();
    expect(report.removed).toEqual({ containers: 1, networks: 1, volumes: 1, directories: 1, sockets: 1 });
    expect(await existing()).toEqual([
      "of a living process",
      "of another host",
      "of nobody of ours",
      "with a label that says nothing",
      "of an image that claims an owner",
    ]);
    expect(await readdir(join(base, "scratch"))).toEqual([expect.stringMatching(/^acme\.living\.1\./)]);
    expect((await docker.listNetworks()).map(({ Name }) => Name)).not.toContain(`reaper-${process.pid}`);
    const left = report.left.map(({ id }) => id);
    for (const name of ["of another host", "with a label that says nothing", "of an image that claims an owner"]) {
      expect(left).toContain(made.get(name));
    }
  }, 60_000);

  test("removes anonymous volumes with their container", async () => {
    const { Volumes } = await docker.listVolumes();
    const names = (Volumes ?? []).map(({ Name }) => Name);
    expect(anonymous.get("of a killed process")).toMatch(/^[0-9a-f]{64}$/);
    expect(names).not.toContain(anonymous.get("of a killed process"));
    expect(names).toContain(anonymous.get("of a living process"));
  });

  test("has nothing to do the next time", async () => {
    const { removed } = await reap();
    expect(removed).toEqual({ containers: 0, networks: 0, volumes: 0, directories: 0, sockets: 0 });
  }, 60_000);

  test("leaves a process that is stopped its container", async () => {
    living.signal("SIGSTOP");
    const { removed, spared } = await reap();
    expect(removed.containers).toBe(0);
    expect(spared).toBe(2);
    living.signal("SIGCONT");
  }, 60_000);
});

test("an engine that is not there is said so by name", async () => {
  const nowhere = testDocker();
  Object.assign(nowhere.modem, { socketPath: "/nowhere/docker.sock" });
  await expect(dockerInventory(nowhere).list(never)).rejects.toMatchObject({
    code: "sandbox",
    message: expect.stringMatching(/list \w+: .*ENOENT/),
  });
});
