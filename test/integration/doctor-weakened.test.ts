import { afterAll, beforeAll, expect, test } from "vitest";
import { runtimeTraits } from "../../src/adapters/docker/runtimes.ts";
import { probeFindings } from "../../src/app/probe-findings.ts";
import { probes } from "../../src/app/probes.ts";
import { type TestHouse, testHouse } from "../support/house.ts";
import { ownedThings } from "../support/owned-things.ts";
import { type Weakening, weakened } from "../support/weakened.ts";

const host = (changed: Record<string, unknown>): Weakening => ({ container: () => ({ HostConfig: changed }) });

/** Options of the file systems of a sandbox, changed; the engine refuses one that is mounted twice. */
const mounts = (change: (options: string) => string): Weakening => ({
  container: ({ HostConfig }) => ({
    HostConfig: {
      Tmpfs: Object.fromEntries(
        Object.entries<string>(HostConfig?.Tmpfs ?? {}).map(([path, one]) => [path, change(one)]),
      ),
    },
  }),
});

const unmasked = { MaskedPaths: [], ReadonlyPaths: [] };
const unfiltered = { SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] };

/** A wall or limit taken away, and the probes of `toolx doctor` that must say so; whatever else says so as well, does. */
const weaknesses: readonly (readonly [string, Weakening, readonly string[]])[] = [
  [
    "a root to write",
    { container: () => ({ User: "0:0", HostConfig: { ReadonlyRootfs: false } }) },
    ["read-only root", "not root"],
  ],
  [
    "a network",
    { container: () => ({ NetworkDisabled: false, HostConfig: { NetworkMode: "bridge" } }) },
    ["no network"],
  ],
  [
    "new privileges",
    {
      container: ({ HostConfig }) => ({
        HostConfig: { SecurityOpt: (HostConfig?.SecurityOpt ?? []).filter((one: string) => one.startsWith("seccomp")) },
      }),
    },
    ["no new privileges"],
  ],
  ["a capability", host({ CapAdd: ["NET_RAW"] }), ["no capabilities"]],
  ["no filter", host(unfiltered), ["system call filter", "kernel calls", "kernel sockets", "second ABI"]],
  [
    "root, unmasked, with what it takes to make a device",
    {
      container: () => ({
        User: "0:0",
        HostConfig: {
          ...unmasked,
          CapAdd: ["MKNOD", "DAC_OVERRIDE"],
          DeviceCgroupRules: ["a *:* rwm"],
          ...{ Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/kmsg", CgroupPermissions: "rwm" }] },
        },
      }),
    },
    ["kernel settings", "kernel memory", "devices"],
  ],
  ["the host's processes", host({ PidMode: "host" }), ["things of the host"]],
  ["a folder of the host", host({ Binds: ["/usr/share:/srv"] }), ["things of the host"]],
  ["the host's name", { container: () => ({ Hostname: "", HostConfig: { UTSMode: "host" } }) }, ["things of the host"]],
  ["no ulimits", host({ Ulimits: [{ Name: "memlock", Soft: -1, Hard: -1 }] }), ["ulimits"]],
  ["more shared memory", host({ ShmSize: 64 * 1024 * 1024 }), ["ulimits"]],
  ["programs everywhere", mounts((options) => options.replace("noexec", "exec")), ["programs in /output"]],
  [
    "file systems without measure",
    mounts((options) => options.replace(/size=\d+,/, "size=256m,").replace(/nr_inodes=\d+,/, "")),
    ["disk bytes", "disk inodes"],
  ],
  ["no limit of memory", host({ Memory: 0, MemorySwap: 0 }), ["cgroup limits"]],
  ["no limit of processes", host({ PidsLimit: 0 }), ["cgroup limits"]],
  ["no limit of processors", host({ NanoCpus: 0 }), ["CPU quota"]],
];

let house: TestHouse;
beforeAll(async () => {
  house = await testHouse();
});
afterAll(async () => {
  expect(await ownedThings(house.docker, house.parts.liveness.self)).toEqual([]);
  await house[Symbol.asyncDispose]();
});

const never = new AbortController().signal;
const all = probes(1000, runtimeTraits("runc"));
const failed = new Set<string>();
let number = 0;

test.each(weaknesses)("doctor's probes notice %s", async (_name, weakening, noticed) => {
  await using weak = weakened(house, weakening);
  const fallen: string[] = [];
  const concerned = all.filter(({ checks }) => checks.some(({ name }) => noticed.includes(name)));
  for (const probe of concerned) {
    number += 1;
    for (const { name, verdict, advice } of await probeFindings(
      weak,
      probe,
      { runtime: "runc", number },
      house.config,
      never,
    )) {
      if (verdict !== "fail") continue;
      failed.add(name);
      fallen.push(name);
      expect(advice).not.toBeNull();
    }
  }
  expect(fallen).toEqual(expect.arrayContaining(noticed.map((name) => `runc: ${name}`)));
});

test("every probe of a wall, and every limit that the engine holds, has been seen to fail", () => {
  // These are held by sandbox-init and by us, not by a setting of the container: test/unit/app/probes.test.ts.
  const ours = ["wall time", "memory", "processes", "stored output", "artifacts"];
  const names = all.flatMap(({ checks }) => checks.map(({ name }) => name)).filter((name) => !ours.includes(name));
  expect(names.filter((name) => !failed.has(`runc: ${name}`))).toEqual([]);
});
