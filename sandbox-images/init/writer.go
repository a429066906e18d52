package main

import (
	"encoding/binary"
	"runtime"
	"syscall"
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
	if o.pendingNonce != "" {
		line := magicLine(o.pendingNonce)
		o.pendingNonce = ""
		o.attached = true
		o.fd = o.pendingFd
		o.cursor = min(max(o.pendingLast+1, o.firstSeq), o.nextSeq)
		first, next, fd := o.firstSeq, o.nextSeq, o.fd
		o.mu.Unlock()
		if err := writeAll(fd, line); err != nil {
			return err
		}
		return writeFrame(fd, &frame{kind: frameReady, timeUs: o.clock.us(), body: ready(first, next)})
	}
	f, fd := o.takeLocked(), o.fd
	o.mu.Unlock()
	err := writeFrame(fd, &f)
	o.mu.Lock()
	o.inFlight = 0
	o.sent.Broadcast()
	o.mu.Unlock()
	return err
}

func (o *outbox) hasWork() bool {
	return o.pendingNonce != "" || o.attached && (len(o.urgent) > 0 || o.ackWanted || o.cursor < o.nextSeq || len(o.bulkFrames) > 0)
}

// takeLocked is the next frame: errors, then acknowledgements, then the numbered ones, then those of channels.
func (o *outbox) takeLocked() frame {
	if len(o.urgent) > 0 {
		f := o.urgent[0]
		o.urgent = o.urgent[1:]
		return f
	}
	if o.ackWanted {
		o.ackWanted = false
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
			waitWritable(fd)
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

func waitWritable(fd int) {
	const pollOut = 4
	wanted := pollFd{fd: int32(fd), events: pollOut}
	syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&wanted)), 1, 0, 0, 0, 0)
}
