package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// What happens between the first input and `started`, or `failed`.

// fail ends the sandbox's chance to run a task. What the host sends for it afterwards is dropped.
func (s *session) fail(stage, code, message string) {
	s.mu.Lock()
	s.state, s.failed = stateExited, true
	s.mu.Unlock()
	s.out.put(frameFailed, encode(failedBody{Stage: stage, Code: code, Message: message}))
	s.feed.close()
	s.over()
}

func (s *session) takeInput(body []byte) {
	if s.failed {
		return
	}
	if s.now() != stateIdle || s.armed != nil {
		s.refuse("order", "input after start or arm")
		return
	}
	if s.input == nil {
		s.input = startUnpacking(s.places.workspace)
	}
	if failure := s.input.take(body); failure != nil {
		s.fail("input", failure.code, failure.message)
	}
}

// outfit is all that a task needs to begin.
type outfit struct {
	asked       startBody
	spec        launchSpec
	pump        *pump
	meter       *meter
	memoryBytes int64
}

// arm does everything for a task short of letting its program run.
func (s *session) arm(body []byte) {
	if s.failed {
		return
	}
	if s.now() != stateIdle || s.armed != nil {
		s.refuse("order", "arm after start, or a second one")
		return
	}
	var asked startBody
	if err := json.Unmarshal(body, &asked); err != nil {
		s.fail("start", "bad_start", err.Error())
		return
	}
	s.armed = s.fitOut(asked, true)
}

func (s *session) start(body []byte) {
	if s.failed {
		return
	}
	if s.now() != stateIdle {
		s.refuse("order", "a second start")
		return
	}
	var asked startBody
	if err := json.Unmarshal(body, &asked); err != nil {
		s.fail("start", "bad_start", err.Error())
		return
	}
	if asked.Armed != (s.armed != nil) {
		s.fail("start", "bad_start", "armed must be true behind arm, and only there")
		return
	}
	fitted := s.armed
	if fitted == nil {
		fitted = s.fitOut(asked, false)
	}
	if fitted == nil {
		return
	}
	if err := s.begin(fitted); err != nil {
		s.fail("start", "launch", err.Error())
	}
}

// fitOut makes everything ready for the task. Nil: it has failed, and the host was told. isHeld: its start comes later.
func (s *session) fitOut(asked startBody, isHeld bool) *outfit {
	if s.input != nil {
		if failure := s.input.finish(); failure != nil {
			s.fail("input", failure.code, failure.message)
			return nil
		}
	}
	if len(asked.Argv) == 0 || asked.DeadlineMs <= 0 {
		s.fail("start", "bad_start", "argv must not be empty and deadline_ms must be above 0")
		return nil
	}
	cwd, err := s.places.resolveCwd(asked.Cwd)
	if err != nil {
		s.fail("start", "bad_cwd", err.Error())
		return nil
	}
	if asked.UserName != defaultUserName {
		writeNames(s.places, asked.UserName)
	}
	writeTrust(s.places, asked.ExtraCA)
	if len(asked.Secrets) > 0 {
		s.mu.Lock()
		s.secrets = asked.Secrets
		s.mu.Unlock()
	}
	if err := giveSecrets(&asked, s.places.secrets()); err != nil {
		s.fail("start", "launch", err.Error())
		return nil
	}
	fitted, err := s.fitOutIn(cwd, asked, isHeld)
	if err != nil {
		s.fail("start", "launch", err.Error())
		return nil
	}
	return fitted
}

// fitOutIn chooses who becomes the task, and tells it where it is to be held.
func (s *session) fitOutIn(cwd string, asked startBody, isHeld bool) (*outfit, error) {
	if err := s.channels.listen(asked.Listen); err != nil {
		return nil, err
	}
	isPrepared := s.choose(asked.Prepared)
	pump := s.launcher.pump
	own, err := threadCount()
	if err != nil {
		return nil, err
	}
	spec := launchSpec{
		argv: asked.Argv, env: taskEnvironment(asked.Env), cwd: cwd, searchPaths: asked.Env["PATH"], stdin: asked.Stdin,
		nofile: asked.Limits.Nofile, fsizeBytes: asked.Limits.FsizeBytes,
		// A prepared program is the task as soon as it is told.
		held: isHeld && !isPrepared,
	}
	if asked.Limits.Nproc > 0 {
		// The kernel counts a user's processes and threads, ours among them.
		spec.nproc = asked.Limits.Nproc + own
	}
	meter := newMeter(s.cgroup, s.places.writable(), asked.Limits.Nproc, own)
	memoryBytes := asked.Limits.MemoryBytes
	if memoryBytes > 0 && isPrepared {
		// What was taken before the task came is not the task's.
		taken, _ := meter.taskAnonymousBytes()
		memoryBytes += max(0, taken)
	}
	if spec.held {
		if err := s.launcher.tell(spec); err != nil {
			return nil, err
		}
	}
	spawn("pump", pump.run)
	return &outfit{asked: asked, spec: spec, pump: pump, meter: meter, memoryBytes: memoryBytes}, nil
}

func (s *session) begin(fitted *outfit) error {
	asked := fitted.asked
	started := time.Now()
	if err := s.launcher.launch(fitted.spec); err != nil {
		return err
	}
	if asked.Stdin {
		spawn("feed stdin", s.feed.run)
	} else {
		s.feed.close()
	}
	s.become(stateRunning)
	s.out.put(frameStarted, encode(startedBody{Pid: s.launcher.pid}))
	close(fitted.pump.begun)
	running := &task{
		pid: s.launcher.pid, started: started,
		deadline:    time.Duration(asked.DeadlineMs) * time.Millisecond,
		grace:       time.Duration(asked.GraceMs) * time.Millisecond,
		memoryBytes: fitted.memoryBytes,
		meter:       fitted.meter, reaper: s.reaper, ended: s.launcher.ended, pump: fitted.pump, signals: s.signals,
	}
	spawn("task", func() {
		exit := running.run()
		s.feed.close()
		s.channels.cutOffForGood()
		s.become(stateExited)
		body := encode(exit)
		s.out.together(func() {
			s.out.put(frameExit, body)
			s.over()
		})
		close(s.finished)
		s.channels.close()
	})
	return nil
}

func taskEnvironment(asked map[string]string) []string {
	env := make([]string, 0, len(asked)+1)
	for name, value := range asked {
		env = append(env, name+"="+value)
	}
	return append(env, fmt.Sprintf("TOOL_PROGRESS_FD=%d", progressFd))
}
