import type { RuntimeTraits } from "../adapters/docker/runtimes.ts";
import type { Check, Probe } from "./probe.ts";
import { wall } from "./wall-probe.ts";

/**
 * Goes against the kernel and the way out of the container, in Perl, which every Debian root has. For each wall it prints what got
 * through, `name=THING`, and otherwise `name=none`.
 *
 * Every call has a process of its own. Where the kernel itself would refuse it, its arguments are wrong on purpose: a call that
 * gets through the filter then fails with another error, and does no harm where every wall has fallen. Files are opened, never written.
 */
export const kernelScript = `
use Fcntl; use POSIX (); use Socket;
my ($machine) = (POSIX::uname())[4];
my $column = { x86_64 => 0, aarch64 => 1 }->{$machine} // do { print "machine=$machine\\n"; exit };
my %found;
sub says { my ($name, @things) = @_; print "$name=$_\\n" for @things ? @things : "none" }

# Whether a piece of code is refused, in a process of its own: 0 refused, 1 not, or the signal that ended it.
sub tried {
  my ($code) = @_;
  my $pid = fork // die "fork: $!";
  if ($pid == 0) { alarm 3; POSIX::_exit($code->() ? 1 : 0) }
  waitpid $pid, 0;
  return $? & 127 ? "signal " . ($? & 127) : $? >> 8;
}
# EPERM or ENOSYS is the filter's word; a call that came to another end has got through.
sub passes { my @numbers = @_; $! = 0; my $answer = syscall(shift @numbers, @numbers); return $answer != -1 || ($! != 1 && $! != 38) }

my @calls = map { [split] } split /\\n/, <<'END';
ptrace 101 117 0 0 0 0
process_vm_readv 310 270 1 0 0 0 0 0
process_vm_writev 311 271 1 0 0 0 0 0
kcmp 312 272 1 1 99 0 0
pidfd_getfd 438 438 -1 0 0
unshare 272 97 268435456
setns 308 268 -1 0
mount 165 40 0 0 0 0 0
umount2 166 39 0 0
pivot_root 155 41 0 0
chroot 161 51 0
open_tree 428 428 -1 0 0
fsopen 430 430 0 0
bpf 321 280 99 0 0
perf_event_open 298 241 0 0 0 0 0
userfaultfd 323 282 1
io_uring_setup 425 425 0 0
add_key 248 217 0 0 0 0 0
keyctl 250 219 999 0 0 0 0
name_to_handle_at 303 264 -1 0 0 0 0
open_by_handle_at 304 265 -1 0 0
personality 135 92 262144
syslog 103 116 99 0 0
reboot 169 142 0 0 0 0
kexec_load 246 104 0 0 0 -1
init_module 175 105 0 0 0
finit_module 313 273 -1 0 0
swapon 167 224 0 0
acct 163 89 0
settimeofday 164 170 0 0
END
says("calls", map { $_->[0] } grep { my @call = @$_; tried(sub { passes($call[1 + $column], map { $_ + 0 } @call[3 .. $#call]) }) } @calls);

my %sockets = ("AF_ALG" => [38, 5, 0], "vsock" => [40, 1, 0], "packet" => [17, 3, 0], "raw" => [2, 3, 1], "netfilter" => [16, 3, 12], "SCTP" => [2, 1, 132], "Bluetooth" => [31, 3, 1], "TIPC" => [30, 5, 0]);
says("sockets", grep { my $one = $sockets{$_}; tried(sub { passes($column ? 198 : 41, @$one) }) } sort keys %sockets);

# getpid of x32; the filter ends the thread that makes it, or refuses it. ENOSYS would be the kernel's own word.
my $x32 = tried(sub { $! = 0; return syscall(0x40000000 | 39) != -1 || $! != 1 });
says("abi", $x32 eq "0" || $x32 eq "signal 31" ? () : "x32 $x32");

sub opens { my ($path, $mode) = @_; return sysopen(my $file, $path, $mode | O_NONBLOCK) }
sub reads { my ($path) = @_; return opens($path, O_RDONLY) && open(my $file, "<", $path) && sysread($file, my $bytes, 16) }
says("settings", grep { opens($_, O_WRONLY) } qw(/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_forward /sys/kernel/uevent_helper), glob("/sys/fs/cgroup/*/release_agent"));
says("memory", (grep { -f $_ && reads($_) } qw(/proc/kcore /proc/keys /proc/kallsyms /proc/interrupts /proc/timer_list /proc/kmsg /proc/config.gz /proc/1/environ /proc/1/maps)), grep { -e $_ } glob("/sys/firmware/* /sys/devices/virtual/powercap/* /sys/kernel/debug/*"));

my %nodes = ("mem" => [0x2000, 1, 1], "kmsg" => [0x2000, 1, 11], "kvm" => [0x2000, 10, 232], "loop0" => [0x6000, 7, 0], "sda" => [0x6000, 8, 0], "vda" => [0x6000, 254, 0]);
says("devices", grep {
  my ($type, $major, $minor) = @{$nodes{$_}};
  my $made = "/tmp/node-$_";
  # mknod, or mknodat of the working folder.
  my @made = $column ? (33, -100, $made, $type | 0666, $major << 8 | $minor) : (133, $made, $type | 0666, $major << 8 | $minor);
  syscall($made[0], @made[1 .. $#made]);
  opens("/dev/$_", O_RDWR) || -e $made && opens($made, O_RDONLY)
} sort keys %nodes);

my @host = grep { -S $_ } qw(/run/docker.sock /run/containerd/containerd.sock /run/crio/crio.sock /run/podman/podman.sock /run/systemd/private);
push @host, "process $_" for grep { $_ != 1 && (stat "/proc/$_")[4] != $< } grep { /^\\d+$/ } map { m{([^/]+)$} } glob("/proc/*");
my $mounts = do { local (@ARGV, $/) = "/proc/self/mountinfo"; <> };
for (split /\\n/, $mounts) {
  my ($place, $options, $kind) = (split)[4, 5], / - (\\S+)/;
  my $type = (/ - (\\S+)/)[0];
  next if $type =~ /^(proc|sysfs|tmpfs|devpts|mqueue|cgroup2?|overlay|9p)$/ || $place =~ m{^/etc/(hosts|hostname|resolv.conf)$};
  push @host, "$type at $place" unless $place eq "/" || $place =~ m{^/(dev|proc|sys)(/|$)};
}
push @host, "name " . (POSIX::uname())[1] if (POSIX::uname())[1] ne "sandbox";
if (open my $unix, "<", "/proc/net/unix") { push @host, grep { /containerd|docker/ } <$unix> }
says("host", map { s/\\s+/ /gr } @host);

my %ulimits = map { split /=/ } split / /, $ENV{ULIMITS} // "";
says("ulimits", map { "$_ $ulimits{$_}" } grep { $ulimits{$_} !~ /^\\d+$/ || $ulimits{$_} > { files => 1024, core => 0, locked => 8192 }->{$_} } qw(files core locked));
my ($size) = (split " ", (split /\\n/, \`df -k /dev/shm\`)[1])[1];
my @unbounded = grep { -r $_ && do { open my $file, "<", $_; my $line = <$file> // ""; $line =~ /max/ || $line > 2 ** 50 } } map { "/sys/fs/cgroup/$_" } qw(memory.max pids.max memory/memory.limit_in_bytes pids/pids.max);
says("cgroup", @unbounded);
says("shm", $size > 0 && $size <= 16384 ? () : "$size KiB");

for my $place ("/output", "/dev/shm", "/run/toolx") { $found{$place} = 1 if system("cp /bin/true $place/doctor 2>/dev/null && $place/doctor 2>/dev/null") == 0 }
says("programs", sort keys %found);
`;

/** The walls that {@link kernelScript} tries, under every runtime. */
export function kernelProbe({ whenAWallFalls, measuresInside }: RuntimeTraits): Probe {
  const advice = `this wall does not hold: ${whenAWallFalls}`;
  // A kernel of its own shows cgroups of its own, and nothing of those that hold it.
  const walls = measuresInside ? [...kernelWalls, cgroupWall] : kernelWalls;
  const checks = walls.map((one): Check => ({ ...one, advice }));
  // Limits are the shell's word: Perl has none for them.
  const command =
    'ULIMITS="files=$(ulimit -Hn) core=$(ulimit -Hc) locked=$(ulimit -Hl)" exec perl -e "$PROBE" 2> /tmp/why';
  return { command, env: { PROBE: kernelScript }, limits: {}, checks };
}

const none = /^none$/;

const kernelWalls: readonly Omit<Check, "advice">[] = [
  wall("kernel calls", "make 30 calls: ptrace, mount, setns, bpf, io_uring, keys, clocks, modules, …", { calls: none }),
  wall("kernel sockets", "open AF_ALG, vsock, packet, raw, netfilter, SCTP, …", { sockets: none }),
  wall("second ABI", "make an x32 call", { abi: none }),
  wall("kernel settings", "open core_pattern, sysrq-trigger, release_agent, … to write", { settings: none }),
  wall("kernel memory", "read kcore, keys, firmware, the environment of PID 1, …", { memory: none }),
  wall("devices", "make and open mem, kmsg, kvm and disks", { devices: none }),
  wall("things of the host", "look for sockets, processes, mounts, names of the host", { host: none }),
  wall("ulimits", "ask for the hard ones, and the size of /dev/shm", { ulimits: none, shm: none }),
  wall("programs in /output", "start one in /output, /dev/shm, /run/toolx", { programs: none }),
];

const cgroupWall = wall("cgroup limits", "read those of memory and processes", { cgroup: none });
