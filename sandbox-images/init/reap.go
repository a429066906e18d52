package main

import (
	"os"
	"syscall"
)

// ending is how the main process ended.
type ending struct {
	status syscall.WaitStatus
}

// reaper waits for every child: the main process, and as PID 1 every orphan of the sandbox.
type reaper struct {
	main chan ending   // one value, when the main process ended
	all  chan struct{} // closed when no child is left
}

func startReaper(mainPid int) *reaper {
	r := &reaper{main: make(chan ending, 1), all: make(chan struct{})}
	spawn("reap", func() {
		defer close(r.all)
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, 0, nil)
			switch {
			case err == syscall.EINTR:
			case err != nil:
				return
			case pid == mainPid:
				r.main <- ending{status: status}
			}
		}
	})
	return r
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
