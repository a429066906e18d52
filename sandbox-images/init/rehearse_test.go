package main

import (
	"os"
	"path/filepath"
	"testing"
)

func rehearsal(argv ...string) []byte { return encode(rehearseBody{Argv: argv}) }

func TestARehearsalRunsToItsEndAndLeavesNothing(t *testing.T) {
	h := startHost(t)
	if ready := h.attach(); !ready.Rehearses {
		t.Fatalf("ready: %+v", ready)
	}
	mark := filepath.Join(h.places.output, "mark")
	h.send(frameRehearse, rehearsal("/bin/sh", "-c", `echo noise; echo noise >&2; cat; sleep 600 & touch "`+mark+`"`))
	h.start(countSiblings+"; cat", nil)
	exit := h.exit()
	if exit.Code == nil || *exit.Code != 0 {
		t.Errorf("exit: %s", encode(exit))
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("it did not run: %v", err)
	}
	if got := string(h.bytesOf(frameStdout)) + string(h.bytesOf(frameStderr)); got != "1\n" {
		t.Errorf("printed %q", got)
	}
	h.over()
}

func TestARehearsalThatCannotBeHeldHurtsNothing(t *testing.T) {
	for name, argv := range map[string][]string{"no such program": {"/no/where"}, "no program": {"/etc/passwd"}, "one that does not end": {"/bin/sleep", "600"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHost(t)
			h.attach()
			h.send(frameRehearse, rehearsal(argv...))
			h.start("echo whole; "+countSiblings, nil)
			h.exit()
			if got := string(h.bytesOf(frameStdout)); got != "whole\n1\n" {
				t.Errorf("stdout %q", got)
			}
			h.over()
		})
	}
}

func TestARehearsalComesBeforeAllElse(t *testing.T) {
	for _, kind := range []frameType{frameInput, framePrepare, frameArm, frameStart} {
		h := startHost(t)
		h.attach()
		switch kind {
		case frameInput:
			h.send(frameInput, tarOf(t))
		case framePrepare:
			prepareWith(t, h, "/bin/true")
		case frameArm:
			h.send(frameArm, encode(h.task("true", nil)))
		case frameStart:
			h.start("true", nil)
			h.exit()
		}
		h.send(frameRehearse, rehearsal("/bin/true"))
		if got := decoded[errorBody](t, h.await(frameError)); got.Code != "order" {
			t.Errorf("behind %#x: %+v", byte(kind), got)
		}
		h.over()
	}
	h := startHost(t)
	h.attach()
	h.send(frameRehearse, []byte("{}"))
	if got := decoded[errorBody](t, h.await(frameError)); got.Code != "unsupported" {
		t.Errorf("without a program: %+v", got)
	}
	h.over()
}
