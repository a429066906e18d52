package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func windowOf(bytes uint32) []byte { return binary.BigEndian.AppendUint32(nil, bytes) }

// freePort is one of the loopback that nobody has now.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// listening starts a script whose $PORT leads to the host.
func listening(t *testing.T, script string) *host {
	t.Helper()
	h := startHost(t)
	h.attach()
	port := freePort(t)
	h.start(script, func(s *startBody) {
		s.Listen = []listenBody{{Port: port, To: "http"}}
		s.Env["PORT"] = fmt.Sprint(port)
	})
	return h
}

// opened waits for the task's nth connection and takes it.
func (h *host) opened(nth int) uint16 {
	h.t.Helper()
	var number uint16
	h.until("a connection", func() bool {
		seen := 0
		for _, f := range h.frames {
			if f.kind == frameOpen {
				if seen++; seen == nth {
					number = f.channel
				}
			}
		}
		return number != 0
	})
	h.sendOn(number, frameWindow, windowOf(0))
	return number
}

func (h *host) heardOn(number uint16) (data []byte, ended bool, closed *closeBody) {
	for _, f := range h.frames {
		switch {
		case f.channel != number:
		case f.kind == frameData && len(f.body) == 0:
			ended = true
		case f.kind == frameData:
			data = append(data, f.body...)
		case f.kind == frameClose:
			body := decoded[closeBody](h.t, f)
			closed = &body
		}
	}
	return data, ended, closed
}

func (h *host) awaitOn(number uint16, what string, met func(data []byte, ended bool, closed *closeBody) bool) {
	h.t.Helper()
	h.until(what, func() bool { return met(h.heardOn(number)) })
}

func TestAConnectionGoesToTheHostAndBack(t *testing.T) {
	t.Parallel()
	h := listening(t, `exec 5<>/dev/tcp/127.0.0.1/$PORT; printf asked >&5; cat <&5`)
	number := h.opened(1)
	if body := decoded[openBody](t, h.await(frameOpen)); body.To != "http" || body.Window != channelWindow || number%2 != 1 {
		t.Errorf("open %+v on %d", body, number)
	}
	h.awaitOn(number, "the task's bytes", func(data []byte, _ bool, _ *closeBody) bool { return string(data) == "asked" })
	h.sendOn(number, frameData, []byte("answered\n"))
	h.sendOn(number, frameData, nil)
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "answered\n" {
		t.Errorf("stdout %q", got)
	}
	h.awaitOn(number, "its close", func(_ []byte, _ bool, closed *closeBody) bool { return closed != nil })
	h.over()
}

func TestOnlyWhatTheHostTakesIsSent(t *testing.T) {
	t.Parallel()
	const whole = 1 << 20
	h := listening(t, fmt.Sprintf(`exec 5<>/dev/tcp/127.0.0.1/$PORT; head -c %d /dev/zero >&5; echo sent; cat <&5`, whole))
	number := h.opened(1)
	h.awaitOn(number, "a window of bytes", func(data []byte, _ bool, _ *closeBody) bool { return len(data) == channelWindow })
	for granted := channelWindow; granted < whole; granted += channelWindow / 2 {
		h.sendOn(number, frameWindow, windowOf(channelWindow/2))
		h.awaitOn(number, "just what was granted", func(data []byte, _ bool, _ *closeBody) bool {
			return len(data) == min(whole, granted+channelWindow/2)
		})
	}
	h.sendOn(number, frameData, nil)
	h.exit()
	h.over()
}

func TestATaskTellsWhatItHasRead(t *testing.T) {
	t.Parallel()
	h := listening(t, `exec 5<>/dev/tcp/127.0.0.1/$PORT; sha256sum <&5`)
	number := h.opened(1)
	piece := bytes.Repeat([]byte("x"), channelWindow/4)
	for sent := 0; sent < 16; sent++ {
		h.until("room", func() bool {
			room := channelWindow
			for _, f := range h.frames {
				if f.kind == frameWindow && f.channel == number {
					room += int(binary.BigEndian.Uint32(f.body))
				}
			}
			return room >= (sent+1)*len(piece)
		})
		h.sendOn(number, frameData, piece)
	}
	h.sendOn(number, frameData, nil)
	h.exit()
	want := fmt.Sprintf("%x  -\n", sha256.Sum256(bytes.Repeat(piece, 16)))
	if got := string(h.bytesOf(frameStdout)); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	h.over()
}

func TestAConnectionIsResetWhere(t *testing.T) {
	const waits = `exec 5<>/dev/tcp/127.0.0.1/$PORT; cat <&5 2>/dev/null || echo reset`
	tests := []struct {
		name string
		then func(h *host, number uint16)
	}{
		{"the host closes it with an error", func(h *host, number uint16) { h.sendOn(number, frameClose, []byte(`{"error":"no"}`)) }},
		{"the host closes it before it has ended it", func(h *host, number uint16) { h.sendOn(number, frameClose, []byte(`{"error":null}`)) }},
		{"the host sends more than its window", func(h *host, number uint16) {
			h.sendOn(number, frameData, make([]byte, channelWindow+1))
		}},
		{"the host opens it again", func(h *host, number uint16) { h.sendOn(number, frameOpen, []byte(`{}`)) }},
		{"another host attaches", func(h *host, _ uint16) { h.attach() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := listening(t, waits)
			test.then(h, h.opened(1))
			h.exit()
			if got := string(h.bytesOf(frameStdout)); !strings.HasSuffix(got, "reset\n") {
				t.Errorf("stdout ends with %q", got[max(0, len(got)-40):])
			}
			h.over()
		})
	}
}

func TestAConnectionThatNobodyTakesIsReset(t *testing.T) {
	t.Parallel()
	h := listening(t, `exec 5<>/dev/tcp/127.0.0.1/$PORT; cat <&5 2>/dev/null || echo reset`)
	h.await(frameOpen)
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "reset\n" {
		t.Errorf("stdout %q", got)
	}
	h.over()
}

// Bulk that nobody takes must delay neither the task's output nor its end.
func TestAFloodOfConnectionsDelaysNothing(t *testing.T) {
	t.Parallel()
	h := listening(t, `for i in $(seq 300); do (exec 5<>/dev/tcp/127.0.0.1/$PORT; head -c 400000 /dev/zero >&5) 2>/dev/null & done
		sleep 0.3; echo out; exit 3`)
	exit := h.exit()
	if exit.Code == nil || *exit.Code != 3 || string(h.bytesOf(frameStdout)) != "out\n" {
		t.Errorf("exit %s, stdout %q", encode(exit), h.bytesOf(frameStdout))
	}
	if opened := h.count(frameOpen); opened == 0 || opened > maxChannels {
		t.Errorf("%d connections at once", opened)
	}
	h.over()
}

func (h *host) count(kind frameType) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := 0
	for _, f := range h.frames {
		if f.kind == kind {
			count++
		}
	}
	return count
}

func TestFramesOfNoChannelAreAnsweredWithAClose(t *testing.T) {
	t.Parallel()
	h := listening(t, `sleep 0.2; echo unhurt`)
	for _, number := range []uint16{0, 2, 7, 65535} {
		h.sendOn(number, frameData, []byte("forged"))
		h.sendOn(number, frameClose, []byte(`{"error":null}`))
		h.awaitOn(number, "a close", func(_ []byte, _ bool, closed *closeBody) bool { return closed != nil && closed.Error != nil })
	}
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "unhurt\n" || h.count(frameClose) != 4 {
		t.Errorf("stdout %q, %d closes", got, h.count(frameClose))
	}
	h.over()
}

func TestAPortThatCannotBeHadIsAFailedStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	h := startHost(t)
	h.attach()
	h.start("true", func(s *startBody) { s.Listen = []listenBody{{Port: taken.Addr().(*net.TCPAddr).Port, To: "http"}} })
	if failed := decoded[failedBody](t, h.await(frameFailed)); failed.Stage != "start" || failed.Code != "launch" {
		t.Errorf("failed %+v", failed)
	}
	h.over()
}

func TestTheOperatorsCertificatesJoinTheImages(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	h.attach()
	root := filepath.Dir(h.places.names)
	if err := os.WriteFile(filepath.Join(root, "trust.pem"), []byte("the image's"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.start(`cat "$CA"`, func(s *startBody) {
		s.ExtraCA = "the operator's\n"
		s.Env["CA"] = filepath.Join(h.places.names, "ca.pem")
	})
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "the image's\nthe operator's\n" {
		t.Errorf("stdout %q", got)
	}
	h.over()
}
