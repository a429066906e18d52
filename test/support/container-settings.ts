import type { ContainerInspectInfo } from "dockerode";

/** What an engine says of a container, with the fields that the client's types lack. */
export interface ContainerFacts extends ContainerInspectInfo {
  readonly AppArmorProfile: string;
  readonly ProcessLabel: string;
}

/** What this host's kernel can add. */
export interface HostModules {
  readonly hasAppArmor: boolean;
  readonly hasSelinux: boolean;
}

/**
 * What is wrong with the settings of one task's container: the checks that docker-bench-security makes of containers (its
 * section 5, by number), each as strict as a sandbox must be, and what else can be seen from outside. Empty: nothing.
 */
export function settingFindings(facts: ContainerFacts, host: HostModules): readonly string[] {
  return settings.filter(({ holds }) => !holds(facts, host)).map(({ name }) => name);
}

interface Setting {
  readonly name: string;
  readonly holds: (facts: ContainerFacts, host: HostModules) => boolean;
}

const setting = (name: string, holds: Setting["holds"]): Setting => ({ name, holds });

const settings: readonly Setting[] = [
  setting("5.1 AppArmor profile", ({ AppArmorProfile }, { hasAppArmor }) =>
    hasAppArmor ? !["", "unconfined"].includes(AppArmorProfile) : AppArmorProfile === "",
  ),
  setting("5.2 SELinux label", ({ ProcessLabel, HostConfig }, { hasSelinux }) =>
    hasSelinux ? ProcessLabel !== "" : !optionsOf(HostConfig).some((one) => one.startsWith("label")),
  ),
  setting("5.3 capabilities", ({ HostConfig }) => isEmpty(HostConfig.CapAdd) && isSame(HostConfig.CapDrop, ["ALL"])),
  setting("5.4 privileged", ({ HostConfig }) => HostConfig.Privileged === false),
  setting(
    "5.5 folders of the host",
    ({ HostConfig, Mounts }) =>
      isEmpty(HostConfig.Binds) &&
      isEmpty(HostConfig.VolumesFrom) &&
      Mounts.every(({ Type }) => (Type as string) === "tmpfs"),
  ),
  setting(
    "5.6 one program, ours",
    ({ Config }) => isSame(Config.Entrypoint as string[], ["/sbin/sandbox-init"]) && isEmpty(Config.Cmd),
  ),
  setting(
    "5.7 to 5.8, 5.13 published ports",
    ({ HostConfig, NetworkSettings }) =>
      isEmpty(Object.keys(HostConfig.PortBindings ?? {})) &&
      HostConfig.PublishAllPorts !== true &&
      Object.values(NetworkSettings.Ports ?? {}).every((bound) => isEmpty(bound)),
  ),
  setting(
    "5.9, 5.29 network",
    ({ Config, HostConfig, NetworkSettings }) =>
      HostConfig.NetworkMode === "none" &&
      // The engine's own part in it is left out under runc alone.
      isSame(
        Object.keys(NetworkSettings.Networks),
        (Config as { NetworkDisabled?: boolean }).NetworkDisabled ? [] : ["none"],
      ) &&
      isEmpty(HostConfig.Links),
  ),
  setting(
    "5.10 memory, without swap",
    ({ HostConfig: { Memory = 0, MemorySwap, OomKillDisable } }) =>
      Memory > 0 && MemorySwap === Memory && OomKillDisable !== true,
  ),
  setting("5.11 processors", ({ HostConfig: { NanoCpus = 0 } }) => NanoCpus > 0),
  setting("5.12 read-only root", ({ HostConfig }) => HostConfig.ReadonlyRootfs === true),
  setting("5.14 restart policy", ({ HostConfig }) => HostConfig.RestartPolicy?.Name === "no"),
  setting("5.15 processes of the host", ({ HostConfig }) => HostConfig.PidMode === ""),
  setting("5.16 queues and shared memory of the host", ({ HostConfig }) => HostConfig.IpcMode === "private"),
  setting(
    "5.17 devices of the host",
    ({ HostConfig }) =>
      isEmpty(HostConfig.Devices) && isEmpty(HostConfig.DeviceRequests) && isEmpty(HostConfig.DeviceCgroupRules),
  ),
  setting("5.18 ulimits", ({ HostConfig }) =>
    ["nofile", "core", "fsize", "msgqueue", "memlock", "rtprio"].every((name) =>
      (HostConfig.Ulimits as { Name: string; Soft: number; Hard: number }[] | null)?.some(
        (one) => one.Name === name && one.Hard >= 0 && one.Soft === one.Hard,
      ),
    ),
  ),
  setting("5.19 mount propagation", ({ Mounts }) =>
    Mounts.every(({ Propagation }) => ["", "rprivate", "private"].includes(Propagation ?? "")),
  ),
  setting(
    "5.20 name of the host",
    ({ HostConfig, Config }) => HostConfig.UTSMode === "" && Config.Hostname === "sandbox",
  ),
  setting("5.21 filter of system calls", ({ HostConfig }) => {
    const profile =
      optionsOf(HostConfig)
        .find((one) => one.startsWith("seccomp="))
        ?.slice("seccomp=".length) ?? "";
    return profile.startsWith("{") && JSON.parse(profile).defaultAction === "SCMP_ACT_ERRNO";
  }),
  setting(
    "5.24 cgroup of its own",
    ({ HostConfig }) =>
      (HostConfig.CgroupParent ?? "") === "" && (HostConfig as { CgroupnsMode?: string }).CgroupnsMode === "private",
  ),
  setting("5.25 no new privileges", ({ HostConfig }) =>
    optionsOf(HostConfig).some((one) => /^no-new-privileges([:=]true)?$/.test(one)),
  ),
  // Its own health check would be a program of the image: there must be none.
  setting("5.26 health check", ({ Config }) => isSame(Config.Healthcheck?.Test, ["NONE"])),
  setting("5.27 image by its ID", ({ Config }) => /^sha256:[0-9a-f]{64}$/.test(Config.Image)),
  setting("5.28 number of processes", ({ HostConfig: { PidsLimit } }) => (PidsLimit ?? 0) > 0),
  setting("5.30 user namespace of the host", ({ HostConfig }) => (HostConfig.UsernsMode ?? "") === ""),
  setting(
    "5.31 socket of the engine",
    ({ HostConfig, Mounts }) =>
      ![...(HostConfig.Binds ?? []), ...Mounts.map(({ Source }) => Source ?? "")].some((one) => /\.sock\b/.test(one)),
  ),
  setting("user that is not root", ({ Config }) => /^[1-9]\d{5,9}:[1-9]\d{5,9}$/.test(Config.User)),
  setting("groups beside its own", ({ HostConfig }) => isEmpty(HostConfig.GroupAdd)),
  setting(
    "masked and read-only paths",
    ({ HostConfig: { MaskedPaths, ReadonlyPaths } }) =>
      ["/proc/kcore", "/proc/keys", "/sys/firmware"].every((path) => MaskedPaths?.includes(path)) &&
      ["/proc/sys", "/proc/sysrq-trigger"].every((path) => ReadonlyPaths?.includes(path)),
  ),
  setting("file systems with a size, without devices and setuid", ({ HostConfig: { Tmpfs } }) => {
    const options = Object.values<string>(Tmpfs ?? {});
    return (
      options.length > 0 &&
      options.every((one) => ["size=", "nr_inodes=", "nosuid", "nodev"].every((word) => one.includes(word)))
    );
  }),
  setting("size of shared memory", ({ HostConfig: { ShmSize = 0 } }) => ShmSize > 0 && ShmSize <= 16 * 1024 * 1024),
  setting("kernel settings", ({ HostConfig }) => isEmpty(Object.keys(HostConfig.Sysctls ?? {}))),
  setting("names of other hosts", ({ HostConfig }) => isEmpty(HostConfig.ExtraHosts)),
  setting("terminal", ({ Config }) => Config.Tty === false),
  setting("log kept by the engine", ({ HostConfig }) => HostConfig.LogConfig?.Type === "none"),
  setting("first to go when the host's memory ends", ({ HostConfig: { OomScoreAdj = 0 } }) => OomScoreAdj >= 500),
  setting("signal that ends it", ({ Config }) => (Config as { StopSignal?: string }).StopSignal === "SIGKILL"),
  setting(
    "variables that steer a loader",
    ({ Config }) => !Config.Env.some((one) => /^(LD_|GLIBC_TUNABLES|GODEBUG|GOTRACEBACK)[^=]*=/.test(one)),
  ),
];

/** Every check by its name. */
export const settingNames: readonly string[] = settings.map(({ name }) => name);

const optionsOf = ({ SecurityOpt }: ContainerFacts["HostConfig"]): readonly string[] => SecurityOpt ?? [];

const isEmpty = (list: readonly unknown[] | null | undefined): boolean => (list ?? []).length === 0;

const isSame = (list: readonly string[] | string | null | undefined, wanted: readonly string[]): boolean =>
  JSON.stringify(list) === JSON.stringify(wanted);
