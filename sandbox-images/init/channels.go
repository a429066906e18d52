package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// channelWindow is what either side may send on a channel before the other has said that it takes more.
	channelWindow = 240 << 10
	// maxChannels bounds what a task that opens connections without end can make us hold.
	maxChannels = 128
	// takenPatience is how long a host has to say that it takes a connection, before the task is told that nobody does.
	takenPatience = 5 * time.Second
	// flushPatience is how long a task has to read what came for it before the host's end of a channel.
	flushPatience = 5 * time.Second
)

// channels carries the connections that the task makes to our ports on its loopback to the host, each with a number and
// a tag that says by which port it came. What is on the other side is the host's affair.
type channels struct {
	out *outbox

	mu        sync.Mutex
	byNumber  map[uint16]*channel
	last      uint16
	listeners []net.Listener
	shut      bool
}

// channel is one connection of the task's. Its fields are guarded by channels.mu.
type channel struct {
	number uint16
	conn   *net.TCPConn
	// changed wakes both of the channel's goroutines.
	changed *sync.Cond
	// credit is what the host takes; the rest waits in the task's socket.
	credit int
	queue  [][]byte
	queued int
	// unsaid is what the task's socket took and the host was not told of.
	unsaid int
	taken  *time.Timer
	// The host ended its direction; we told the host that ours is ended.
	hostEnded, ended bool
	// Nothing further happens, but that the number is not given again until the host has closed it too.
	over bool
}

func newChannels(out *outbox) *channels {
	return &channels{out: out, byNumber: map[uint16]*channel{}}
}

// listen opens the ports a task was promised.
func (c *channels) listen(asked []listenBody) error {
	for _, one := range asked {
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: one.Port})
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.listeners = append(c.listeners, listener)
		c.mu.Unlock()
		spawn("accept", func() { c.accept(listener, one.To) })
	}
	return nil
}

func (c *channels) accept(listener *net.TCPListener, to string) {
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			if c.isShut() {
				return
			}
			time.Sleep(acceptPause) // no descriptor left; the task's own do not count
			continue
		}
		c.open(conn, to)
	}
}

// acceptPause keeps an accept that fails at once from taking a processor.
const acceptPause = 10 * time.Millisecond

func (c *channels) isShut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shut
}

func (c *channels) open(conn *net.TCPConn, to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || len(c.byNumber) >= maxChannels {
		reset(conn)
		return
	}
	ch := &channel{number: c.freeNumber(), conn: conn, credit: channelWindow}
	ch.changed = sync.NewCond(&c.mu)
	c.byNumber[ch.number] = ch
	c.send(frameOpen, ch, encode(openBody{To: to, Window: channelWindow}))
	ch.taken = time.AfterFunc(takenPatience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end(ch, "nobody took it")
	})
	spawn("read from the task", func() { c.fromTask(ch) })
	spawn("write to the task", func() { c.toTask(ch) })
}

// freeNumber is an odd one: the even ones are the host's. There are more than channels.
func (c *channels) freeNumber() uint16 {
	for {
		c.last += 2
		number := c.last | 1
		if _, isTaken := c.byNumber[number]; !isTaken {
			return number
		}
	}
}

// fromTask sends what the task writes, as far as the host takes it.
func (c *channels) fromTask(ch *channel) {
	buffer := make([]byte, 32<<10)
	for {
		c.mu.Lock()
		for ch.credit == 0 && !ch.ended && !ch.over {
			ch.changed.Wait()
		}
		most := min(ch.credit, len(buffer))
		c.mu.Unlock()
		if most == 0 {
			return
		}
		c.out.waitForBulkRoom()
		n, err := ch.conn.Read(buffer[:most])
		if !c.pass(ch, buffer[:n], err) {
			return
		}
	}
}

// pass sends what was read from the task. False: nothing further is to be read.
func (c *channels) pass(ch *channel, bytes []byte, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.ended || ch.over {
		return false
	}
	if len(bytes) > 0 {
		ch.credit -= len(bytes)
		c.send(frameData, ch, append([]byte(nil), bytes...))
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF):
		ch.ended = true
		c.send(frameData, ch, nil)
		c.endIfDone(ch)
	default:
		c.end(ch, "the task cut it off")
	}
	return false
}

// toTask writes what the host sends, and tells it what the task has taken.
func (c *channels) toTask(ch *channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(ch.queue) == 0 && !ch.hostEnded && !ch.over {
			ch.changed.Wait()
		}
		if ch.over {
			return
		}
		if len(ch.queue) == 0 {
			_ = ch.conn.CloseWrite()
			c.endIfDone(ch)
			return
		}
		piece := ch.queue[0]
		c.mu.Unlock()
		_, err := ch.conn.Write(piece)
		c.mu.Lock()
		if err != nil {
			c.end(ch, "the task does not read it")
			return
		}
		if ch.over {
			return
		}
		ch.queue = ch.queue[1:]
		ch.queued -= len(piece)
		c.taken(ch, len(piece))
	}
}

// taken tells the host, now and then, what the task's socket took.
func (c *channels) taken(ch *channel, count int) {
	ch.unsaid += count
	if ch.unsaid >= channelWindow/4 {
		c.send(frameWindow, ch, binary.BigEndian.AppendUint32(nil, uint32(ch.unsaid)))
		ch.unsaid = 0
	}
}

// writeAtOnce writes what the task's socket takes without waiting, and returns the rest: no other thread has to wake up for it.
func (c *channels) writeAtOnce(ch *channel, body []byte) []byte {
	raw, err := ch.conn.SyscallConn()
	if err != nil {
		return body
	}
	count := 0
	_ = raw.Write(func(fd uintptr) bool {
		count, _ = syscall.SendmsgN(int(fd), body, nil, nil, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
		return true
	})
	c.taken(ch, max(count, 0))
	return body[max(count, 0):]
}

// take does what a channel frame of the host asks for.
func (c *channels) take(f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.byNumber[f.channel]
	if ch == nil || ch.over && f.kind != frameClose {
		if ch == nil && f.kind != frameClose {
			c.out.bulk(frameClose, f.channel, encode(closeBody{Error: text("no such channel")}))
		}
		return
	}
	switch f.kind {
	case frameWindow:
		c.takeWindow(ch, f.body)
	case frameData:
		c.takeData(ch, f.body)
	case frameClose:
		c.takeClose(ch, f.body)
	default:
		c.end(ch, fmt.Sprintf("frame type 0x%02x", byte(f.kind)))
	}
}

// takeWindow: the first one says that the host took the connection.
func (c *channels) takeWindow(ch *channel, body []byte) {
	if len(body) != 4 || binary.BigEndian.Uint32(body) > channelWindow {
		c.end(ch, "a window that is none")
		return
	}
	ch.taken.Stop()
	ch.credit = min(ch.credit+int(binary.BigEndian.Uint32(body)), channelWindow)
	ch.changed.Broadcast()
}

// takeData copies the body; an empty one ends the host's direction.
func (c *channels) takeData(ch *channel, body []byte) {
	if ch.queued+len(body) > channelWindow || ch.hostEnded {
		c.end(ch, "more than its window")
		return
	}
	if len(body) == 0 {
		ch.hostEnded = true
	} else {
		if len(ch.queue) == 0 {
			body = c.writeAtOnce(ch, body)
		}
		if len(body) == 0 {
			return
		}
		ch.queue = append(ch.queue, append([]byte(nil), body...))
		ch.queued += len(body)
	}
	ch.changed.Broadcast()
}

// takeClose frees the number. What the host sent before it still reaches the task, unless the host says that something was wrong.
func (c *channels) takeClose(ch *channel, body []byte) {
	delete(c.byNumber, ch.number)
	if ch.over {
		return
	}
	var asked closeBody
	if json.Unmarshal(body, &asked) != nil || asked.Error != nil || !ch.hostEnded {
		c.end(ch, "")
		return
	}
	ch.ended = true
	_ = ch.conn.SetDeadline(time.Now().Add(flushPatience))
	c.endIfDone(ch)
	ch.changed.Broadcast()
}

// endIfDone ends a channel whose two directions are ended.
func (c *channels) endIfDone(ch *channel) {
	if ch.ended && ch.hostEnded && len(ch.queue) == 0 && !ch.over {
		ch.over = true
		ch.taken.Stop()
		_ = ch.conn.Close()
		ch.changed.Broadcast()
		c.send(frameClose, ch, encode(closeBody{}))
	}
}

// end cuts a channel off, so that the task sees a reset.
func (c *channels) end(ch *channel, why string) {
	if ch.over {
		return
	}
	ch.over = true
	ch.taken.Stop()
	reset(ch.conn)
	ch.queue = nil
	ch.changed.Broadcast()
	c.send(frameClose, ch, encode(closeBody{Error: text(why)}))
}

// cutOff ends all channels: whoever was on the other side of them is gone.
func (c *channels) cutOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOffLocked()
}

func (c *channels) cutOffLocked() {
	for _, ch := range c.byNumber {
		c.end(ch, "the host is another")
	}
	clear(c.byNumber)
}

// cutOffForGood ends all channels, and no further one opens.
func (c *channels) cutOffForGood() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	c.cutOffLocked()
}

// close shuts the ports, which nobody is left to connect to.
func (c *channels) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, listener := range c.listeners {
		_ = listener.Close()
	}
}

// warmUpListening pays for what the runtime does once, before a task waits for its ports.
func warmUpListening() {
	if listener, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
	}
}

func (c *channels) send(kind frameType, ch *channel, body []byte) {
	c.out.bulk(kind, ch.number, body)
}

// reset closes a connection so that its other side sees that something is wrong.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

func text(value string) *string { return &value }
