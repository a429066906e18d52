package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// byEngine is a host's way over the standard streams, to which it may go back.
type byEngine struct {
	stdin io.WriteCloser
}

// knock asks for a door by hello, and returns where it is to be.
func (h *host) knock() (path string, ready readyBody) {
	h.t.Helper()
	name := newToken()
	h.door = name
	ready = h.attach()
	h.door = ""
	return filepath.Join(h.places.names, name), ready
}

// comeIn goes on by the door. What sandbox-init writes to its standard output is still read.
func (h *host) comeIn(path string) (conn net.Conn, before byEngine) {
	h.t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	before = byEngine{h.stdin}
	h.stdin = conn
	h.mu.Unlock()
	go h.listenTo(gated{conn, h})
	h.t.Cleanup(func() { before.stdin.Close() })
	return conn, before
}

// gated does not read on while the host's gate is closed.
type gated struct {
	net.Conn
	h *host
}

func (g gated) Read(into []byte) (int, error) {
	g.h.gate.Lock()
	defer g.h.gate.Unlock()
	return g.Conn.Read(into)
}

// startInside is a host that has come in by the door.
func startInside(t *testing.T) (*host, net.Conn, byEngine) {
	t.Helper()
	h := startHost(t)
	path, _ := h.knock()
	conn, before := h.comeIn(path)
	h.attach()
	return h, conn, before
}

func (h *host) goBack(to byEngine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stdin = to.stdin
}

func TestAHostComesInByTheDoor(t *testing.T) {
	h := startHost(t)
	path, ready := h.knock()
	if !ready.Door {
		t.Fatalf("ready: %s", encode(ready))
	}
	h.comeIn(path)
	if ready := h.attach(); ready.State != stateIdle || ready.Door {
		t.Fatalf("ready by the door: %s", encode(ready))
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the door is still there: %v", err)
	}
	h.start("echo by the door", nil)
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "by the door\n" {
		t.Errorf("stdout %q", got)
	}
	h.over()
}

func TestTheDoorTakesOne(t *testing.T) {
	h := startHost(t)
	path, _ := h.knock()
	h.comeIn(path)
	h.attach()
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		t.Error("a second one came in")
	}
	h.over()
}

func TestTheDoorIsShutBeforeAnythingElse(t *testing.T) {
	for _, kind := range []frameType{frameArm, frameStart, frameInput, framePrepare, frameCollect} {
		h := startHost(t)
		path, _ := h.knock()
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		h.send(kind, []byte("{"))
		h.until("an answer", func() bool { return len(h.frames) > 0 || h.acked > 0 })
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("frame %#x: the door is still there: %v", byte(kind), err)
		}
		path, ready := h.knock()
		if _, err := os.Stat(path); ready.Door || err == nil {
			t.Errorf("frame %#x: another door was opened", byte(kind))
		}
		h.over()
	}
}

func TestOnlyANameOfTheProtocolIsADoor(t *testing.T) {
	for _, name := range []string{"../0123456789abcdef0123456789abcd", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("F", 32), "passwd"} {
		h := startHost(t)
		h.door = name
		if ready := h.attach(); ready.Door {
			t.Errorf("%q: %s", name, encode(ready))
		}
		h.door = ""
		// The host may ask again, and better.
		if path, ready := h.knock(); !ready.Door {
			t.Errorf("%s is not open", path)
		}
		h.over()
	}
}

func TestWhoeverLeavesByTheDoorIsAttachedToAgain(t *testing.T) {
	h, conn, engine := startInside(t)
	h.start(`for i in 1 2 3 4 5; do echo $i; done; sleep 0.3; echo 6`, nil)
	h.until("output", func() bool { return h.lastSeq > 1 })
	conn.Close()
	h.goBack(engine)
	if ready := h.attach(); ready.State == stateIdle {
		t.Errorf("ready: %s", encode(ready))
	}
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "1\n2\n3\n4\n5\n6\n" {
		t.Errorf("stdout %q", got)
	}
	h.over()
}

func TestAnotherHostTakesOverFromTheDoor(t *testing.T) {
	h, conn, engine := startInside(t)
	h.start("sleep 0.3; echo taken over", nil)
	h.await(frameStarted)
	h.goBack(engine)
	h.attach()
	if n, err := conn.Read(make([]byte, 1)); err == nil && n > 0 {
		// What was on its way may still be read; then it is over.
		_, err = io.Copy(io.Discard, conn)
		if err != nil {
			t.Error(err)
		}
	}
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "taken over\n" {
		t.Errorf("stdout %q", got)
	}
	h.over()
}

func TestAnEngineThatIsGoneEndsTheDoorToo(t *testing.T) {
	h, _, engine := startInside(t)
	h.isShutDown.Store(true)
	engine.stdin.Close()
	h.until("the end", func() bool { return h.atEnd })
	if err := h.child.Wait(); err != nil {
		t.Errorf("sandbox-init ended with %v", err)
	}
}

// The socket has room for some 200 KiB: what is said when it is full comes later, in order and once.
func TestAHostThatReadsLateHearsEverything(t *testing.T) {
	h, _, _ := startInside(t)
	const lines = 2500
	mark := filepath.Join(h.places.output, "mark")
	// Nobody acknowledges meanwhile, either.
	h.ackMine = false
	h.start(fmt.Sprintf(`read -r _; for i in $(seq %d); do printf '{"progress":0.5,"message":"%%01000d"}\n' $i >&$TOOL_PROGRESS_FD; done; touch "%s"`, lines, mark),
		func(s *startBody) { s.Stdin = true })
	h.await(frameStarted)
	// The reader holds the gate while it waits for the next bytes, of which there are none.
	held := make(chan struct{})
	go func() { h.gate.Lock(); close(held) }()
	h.send(frameStdin, []byte("go\n"))
	<-held
	until := time.Now().Add(patience)
	for _, err := os.Stat(mark); err != nil; _, err = os.Stat(mark) {
		if time.Now().After(until) {
			t.Fatal("the task waits for its host")
		}
		time.Sleep(time.Millisecond)
	}
	h.gate.Unlock()
	if exit := h.exit(); exit.ProgressDropped != 0 {
		t.Errorf("exit: %s", encode(exit))
	}
	count := 0
	for _, f := range h.frames {
		if f.kind == frameProgress {
			count++
			if want := fmt.Sprintf("%01000d", count); !strings.Contains(string(f.body), want) {
				t.Fatalf("progress %d: %.80s", count, f.body)
			}
		}
	}
	if count != lines {
		t.Errorf("%d of %d came", count, lines)
	}
	h.over()
}
