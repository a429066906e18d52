package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// The states `ready` tells.
const (
	stateIdle    = "idle"
	stateRunning = "running"
	stateExited  = "exited" // also after `failed`
	stateEnded   = "ended"
)

// lastWords is how long a host that sends nothing any more has to read the exit.
const lastWords = 2 * time.Second

// session is one sandbox's whole life, as the host drives it.
type session struct {
	places   places
	token    string
	wire     *wire
	out      *outbox
	reader   *frameReader
	launcher *launcher
	prepared *prepared // nil: nothing was prepared
	reaper   *reaper
	cgroup   *cgroup
	feed     *stdinFeed
	channels *channels
	input    *unpacking
	armed    *outfit // nil: no task was told ahead of `start`
	signals  chan taskSignal
	finished chan struct{} // closed when the task's exit stands in the outbox

	mu         sync.Mutex
	state      string
	failed     bool
	isOver     bool         // the exit, or why there was none, stands in the outbox
	wanted     *collectBody // nil: not asked for yet
	collecting bool
	secrets    json.RawMessage
	hasDoor    bool
	lastInSeq  uint64
}

// serve runs until the host says `shutdown` or is gone for good, and returns the process's status.
func (s *session) serve() int {
	for {
		found, err := s.reader.next()
		switch {
		case err != nil:
			return s.hostGone(err)
		case found.broken != "":
			s.refuse(brokenCode(found.broken), string(found.broken))
		case found.nonce != "":
			if !s.greet(found.nonce) {
				return s.hostGone(io.EOF)
			}
		default:
			if s.take(found.frame) {
				s.killAll()
				return 0
			}
		}
	}
}

// hostGone lets a running task come to its end, for a host that may still read.
func (s *session) hostGone(err error) int {
	if err != io.EOF {
		fmt.Fprintf(os.Stderr, "sandbox-init: read from the host: %v\n", err)
	}
	if s.now() == stateRunning {
		<-s.finished
		s.out.flush(lastWords)
	}
	s.killAll()
	return 0
}

func (s *session) killAll() {
	signalTask(s.launcher.pid, syscall.SIGKILL)
	if s.prepared != nil {
		signalTask(s.prepared.launcher.pid, syscall.SIGKILL)
	}
}

func brokenCode(reason breakReason) string {
	if reason == breakGap {
		return "gap"
	}
	return "corrupt"
}

// greet takes the hello that must follow a magic line. False: the host is gone.
func (s *session) greet(nonce string) bool {
	for {
		found, err := s.reader.next()
		switch {
		case err != nil:
			return false
		case found.broken != "":
			s.refuse(brokenCode(found.broken), string(found.broken))
			return true
		case found.nonce != "":
			nonce = found.nonce
			continue
		}
		var hello helloBody
		if found.frame.kind != frameHello {
			s.reader.reject(found.frame)
			s.refuse("order", fmt.Sprintf("frame type 0x%02x where hello was awaited", byte(found.frame.kind)))
			return true
		}
		if err := json.Unmarshal(found.frame.body, &hello); err != nil || hello.Version != protocolVersion {
			s.refuse("unsupported", fmt.Sprintf("hello of version %d; this is version %d", hello.Version, protocolVersion))
			return true
		}
		s.answerDoor(hello.Door)
		s.out.attach(nonce, hello.LastSeq, s.wire.answersOn())
		s.channels.cutOff()
		return true
	}
}

// answerDoor opens one for a host that asks, as long as there was nothing but greetings.
func (s *session) answerDoor(name string) {
	isOpen := name != "" && s.reader.anyToken && s.wire.openDoor(s.places.names, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hasDoor = isOpen
}

// readyBody is what follows the magic line.
func (s *session) readyBody(firstSeq, nextSeq uint64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return encode(readyBody{
		Version: protocolVersion, Token: s.token, State: s.state, LastInSeq: s.lastInSeq,
		FirstSeq: firstSeq, NextSeq: nextSeq, Secrets: s.secrets, Channels: true, Prepares: true, CollectsEarly: true, Arms: true, Rehearses: true, Door: s.hasDoor,
	})
}

// take does what one frame asks for. True: the sandbox is over.
func (s *session) take(f *frame) (over bool) {
	// SAFETY: from here on programs of others may run here, and none must find it.
	s.wire.shutDoor()
	if f.seq != 0 {
		s.mu.Lock()
		s.lastInSeq = f.seq
		s.mu.Unlock()
	}
	if (f.seq != 0) != isNumbered(f.kind) {
		s.refuse("order", fmt.Sprintf("frame type 0x%02x with number %d", byte(f.kind), f.seq))
		return false
	}
	if isOfChannel(f.kind) {
		s.channels.take(f)
		return false
	}
	switch f.kind {
	case frameHostAck:
		if len(f.body) == 8 {
			s.out.acknowledged(binary.BigEndian.Uint64(f.body))
		}
		return false
	case frameStdin:
		s.feed.take(f.seq, f.body)
		return false
	case frameInput:
		s.takeInput(f.body)
	case framePrepare:
		s.prepare(f.body)
	case frameRehearse:
		s.rehearse(f.body)
	case frameArm:
		s.arm(f.body)
	case frameStart:
		s.start(f.body)
	case frameSignal:
		s.signal(f.body)
	case frameCollect:
		s.collect(f.body)
	case frameShutdown:
		return true
	case frameHello:
		s.refuse("order", "hello without a magic line")
		return false
	default:
		s.refuse("unsupported", fmt.Sprintf("frame type 0x%02x", byte(f.kind)))
	}
	s.feed.other(f.seq, !s.isAnsweredSoon(f.kind))
	return false
}

// isAnsweredSoon says that a numbered frame comes, with which the host can hear that this one is used.
func (s *session) isAnsweredSoon(kind frameType) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.isOver && (kind == frameArm || kind == frameStart || kind == frameCollect)
}

func isNumbered(kind frameType) bool {
	return kind != frameHello && kind != frameHostAck && !isOfChannel(kind)
}

func (s *session) refuse(code, message string) {
	s.mu.Lock()
	expected := s.lastInSeq + 1
	s.mu.Unlock()
	s.out.putUnnumbered(frameError, encode(errorBody{Code: code, Message: message, ExpectedSeq: expected}))
}

func (s *session) now() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *session) become(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

func (s *session) signal(body []byte) {
	var asked signalBody
	if err := json.Unmarshal(body, &asked); err != nil {
		s.refuse("unsupported", "signal: "+err.Error())
		return
	}
	number, ok := signalNumber(asked.Signal)
	if !ok {
		s.refuse("unsupported", fmt.Sprintf("signal %q", asked.Signal))
		return
	}
	if s.now() != stateRunning {
		return // the task was faster
	}
	select {
	case s.signals <- taskSignal{number: number, grace: time.Duration(asked.GraceMs) * time.Millisecond}:
	default: // a host that floods signals; each of those waiting ends the task already
	}
}

func (s *session) collect(body []byte) {
	var asked collectBody
	if err := json.Unmarshal(body, &asked); err != nil {
		s.refuse("unsupported", "collect: "+err.Error())
		return
	}
	s.mu.Lock()
	// A second one changes nothing: who took over may not know what was asked before.
	if s.wanted == nil {
		s.wanted = &asked
	}
	s.mu.Unlock()
	s.collectIfDue()
}

// over says that nothing further comes of the task itself.
func (s *session) over() {
	s.mu.Lock()
	s.isOver = true
	s.mu.Unlock()
	s.collectIfDue()
}

// collectIfDue begins, once, when the task is over and the host has asked, whichever was first.
func (s *session) collectIfDue() {
	s.mu.Lock()
	isDue := s.isOver && s.wanted != nil && !s.collecting
	s.collecting = s.collecting || isDue
	wanted := s.wanted
	s.mu.Unlock()
	if !isDue {
		return
	}
	gather := func() {
		end := collectOutput(s.places.output, *wanted, s.out)
		s.become(stateEnded)
		s.out.put(frameEnd, encode(end))
	}
	if isEmptyFolder(s.places.output) {
		s.out.together(gather)
	} else {
		spawn("collect", gather)
	}
}
