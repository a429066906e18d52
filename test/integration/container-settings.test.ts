import type { ContainerCreateOptions } from "dockerode";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ourImage, productionOptions, testDocker } from "../support/bare-container.ts";
import { type ContainerFacts, settingFindings, settingNames } from "../support/container-settings.ts";

type Change = (ours: ContainerCreateOptions) => Partial<ContainerCreateOptions>;
const host =
  (changed: Record<string, unknown>): Change =>
  () => ({ HostConfig: changed });

/** One setting made weaker, and every check that must see it; with some, engines take the label of SELinux off too. Nothing is started. */
const weakened: readonly (readonly [string, Change, readonly string[]])[] = [
  ["privileged", host({ Privileged: true }), ["5.2 SELinux label", "5.4 privileged"]],
  ["a capability", host({ CapAdd: ["NET_RAW"] }), ["5.3 capabilities"]],
  ["capabilities not dropped", host({ CapDrop: [] }), ["5.3 capabilities"]],
  ["a folder of the host", host({ Binds: ["/etc:/srv"] }), ["5.5 folders of the host"]],
  ["a shared folder", host({ Binds: ["/tmp:/srv:rshared"] }), ["5.5 folders of the host", "5.19 mount propagation"]],
  [
    "the engine's socket",
    host({ Binds: ["/var/run/docker.sock:/var/run/docker.sock"] }),
    ["5.5 folders of the host", "5.31 socket of the engine"],
  ],
  ["another program", () => ({ Entrypoint: ["/usr/sbin/sshd"] }), ["5.6 one program, ours"]],
  [
    "a published port",
    () => ({ ExposedPorts: { "80/tcp": {} }, HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "0" }] } } }),
    ["5.7 to 5.8, 5.13 published ports"],
  ],
  ["every port published", host({ PublishAllPorts: true }), ["5.7 to 5.8, 5.13 published ports"]],
  ["the bridge", host({ NetworkMode: "bridge" }), ["5.9, 5.29 network"]],
  ["the host's network", host({ NetworkMode: "host" }), ["5.9, 5.29 network"]],
  ["no limit of memory", host({ Memory: 0, MemorySwap: 0 }), ["5.10 memory, without swap"]],
  ["swap", host({ MemorySwap: -1 }), ["5.10 memory, without swap"]],
  ["no limit of processors", host({ NanoCpus: 0 }), ["5.11 processors"]],
  ["a writable root", host({ ReadonlyRootfs: false }), ["5.12 read-only root"]],
  ["a restart", host({ RestartPolicy: { Name: "always" } }), ["5.14 restart policy"]],
  ["the host's processes", host({ PidMode: "host" }), ["5.2 SELinux label", "5.15 processes of the host"]],
  ["the host's queues", host({ IpcMode: "host" }), ["5.2 SELinux label", "5.16 queues and shared memory of the host"]],
  ["queues that others may join", host({ IpcMode: "shareable" }), ["5.16 queues and shared memory of the host"]],
  [
    "a device",
    host({ Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/x", CgroupPermissions: "r" }] }),
    ["5.17 devices of the host"],
  ],
  ["a rule for devices", host({ DeviceCgroupRules: ["c 1:3 r"] }), ["5.17 devices of the host"]],
  ["no ulimits", host({ Ulimits: [] }), ["5.18 ulimits"]],
  [
    "one ulimit less",
    ({ HostConfig }) => ({
      HostConfig: {
        Ulimits: (HostConfig?.Ulimits ?? []).filter(({ Name }) => Name !== "core"),
      },
    }),
    ["5.18 ulimits"],
  ],
  ["the host's name", () => ({ Hostname: "", HostConfig: { UTSMode: "host" } }), ["5.20 name of the host"]],
  ["no filter", host({ SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] }), ["5.21 filter of system calls"]],
  ["the engine's own filter", host({ SecurityOpt: ["no-new-privileges"] }), ["5.21 filter of system calls"]],
  ["another cgroup", host({ CgroupParent: "/other" }), ["5.24 cgroup of its own"]],
  ["the host's cgroups", host({ CgroupnsMode: "host" }), ["5.24 cgroup of its own"]],
  [
    "new privileges",
    ({ HostConfig }) => ({
      HostConfig: { SecurityOpt: HostConfig?.SecurityOpt?.filter((one: string) => one.startsWith("seccomp")) },
    }),
    ["5.25 no new privileges"],
  ],
  ["a health check", () => ({ Healthcheck: { Test: ["CMD", "true"] } }), ["5.26 health check"]],
  ["no word on health checks", () => ({ Healthcheck: {} }), ["5.26 health check"]],
  ["any number of processes", host({ PidsLimit: 0 }), ["5.28 number of processes"]],
  ["the host's user namespace", host({ UsernsMode: "host" }), ["5.30 user namespace of the host"]],
  ["root", () => ({ User: "0:0" }), ["user that is not root"]],
  ["no user", () => ({ User: "" }), ["user that is not root"]],
  ["a group", host({ GroupAdd: ["0"] }), ["groups beside its own"]],
  ["nothing masked", host({ MaskedPaths: [], ReadonlyPaths: [] }), ["masked and read-only paths"]],
  ["/proc/sys that can be written", host({ ReadonlyPaths: ["/proc/bus"] }), ["masked and read-only paths"]],
  [
    "a file system without measure",
    host({ Tmpfs: { "/tmp": "rw,nosuid,nodev" } }),
    ["file systems with a size, without devices and setuid"],
  ],
  ["no file system of its own", host({ Tmpfs: {} }), ["file systems with a size, without devices and setuid"]],
  ["more shared memory", host({ ShmSize: 64 * 1024 * 1024 }), ["size of shared memory"]],
  ["a setting of the kernel", host({ Sysctls: { "kernel.msgmax": "65536" } }), ["kernel settings"]],
  ["a name of the host", host({ ExtraHosts: ["gateway:127.0.0.1"] }), ["names of other hosts"]],
  ["a terminal", () => ({ Tty: true }), ["terminal"]],
  ["the engine's log", host({ LogConfig: { Type: "json-file", Config: {} } }), ["log kept by the engine"]],
  ["kept when memory ends", host({ OomScoreAdj: 0 }), ["first to go when the host's memory ends"]],
  ["another signal", () => ({ StopSignal: "SIGCONT" }), ["signal that ends it"]],
  ["a library before all others", () => ({ Env: ["LD_PRELOAD=/x.so"] }), ["variables that steer a loader"]],
  [
    "a label of SELinux taken off",
    ({ HostConfig }) => ({ HostConfig: { SecurityOpt: [...(HostConfig?.SecurityOpt ?? []), "label=disable"] } }),
    ["5.2 SELinux label"],
  ],
];

/** What cannot be asked of this engine in a container that is only made; the facts themselves are changed. */
const untrue: readonly (readonly [
  string,
  Partial<ContainerFacts>,
  { hasAppArmor: boolean; hasSelinux: boolean },
  string,
])[] = [
  [
    "no profile where AppArmor is on",
    { AppArmorProfile: "unconfined" },
    { hasAppArmor: true, hasSelinux: false },
    "5.1 AppArmor profile",
  ],
  ["no label where SELinux is on", { ProcessLabel: "" }, { hasAppArmor: false, hasSelinux: true }, "5.2 SELinux label"],
];

describe("the settings of a task's container", () => {
  const docker = testDocker();
  const plain = { hasAppArmor: false, hasSelinux: false };
  const seen = new Set<string>();
  let image = "";
  let production: ContainerCreateOptions;
  const made: string[] = [];

  const factsOf = async (options: ContainerCreateOptions): Promise<ContainerFacts> => {
    const container = await docker.createContainer(options);
    made.push(container.id);
    try {
      return (await container.inspect()) as unknown as ContainerFacts;
    } finally {
      await container.remove({ force: true, v: true });
    }
  };
  const noticed = (findings: readonly string[]): readonly string[] => {
    for (const one of findings) seen.add(one);
    return findings;
  };

  beforeAll(async () => {
    image = await ourImage(docker, "shell");
    production = await productionOptions(docker, image);
  });

  afterAll(async () => {
    const left = await docker.listContainers({ all: true });
    expect(left.filter(({ Id }) => made.includes(Id))).toEqual([]);
  });

  test.each(["runc", "runsc"])("are as they must be, under %s", async (runtime) => {
    const facts = await factsOf(await productionOptions(docker, image, undefined, runtime));
    // Only a container that runs has a profile or a label.
    expect(settingFindings(facts, plain)).toEqual([]);
  });

  test.each(weakened)("with %s are seen to be wrong, and in nothing else", async (_name, change, findings) => {
    const changed = change(production);
    const options = { ...production, ...changed, HostConfig: { ...production.HostConfig, ...changed.HostConfig } };
    expect(noticed(settingFindings(await factsOf(options), plain))).toEqual(findings);
  });

  test("with an image by a name are seen to be wrong", async () => {
    const name = "tool-executor-test/settings:1";
    await docker.getImage(image).tag({ repo: "tool-executor-test/settings", tag: "1" });
    try {
      expect(noticed(settingFindings(await factsOf({ ...production, Image: name }), plain))).toEqual([
        "5.27 image by its ID",
      ]);
    } finally {
      await docker.getImage(name).remove();
    }
  });

  test.each(untrue)("with %s are seen to be wrong", async (_name, changed, modules, finding) => {
    const facts = { ...(await factsOf(production)), ...changed };
    expect(noticed(settingFindings(facts, modules))).toContain(finding);
  });

  test("are looked at by no check that was never seen to fail", () => {
    expect(settingNames.filter((name) => !seen.has(name))).toEqual([]);
  });
});
