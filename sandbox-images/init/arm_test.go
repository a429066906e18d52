package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAnArmedTaskWaitsForItsStart(t *testing.T) {
	for _, isPrepared := range []bool{false, true} {
		h := startHost(t)
		h.attach()
		mark := filepath.Join(h.places.output, "mark")
		if isPrepared && !prepareWith(t, h, "/bin/sh", "-c", `printf R >&4; dd bs=64k count=1 status=none <&4 >/dev/null; exec 4>&-; exec touch "`+mark+`"`) {
			t.Fatal("it is not ready")
		}
		h.send(frameArm, encode(h.task(`touch "`+mark+`"`, func(s *startBody) { s.Prepared = isPrepared })))
		if ready := h.attach(); ready.State != stateIdle || !ready.Arms {
			t.Fatalf("armed: %+v", ready)
		}
		// Whoever only looks at it finds that nothing has happened: it is what a successor goes by.
		if _, err := os.Stat(mark); !os.IsNotExist(err) {
			t.Errorf("prepared %t: it ran before its start: %v", isPrepared, err)
		}
		h.send(frameStart, []byte(`{"armed":true}`))
		if exit := h.exit(); exit.Code == nil || *exit.Code != 0 {
			t.Errorf("exit: %s", encode(exit))
		}
		if _, err := os.Stat(mark); err != nil {
			t.Errorf("prepared %t: %v", isPrepared, err)
		}
		h.over()
	}
}

func TestArmComesOnceBetweenInputAndStart(t *testing.T) {
	h := startHost(t)
	h.attach()
	refused := func(what string, kind frameType, body []byte) {
		h.send(kind, body)
		if got := decoded[errorBody](t, h.await(frameError)); got.Code != "order" || !strings.Contains(got.Message, "arm") {
			t.Errorf("%s: %+v", what, got)
		}
	}
	h.send(frameInput, tarOf(t))
	body := encode(h.task("echo once", nil))
	h.send(frameArm, body)
	refused("a second arm", frameArm, body)
	refused("input behind arm", frameInput, []byte("x"))
	refused("prepare behind arm", framePrepare, encode(prepareBody{Argv: []string{"/bin/true"}}))
	h.send(frameStart, []byte(`{"armed":true}`))
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "once\n" {
		t.Errorf("stdout %q", got)
	}
	refused("arm behind the exit", frameArm, body)
	h.over()
}

// killLauncher kills every child of the sandbox-init under test, and returns when they are gone.
func killLauncher(h *host) {
	h.t.Helper()
	children := childrenOf(h.child.Process.Pid)
	if len(children) == 0 {
		h.t.Fatal("no launcher")
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(h.t, "the launcher is gone", func() bool { return len(childrenOf(h.child.Process.Pid)) == 0 })
}

// eventually waits for what only looking shows.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for late := time.Now().Add(patience); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("waited for: %s", what)
		}
	}
}

// What a task prints with it: how many processes its parent, the init program, has begun and not buried. 1 is the task itself.
const countSiblings = "cat /proc/$PPID/task/*/children | wc -w"

func childrenOf(pid int) []int {
	// Each thread lists those that it started.
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var found []int
	for _, list := range lists {
		listed, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(listed)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// isInside says whether a child of the sandbox-init under test has entered that folder.
func isInside(h *host, folder string) bool {
	wanted, _ := filepath.EvalSymlinks(folder)
	for _, pid := range childrenOf(h.child.Process.Pid) {
		if at, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd")); err == nil && at == wanted {
			return true
		}
	}
	return false
}
