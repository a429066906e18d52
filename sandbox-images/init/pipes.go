package main

import (
	"fmt"
	"syscall"
)

// pump carries the task's output into the outbox. One thread reads all pipes in the order in which the kernel says
// they became readable, so that stdout and stderr keep their order as far as two pipes can tell it.
type pump struct {
	out      *outbox
	epoll    int
	wake     [2]int // a pipe: its closed writing end tells run to drain and return
	open     map[int32]*stream
	stdout   stream
	stderr   stream
	lines    stream
	progress progressLines
	begun    chan struct{} // closed when the host was told that the task has started
	done     chan struct{}
}

type stream struct {
	kind  frameType
	bytes int64
}

// newPump takes the launcher's reading ends over. Nothing reads them before it runs.
func newPump(out *outbox, l *launcher) (*pump, error) {
	p := &pump{
		out:    out,
		stdout: stream{kind: frameStdout},
		stderr: stream{kind: frameStderr},
		lines:  stream{kind: frameProgress},
		begun:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	p.open = map[int32]*stream{int32(l.stdout): &p.stdout, int32(l.stderr): &p.stderr, int32(l.progress): &p.lines}
	var err error
	if p.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	if err = syscall.Pipe2(p.wake[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err = p.watch(p.wake[0]); err != nil {
		return nil, err
	}
	for fd := range p.open {
		if err = p.watch(int(fd)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pump) watch(fd int) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
	if err := syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watch a pipe: %w", err)
	}
	return nil
}

// run reads until every pipe is at its end, or until finish was called and no more bytes are there.
func (p *pump) run() {
	defer close(p.done)
	defer p.progress.end(p.out)
	var events [4]syscall.EpollEvent
	for len(p.open) > 0 {
		count, err := syscall.EpollWait(p.epoll, events[:], -1)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			fatal("wait for the task's output", err)
		}
		<-p.begun
		for _, event := range events[:count] {
			if event.Fd == int32(p.wake[0]) {
				p.drain()
				return
			}
			p.readOnce(event.Fd)
		}
	}
}

// discard is for one that never ran.
func (p *pump) discard() {
	for _, fd := range []int{p.epoll, p.wake[0], p.wake[1]} {
		syscall.Close(fd)
	}
}

// finish returns when all output that was written before the call stands in the outbox. Nothing may write any more.
func (p *pump) finish() {
	syscall.Close(p.wake[1])
	<-p.done
}

func (p *pump) drain() {
	for fd := range p.open {
		for p.readOnce(fd) {
		}
	}
}

// readOnce takes up to one chunk from a pipe. False: there is nothing (left) to read.
func (p *pump) readOnce(fd int32) bool {
	from := p.open[fd]
	if from == nil {
		return false
	}
	chunk := p.out.chunk()
	n, err := syscall.Read(int(fd), chunk)
	if n <= 0 {
		p.out.recycle(chunk)
		if err == syscall.EINTR {
			return true
		}
		if err != syscall.EAGAIN {
			p.end(fd)
		}
		return false
	}
	if from.kind == frameProgress {
		p.progress.take(chunk[:n], p.out)
		p.out.recycle(chunk)
		return true
	}
	from.bytes += int64(n)
	p.out.stream(from.kind, chunk, n)
	return true
}

func (p *pump) end(fd int32) {
	syscall.Close(int(fd)) // leaves the epoll by itself
	delete(p.open, fd)
}
