package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The test binary is also sandbox-init: with this variable set it serves a sandbox whose places lie below its value.
const rootVariable = "SANDBOX_INIT_TEST_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(rootVariable); root != "" {
		os.Exit(run(os.Args[1:], placesBelow(root)))
	}
	os.Exit(m.Run())
}

func placesBelow(root string) places {
	in := func(name string) string { return filepath.Join(root, name) }
	return places{workspace: in("workspace"), tmp: in("tmp"), output: in("output"), names: in("names"), seeds: in("seeds"), trust: []string{in("none.pem"), in("trust.pem")}}
}

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// host plays the orchestrator against a sandbox-init that runs as a child and not as PID 1.
type host struct {
	t      *testing.T
	places places
	child  *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	door   string // what the next hello asks for
	gate   sync.Mutex

	sent  [][]byte // every numbered frame, encoded; sent[i] has number i+1
	token string

	mu      sync.Mutex
	changed *sync.Cond
	awaited []byte // the magic line before which everything is dropped; nil once it came
	ready   *readyBody
	lastSeq uint64
	frames  []frame
	acked   uint64
	ackMine bool // acknowledge what comes in, as a host with a journal does
	problem string
	atEnd   bool
	// The sandbox was told to end, or the test has ended.
	isShutDown atomic.Bool
}

func startHost(t *testing.T) *host {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, places: placesBelow(root), token: zeroToken, ackMine: true}
	h.changed = sync.NewCond(&h.mu)
	for _, folder := range append(h.places.writable(), h.places.names, h.places.seeds) {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.child = exec.Command(self)
	h.child.Env = append(os.Environ(), rootVariable+"="+root)
	h.child.Stderr = os.Stderr
	if h.stdout, err = h.child.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if h.stdin, err = h.child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := h.child.Start(); err != nil {
		t.Fatal(err)
	}
	go h.listen(h.stdout)
	t.Cleanup(func() {
		h.isShutDown.Store(true)
		h.stdin.Close()
		h.child.Process.Kill()
		h.child.Wait()
	})
	return h
}

// attach sends a magic line and hello, and returns what `ready` said. Numbered frames it does not have go out again.
func (h *host) attach() readyBody {
	h.t.Helper()
	nonce := newToken()
	line := []byte(magicPrefix + h.token + " " + nonce + "\n")
	h.mu.Lock()
	h.awaited, h.ready = magicLine(nonce), nil
	hello := encode(helloBody{Version: 1, LastSeq: h.lastSeq, Door: h.door})
	h.mu.Unlock()
	h.write(append(line, encodeForTest(&frame{kind: frameHello, body: hello})...))
	h.until("ready", func() bool { return h.ready != nil })
	h.mu.Lock()
	ready := *h.ready
	h.mu.Unlock()
	h.token = ready.Token
	for _, again := range h.sent[ready.LastInSeq:] {
		h.write(again)
	}
	return ready
}

func encodeForTest(f *frame) []byte {
	var header [headerBytes]byte
	f.putHeader(&header)
	whole := append(header[:], f.body...)
	return binary.BigEndian.AppendUint32(whole, crc32.ChecksumIEEE(whole))
}

// send numbers a frame and sends it.
func (h *host) send(kind frameType, body []byte) {
	h.t.Helper()
	encoded := encodeForTest(&frame{kind: kind, seq: uint64(len(h.sent) + 1), body: body})
	h.sent = append(h.sent, encoded)
	h.write(encoded)
}

// sendOn sends a frame of a channel.
func (h *host) sendOn(number uint16, kind frameType, body []byte) {
	h.t.Helper()
	h.write(encodeForTest(&frame{kind: kind, channel: number, body: body}))
}

func (h *host) write(bytes []byte) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.stdin.Write(bytes); err != nil {
		h.t.Errorf("write to sandbox-init: %v", err)
	}
}

// ack is sent beside everything else, so a sandbox that was told to end may have done so before it comes.
func (h *host) ack(seq uint64) {
	encoded := encodeForTest(&frame{kind: frameHostAck, body: binary.BigEndian.AppendUint64(nil, seq)})
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.stdin.Write(encoded); err != nil && !h.isShutDown.Load() {
		h.t.Errorf("acknowledge to sandbox-init: %v", err)
	}
}

func (h *host) start(script string, change func(*startBody)) {
	h.t.Helper()
	h.send(frameStart, encode(h.task(script, change)))
}

// startArmed does the same in two steps.
func (h *host) startArmed(script string, change func(*startBody)) {
	h.t.Helper()
	h.send(frameArm, encode(h.task(script, change)))
	h.send(frameStart, []byte(`{"armed":true}`))
}

func (h *host) task(script string, change func(*startBody)) startBody {
	body := startBody{
		Argv: []string{"/bin/bash", "-c", script}, Env: map[string]string{"PATH": "/usr/bin:/bin"},
		Cwd: h.places.workspace, DeadlineMs: 15000, GraceMs: 200,
		Limits: limitsBody{Nofile: 256, FsizeBytes: 1 << 30}, Secrets: json.RawMessage("[]"),
	}
	if change != nil {
		change(&body)
	}
	return body
}

// listen reads what sandbox-init writes until its end.
func (h *host) listen(out io.Reader) {
	h.listenTo(out)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.atEnd = true
	h.changed.Broadcast()
}

func (h *host) listenTo(out io.Reader) {
	var pending []byte
	chunk := make([]byte, 256<<10)
	for {
		n, err := out.Read(chunk)
		h.mu.Lock()
		pending = h.digest(append(pending, chunk[:n]...))
		h.changed.Broadcast()
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *host) digest(pending []byte) []byte {
	for {
		if h.awaited != nil {
			at := bytes.Index(pending, h.awaited)
			if at < 0 {
				return pending[max(0, len(pending)-magicBytes+1):]
			}
			pending = pending[at+magicBytes:]
			h.awaited = nil
		}
		if len(pending) < headerBytes || h.problem != "" {
			return pending
		}
		whole := headerBytes + int(binary.BigEndian.Uint32(pending[4:])) + checksumBytes
		if pending[0] != frameMark || whole > headerBytes+maxBodyBytes+checksumBytes {
			h.problem = "no frame where one was awaited"
			return pending
		}
		if len(pending) < whole {
			return pending
		}
		h.takeFrame(pending[:whole])
		pending = pending[whole:]
	}
}

func (h *host) takeFrame(whole []byte) {
	body := append([]byte(nil), whole[headerBytes:len(whole)-checksumBytes]...)
	f := frame{kind: frameType(whole[1]), channel: binary.BigEndian.Uint16(whole[2:]), seq: binary.BigEndian.Uint64(whole[8:]), timeUs: binary.BigEndian.Uint64(whole[16:]), body: body}
	if crc32.ChecksumIEEE(whole[:len(whole)-checksumBytes]) != binary.BigEndian.Uint32(whole[len(whole)-checksumBytes:]) {
		h.problem = "a wrong checksum"
	}
	switch {
	case f.kind == frameReady:
		h.ready = &readyBody{}
		if err := json.Unmarshal(f.body, h.ready); err != nil {
			h.problem = err.Error()
		}
	case f.kind == frameSandboxAck:
		h.acked = binary.BigEndian.Uint64(f.body)
	case f.seq == 0:
		h.frames = append(h.frames, f)
	case f.seq == h.lastSeq+1:
		h.lastSeq = f.seq
		h.frames = append(h.frames, f)
		if h.ackMine && f.seq%8 == 0 {
			go h.ack(f.seq)
		}
	case f.seq > h.lastSeq+1:
		h.problem = "a skipped number"
	}
}

// until waits for a condition, which is asked with the lock held.
func (h *host) until(what string, met func() bool) {
	h.t.Helper()
	timer := time.AfterFunc(patience, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.atEnd = true
		h.changed.Broadcast()
	})
	defer timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for !met() {
		if h.atEnd || h.problem != "" {
			h.t.Fatalf("waited for %s; problem %q, frames %s", what, h.problem, h.summary())
		}
		h.changed.Wait()
	}
}

func (h *host) summary() string {
	var text strings.Builder
	for _, f := range h.frames[max(0, len(h.frames)-20):] {
		fmt.Fprintf(&text, "%.300s\n", tell(event{frame: &f}))
	}
	return text.String()
}

// await returns the first frame of that type.
func (h *host) await(kind frameType) frame {
	h.t.Helper()
	var found frame
	h.until(fmt.Sprintf("frame %#x", byte(kind)), func() bool {
		for _, f := range h.frames {
			if f.kind == kind {
				found = f
				return true
			}
		}
		return false
	})
	return found
}

func (h *host) exit() exitBody {
	h.t.Helper()
	return decoded[exitBody](h.t, h.await(frameExit))
}

func decoded[T any](t *testing.T, f frame) T {
	t.Helper()
	var body T
	if err := json.Unmarshal(f.body, &body); err != nil {
		t.Fatalf("body of frame %#x: %v: %s", byte(f.kind), err, f.body)
	}
	return body
}

// bytesOf joins the bodies of one type that came so far.
func (h *host) bytesOf(kind frameType) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []byte
	for _, f := range h.frames {
		if f.kind == kind {
			all = append(all, f.body...)
		}
	}
	return all
}

// over sends `shutdown` and waits for the process's status 0.
func (h *host) over() {
	h.t.Helper()
	h.isShutDown.Store(true)
	h.send(frameShutdown, nil)
	h.until("the end", func() bool { return h.atEnd })
	if err := h.child.Wait(); err != nil {
		h.t.Errorf("sandbox-init ended with %v", err)
	}
}
