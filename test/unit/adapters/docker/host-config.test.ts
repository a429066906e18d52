import { describe, expect, test } from "vitest";
import {
  createOptions,
  fileSizeLimitBytes,
  hostConfig,
  randomIdentity,
  type SandboxPolicy,
} from "../../../../src/adapters/docker/host-config.ts";
import { seccompProfile } from "../../../../src/adapters/docker/seccomp.ts";
import { type Limits, overheadMemoryMb } from "../../../../src/model/limits.ts";
import type { SandboxSpec } from "../../../../src/ports/sandbox.ts";

const mib = 1024 * 1024;

const limits: Limits = {
  timeout_seconds: 30,
  cpus: 1.5,
  memory_mb: 256,
  pids: 128,
  disk_mb: 100,
  output_mb: 64,
  inodes: 8192,
  log_mb: 16,
};

const spec: SandboxSpec = {
  image: { name: "shell", id: "sha256:abc", env: { PATH: "/bin" } },
  runtime: "runc",
  limits,
};

const identity = { uid: 1_234_567, gid: 1_234_568 };

const policy: SandboxPolicy = {
  labels: { owner: { host: "a1", boot: "b2", pid: 42, start: 99 }, pool: "cold", createdAt: 1_700_000_000_000 },
  seccomp: seccompProfile("runc", "x86_64"),
  declared: { volumes: [], envNames: [], labelNames: [] },
};

const config = hostConfig(spec, identity, policy);

describe("the container of a sandbox", () => {
  const options = createOptions(spec, identity, policy);

  test.each([
    ["Image", "sha256:abc"],
    ["Entrypoint", ["/sbin/sandbox-init"]],
    ["Cmd", []],
    ["WorkingDir", "/"],
    ["User", "1234567:1234568"],
    ["Hostname", "sandbox"],
    ["Domainname", ""],
    ["Healthcheck", { Test: ["NONE"] }],
    ["StopSignal", "SIGKILL"],
    ["Tty", false],
    ["AttachStdin", true],
    ["AttachStdout", true],
    ["AttachStderr", true],
    ["OpenStdin", true],
    ["StdinOnce", false],
    ["HostConfig", config],
    [
      "Labels",
      {
        "tool-executor.owner": "a1:b2:42:99",
        "tool-executor.pool": "cold",
        "tool-executor.created": "1700000000000",
      },
    ],
  ] as const)("has %s %j", (field, value) => {
    expect(options[field]).toEqual(value);
  });

  test("asks for no network, volume, port or shell of its own", () => {
    expect(Object.keys(options).sort()).toEqual(
      [
        ...["AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Domainname", "Entrypoint", "Env", "Healthcheck"],
        ...[
          "HostConfig",
          "Hostname",
          "Image",
          "Labels",
          "NetworkDisabled",
          "OpenStdin",
          "StdinOnce",
          "StopSignal",
          "Tty",
          "User",
        ],
        "WorkingDir",
      ].sort(),
    );
  });

  test("takes every variable of the image away but PATH, and those that steer sandbox-init in any case", () => {
    const { Env } = createOptions(spec, identity, {
      ...policy,
      declared: { volumes: [], envNames: ["PATH", "FOO", "LD_PRELOAD"], labelNames: [] },
    });
    expect(Env).toContain("FOO");
    expect(Env).toContain("GODEBUG");
    expect(Env).not.toContain("PATH");
    // Without "=" the engine removes the name; a value would set it. Twice would be one too many.
    expect(Env?.filter((entry) => entry.includes("="))).toEqual([]);
    expect(new Set(Env).size).toBe(Env?.length);
  });

  test("overwrites the labels of the image, and an image cannot claim to be owned", () => {
    const { Labels } = createOptions(spec, identity, {
      ...policy,
      declared: { volumes: [], envNames: [], labelNames: ["com.docker.compose.project", "tool-executor.owner"] },
    });
    expect(Labels).toMatchObject({ "com.docker.compose.project": "", "tool-executor.owner": "a1:b2:42:99" });
  });

  test("leaves out the engine's part in the network only where the runtime raises the loopback device by itself", () => {
    const under = (runtime: string) => createOptions({ ...spec, runtime }, identity, policy);
    expect(["runc", "runsc", "kata", "crun"].map((name) => under(name).NetworkDisabled)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test("differs in nothing but its user between two sandboxes of one kind", () => {
    const other = createOptions(spec, { uid: 2, gid: 3 }, policy);
    expect({ ...other, User: "", HostConfig: { ...other.HostConfig, Tmpfs: {} } }).toEqual({
      ...options,
      User: "",
      HostConfig: { ...options.HostConfig, Tmpfs: {} },
    });
  });
});

describe("the walls of a sandbox", () => {
  test.each([
    ["Runtime", "runc"],
    ["Privileged", false],
    ["CapAdd", []],
    ["CapDrop", ["ALL"]],
    ["ReadonlyRootfs", true],
    ["Binds", []],
    ["VolumesFrom", []],
    ["Mounts", []],
    ["ShmSize", 16 * mib],
    ["Devices", []],
    ["DeviceRequests", []],
    ["DeviceCgroupRules", []],
    ["GroupAdd", []],
    ["NetworkMode", "none"],
    ["IpcMode", "private"],
    ["CgroupnsMode", "private"],
    ["PidMode", ""],
    ["UTSMode", ""],
    ["Memory", (256 + 100 + 64 + overheadMemoryMb) * mib],
    ["MemorySwap", (256 + 100 + 64 + overheadMemoryMb) * mib],
    ["NanoCpus", 1_500_000_000],
    ["CpusetCpus", ""],
    ["PidsLimit", 192],
    ["OomScoreAdj", 500],
    ["AutoRemove", false],
    ["Init", false],
    ["RestartPolicy", { Name: "no" }],
    ["LogConfig", { Type: "none", Config: {} }],
  ] as const)("have %s %j", (field, value) => {
    expect(config[field]).toEqual(value);
  });

  test("have no field that this table does not know", () => {
    expect(Object.keys(config)).toHaveLength(
      28 + ["SecurityOpt", "MaskedPaths", "ReadonlyPaths", "Tmpfs", "Ulimits"].length,
    );
  });

  test("let no program gain rights, and filter its calls", () => {
    expect(config.SecurityOpt).toEqual(["no-new-privileges", `seccomp=${JSON.stringify(policy.seccomp)}`]);
  });

  test("stand on the processors that the installation names", () => {
    expect(hostConfig(spec, identity, { ...policy, cpuset: "1-3,6" }).CpusetCpus).toBe("1-3,6");
  });

  test("name the runtime that was asked for", () => {
    expect(hostConfig({ ...spec, runtime: "runsc" }, identity, policy).Runtime).toBe("runsc");
  });

  test("differ for gVisor in nothing but the runtime and the room for its own threads", () => {
    const { Runtime: _runc, PidsLimit: _few, ...same } = config;
    const { Runtime, PidsLimit, ...rest } = hostConfig({ ...spec, runtime: "runsc" }, identity, policy);
    expect(rest).toEqual(same);
    expect([Runtime, PidsLimit]).toEqual(["runsc", 1024 + 3 * 128]);
  });

  test.each([
    ["/workspace", `rw,nosuid,nodev,exec,size=${75 * mib},nr_inodes=8192,mode=0755,uid=1234567,gid=1234568`],
    ["/tmp", `rw,nosuid,nodev,exec,size=${25 * mib},nr_inodes=8192,mode=1777,uid=1234567,gid=1234568`],
    ["/output", `rw,nosuid,nodev,noexec,size=${64 * mib},nr_inodes=8192,mode=0755,uid=1234567,gid=1234568`],
    ["/run/toolx", `rw,nosuid,nodev,noexec,size=${mib},nr_inodes=32,mode=0755,uid=1234567,gid=1234568`],
  ])("hold %s in memory", (path, mount) => {
    expect(config.Tmpfs?.[path]).toBe(mount);
    expect(Object.keys(config.Tmpfs ?? {})).toHaveLength(4);
  });

  test.each([1, 2, 3, 7, 128, 8192])("never give /workspace and /tmp more than disk_mb together (%i)", (disk_mb) => {
    const { Tmpfs } = hostConfig({ ...spec, limits: { ...limits, disk_mb } }, identity, policy);
    const size = (path: string): number => Number(/size=(\d+),/.exec(Tmpfs?.[path] ?? "")?.[1]);
    expect(size("/workspace") + size("/tmp")).toBe(disk_mb * mib);
  });

  test.each([
    ["nofile", 1024],
    ["core", 0],
    ["fsize", 101 * mib],
    ["msgqueue", 819_200],
    ["memlock", 8 * mib],
    ["rtprio", 0],
  ])("limit %s to %i, hard", (Name, value) => {
    expect(config.Ulimits).toContainEqual({ Name, Soft: value, Hard: value });
    expect(config.Ulimits).toHaveLength(6);
  });

  test.each([
    ["/proc/kcore"],
    ["/proc/keys"],
    ["/proc/key-users"],
    ["/proc/timer_list"],
    ["/proc/sched_debug"],
    ["/proc/interrupts"],
    ["/proc/scsi"],
    ["/sys/firmware"],
    ["/sys/devices/virtual/powercap"],
  ])("show nothing in %s", (path) => {
    expect(config.MaskedPaths).toContain(path);
  });

  test("let nothing in the kernel's own files be written", () => {
    expect(config.ReadonlyPaths).toEqual(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
  });

  test("let a full disk show before the largest file is met", () => {
    expect(fileSizeLimitBytes({ ...limits, disk_mb: 10, output_mb: 500 })).toBe(501 * mib);
    expect(fileSizeLimitBytes({ ...limits, disk_mb: 500, output_mb: 10 })).toBe(501 * mib);
  });
});

describe("a random identity", () => {
  const identities = Array.from({ length: 1000 }, randomIdentity);

  test("is out of a range that no host gives to its accounts", () => {
    for (const { uid, gid } of identities) {
      expect(uid).toBeGreaterThanOrEqual(200_000);
      expect(uid).toBeLessThanOrEqual(2_000_000_000);
      expect(gid).toBe(uid);
    }
  });

  test("is practically never that of a neighbour", () => {
    expect(new Set(identities.map(({ uid }) => uid)).size).toBeGreaterThan(990);
  });
});
