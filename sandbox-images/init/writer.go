package main

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// writeFrames sends what the outbox holds, to where the last hello came from, until the process ends. ready makes the body that follows a magic
// line. When that descriptor fails, what is kept waits for the next attach.
func writeFrames(o *outbox, ready func(firstSeq, nextSeq uint64) []byte) {
	for {
		if err := o.writeNext(ready); err != nil {
			o.detached()
		}
	}
}

func (o *outbox) writeNext(ready func(firstSeq, nextSeq uint64) []byte) error {
	o.mu.Lock()
	for !o.hasWork() {
		o.work.Wait()
	}
	o.isWriting = true
	defer o.written()
	if o.pendingNonce != "" {
		line := magicLine(o.pendingNonce)
		o.pendingNonce = ""
		o.attached = true
		o.fd = o.pendingFd
		o.rest = nil
		o.cursor = min(max(o.pendingLast+1, o.firstSeq), o.nextSeq)
		first, next, fd := o.firstSeq, o.nextSeq, o.fd
		o.mu.Unlock()
		if err := writeAll(fd, line); err != nil {
			return err
		}
		return writeFrame(fd, &frame{kind: frameReady, timeUs: o.clock.us(), body: ready(first, next)})
	}
	if rest, fd := o.rest, o.fd; len(rest) > 0 {
		o.rest = nil
		o.mu.Unlock()
		return writeAll(fd, rest)
	}
	f, fd := o.takeLocked(), o.fd
	o.mu.Unlock()
	return writeFrame(fd, &f)
}

func (o *outbox) written() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inFlight = 0
	o.isWriting = false
	o.sent.Broadcast()
}

func (o *outbox) hasWork() bool {
	return o.pendingNonce != "" || o.attached && (len(o.rest) > 0 || o.hasFrame())
}

func (o *outbox) hasFrame() bool {
	return len(o.urgent) > 0 || o.ackWanted || o.cursor < o.nextSeq || len(o.bulkFrames) > 0
}

// smallPiece is the most that is written by whoever has it to say: what a pipe takes as a whole if it takes anything (PIPE_BUF).
const smallPiece = 4 << 10

// goOutLocked has what waits written, in as few pieces as it can: by the caller, as far as the host's side takes it at once, so that no other thread
// has to wake up for it; otherwise by the writer. It waits for nobody.
func (o *outbox) goOutLocked() {
	if o.isHeld || !o.hasFrame() {
		return
	}
	if o.isWriting || !o.attached || o.pendingNonce != "" || len(o.rest) > 0 {
		o.work.Signal()
		return
	}
	for o.hasFrame() {
		piece := o.takeSmallLocked()
		if len(piece) == 0 {
			o.work.Signal()
			return
		}
		n, err := writeNow(o.fd, piece)
		if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
			o.detachedLocked()
			return
		}
		if n < len(piece) {
			o.rest = piece[n:]
			o.work.Signal()
			return
		}
	}
	o.sent.Broadcast()
}

// takeSmallLocked is as many of the next frames as are small together. Empty: the next one is large.
func (o *outbox) takeSmallLocked() []byte {
	var piece []byte
	for o.hasFrame() && len(piece)+headerBytes+o.nextBytesLocked()+checksumBytes <= smallPiece {
		f := o.takeLocked()
		o.inFlight = 0 // its body is copied
		piece = f.appendTo(piece)
	}
	return piece
}

// writeNow writes what there is room for. Standard output is the engine's pipe, of which nobody else writes to this end.
func writeNow(fd int, piece []byte) (int, error) {
	if fd == syscall.Stdout {
		if !isWritable(fd, 0) {
			return 0, syscall.EAGAIN
		}
		n, err := syscall.Write(fd, piece)
		return max(n, 0), err
	}
	n, err := syscall.SendmsgN(fd, piece, nil, nil, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	return max(n, 0), err
}

// nextBytesLocked is the length of the body that takeLocked would take.
func (o *outbox) nextBytesLocked() int {
	switch {
	case len(o.urgent) > 0:
		return len(o.urgent[0].body)
	case o.isAckNext():
		return 8
	case o.cursor < o.nextSeq:
		return len(o.kept[o.cursor-o.firstSeq].body)
	default:
		return len(o.bulkFrames[0].body)
	}
}

func (o *outbox) isAckNext() bool {
	return o.ackWanted || o.ackSeq > o.ackTold && o.cursor < o.nextSeq
}

// takeLocked is the next frame: errors, then acknowledgements, then the numbered ones, then those of channels.
func (o *outbox) takeLocked() frame {
	if len(o.urgent) > 0 {
		f := o.urgent[0]
		o.urgent = o.urgent[1:]
		return f
	}
	if o.isAckNext() {
		o.ackWanted = false
		o.ackTold = o.ackSeq
		body := binary.BigEndian.AppendUint64(nil, o.ackSeq)
		return frame{kind: frameSandboxAck, timeUs: o.clock.us(), body: body}
	}
	if o.cursor == o.nextSeq {
		return o.takeBulkLocked()
	}
	f := o.kept[o.cursor-o.firstSeq]
	o.cursor++
	o.sentSeq = max(o.sentSeq, f.seq)
	o.inFlight = f.seq
	return f
}

// writeFrame writes header, body and checksum without joining them first.
func writeFrame(fd int, f *frame) error {
	var header [headerBytes]byte
	var sum [checksumBytes]byte
	f.putHeader(&header)
	f.putChecksum(&header, &sum)
	return writeAll(fd, header[:], f.body, sum[:])
}

// writeAll writes the parts in order and returns when the last byte is written.
func writeAll(fd int, parts ...[]byte) error {
	var vectors [3]syscall.Iovec
	for {
		count := 0
		for _, part := range parts {
			if len(part) > 0 {
				vectors[count].Base = &part[0]
				vectors[count].SetLen(len(part))
				count++
			}
		}
		if count == 0 {
			return nil
		}
		n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vectors[0])), uintptr(count))
		runtime.KeepAlive(parts)
		switch errno {
		case 0:
			parts = skip(parts, int(n))
		case syscall.EINTR:
		case syscall.EAGAIN:
			isWritable(fd, -1)
		default:
			return errno
		}
	}
}

func skip(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

type pollFd struct {
	fd      int32
	events  int16
	revents int16
}

// isWritable waits no longer than patience for room; a negative one has no bound. What cannot be waited for counts as writable.
func isWritable(fd int, patience time.Duration) bool {
	const pollOut = 4
	wanted := pollFd{fd: int32(fd), events: pollOut}
	var most *syscall.Timespec
	if patience >= 0 {
		bound := syscall.NsecToTimespec(patience.Nanoseconds())
		most = &bound
	}
	n, _, _ := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&wanted)), 1, uintptr(unsafe.Pointer(most)), 0, 0, 0)
	return n != 0
}
