package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestASandboxLivesFromInputToEnd(t *testing.T) {
	h := startHost(t)
	if ready := h.attach(); ready.State != stateIdle || ready.LastInSeq != 0 || ready.NextSeq != 1 {
		t.Fatalf("ready: %+v", ready)
	}
	archive := tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "in/a.txt", Mode: 0o640, Size: 5})
	for at := 0; at < len(archive); at += 700 {
		h.send(frameInput, archive[at:min(at+700, len(archive))])
	}
	h.start(`cat; echo err >&2; cat in/a.txt >"$OUT/copy"; stat -c %a in/a.txt; echo '{"progress":0.25,"message":"q"}' >&$TOOL_PROGRESS_FD
		echo nonsense >&$TOOL_PROGRESS_FD; exit 7`, func(s *startBody) { s.Stdin = true; s.Env["OUT"] = h.places.output })
	h.send(frameStdin, []byte("typed\n"))
	h.send(frameStdin, nil)
	exit := h.exit()
	if exit.Code == nil || *exit.Code != 7 || exit.Signal != nil || exit.Cause != causeExited || exit.ProgressDropped != 1 {
		t.Errorf("exit: %s", encode(exit))
	}
	if got := string(h.bytesOf(frameStdout)); got != "typed\n640\n" || exit.StdoutBytes != int64(len(got)) {
		t.Errorf("stdout %q, %d bytes", got, exit.StdoutBytes)
	}
	if got := string(h.bytesOf(frameStderr)); got != "err\n" {
		t.Errorf("stderr %q", got)
	}
	if got := string(h.await(frameProgress).body); got != `{"progress":0.25,"message":"q"}` {
		t.Errorf("progress %s", got)
	}
	h.send(frameCollect, encode(collectBody{MaxBytes: 1000, MaxEntries: 10, MaxDepth: 10}))
	if end := decoded[endBody](t, h.await(frameEnd)); end.Entries != 1 || end.Bytes != 5 || end.Limit != nil {
		t.Errorf("end: %+v", end)
	}
	files := untar(t, h.bytesOf(frameArtifacts))
	if files["copy"] != "xxxxx" {
		t.Errorf("artifacts: %q", files)
	}
	h.until("the last ack", func() bool { return h.acked == uint64(len(h.sent)) })
	if ready := h.attach(); ready.State != stateEnded {
		t.Errorf("state after end: %s", ready.State)
	}
	h.over()
}

func TestAnExitSaysHowTheTaskEnded(t *testing.T) {
	const none = "none"
	tests := []struct {
		name, script, stdout, stderr, signal, cause string
		code                                        int
		change                                      func(*startBody)
	}{
		{name: "exit status", script: "exit 42", code: 42, signal: none, cause: causeExited},
		{name: "own kill -9", script: "kill -9 $$", signal: "SIGKILL", cause: causeExited},
		{name: "abort", script: "kill -ABRT $$", signal: "SIGABRT", cause: causeExited},
		{name: "default dispositions", script: "yes | head -1", stdout: "y\n", signal: none, cause: causeExited},
		{name: "deadline", script: "echo a; sleep 60", stdout: "a\n", signal: "SIGTERM", cause: causeDeadline,
			change: func(s *startBody) { s.DeadlineMs = 150 }},
		{name: "deadline with a trap", script: "trap '' TERM; echo a; while :; do :; done", stdout: "a\n", signal: "SIGKILL", cause: causeDeadline,
			change: func(s *startBody) { s.DeadlineMs = 150 }},
		{name: "no such program", stderr: "nowhere: command not found\n", code: 127, signal: none, cause: causeExited,
			change: func(s *startBody) { s.Argv = []string{"nowhere"} }},
		{name: "no such path", stderr: "/no/where: no such file or directory\n", code: 127, signal: none, cause: causeExited,
			change: func(s *startBody) { s.Argv = []string{"/no/where"} }},
		{name: "not executable", stderr: "../tmp: permission denied\n", code: 126, signal: none, cause: causeExited,
			change: func(s *startBody) { s.Argv = []string{"../tmp"} }},
		{name: "no stdin", script: "cat; echo end", stdout: "end\n", signal: none, cause: causeExited},
		{name: "a background process that keeps stdout", script: "sleep 60 & echo done", stdout: "done\n", signal: none, cause: causeExited},
	}
	ways := map[string]func(*host, string, func(*startBody)){"told at once": (*host).start, "told ahead": (*host).startArmed}
	for _, test := range tests {
		for way, start := range ways {
			t.Run(test.name+", "+way, func(t *testing.T) {
				t.Parallel()
				h := startHost(t)
				h.attach()
				start(h, test.script, test.change)
				exit := h.exit()
				signal := none
				if exit.Signal != nil {
					signal = *exit.Signal
				} else if *exit.Code != test.code {
					t.Errorf("code %d, want %d", *exit.Code, test.code)
				}
				if signal != test.signal || exit.Cause != test.cause {
					t.Errorf("signal %s, cause %s", signal, exit.Cause)
				}
				if got := string(h.bytesOf(frameStdout)); got != test.stdout {
					t.Errorf("stdout %q", got)
				}
				if got := string(h.bytesOf(frameStderr)); got != test.stderr {
					t.Errorf("stderr %q", got)
				}
				h.over()
			})
		}
	}
}

func TestOnlyAFloodGetsAWiderPipeToTheHost(t *testing.T) {
	sizeAfter := func(script string) int {
		h := startHost(t)
		h.attach()
		h.start(script, nil)
		h.exit()
		defer h.over()
		// By our end of it: the other one, in /proc, takes a capability that root has not everywhere.
		pipe, err := h.stdout.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		const getPipeSize = 1032 // F_GETPIPE_SZ
		var size uintptr
		var errno syscall.Errno
		if err := pipe.Control(func(fd uintptr) { size, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, getPipeSize, 0) }); err != nil {
			t.Fatal(err)
		}
		if errno != 0 {
			t.Fatal(errno)
		}
		return int(size)
	}
	if size := sizeAfter("for i in {1..100}; do echo $i; done"); size >= floodPipeBytes {
		t.Errorf("a few lines: %d bytes", size)
	}
	if size := sizeAfter("dd if=/dev/zero bs=1M count=32 status=none"); size != floodPipeBytes {
		t.Errorf("a flood: %d bytes", size)
	}
}

// signalMask is one of sandbox-init's own, as the kernel tells it.
func (h *host) signalMask(field string) (mask uint64) {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.child.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(status), field+":")
	if _, err := fmt.Sscanf(rest, "%x", &mask); !found || err != nil {
		h.t.Fatalf("no %s in %q: %v", field, status, err)
	}
	return mask
}

// What is left at its default is dropped for a PID 1 only most of the time.
func TestNoSignalIsLeftAtItsDefault(t *testing.T) {
	h := startHost(t)
	h.attach()
	ignored, caught := h.signalMask("SigIgn"), h.signalMask("SigCgt")
	seen := ignored | caught
	if ignored&(1<<(syscall.SIGURG-1)) == 0 {
		t.Error("the runtime may interrupt PID 1 while a task waits: SIGURG is not ignored")
	}
	for number := syscall.Signal(1); number <= lastSignal; number++ {
		known := seen&(1<<(number-1)) != 0
		if unstoppable := number == syscall.SIGKILL || number == syscall.SIGSTOP; known == unstoppable {
			t.Errorf("signal %d has a handler or is ignored: %t", number, known)
		}
	}
	h.start("true", nil)
	h.exit()
	h.over()
}

func TestASignalOfTheHostEndsTheTask(t *testing.T) {
	h := startHost(t)
	h.attach()
	h.start("trap '' TERM; echo up; while :; do sleep 0.01; done", nil)
	h.await(frameStdout)
	h.send(frameSignal, encode(signalBody{Signal: "SIGTERM", GraceMs: 50}))
	if exit := h.exit(); exit.Cause != causeSignal || exit.Signal == nil || *exit.Signal != "SIGKILL" {
		t.Errorf("exit: %s", encode(exit))
	}
	h.over()
}

func TestWhatCannotStartIsFailedAndNeverStarted(t *testing.T) {
	tests := []struct {
		name, stage, code string
		act               func(h *host)
	}{
		{"a link in the input", "input", "bad_input", func(h *host) {
			h.send(frameInput, tarOf(h.t, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}))
			h.start("echo no", nil)
		}},
		{"a cut input", "input", "bad_input", func(h *host) {
			h.send(frameInput, tarOf(h.t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 5})[:512])
			h.start("echo no", nil)
		}},
		{"no working directory", "start", "bad_cwd", func(h *host) {
			h.start("echo no", func(s *startBody) { s.Cwd = h.places.workspace + "/none" })
		}},
		{"a working directory elsewhere", "start", "bad_cwd", func(h *host) {
			h.start("echo no", func(s *startBody) { s.Cwd = h.places.workspace + "/../names" })
		}},
		{"a link out of the workspace", "start", "bad_cwd", func(h *host) {
			if err := os.Symlink("/", filepath.Join(h.places.workspace, "out")); err != nil {
				h.t.Fatal(err)
			}
			h.start("echo no", func(s *startBody) { s.Cwd = h.places.workspace + "/out" })
		}},
		{"no program", "start", "bad_start", func(h *host) {
			h.start("echo no", func(s *startBody) { s.Argv = nil })
		}},
		{"no JSON", "start", "bad_start", func(h *host) { h.send(frameStart, []byte("{")) }},
		{"no JSON ahead", "start", "bad_start", func(h *host) { h.send(frameArm, []byte("{")) }},
		{"no working directory, ahead", "start", "bad_cwd", func(h *host) {
			h.send(frameArm, encode(h.task("echo no", func(s *startBody) { s.Cwd = "/no/where" })))
		}},
		{"armed without arm", "start", "bad_start", func(h *host) {
			h.start("echo no", func(s *startBody) { s.Armed = true })
		}},
		{"another task than was armed", "start", "bad_start", func(h *host) {
			h.send(frameArm, encode(h.task("echo no", nil)))
			h.start("echo no either", nil)
		}},
		{"secrets that nobody can read, ahead", "start", "launch", func(h *host) {
			h.startArmed("echo no", func(s *startBody) { s.Secrets = json.RawMessage(`{}`) })
		}},
		{"a launcher that ended", "start", "launch", func(h *host) {
			h.send(frameArm, encode(h.task("echo no", nil)))
			eventually(h.t, "arm is used", func() bool { return isInside(h, h.places.workspace) })
			killLauncher(h)
			h.send(frameStart, []byte(`{"armed":true}`))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := startHost(t)
			h.attach()
			test.act(h)
			failed := decoded[failedBody](t, h.await(frameFailed))
			if failed.Stage != test.stage || failed.Code != test.code || failed.Message == "" {
				t.Errorf("failed: %+v", failed)
			}
			h.send(frameCollect, encode(collectBody{MaxBytes: 10, MaxEntries: 10, MaxDepth: 10}))
			h.await(frameEnd)
			h.over()
			for _, f := range h.frames {
				if f.kind == frameStarted || f.kind == frameExit || f.kind == frameStdout {
					t.Errorf("frame %#x after failed", byte(f.kind))
				}
			}
		})
	}
}

func TestFramesOutOfOrderAreRefusedAndHurtNothing(t *testing.T) {
	h := startHost(t)
	h.attach()
	h.send(0x09, []byte("{}")) // reserved
	h.send(0x7F, nil)
	h.send(frameSignal, []byte("no JSON"))
	h.write(encodeForTest(&frame{kind: frameHello, body: []byte("{}")}))
	h.start("echo fine", nil)
	h.start("echo twice", nil)
	if exit := h.exit(); *exit.Code != 0 || string(h.bytesOf(frameStdout)) != "fine\n" {
		t.Errorf("exit %s, stdout %q", encode(exit), h.bytesOf(frameStdout))
	}
	h.until("five errors", func() bool {
		var codes []string
		for _, f := range h.frames {
			if f.kind == frameError {
				var body errorBody
				_ = json.Unmarshal(f.body, &body)
				codes = append(codes, body.Code)
			}
		}
		return strings.Join(codes, " ") == "unsupported unsupported unsupported order order"
	})
	h.over()
}

func TestAFrameBeforeHelloIsNotLostButSentAgain(t *testing.T) {
	h := startHost(t)
	h.attach()
	h.write([]byte(magicPrefix + h.token + " " + newToken() + "\n"))
	h.start("echo once", nil)
	if told := decoded[errorBody](t, h.await(frameError)); told.Code != "order" || told.ExpectedSeq != 1 {
		t.Errorf("error: %+v", told)
	}
	if ready := h.attach(); ready.LastInSeq != 0 { // attach sends again what is missing
		t.Errorf("ready: %+v", ready)
	}
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "once\n" {
		t.Errorf("stdout %q", got)
	}
	h.over()
}

func TestABrokenStreamIsToldAndMendedByTheNextAttach(t *testing.T) {
	h := startHost(t)
	h.attach()
	broken := encodeForTest(&frame{kind: frameStdin, seq: 1, body: []byte("x")})
	broken[len(broken)-1] ^= 1
	h.write(broken)
	if told := decoded[errorBody](t, h.await(frameError)); told.Code != "corrupt" || told.ExpectedSeq != 1 {
		t.Errorf("error: %+v", told)
	}
	h.attach()
	h.start("echo fine", nil)
	h.exit()
	h.over()
}

// Half frames are left in the pipe to the sandbox, and what is on the way to the host is dropped in the middle of a
// frame, at random places, while bytes go in and come out again.
func TestNoByteIsLostOrDoubledWhenTheHostDetachesAndAttaches(t *testing.T) {
	const total, cutEvery = 24 << 20, 400 << 10
	random := rand.New(rand.NewSource(42))
	h := startHost(t)
	h.attach()
	h.start("exec cat", func(s *startBody) { s.Stdin = true })
	sent := sha256.New()
	cuts, sinceCut := 0, 0
	for written := 0; written < total; {
		piece := make([]byte, 1+random.Intn(64<<10))
		random.Read(piece)
		sent.Write(piece)
		written += len(piece)
		sinceCut += len(piece)
		h.send(frameStdin, piece)
		if sinceCut > cutEvery {
			sinceCut = 0
			cuts++
			lost := encodeForTest(&frame{kind: frameStdin, seq: uint64(len(h.sent) + 1), body: piece})
			h.write(lost[:random.Intn(len(lost))])
			h.attach()
		}
		h.until("credit", func() bool { return h.acked+4 >= uint64(len(h.sent)) })
	}
	h.send(frameStdin, nil)
	exit := h.exit()
	if exit.StdoutBytes < total {
		t.Errorf("exit: %s", encode(exit))
	}
	got := sha256.Sum256(h.bytesOf(frameStdout))
	if !bytes.Equal(got[:], sent.Sum(nil)) {
		t.Errorf("other bytes came back than went in, after %d cuts", cuts)
	}
	if cuts < 50 {
		t.Errorf("only %d cuts", cuts)
	}
	h.over()
}

func TestATaskWaitsForAHostThatDoesNotAcknowledgeAndNoLineIsLost(t *testing.T) {
	h := startHost(t)
	h.ackMine = false
	h.attach()
	const lines = 2_000_000
	h.start(fmt.Sprintf("seq %d; echo end >&2", lines), nil)
	h.until("a full outbox", func() bool {
		kept := 0
		for _, f := range h.frames {
			kept += len(f.body) + frameOverheadBytes
		}
		return kept > keptBytes-chunkBytes
	})
	if len(h.bytesOf(frameStderr)) != 0 {
		t.Fatal("the task was not held back")
	}
	if kept := len(h.bytesOf(frameStdout)); kept > keptBytes {
		t.Errorf("%d bytes were kept", kept)
	}
	h.mu.Lock()
	h.ackMine = true
	h.mu.Unlock()
	h.attach()
	h.exit()
	var want bytes.Buffer
	for i := 1; i <= lines; i++ {
		fmt.Fprintln(&want, i)
	}
	if !bytes.Equal(h.bytesOf(frameStdout), want.Bytes()) {
		t.Error("stdout differs")
	}
	h.over()
}

func TestSandboxInitEndsWithItsHost(t *testing.T) {
	t.Run("at once when no task runs", func(t *testing.T) {
		h := startHost(t)
		h.attach()
		h.stdin.Close()
		h.until("the end", func() bool { return h.atEnd })
	})
	t.Run("after the task, whose exit is still told", func(t *testing.T) {
		h := startHost(t)
		h.attach()
		h.start("sleep 0.2; echo done", nil)
		h.await(frameStarted)
		h.mu.Lock()
		h.stdin.Close()
		h.mu.Unlock()
		h.exit()
		h.until("the end", func() bool { return h.atEnd })
	})
}

func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, header := range headers {
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(bytes.Repeat([]byte("x"), int(header.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// untar is the content of every file, and "dir" for a folder.
func untar(t testing.TB, archive []byte) map[string]string {
	t.Helper()
	files := map[string]string{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[header.Name]; twice {
			t.Errorf("%q is there twice", header.Name)
		}
		files[header.Name] = string(content)
		if header.Typeflag == tar.TypeDir {
			files[header.Name] = "dir"
		}
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Mode != 0o644 && header.Mode != 0o755 {
			t.Errorf("%q: uid %d, gid %d, owner %q, mode %o", header.Name, header.Uid, header.Gid, header.Uname, header.Mode)
		}
	}
}

func TestWhatATaskLeavesComesBehindItsEndWhenItWasAskedForBefore(t *testing.T) {
	wanted := encode(collectBody{MaxBytes: 1000, MaxEntries: 10, MaxDepth: 10})
	bad := func(s *startBody) { s.DeadlineMs = 0 }
	tests := []struct {
		name    string
		before  int // so often is it asked for before the start
		during  int // and while the task runs
		change  func(*startBody)
		endKind frameType
		entries int64
	}{
		{"before the start", 1, 0, nil, frameExit, 1},
		{"while it runs", 0, 1, nil, frameExit, 1},
		{"by two hosts that do not know of each other", 1, 2, nil, frameExit, 1},
		{"of a task that cannot start", 1, 0, bad, frameFailed, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := startHost(t)
			if ready := h.attach(); !ready.CollectsEarly {
				t.Errorf("ready: %+v", ready)
			}
			for range test.before {
				h.send(frameCollect, wanted)
			}
			h.start(`echo left >"$OUT/file"; sleep 0.1; echo out`, func(s *startBody) {
				s.Env["OUT"] = h.places.output
				if test.change != nil {
					test.change(s)
				}
			})
			for range test.during {
				h.send(frameCollect, wanted)
			}
			if end := decoded[endBody](t, h.await(frameEnd)); end.Entries != test.entries {
				t.Errorf("end: %+v", end)
			}
			// Again, behind the end: nothing more comes.
			h.send(frameCollect, wanted)
			h.until("the last ack", func() bool { return h.acked == uint64(len(h.sent)) })
			h.over()
			var kinds []frameType
			for _, f := range h.frames {
				switch f.kind {
				case frameExit, frameFailed, frameEnd:
					kinds = append(kinds, f.kind)
				case frameArtifacts:
					if len(kinds) != 1 {
						t.Errorf("artifacts behind %v", kinds)
					}
				case frameError:
					t.Errorf("refused: %s", f.body)
				}
			}
			if len(kinds) != 2 || kinds[0] != test.endKind || kinds[1] != frameEnd {
				t.Errorf("ends: %v", kinds)
			}
		})
	}
}
