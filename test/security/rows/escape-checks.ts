import { attempt, type Battery, battery, type Try } from "../battery.ts";

/** A check of the kind that escape kits make (deepce, CDK, amicontained, traitor); what it finds must be nothing. */
const check = (name: string, code: string): Try => attempt(name, code, /^(none|nothing to try)$/);

/** Whether a program is there. */
const programs = (...names: readonly string[]): string =>
  `those(lambda one: any(os.access(at + "/" + one, os.X_OK) for at in os.environ["PATH"].split(":")), ${JSON.stringify(names)})`;

/** By a datagram's route: nothing is sent. */
const asks = (...hosts: readonly string[]): string =>
  `those(lambda one: socket.socket(2, 2).connect((one, 80)) is None, ${JSON.stringify(hosts)})`;

const readable = (...paths: readonly string[]): string => `those(can(R), ${JSON.stringify(paths)})`;
const writable = (...paths: readonly string[]): string => `those(can(W), ${JSON.stringify(paths)})`;

const mountLines = 'read("/proc/self/mountinfo").splitlines()';
// Each line: ID, parent, device, root, place, options, …, "-", kind, source, options.
const ownPlaces =
  '("/workspace", "/tmp", "/output", "/run/toolx", "/dev", "/dev/shm", "/dev/mqueue", "/dev/pts", "/proc")';

const rights: readonly Try[] = [
  check(
    "capabilities",
    'those(lambda one: int(status(one), 16), [one for one in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if one in read("/proc/self/status")])',
  ),
  check("root", "those(lambda one: one == 0, os.getresuid() + os.getresgid() + tuple(os.getgroups()))"),
  check(
    "groups of engines",
    'those(lambda one: int(one.split(":")[2]) in os.getgroups() + [os.getgid()] and one.split(":")[0] in ("docker", "lxd", "lxc", "podman", "disk", "kvm", "root"), read("/etc/group").split())',
  ),
  check("a user that others have too", "those(lambda one: one < 200000, [os.getuid(), os.getgid()])"),
  check("a filter that is off", 'those(lambda one: status(one) not in ("2",), ["Seccomp"])'),
  check("new privileges", "those(lambda one: call(157, 39, 0, 0, 0, 0) != 1, ['no-new-privileges'])"),
  check(
    "programs that raise who runs them",
    'output("sh", "-c", "find / -xdev -type f -perm /6000 2>/dev/null; true").strip() or "none"',
  ),
  check(
    "files with capabilities",
    'those(lambda one: "security.capability" in os.listxattr(one), [one for top in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/sbin", "/bin") for one in below(top) if not os.path.islink(one)])',
  ),
  check("sudo, pkexec, doas", programs("sudo", "pkexec", "doas", "dzdo")),
  check("passwords", readable("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/security/opasswd")),
  check(
    "accounts to write",
    writable(
      "/etc/shadow",
      "/etc/sudoers",
      "/etc/ld.so.preload",
      "/etc/ld.so.conf",
      "/etc/crontab",
      "/root/.ssh/authorized_keys",
    ),
  ),
  check(
    "cap_dac_read_search",
    'those(lambda one: said(lambda: call(304, os.open("/", R), buffer(64, struct.pack("IiQ", 8, 1, one)), 0)) != "EPERM", [2])',
  ),
];

const host: readonly Try[] = [
  check(
    "folders of the host that can be written",
    `those(lambda one: os.access(one, os.W_OK), [line.split()[4] for line in ${mountLines} if line.split()[4] not in ${ownPlaces} and not line.split()[4].startswith(("/proc/", "/sys"))])`,
  ),
  check(
    "disks of the host",
    `those(lambda one: one.startswith("/dev/") and "/etc/" not in one, [line.split(" - ")[1].split()[1] for line in ${mountLines} if line.split()[4] not in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")])`,
  ),
  check(
    "a disk to rewrite",
    'those(lambda one: said(lambda: (os.mknod("/workspace/disk", stat.S_IFBLK | 0o600, os.stat(one).st_dev), opens("/workspace/disk", RW))) not in ("EPERM", "ENXIO"), ["/etc/hostname"])',
  ),
  check("programs for disks", programs("kpartx", "dmsetup", "nbd-client")),
  check(
    "a socket of the engine",
    'those(lambda one: stat.S_ISSOCK(os.stat(one).st_mode), ["/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/podman/podman.sock", "/var/run/secrets/docker.sock", "/host/var/run/docker.sock"])',
  ),
  check(
    "the shim's abstract sockets",
    'those(lambda one: "shim" in one or "containerd" in one, read("/proc/net/unix").splitlines())',
  ),
  check(
    "the host's network",
    'those(lambda one: one.split(":")[0].strip() != "lo", [one for one in read("/proc/net/dev").splitlines()[2:]])',
  ),
  check(
    "the host's processes",
    'those(lambda one: read("/proc/" + one + "/comm").strip() in ("systemd", "init", "dockerd", "containerd", "kthreadd", "sshd"), [one for one in os.listdir("/proc") if one.isdigit()])',
  ),
  check("the host's name", 'those(lambda one: one != "sandbox", [os.uname().nodename])'),
  check(
    "a shared queue or memory",
    'those(lambda one: len(one) > 0, [line for path in ("/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem") if os.path.exists(path) for line in read(path).splitlines()[1:]] + os.listdir("/dev/shm"))',
  ),
  check(
    "process to inject into",
    'those(lambda one: call(101, 0x4206, int(one), 0, 0) == 0, [one for one in os.listdir("/proc") if one.isdigit() and int(one) != os.getpid()])',
  ),
  check(
    "memory of others",
    'those(can(RW), [f"/proc/{one}/mem" for one in os.listdir("/proc") if one.isdigit() and int(one) not in (os.getpid(), os.getppid())])',
  ),
  check(
    "namespaces of the host",
    'those(lambda one: call(308, os.open("/proc/1/ns/" + one, R), 0) == 0, ["mnt", "pid", "net", "user", "cgroup"])',
  ),
];

const kernel: readonly Try[] = [
  check("core_pattern", writable("/proc/sys/kernel/core_pattern")),
  check(
    "modprobe, hotplug, poweroff_cmd",
    writable("/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/poweroff_cmd"),
  ),
  check(
    "binfmt_misc",
    'those(lambda one: said(lambda: mount("none", one, "binfmt_misc")) != "EPERM", ["/tmp", "/proc/sys/fs/binfmt_misc"])',
  ),
  check("uevent_helper", writable("/sys/kernel/uevent_helper", "/sys/class/mem/null/uevent")),
  check("magic keys", writable("/proc/sysrq-trigger")),
  check(
    "kernel memory",
    'those(lambda one: read(one, 1) != "" if one == "/proc/kcore" else can(R)(one), ["/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore"])',
  ),
  check(
    "release_agent",
    'those(can(W), [one for one in below("/sys/fs/cgroup") if os.path.basename(one) == "release_agent"])',
  ),
  check(
    "a cgroup to mount",
    'those(lambda one: said(lambda: mount("cgroup", "/tmp", "cgroup", 0, one)) != "EPERM", [b"memory,toolxnone", b"toolxnone"])',
  ),
  check(
    "devices.allow",
    'those(can(W), [one for one in below("/sys/fs/cgroup") if os.path.basename(one) in ("devices.allow", "devices.deny")])',
  ),
  check(
    "user namespaces",
    'those(lambda one: subprocess.run(["unshare", one, "true"], capture_output=True).returncode == 0, ["-U", "-Ur", "-m", "-n", "-p", "-i", "-C"])',
  ),
  check(
    "efi variables, firmware, thermal",
    'those(lambda one: os.access(one, os.W_OK), (one for top in ("/sys/firmware", "/sys/class/thermal", "/sys/power", "/sys/kernel/debug") for one in below(top)))',
  ),
  check(
    "bpf, perf, io_uring, userfaultfd, keys",
    "those(lambda one: call(*one) >= 0, [(321, 0, buffer(), 72), (298, buffer(128), 0, -1, -1, 0), (425, 8, buffer(128)), (323, 0), (250, 0, -3, 1), (248, b'user', b'toolx', b'x', 1, -2)])",
  ),
  check(
    "overlay in a namespace",
    'those(lambda one: mount("overlay", "/tmp", "overlay", 0, b"lowerdir=/etc:/usr") is None, [1])',
  ),
  check(
    "netfilter, AF_ALG, AF_PACKET, vsock",
    "those(lambda one: sock(*one) is None, [(16, 3, 12), (38, 5, 0), (17, 3, 0), (40, 1, 0), (16, 3, 6)])",
  ),
];

const program: readonly Try[] = [
  check(
    "the runtime's program by /proc/self/exe",
    'those(lambda one: os.access(one, os.W_OK), ["/proc/self/exe", "/proc/1/exe"] + glob.glob("/proc/[0-9]*/exe"))',
  ),
  check(
    "a folder that leaked",
    'those(lambda one: stat.S_ISDIR(os.stat(one).st_mode), glob.glob("/proc/[0-9]*/fd/*"))',
  ),
  check(
    "a library before all others",
    'those(lambda one: one in os.environ, ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES", "BASH_ENV", "PYTHONPATH", "NODE_OPTIONS"])',
  ),
  check(
    "folders in the search path that can be written",
    'those(lambda one: os.access(one, os.W_OK), os.environ["PATH"].split(":"))',
  ),
  check(
    "libraries that can be written",
    'those(lambda one: os.access(one, os.W_OK), ["/lib", "/lib64", "/usr/lib", "/usr/local/lib", "/etc/ld.so.cache", "/sbin/sandbox-init"])',
  ),
];

const secrets: readonly Try[] = [
  check(
    "variables that sound like secrets",
    'those(lambda one: re.search("(?i)passw|secret|token|api_?key|credential|aws_|azure|gcp|docker_", one), os.environ)',
  ),
  check(
    "tokens of clusters",
    readable(
      "/var/run/secrets/kubernetes.io/serviceaccount/token",
      "/run/secrets/kubernetes.io/serviceaccount/token",
      "/var/run/secrets/tokens",
      "/etc/kubernetes/admin.conf",
      "/root/.kube/config",
    ),
  ),
  check(
    "keys and credentials",
    readable(
      "/root/.ssh/id_rsa",
      "/root/.docker/config.json",
      "/root/.aws/credentials",
      "/root/.config/gcloud/credentials.db",
      "/run/secrets",
      "/etc/ssl/private",
    ),
  ),
  check(
    "clusters in the environment",
    'those(lambda one: one.startswith(("KUBERNETES_", "ECS_", "NOMAD_")), os.environ)',
  ),
  check("metadata of clouds", asks("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192")),
  check(
    "engines by TCP",
    "those(lambda one: socket.create_connection(one, 1).close() is None, [(at, port) for at in ('127.0.0.1', '172.17.0.1') for port in (2375, 2376, 4243, 6443, 10250, 10255)])",
  ),
  check(
    "names of its host",
    'those(lambda one: one in read("/etc/hosts"), ["host.docker.internal", "gateway.docker.internal", "kubernetes.default", "metadata.google.internal"])',
  ),
];

export const escapeCheckBatteries: readonly Battery[] = [
  battery("B33", "what escape kits look for: rights", rights),
  battery("B33", "what escape kits look for: the host", host),
  battery("B33", "what escape kits look for: the kernel", kernel),
  battery("B33", "what escape kits look for: programs", program),
  battery("B33", "what escape kits look for: secrets and neighbours", secrets),
];
