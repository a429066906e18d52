package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// launchSpec is what the launcher needs to become the task. It goes over a socket, never in arguments, because a
// task may read /proc/1/cmdline and its own.
type launchSpec struct {
	argv        []string
	env         []string
	cwd         string
	stdin       bool
	nproc       int64
	nofile      int64
	fsizeBytes  int64
	searchPaths string
	// keepControl leaves the socket open over execve, for a program that is told its task later.
	keepControl bool
	// held has it wait for another byte, with everything done but the execve.
	held bool
}

// launcher is a child started before the task is known, so that `start` costs one execve and no fork.
type launcher struct {
	pid     int
	ended   <-chan ending
	control *os.File
	// sandbox-init's ends of the task's pipes.
	stdin                    *os.File
	stdout, stderr, progress int
	pump                     *pump // of the three, not yet running
}

// letGo is what a held launcher waits for.
const letGo = 'G'

// The launcher's descriptors.
const (
	progressFd = 3
	controlFd  = 4
)

// startLauncher starts this binary again as the launcher. Nothing of the protocol's descriptors reaches it. What the
// task prints will go to out.
func startLauncher(r *reaper, out *outbox) (*launcher, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	var ends [4][2]int
	for i := range ends {
		if err := syscall.Pipe2(ends[i][:], syscall.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
	}
	control, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	in, output, errs, progress := ends[0], ends[1], ends[2], ends[3]
	theirs := []uintptr{uintptr(in[0]), uintptr(output[1]), uintptr(errs[1]), uintptr(progress[1]), uintptr(control[1])}
	var pid int
	ended, err := r.start(func() (int, error) {
		pid, err = syscall.ForkExec(self, []string{"sandbox-init", "launch"}, &syscall.ProcAttr{
			Env:   append(os.Environ(), "GOMAXPROCS=1"),
			Files: theirs,
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		return pid, err
	})
	if err != nil {
		return nil, fmt.Errorf("start %s launch: %w", self, err)
	}
	for _, fd := range theirs {
		syscall.Close(int(fd))
	}
	for _, fd := range []int{in[1], output[0], errs[0], progress[0]} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("make a pipe non-blocking: %w", err)
		}
	}
	l := &launcher{
		pid: pid, ended: ended, control: os.NewFile(uintptr(control[0]), "launcher"),
		stdin: os.NewFile(uintptr(in[1]), "stdin"), stdout: output[0], stderr: errs[0], progress: progress[0],
	}
	if l.pump, err = newPump(out, l); err != nil {
		return nil, err
	}
	return l, nil
}

// tell hands a spec over that is held.
func (l *launcher) tell(spec launchSpec) error {
	if _, err := l.control.Write(spec.marshal()); err != nil {
		return fmt.Errorf("hand the task to its launcher: %w", err)
	}
	return nil
}

// launch hands the spec over, or lets go of one that is held, and returns once the task's program runs, or once it is
// known that it never will as a failure of the task itself. An error means that the launcher could not do its part.
func (l *launcher) launch(spec launchSpec) error {
	defer l.control.Close()
	word := []byte{letGo}
	if !spec.held {
		word = spec.marshal()
	}
	_, failure := l.control.Write(word)
	// The socket closes by itself at execve; anything that comes before is a complaint.
	complaint, err := io.ReadAll(io.LimitReader(l.control, 4096))
	switch {
	case len(complaint) > 0:
		return errors.New(string(complaint))
	case failure != nil:
		return fmt.Errorf("hand the task to its launcher: %w", failure)
	case err != nil:
		return fmt.Errorf("wait for the launcher: %w", err)
	}
	return nil
}

// discard ends a launcher that is not needed, and returns when it is gone, and what it may have started with it.
func (l *launcher) discard() {
	// First: it must not see an end of its input, and act on that.
	endGroup(l.pid, l.ended)
	l.control.Close()
	l.stdin.Close()
	for _, fd := range []int{l.stdout, l.stderr, l.progress} {
		syscall.Close(fd)
	}
	l.pump.discard()
}

// endGroup kills a process that leads its group, and the group, and returns when all are gone, or refuse to.
func endGroup(pid int, ended <-chan ending) {
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	patience := time.After(killPatience)
	select {
	case <-ended:
	case <-patience:
		return
	}
	// The group is there until the last of it was waited for, which the reaper does.
	for syscall.Kill(-pid, 0) == nil {
		select {
		case <-time.After(time.Millisecond):
		case <-patience:
			return
		}
	}
}

func (l *launcher) isOver() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// marshal is a length, then the fields, each with its length: cheaper at start than a general format.
func (s launchSpec) marshal() []byte {
	out := make([]byte, 4, 4096)
	put := func(text string) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
		out = append(out, text...)
	}
	number := func(n int64) { out = binary.BigEndian.AppendUint64(out, uint64(n)) }
	list := func(texts []string) {
		number(int64(len(texts)))
		for _, text := range texts {
			put(text)
		}
	}
	list(s.argv)
	list(s.env)
	put(s.cwd)
	put(s.searchPaths)
	for _, n := range []int64{flag(s.stdin), s.nproc, s.nofile, s.fsizeBytes, flag(s.keepControl), flag(s.held)} {
		number(n)
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

// readLaunchSpec reads what marshal made. The other side is sandbox-init itself, so a short read is the only fault.
func readLaunchSpec(from io.Reader) (launchSpec, error) {
	var size [4]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return launchSpec{}, err
	}
	in := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(from, in); err != nil {
		return launchSpec{}, err
	}
	text := func() string {
		n := binary.BigEndian.Uint32(in)
		read := string(in[4 : 4+n])
		in = in[4+n:]
		return read
	}
	number := func() int64 {
		n := int64(binary.BigEndian.Uint64(in))
		in = in[8:]
		return n
	}
	list := func() []string {
		texts := make([]string, number())
		for i := range texts {
			texts[i] = text()
		}
		return texts
	}
	return launchSpec{
		argv: list(), env: list(), cwd: text(), searchPaths: text(),
		stdin: number() == 1, nproc: number(), nofile: number(), fsizeBytes: number(), keepControl: number() == 1,
		held: number() == 1,
	}, nil
}
