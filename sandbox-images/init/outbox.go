package main

import (
	"sync"
	"syscall"
	"time"
)

const (
	// keptBytes bounds what waits for the host's acknowledgement.
	keptBytes = 4 << 20
	// bulkBytes bounds what of channels waits for the writer.
	bulkBytes = 2 << 20
	// frameOverheadBytes is charged for each kept frame beside its body, so that a flood of tiny ones is bounded too.
	frameOverheadBytes = 128
	// chunkBytes is the size of the recycled buffers, and of the largest stream frame sandbox-init makes.
	chunkBytes = 64 << 10
	// Bytes shorter than this are copied to a body of their own, so that a small frame does not hold a whole chunk.
	smallBytes = 16 << 10
)

// So many full chunks, of what the task writes or of what it left, are a flood. The pipe to the host then gets more room, so that those at its
// ends take turns less often: a tenth more throughput. Never the task's own pipes: those count among the user's, who gets hardly any
// room beyond a limit.
const (
	floodChunks    = 16
	floodPipeBytes = 1 << 20
	setPipeSize    = 1031 // F_SETPIPE_SZ
)

// outbox holds the numbered frames until the host acknowledges them, and what the writer has to send next.
type outbox struct {
	clock clock
	mu    sync.Mutex
	// work wakes the writer; room wakes who waits for the host's acknowledgement.
	work, room *sync.Cond
	// sent wakes who waits for the writer.
	sent *sync.Cond

	kept              []frame // kept[0].seq == firstSeq
	firstSeq, nextSeq uint64
	cost              int
	free              [][]byte
	full              int // chunks that were full, up to floodChunks

	// The writer's side: the frame it sends next, and what comes before it.
	cursor       uint64
	sentSeq      uint64 // the highest number ever sent
	inFlight     uint64 // the frame being written, 0 if none: its body may not be recycled
	attached     bool
	pendingNonce string
	pendingLast  uint64
	pendingFd    int
	fd           int    // where the host that was answered last reads
	isWriting    bool   // somebody is at it, outside the lock
	rest         []byte // of a frame that fd did not take whole
	urgent       []frame
	bulkFrames   []frame // of channels: sent only where nothing else waits
	bulkCost     int
	ackSeq       uint64
	ackTold      uint64
	ackWanted    bool // at once; otherwise with the next numbered frame
	isHeld       bool // what is put waits for what follows
}

func newOutbox(c clock) *outbox {
	o := &outbox{clock: c, firstSeq: 1, nextSeq: 1, cursor: 1}
	o.work = sync.NewCond(&o.mu)
	o.room = sync.NewCond(&o.mu)
	o.sent = sync.NewCond(&o.mu)
	return o
}

// chunk is an empty buffer of chunkBytes for stream.
func (o *outbox) chunk() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if last := len(o.free) - 1; last >= 0 {
		b := o.free[last]
		o.free = o.free[:last]
		return b
	}
	return make([]byte, chunkBytes)
}

// recycle takes a chunk back that stream was not given.
func (o *outbox) recycle(chunk []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recycleLocked(chunk)
}

func (o *outbox) recycleLocked(body []byte) {
	if cap(body) == chunkBytes && len(o.free) < keptBytes/chunkBytes {
		o.free = append(o.free, body[:chunkBytes])
	}
}

// stream numbers the first n bytes of a chunk, which it takes over, as one frame of that type, and waits while the
// host is behind. Bytes that follow others of their type which still wait to be written join them.
func (o *outbox) stream(kind frameType, chunk []byte, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waitForRoom(n)
	if n == chunkBytes {
		o.lookForFlood()
	}
	if n < smallBytes {
		defer o.recycleLocked(chunk)
		if o.join(kind, chunk[:n]) {
			return
		}
		chunk = append([]byte(nil), chunk[:n]...)
	}
	// By the writer: what comes while it is at it joins what waits.
	o.keep(kind, chunk[:n])
	if !o.isHeld {
		o.work.Signal()
	}
}

// lookForFlood widens the way to the host, once. Where the kernel does not let us, as on a socket, nothing changes.
func (o *outbox) lookForFlood() {
	if o.full == floodChunks {
		return
	}
	if o.full++; o.full == floodChunks {
		_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(o.fd), setPipeSize, floodPipeBytes)
	}
}

func (o *outbox) waitForRoom(n int) {
	for o.cost+n > keptBytes && len(o.kept) > 0 {
		o.work.Signal()
		o.room.Wait()
	}
}

func (o *outbox) join(kind frameType, bytes []byte) bool {
	if len(o.kept) == 0 {
		return false
	}
	last := &o.kept[len(o.kept)-1]
	if last.kind != kind || last.seq <= o.sentSeq || len(last.body)+len(bytes) >= smallBytes {
		return false
	}
	last.body = append(last.body, bytes...)
	o.cost += len(bytes)
	return true
}

// line numbers one frame that stays by itself, and waits while the host is behind. Its body is taken over.
func (o *outbox) line(kind frameType, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waitForRoom(len(body))
	o.number(kind, body)
}

// put numbers a frame that must not wait for the host. Its body is taken over.
func (o *outbox) put(kind frameType, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.number(kind, body)
}

func (o *outbox) number(kind frameType, body []byte) {
	o.keep(kind, body)
	o.goOutLocked()
}

func (o *outbox) keep(kind frameType, body []byte) {
	o.kept = append(o.kept, frame{kind: kind, seq: o.nextSeq, timeUs: o.clock.us(), body: body})
	o.nextSeq++
	o.cost += len(body) + frameOverheadBytes
}

// putUnnumbered sends a frame before all numbered ones. It is not kept.
func (o *outbox) putUnnumbered(kind frameType, body []byte) {
	const most = 64 // a host that breaks the stream without reading the answers
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.urgent) < most {
		o.urgent = append(o.urgent, frame{kind: kind, timeUs: o.clock.us(), body: body})
	}
	o.goOutLocked()
}

// bulk sends a frame of a channel behind everything else. It is not kept: where nobody is attached, nobody gets it. Its body is taken over.
func (o *outbox) bulk(kind frameType, channel uint16, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.attached || o.pendingNonce != "" {
		o.bulkFrames = append(o.bulkFrames, frame{kind: kind, channel: channel, timeUs: o.clock.us(), body: body})
		o.bulkCost += len(body) + frameOverheadBytes
		o.goOutLocked()
	}
}

// waitForBulkRoom holds back who would send more on channels than the host reads.
func (o *outbox) waitForBulkRoom() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.bulkCost > bulkBytes {
		o.room.Wait()
	}
}

func (o *outbox) takeBulkLocked() frame {
	f := o.bulkFrames[0]
	o.bulkFrames = o.bulkFrames[1:]
	o.bulkCost -= len(f.body) + frameOverheadBytes
	if o.bulkCost <= bulkBytes {
		o.room.Broadcast()
	}
	return f
}

func (o *outbox) dropBulkLocked() {
	o.bulkFrames, o.bulkCost = nil, 0
	o.room.Broadcast()
}

// together has what fill puts go out in one piece, where that is small. fill must not take long.
func (o *outbox) together(fill func()) {
	o.hold(true)
	defer o.hold(false)
	fill()
}

func (o *outbox) hold(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.isHeld = on
	o.goOutLocked()
}

// used tells the host that its frames up to seq have been used: at once, where it may wait for that, or with the next numbered frame.
func (o *outbox) used(seq uint64, atOnce bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ackSeq = max(o.ackSeq, seq)
	if atOnce && o.ackSeq > o.ackTold {
		o.ackWanted = true
		o.goOutLocked()
	}
}

// acknowledged forgets the frames up to seq. More than was ever sent is not believed.
func (o *outbox) acknowledged(seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(seq)
}

func (o *outbox) forget(seq uint64) {
	done := 0
	for done < len(o.kept) && o.kept[done].seq <= min(seq, o.sentSeq) {
		f := &o.kept[done]
		o.cost -= len(f.body) + frameOverheadBytes
		if f.seq != o.inFlight {
			o.recycleLocked(f.body)
		}
		o.firstSeq = f.seq + 1
		f.body = nil
		done++
	}
	if done > 0 {
		o.kept = o.kept[done:]
		o.cursor = max(o.cursor, o.firstSeq)
		o.room.Broadcast()
	}
}

// attach makes the writer answer a hello on fd: magic line, ready, then everything after lastSeq, which the host keeps.
func (o *outbox) attach(nonce string, lastSeq uint64, fd int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(lastSeq)
	o.pendingNonce, o.pendingLast, o.pendingFd = nonce, lastSeq, fd
	o.urgent = nil
	o.dropBulkLocked()
	o.ackWanted = o.ackSeq > 0 // the last one may have been lost on the way
	o.work.Signal()
}

// detached stops the writer until the next hello: nobody reads.
func (o *outbox) detached() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.detachedLocked()
}

func (o *outbox) detachedLocked() {
	o.attached = false
	o.rest = nil
	o.dropBulkLocked()
	o.inFlight = 0
	o.sent.Broadcast()
}

// flush returns when all numbered frames are written, when nobody reads, or after the time given.
func (o *outbox) flush(atMost time.Duration) {
	late := false
	timer := time.AfterFunc(atMost, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.sent.Broadcast()
	})
	defer timer.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.attached && !late && (o.cursor < o.nextSeq || o.inFlight != 0 || len(o.rest) > 0) {
		o.sent.Wait()
	}
}
