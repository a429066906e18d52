package main

import (
	"os"
	"sync"
	"syscall"
)

// ending is how a process ended.
type ending struct {
	status syscall.WaitStatus
}

// reaper waits for every child: those it started, and as PID 1 every orphan of the sandbox.
type reaper struct {
	all chan struct{} // closed when no child is left

	mu      sync.Mutex
	running bool
	endings map[int]chan ending
}

func newReaper() *reaper {
	return &reaper{all: make(chan struct{}), endings: map[int]chan ending{}}
}

// start has a child started, whose ending comes over the channel. It begins to wait with the first one.
func (r *reaper) start(child func() (pid int, err error)) (<-chan ending, error) {
	// Held meanwhile: no ending is looked up before it has its place.
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := child()
	if err != nil {
		return nil, err
	}
	told := make(chan ending, 1)
	r.endings[pid] = told
	if !r.running {
		r.running = true
		spawn("reap", r.run)
	}
	return told, nil
}

func (r *reaper) run() {
	defer close(r.all)
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return
		default:
			r.tell(pid, ending{status: status})
		}
	}
}

func (r *reaper) tell(pid int, how ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if told, ok := r.endings[pid]; ok {
		delete(r.endings, pid)
		told <- how
		close(told)
	}
}

// signalTask sends a signal to every process of the task. Errors are left out: a process that is gone is no fault.
func signalTask(mainPid int, number syscall.Signal) {
	if os.Getpid() == 1 {
		_ = syscall.Kill(-1, number)
		return
	}
	// Only in tests: -1 would be every process of the machine.
	_ = syscall.Kill(-mainPid, number)
}
