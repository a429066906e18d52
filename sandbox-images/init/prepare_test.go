package main

import "testing"

func preparedEnv(h *host) map[string]string {
	return map[string]string{"PATH": "/usr/bin:/bin", "HOME": h.places.workspace, "LANG": "C.UTF-8"}
}

// prepareWith has a program started before the task, and waits for what becomes of it.
func prepareWith(t *testing.T, h *host, argv ...string) (ready bool) {
	t.Helper()
	h.send(framePrepare, encode(prepareBody{
		Argv: argv, Env: preparedEnv(h), Limits: limitsBody{Nofile: 512, FsizeBytes: 1 << 30},
	}))
	return decoded[preparedBody](t, h.await(framePrepared)).Ready
}

func TestWhatCannotBePreparedIsDoneWithout(t *testing.T) {
	tests := []struct {
		name string
		argv []string
	}{
		{"no such program", []string{"/no/where"}},
		{"one that ends", []string{"/bin/true"}},
		{"one that says something else", []string{"/bin/sh", "-c", "printf x >&4; exec sleep 60"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := startHost(t)
			h.attach()
			if prepareWith(t, h, test.argv...) {
				t.Fatal("it is ready")
			}
			h.start("echo whole", func(s *startBody) { s.Prepared = true })
			h.exit()
			if got := string(h.bytesOf(frameStdout)); got != "whole\n" {
				t.Errorf("stdout %q", got)
			}
			h.over()
		})
	}
}

// Neither what it printed nor the program itself is there when a task runs that it is not for.
func TestWhatWasPreparedLeavesNothing(t *testing.T) {
	for _, isWanted := range []bool{true, false} {
		h := startHost(t)
		h.attach()
		// It says that it is ready, and closes the socket when it is told its task: the end of what the launcher would become.
		if !prepareWith(t, h, "/bin/sh", "-c", "echo noise; echo noise >&2; printf R >&4; dd bs=64k count=1 status=none <&4 >/dev/null; exec 4>&-; echo mine") {
			t.Fatal("it is not ready")
		}
		h.start("echo plain; "+countSiblings, func(s *startBody) { s.Prepared = isWanted })
		h.exit()
		want := "plain\n1\n"
		if isWanted {
			want = "mine\n"
		}
		if got := string(h.bytesOf(frameStdout)) + string(h.bytesOf(frameStderr)); got != want {
			t.Errorf("wanted %t: %q, not %q", isWanted, got, want)
		}
		h.over()
	}
}

func TestPrepareComesOnceAndBeforeTheTask(t *testing.T) {
	h := startHost(t)
	h.attach()
	prepareWith(t, h, "/bin/true")
	h.send(framePrepare, encode(prepareBody{Argv: []string{"/bin/true"}}))
	if got := decoded[errorBody](t, h.await(frameError)); got.Code != "order" {
		t.Errorf("a second prepare: %+v", got)
	}
	h.start("true", nil)
	h.exit()
	h.over()
}
