import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Weakening } from "../support/weakened.ts";
import { abstractNames, enginePorts, engineSockets } from "./rows/engine-surface.ts";
import { deviceNames, hidden } from "./rows/kernel-files.ts";

/** One wall taken away, and some of what must then be noticed; what else is noticed is as well. */
export interface Fallen extends Weakening {
  readonly name: string;
  /** `ROW NAME`, as inputs are called. */
  readonly noticed: readonly string[];
  /** Without what the rows put into their images. */
  readonly isImagePlain?: boolean;
}

/** @param folder of the test's own, with what {@link stageFolder} puts into it. */
export const weakenings = (folder: string): readonly Fallen[] => [
  {
    name: "no filter of system calls",
    container: () => ({ HostConfig: { SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] } }),
    noticed: ["B3 unshare -Ur id", "B6 ptrace traceme", "B8 io_uring_setup", "B12 AF_ALG", "B33 a filter that is off"],
  },
  {
    name: "a filter that refuses what a task needs, and no program from /tmp",
    container: ({ HostConfig }) => ({
      HostConfig: {
        SecurityOpt: withFilter(HostConfig?.SecurityOpt, stricter),
        Tmpfs: { ...HostConfig?.Tmpfs, "/tmp": "rw,noexec,mode=1777" },
      },
    }),
    noticed: ["B13 TCP", "B35 memfd and execveat", "B36 a filter of its own"],
  },
  {
    name: "root, with every capability and device, writable, unmasked and unfiltered",
    container: () => ({
      User: "0:0",
      HostConfig: {
        CapDrop: [],
        CapAdd: [...grantable()],
        SecurityOpt: ["seccomp=unconfined"],
        MaskedPaths: [],
        ReadonlyPaths: [],
        ReadonlyRootfs: false,
        Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/toolx", CgroupPermissions: "rw" }],
        DeviceCgroupRules: ["a *:* rwm"],
        Binds: deviceNames.map((name) => `${folder}/file:/dev/${name}`),
      },
    }),
    // What an engine gives to the program that is no container's first.
    command: ({ argv }) => ({
      argv: ["setpriv", "--inh-caps", "+sys_admin,+net_raw", "--ambient-caps", "+sys_admin", ...argv],
    }),
    noticed: [
      "B2 write /proc/sys/kernel/core_pattern",
      "B4 mount a tmpfs",
      "B19 mknod c 1 1 (mem), and open it",
      "B28 reboot",
    ],
  },
  {
    name: "new privileges, and capabilities to be had",
    container: ({ HostConfig }) => ({
      HostConfig: {
        CapDrop: [],
        CapAdd: [...grantable()],
        SecurityOpt: (HostConfig?.SecurityOpt ?? []).filter((one: string) => one.startsWith("seccomp")),
      },
    }),
    noticed: ["B16 a setuid copy of id", "B17 cap_net_raw, effective", "B18 CapBnd", "B33 new privileges"],
  },
  { name: "root, with no right", container: () => ({ User: "0:0" }), noticed: ["B33 root", "B16 setuid(0)"] },
  {
    name: "nothing masked",
    container: () => ({
      HostConfig: {
        MaskedPaths: [],
        ReadonlyPaths: [],
        Binds: hidden.filter((path) => path.startsWith("/sys/") && existsSync(path)).map((path) => `${folder}:${path}`),
      },
    }),
    noticed: ["B23 read /proc/cmdline", "B23 read /sys/kernel/security"],
  },
  {
    name: "the host's processes",
    container: () => ({ HostConfig: { PidMode: "host" } }),
    noticed: ["B24 processes but its own and PID 1", "B33 the host's processes"],
  },
  {
    name: "a network",
    // Where it is disabled the other fields change nothing.
    container: () => ({
      NetworkDisabled: false,
      HostConfig: { NetworkMode: "bridge", ExtraHosts: ["host.docker.internal:127.0.0.1"] },
    }),
    noticed: ["B33 the host's network", "B33 metadata of clouds"],
  },
  {
    name: "the host's name, queues, cgroups and network",
    container: () => ({
      Hostname: "",
      NetworkDisabled: false,
      HostConfig: { UTSMode: "host", IpcMode: "host", NetworkMode: "host", CgroupnsMode: "host" } as never,
    }),
    noticed: ["B24 the host's name", "B24 its place among the host's cgroups", "B33 engines by TCP"],
  },
  {
    name: "folders, sockets and files of the host",
    container: ({ HostConfig }) => ({
      HostConfig: {
        // The engine would put a /dev/shm of its own behind it otherwise.
        Tmpfs: { ...HostConfig?.Tmpfs, "/dev/shm": "rw,exec,mode=1777" },
        Binds: [
          `${folder}/open:/srv`,
          `${folder}/cgroup:/sys/fs/cgroup`,
          `${folder}/open:/sys/firmware`,
          `${folder}/file:/sys/devices/virtual/mem/null/uevent`,
          `${folder}/program:/usr/local/bin/dmsetup`,
          `${folder}/file:/var/run/secrets/kubernetes.io/serviceaccount/token`,
          // /var/run and /run are one folder.
          ...engineSockets.filter((path) => path !== "/run/docker.sock").map((path) => `${folder}/engine.sock:${path}`),
        ],
      },
    }),
    noticed: ["B24 paths of the host in /proc/self/mountinfo but the engine's own", "B33 a socket of the engine"],
  },
  {
    name: "secrets and loaders in the environment, and folders left open",
    command: ({ argv, env }) => ({
      env: {
        ...env,
        AWS_SECRET_ACCESS_KEY: "not one",
        KUBERNETES_SERVICE_HOST: "10.0.0.1",
        GLIBC_TUNABLES: "glibc.malloc.check=0",
      },
      cwd: "/tmp",
      argv: ["bash", "-c", 'exec 3</ 4</ 5</ 6</ 7</ 8</ 9</; exec "$@"', "bash", ...argv],
    }),
    noticed: ["B33 variables that sound like secrets", "B33 a folder that leaked", "B26 where it starts"],
  },
  {
    name: "file systems that start programs",
    container: ({ HostConfig }) => ({
      HostConfig: {
        Tmpfs: Object.fromEntries(
          Object.entries<string>(HostConfig?.Tmpfs ?? {}).map(([path, options]) => [
            path,
            options.replace("noexec", "exec").replace("nosuid", "suid"),
          ]),
        ),
      },
    }),
    noticed: ["B35 a program in /output"],
  },
  { name: "an image without its traps", isImagePlain: true, noticed: ["B27 a script that starts /proc/self/exe"] },
];

/** Whether an input cannot be seen on this host: its kernel does not have the file, or has nothing in it. */
export function isUnseenHere(name: string): boolean {
  const path = / (\/(?:proc|sys)\/\S+)$/.exec(name === "B33 magic keys" ? "B33 /proc/sysrq-trigger" : name)?.[1];
  if (path === undefined) return false;
  return !existsSync(path) || (statSync(path).isDirectory() && readdirSync(path).length === 0);
}

/** Puts files that anybody may use into a test's own folder, and listens where an engine would. */
export async function stageFolder(folder: string): Promise<Disposable> {
  chmodSync(folder, 0o755);
  for (const name of ["open", "cgroup"]) {
    mkdirSync(join(folder, name));
    chmodSync(join(folder, name), 0o777);
  }
  const names = ["release_agent", "notify_on_release", "cgroup.procs", "devices.allow", "memory.limit_in_bytes"];
  for (const name of ["file", "open/file", ...names.map((one) => `cgroup/${one}`)]) {
    writeFileSync(join(folder, name), "something");
    chmodSync(join(folder, name), 0o666);
  }
  copyFileSync("/bin/true", join(folder, "program"));
  const socket = join(folder, "engine.sock");
  const servers = await Promise.all([
    listening({ path: socket }),
    ...abstractNames.map((name) => listening({ path: `\0${name}` })),
    ...enginePorts.map((port) => listening({ port, host: "127.0.0.1" })),
  ]);
  chmodSync(socket, 0o777);
  return { [Symbol.dispose]: () => void servers.map((server) => server.close()) };
}

function listening(where: { path: string } | { port: number; host: string }) {
  const server = createServer((client) => client.end());
  return new Promise<typeof server>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      // Somebody else listens there: that will do.
      error.code === "EADDRINUSE" ? resolve(server) : reject(error),
    );
    server.listen(where, () => resolve(server));
  });
}

const refusedToo = ["memfd_create", "execveat", "landlock_create_ruleset", "seccomp", "socket"];

const stricter = (rules: Rule[]): Rule[] =>
  rules
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => !refusedToo.includes(name)) }))
    .filter(({ names }) => names.length > 0);

/** As they stand in a profile. */
export interface Rule {
  readonly names: readonly string[];
  readonly action: string;
}

/** The same options, with a filter whose rules are changed. */
export function withFilter(options: readonly string[] = [], change: (rules: Rule[]) => Rule[]): string[] {
  return options.map((one) => {
    if (!one.startsWith("seccomp=")) return one;
    const profile = JSON.parse(one.slice("seccomp=".length));
    return `seccomp=${JSON.stringify({ ...profile, syscalls: change(profile.syscalls) })}`;
  });
}

// In the order of their bits.
const capabilities =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE".split(
    " ",
  );

/** Those that this host itself has: an engine cannot give what it lacks. */
function grantable(): readonly string[] {
  const bits = BigInt(`0x${/^CapBnd:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`);
  // The oldest engines do not know the last three.
  return capabilities.slice(0, 38).filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n);
}
