package main

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"
)

// wire is the way to the host: the standard streams, which an engine carries, until a host on the same machine comes in
// by the door. That is a listening socket in the sandbox's own small file system, whose name the host made up, and it takes
// one connection: no task runs in the sandbox as long as it is open. What comes on standard input while there is a connection is
// another host's, and ends it.
type wire struct {
	stdin io.Reader
	// The descriptors of the standard streams.
	in, out int
	door    int // listens; -1: shut
	path    string
	// direct is the connection; -1: none. SAFETY: it is shut down and never closed, so that a writer that still has its number
	// cannot write to another file.
	direct   int
	wasAsked bool
}

const noDescriptor = -1

func newWire() *wire {
	return &wire{stdin: os.Stdin, in: syscall.Stdin, out: syscall.Stdout, door: noDescriptor, direct: noDescriptor}
}

// openDoor makes the socket, once in a sandbox's life. False: there is none, and the standard streams have to do.
func (w *wire) openDoor(folder, name string) bool {
	if w.wasAsked || len(name) != tokenBytes || !isHex([]byte(name)) {
		return false
	}
	w.wasAsked = true
	path := filepath.Join(folder, name)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		syscall.Close(fd)
		return false
	}
	if err := syscall.Listen(fd, 1); err != nil {
		syscall.Close(fd)
		_ = os.Remove(path)
		return false
	}
	w.door, w.path = fd, path
	return true
}

// shutDoor leaves nothing of it in the file system. Twice is once.
func (w *wire) shutDoor() {
	if w.door == noDescriptor {
		return
	}
	syscall.Close(w.door)
	_ = os.Remove(w.path)
	w.door = noDescriptor
}

// Read is the next bytes of whichever host has the word.
func (w *wire) Read(into []byte) (int, error) {
	for {
		switch {
		case w.direct != noDescriptor:
			isDirect, isOther := awaitEither(w.direct, w.in, -1)
			if !isDirect || isOther {
				w.leave()
				continue
			}
			n, err := syscall.Read(w.direct, into)
			if n > 0 {
				return n, nil
			}
			if err != syscall.EINTR {
				w.leave()
			}
		case w.door != noDescriptor:
			isKnock, isOther := awaitEither(w.door, w.in, -1)
			if isOther || !isKnock {
				return w.stdin.Read(into)
			}
			w.letIn()
		default:
			return w.stdin.Read(into)
		}
	}
}

func (w *wire) letIn() {
	fd, _, err := syscall.Accept4(w.door, syscall.SOCK_CLOEXEC)
	if err == syscall.EINTR {
		return
	}
	w.shutDoor()
	if err == nil {
		w.direct = fd
	}
}

// leave goes back to the standard streams.
func (w *wire) leave() {
	_ = syscall.Shutdown(w.direct, syscall.SHUT_RDWR)
	w.direct = noDescriptor
}

// await is a frameReader's: it waits until something has come, or is at its end; false: neither in time.
func (w *wire) await(patience time.Duration) bool {
	other := noDescriptor
	switch {
	case w.direct != noDescriptor:
		other = w.direct
	case w.door != noDescriptor:
		other = w.door
	}
	first, second := awaitEither(w.in, other, patience)
	return first || second
}

// answersOn is the descriptor on which the host that has the word reads.
func (w *wire) answersOn() int {
	if w.direct != noDescriptor {
		return w.direct
	}
	return w.out
}

// awaitEither says which of two descriptors has something, or is at its end. Both may; a negative patience has no bound, and a
// negative descriptor never has anything. What cannot be waited for is taken to have something.
func awaitEither(first, second int, patience time.Duration) (isFirst, isSecond bool) {
	const pollIn = 1
	asked := [2]pollFd{{fd: int32(first), events: pollIn}, {fd: int32(second), events: pollIn}}
	until := time.Now().Add(patience)
	for {
		var left *syscall.Timespec
		if patience >= 0 {
			rest := syscall.NsecToTimespec(max(0, time.Until(until).Nanoseconds()))
			left = &rest
		}
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&asked[0])), 2, uintptr(unsafe.Pointer(left)), 0, 0, 0)
		switch errno {
		case 0:
			return asked[0].revents != 0, asked[1].revents != 0
		case syscall.EINTR:
		default:
			return true, true
		}
	}
}
