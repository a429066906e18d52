package main

import (
	"os"
	"sync"
)

// stdinFeed carries the host's stdin bytes to the task. It takes everything at once, so that a task that does not
// read never holds up the frames behind; the host's credit bounds what waits here.
type stdinFeed struct {
	mu      sync.Mutex
	more    *sync.Cond
	queue   []stdinPiece
	closed  bool // nothing is written any more: the task is gone, or its stdin ended
	pipe    *os.File
	lastSeq uint64
	used    func(seq uint64, atOnce bool)
}

type stdinPiece struct {
	seq  uint64
	body []byte // empty closes
}

// newStdinFeed takes the writing end, non-blocking, over. used hears of each host frame that is done with, and whether the host may wait for that.
func newStdinFeed(pipe *os.File, used func(seq uint64, atOnce bool)) *stdinFeed {
	f := &stdinFeed{pipe: pipe, used: used}
	f.more = sync.NewCond(&f.mu)
	return f
}

// into is for another pipe than the first, before anything is written.
func (f *stdinFeed) into(pipe *os.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pipe = pipe
}

// take queues one frame's body, which it copies.
func (f *stdinFeed) take(seq uint64, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastSeq = seq
	if f.closed {
		f.used(seq, true)
		return
	}
	f.queue = append(f.queue, stdinPiece{seq: seq, body: append([]byte(nil), body...)})
	f.more.Signal()
}

// other tells the feed of a host frame of another type, which counts as used once everything before it is.
func (f *stdinFeed) other(seq uint64, atOnce bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastSeq = seq
	if len(f.queue) == 0 {
		f.used(seq, atOnce)
	}
}

// run writes until the feed is closed.
func (f *stdinFeed) run() {
	for {
		f.mu.Lock()
		for len(f.queue) == 0 && !f.closed {
			f.more.Wait()
		}
		if f.closed {
			f.mu.Unlock()
			return
		}
		piece := f.queue[0]
		f.mu.Unlock()
		if len(piece.body) == 0 {
			f.close()
			return
		}
		if _, err := f.pipe.Write(piece.body); err != nil {
			f.close() // the task does not read any more
			return
		}
		f.mu.Lock()
		if len(f.queue) > 0 { // close empties it
			f.queue = f.queue[1:]
			f.used(f.settled(), true)
		}
		f.mu.Unlock()
	}
}

// settled is the highest host frame before which nothing waits.
func (f *stdinFeed) settled() uint64 {
	if len(f.queue) > 0 {
		return f.queue[0].seq - 1
	}
	return f.lastSeq
}

// close ends the task's stdin and drops what waits. Twice is once.
func (f *stdinFeed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	f.used(f.lastSeq, len(f.queue) > 0)
	f.queue = nil
	f.more.Signal()
	f.pipe.Close() // also ends a write that waits
}
