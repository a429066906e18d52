import { attempt, type Battery, battery } from "../battery.ts";

/** Where engines and their parts listen. */
export const engineSockets: readonly string[] = [
  "/var/run/docker.sock",
  "/run/docker.sock",
  "/run/containerd/containerd.sock",
  "/run/containerd/containerd.sock.ttrpc",
  "/run/crio/crio.sock",
  "/run/podman/podman.sock",
  "/run/buildkit/buildkitd.sock",
  "/var/run/dockershim.sock",
  "/run/systemd/private",
  "/run/dbus/system_bus_socket",
  "/run/user/0/bus",
];

export const abstractNames: readonly string[] = [
  "/containerd-shim/",
  "/tmp/.X11-unix/X0",
  "@/org/kernel/linux/storage/multipathd",
];

export const enginePorts: readonly number[] = [2375, 2376, 6443, 10250, 4243];

/** Variables that the sandbox gives, and the one that the suite asked for. */
const askedFor =
  '("CANARY", "HOME", "LANG", "LOGNAME", "USER", "TOOL_OUTPUT_DIR", "MPLBACKEND", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "TMPDIR", "TOOL_PROGRESS_FD", "LC_CTYPE")';

// The engine's own folders: the layers of the root, and three files it makes for each container.
// Newer engines have containerd keep the layers.
const ofTheEngine =
  're.compile(r"/(overlay2|containers|io\\.containerd\\.snapshotter\\.v1\\.[a-z]+)/|^/var/lib/docker/")';

const descriptors = 'those(lambda one: stat.S_ISDIR(os.stat(one).st_mode), glob.glob("/proc/self/fd/*"))';

export const engineSurfaceBatteries: readonly Battery[] = [
  battery("B24", "what /proc says of others", [
    attempt("/proc/1/environ", 'read("/proc/1/environ")', "EACCES"),
    attempt("/proc/1/maps", 'read("/proc/1/maps")', "EACCES"),
    attempt("/proc/1/mem", 'opens("/proc/1/mem", RW)', "EACCES"),
    attempt("/proc/1/root", 'str(os.listdir("/proc/1/root"))', "EACCES"),
    attempt("/proc/1/cwd", 'str(os.listdir("/proc/1/cwd"))', "EACCES"),
    attempt("any descriptor of PID 1", 'those(can(R), ["/proc/1/fd/0"] + glob.glob("/proc/1/fd/*"))', "none"),
    attempt("/proc/1/exe, to write", 'opens("/proc/1/exe", W)', /^E(ROFS|ACCES)$/),
    attempt(
      "variables that nobody asked for",
      `those(lambda one: one not in ${askedFor}, [line.split("=")[0] for path in glob.glob("/proc/[0-9]*/environ") if os.access(path, R) and "/1/" not in path for line in read(path).split("\\0") if line])`,
      "none",
    ),
    attempt(
      "paths of the host in /proc/self/mountinfo but the engine's own",
      `those(lambda one: one != "/" and not re.match(r"/(docker|kubepods|system.slice)?", one).group(1) and not ${ofTheEngine}.search(one), {line.split()[3] for line in read("/proc/self/mountinfo").splitlines() if line.split(" - ")[1].split()[0] not in ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2")} | set(re.findall(r"(?:upperdir|workdir|lowerdir)=([^,:]*)", read("/proc/self/mountinfo"))))`,
      "none",
    ),
    attempt(
      "processes but its own and PID 1",
      'those(lambda one: os.stat("/proc/" + one).st_uid != os.getuid(), [one for one in os.listdir("/proc") if one.isdigit() and one != "1"])',
      "none",
    ),
    attempt(
      "its place among the host's cgroups",
      'str({line.split(":")[2] for line in read("/proc/self/cgroup").splitlines()})',
      "{'/'}",
      // The sentry's own, below the name of the container.
      /^\{'\/[0-9a-f]{64}'\}$/,
    ),
    attempt("the host's name", "os.uname().nodename", "sandbox"),
    attempt("folders behind its own descriptors", descriptors, "none"),
    attempt(
      "folders behind its parent's descriptors",
      descriptors.replace("/proc/self/fd", '/proc/" + str(os.getppid()) + "/fd'),
      /^(none|nothing to try)$/,
    ),
  ]),
  battery(
    "B26",
    "a working folder behind a descriptor",
    [
      attempt("where it starts", "os.getcwd()", "/workspace"),
      attempt("where PID 1 is", 'os.readlink("/proc/1/cwd")', "EACCES", /^(EACCES|\/)$/),
      ...[3, 4, 5, 6, 7, 8, 9].map((fd) =>
        attempt(
          `chdir to /proc/self/fd/${fd}/../../..`,
          `os.chdir("/proc/self/fd/${fd}/../../.."); os.getcwd()`,
          /^E(NOENT|NOTDIR|ACCES)$/,
        ),
      ),
    ],
    { imageLines: ["WORKDIR /proc/self/fd/8/../../.."] },
  ),
  battery(
    "B27",
    "the runtime's own program",
    [
      attempt("who PID 1 is", 'read("/proc/1/comm").strip()', "sandbox-init"),
      attempt("/proc/self/exe, to write", 'opens("/proc/self/exe", W)', /^E(ROFS|ACCES)$/),
      attempt("/sbin/sandbox-init, to write", 'opens("/sbin/sandbox-init", W)', /^E(ROFS|ACCES)$/),
      attempt("/sbin/sandbox-init, taken away", 'os.rename("/sbin/sandbox-init", "/sbin/taken")', /^E(ROFS|ACCES)$/),
      attempt("a script that starts /proc/self/exe", 'output("/usr/local/bin/self")', /^\/usr\/bin\/python3[.\d]*$/),
      attempt(
        "every program that runs, to write",
        'those(lambda one: os.access(one, os.W_OK), glob.glob("/proc/[0-9]*/exe"))',
        "none",
      ),
    ],
    {
      imageLines: [
        `RUN printf '#!/proc/self/exe\\nimport os; print(os.readlink("/proc/self/exe"))\\n' >/usr/local/bin/self && chmod 755 /usr/local/bin/self`,
        'ENTRYPOINT ["/usr/local/bin/self"]',
        'CMD ["/proc/self/exe", "init"]',
      ],
    },
  ),
  battery("B30", "sockets of the engine and its host", [
    ...engineSockets.map((path) =>
      attempt(`connect to ${path}`, `socket.socket(socket.AF_UNIX).connect("${path}")`, /^E(NOENT|ACCES|CONNREFUSED)$/),
    ),
    ...abstractNames.map((name) =>
      attempt(
        `connect to the abstract ${name}`,
        `socket.socket(socket.AF_UNIX).connect("\\0${name}")`,
        "ECONNREFUSED",
        /^E(CONNREFUSED|ISDIR)$/,
      ),
    ),
    attempt(
      "find any socket",
      'those(lambda one: stat.S_ISSOCK(os.lstat(one).st_mode), (one for top in ("/run", "/var", "/tmp", "/dev", "/etc", "/home", "/root", "/srv", "/mnt", "/opt", "/workspace", "/output") for one in below(top)))',
      "none",
    ),
    attempt(
      "names in /proc/net/unix",
      'those(lambda one: True, re.findall(r"[@/]\\S+$", read("/proc/net/unix"), re.M))',
      /^(none|nothing to try)$/,
    ),
    ...enginePorts.map((port) =>
      attempt(
        `connect to port ${port} of the loopback device`,
        `socket.create_connection(("127.0.0.1", ${port}), 2).close()`,
        "ECONNREFUSED",
      ),
    ),
    attempt("connect to the bridge's host", 'socket.create_connection(("172.17.0.1", 2375), 2).close()', "ENETUNREACH"),
  ]),
];
