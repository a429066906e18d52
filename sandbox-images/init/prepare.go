package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
)

// prepared is a program of the image that was started before the task is known, and waits where it needs to know it: an
// interpreter with its imports done. It came out of a launcher, has its descriptors, and becomes the task as that would.
type prepared struct {
	launcher *launcher
	ready    atomic.Bool
}

// preparedReady is what such a program writes to the launcher's socket when it waits for its task.
const preparedReady = 'R'

func (s *session) prepare(body []byte) {
	if s.now() != stateIdle || s.prepared != nil || s.armed != nil {
		s.refuse("order", "prepare after start or arm, or a second one")
		return
	}
	var asked prepareBody
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.Argv) == 0 {
		s.refuse("unsupported", "prepare: argv must not be empty")
		return
	}
	program, err := s.startPrepared(asked)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sandbox-init: prepare: %v\n", err)
		s.tellPrepared(false)
		return
	}
	s.prepared = program
	spawn("prepare", func() {
		var answer [1]byte
		n, _ := program.launcher.control.Read(answer[:])
		program.ready.Store(n == 1 && answer[0] == preparedReady)
		s.tellPrepared(program.ready.Load())
	})
}

func (s *session) startPrepared(asked prepareBody) (*prepared, error) {
	own, err := threadCount()
	if err != nil {
		return nil, err
	}
	fresh, err := startLauncher(s.reaper, s.out)
	if err != nil {
		return nil, err
	}
	spec := launchSpec{
		argv: asked.Argv, env: taskEnvironment(asked.Env), cwd: "/", searchPaths: asked.Env["PATH"], stdin: true,
		nofile: asked.Limits.Nofile, fsizeBytes: asked.Limits.FsizeBytes, keepControl: true,
	}
	if asked.Limits.Nproc > 0 {
		spec.nproc = asked.Limits.Nproc + own
	}
	if _, err := fresh.control.Write(spec.marshal()); err != nil {
		fresh.discard()
		return nil, err
	}
	return &prepared{launcher: fresh}, nil
}

func (s *session) tellPrepared(ready bool) {
	s.out.putUnnumbered(framePrepared, encode(preparedBody{Ready: ready}))
}

// choose decides what becomes the task: the prepared program where the host wants that and it is ready. The other is ended.
func (s *session) choose(wantsPrepared bool) (isPrepared bool) {
	if s.prepared == nil {
		return false
	}
	program := s.prepared.launcher
	if !wantsPrepared || !s.prepared.ready.Load() || program.isOver() {
		s.prepared = nil
		program.discard()
		return false
	}
	plain := s.launcher
	s.launcher = program
	s.feed.into(program.stdin)
	plain.discard()
	program.forget()
	return true
}

// forget drops what the program printed before it had a task.
func (l *launcher) forget() {
	var bytes [4096]byte
	for _, fd := range []int{l.stdout, l.stderr, l.progress} {
		for {
			if n, err := syscall.Read(fd, bytes[:]); n <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
}
