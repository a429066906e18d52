package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// A shell's statuses for a program that is not there, or is no program.
const (
	exitNotFound      = 127
	exitNotExecutable = 126
)

const (
	rlimitFsize  = 1
	rlimitCore   = 4
	rlimitNproc  = 6
	rlimitNofile = 7
)

// becomeTask is the launcher's whole life: it takes on what every task has, waits for its spec, takes on the task's own
// limits and executes the task's program. It returns only when there will be no task.
func becomeTask() int {
	socket := os.NewFile(controlFd, "control")
	if err := closeAtExec(progressFd); err != nil {
		fmt.Fprint(socket, err)
		return exitInternal
	}
	common, err := settleCommon()
	if err != nil {
		fmt.Fprint(socket, err)
		return exitInternal
	}
	control := bufio.NewReaderSize(socket, specBytes)
	spec, err := readLaunchSpec(control)
	if err != nil {
		return exitInternal // sandbox-init is gone or shuts down
	}
	if err := common.settle(spec); err != nil {
		fmt.Fprint(socket, err)
		return exitInternal
	}
	program, status, err := findProgram(spec.argv[0], spec.searchPaths)
	if spec.held {
		if _, held := control.ReadByte(); held != nil {
			return exitInternal
		}
	}
	if err == nil {
		unblockSignals()
		err = syscall.Exec(program, spec.argv, spec.env)
		status = exitNotExecutable
		if errors.Is(err, fs.ErrNotExist) {
			status = exitNotFound // also a script whose interpreter is not there
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", spec.argv[0], describe(err))
	return status
}

// specBytes is what most specs fit in: read at once, with one system call.
const specBytes = 32 << 10

// common is what the launcher has ready before it knows its task. A system call is cheap only where the kernel is the host's own.
type common struct {
	null int
	most map[int]uint64 // of each limit that a task may be given
}

// settleCommon gives the launcher what every task inherits. Its own runtime does without its signals from then on.
func settleCommon() (*common, error) {
	null, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	// The kernel's choice when the cgroup is full must be the task and never PID 1. Best effort: gVisor has no such file on some versions.
	if fd, err := syscall.Open("/proc/self/oom_score_adj", syscall.O_WRONLY|syscall.O_CLOEXEC, 0); err == nil {
		_, _ = syscall.Write(fd, []byte("1000"))
		syscall.Close(fd)
	}
	syscall.Umask(0o022)
	if err := syscall.Setrlimit(rlimitCore, &syscall.Rlimit{}); err != nil {
		return nil, fmt.Errorf("set the limit core to 0: %w", err)
	}
	c := &common{null: null, most: map[int]uint64{}}
	for _, which := range []int{rlimitFsize, rlimitNofile, rlimitNproc} {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(which, &limit); err != nil {
			return nil, fmt.Errorf("read a limit: %w", err)
		}
		c.most[which] = limit.Max
	}
	defaultSignals()
	return c, nil
}

// settle gives the launcher what is this task's own.
func (c *common) settle(spec launchSpec) error {
	if !spec.stdin {
		if err := syscall.Dup3(c.null, 0, 0); err != nil {
			return fmt.Errorf("give /dev/null to the task: %w", err)
		}
	}
	if spec.keepControl {
		if _, _, failure := syscall.Syscall(syscall.SYS_FCNTL, controlFd, syscall.F_SETFD, 0); failure != 0 {
			return fmt.Errorf("keep the socket: %w", failure)
		}
	}
	if err := os.Chdir(spec.cwd); err != nil {
		return fmt.Errorf("enter the working directory: %w", err)
	}
	limits := []struct {
		name  string
		which int
		value int64
	}{
		{"fsize", rlimitFsize, spec.fsizeBytes},
		{"nofile", rlimitNofile, spec.nofile},
		{"nproc", rlimitNproc, spec.nproc},
	}
	for _, limit := range limits {
		if err := setLimit(limit.which, limit.value, c.most[limit.which]); err != nil {
			return fmt.Errorf("set the limit %s to %d: %w", limit.name, limit.value, err)
		}
	}
	return nil
}

// setLimit sets soft and hard alike, or what the container allows where that is less. A value below 1 changes nothing.
// SAFETY: it acts on the caller only; the seccomp profile refuses prlimit64 on any other process.
func setLimit(which int, value int64, most uint64) error {
	if value < 1 {
		return nil
	}
	allowed := min(uint64(value), most)
	return syscall.Setrlimit(which, &syscall.Rlimit{Cur: allowed, Max: allowed})
}

// closeAtExec marks every descriptor above last.
func closeAtExec(last int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list own descriptors: %w", err)
	}
	for _, entry := range entries {
		var fd int
		if _, err := fmt.Sscan(entry.Name(), &fd); err == nil && fd > last {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// defaultSignals sets every signal to its default: what sandbox-init ignores, the task must not.
func defaultSignals() {
	var action struct{ handler, flags, restorer, mask uint64 }
	for number := uintptr(1); number <= lastSignal; number++ {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
	}
}

// unblockSignals is for the thread that executes the program: its mask is the task's.
func unblockSignals() {
	var none uint64
	const setMask = 2
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&none)), 0, unsafe.Sizeof(none), 0, 0)
}

// findProgram searches a name without a slash in paths, the way a shell does. The status is for an error.
func findProgram(name, paths string) (program string, status int, err error) {
	if strings.Contains(name, "/") {
		return name, 0, nil
	}
	status, err = exitNotFound, errCommandNotFound
	for _, folder := range strings.Split(paths, ":") {
		if name == "" {
			break
		}
		if folder == "" {
			folder = "." // an empty element is the working directory, by tradition
		}
		candidate := folder + "/" + name
		found, statErr := os.Stat(candidate)
		switch {
		case statErr != nil || found.IsDir():
		case found.Mode().Perm()&0o111 != 0:
			return candidate, 0, nil
		default:
			status, err = exitNotExecutable, syscall.EACCES
		}
	}
	return "", status, err
}

var errCommandNotFound = errors.New("command not found")

// describe is the bare reason, without Go's words around it.
func describe(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
