package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
)

// rehearse runs a program of the image to its end before the task is known, for a runtime under which the second program of a sandbox starts faster than the
// first (gVisor keeps the address space of one that has ended, and what it has read of the loader and the libraries). Its output goes nowhere, and
// nothing of it is left. A program that the image has not is no failure.
func (s *session) rehearse(body []byte) {
	if s.now() != stateIdle || s.armed != nil || s.prepared != nil || s.input != nil {
		s.refuse("order", "rehearse behind input, prepare, arm or start")
		return
	}
	var asked rehearseBody
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.Argv) == 0 {
		s.refuse("unsupported", "rehearse: argv must not be empty")
		return
	}
	if err := s.rehearseWith(asked); err != nil {
		fmt.Fprintf(os.Stderr, "sandbox-init: rehearse %s: %v\n", asked.Argv[0], err)
	}
}

func (s *session) rehearseWith(asked rehearseBody) error {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	var pid int
	ended, err := s.reaper.start(func() (int, error) {
		pid, err = syscall.ForkExec(asked.Argv[0], asked.Argv, &syscall.ProcAttr{
			Dir:   "/",
			Files: []uintptr{null.Fd(), null.Fd(), null.Fd()},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		return pid, err
	})
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-time.After(killPatience):
	}
	endGroup(pid, ended)
	return nil
}
