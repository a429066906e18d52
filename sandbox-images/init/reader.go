package main

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"time"
)

// breakReason says what made a stream unreadable.
type breakReason string

const (
	breakMark     breakReason = "mark"
	breakLength   breakReason = "length"
	breakChecksum breakReason = "checksum"
	breakGap      breakReason = "gap"
	breakStall    breakReason = "stall"
)

// stallPatience is how long the rest of a frame may be in coming. The host writes a frame in one go: one that stands
// still has a wrong length, or its rest was lost.
const stallPatience = 2 * time.Second

// event is what a frameReader found: exactly one of the three is set.
type event struct {
	nonce  string      // a magic line was taken
	frame  *frame      // valid until the next call of next
	broken breakReason // the stream broke; nothing comes before the next magic line
}

// frameReader finds magic lines and frames in what the host sends. What it reports does not depend on how the
// bytes are cut into reads, and no bytes make it panic or hold more than one frame and one line in memory.
type frameReader struct {
	src   io.Reader
	token string
	// await, where it is set, waits until src has something or is at its end; false: neither came in time.
	await func(patience time.Duration) bool
	buf   []byte
	// The unread bytes are buf[start:end]; no whole magic line begins before start+searched.
	start, end, searched int
	synced               bool
	// Until a frame other than hello has begun no byte of a payload can be in the stream, so any token is taken:
	// a host that attached and died before it read `ready` does not know ours.
	anyToken bool
	lastSeq  uint64
	current  frame
}

func newFrameReader(src io.Reader, token string) *frameReader {
	const room = 2*(headerBytes+maxBodyBytes+checksumBytes) + magicBytes
	return &frameReader{src: src, token: token, buf: make([]byte, room), anyToken: true}
}

// next is the next event, or the error of the source (io.EOF too, also in the middle of a frame).
func (r *frameReader) next() (event, error) {
	for {
		found, ok := r.parse()
		if ok {
			return found, nil
		}
		if r.await != nil && r.isMidFrame() && !r.await(stallPatience) {
			return r.fail(breakStall), nil
		}
		if err := r.fill(); err != nil {
			return event{}, err
		}
	}
}

func (r *frameReader) isMidFrame() bool {
	return r.synced && r.end > r.start && r.buf[r.start] == frameMark
}

func (r *frameReader) fill() error {
	const atLeast = headerBytes + maxBodyBytes + checksumBytes + magicBytes
	if len(r.buf)-r.start < atLeast {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	for {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *frameReader) parse() (event, bool) {
	for {
		if !r.synced {
			return r.resync()
		}
		rest := r.buf[r.start:r.end]
		if len(rest) == 0 {
			return event{}, false
		}
		if rest[0] == magicPrefix[0] {
			if len(rest) < magicBytes && isPrefixOfMagic(rest, r.accepted()) {
				return event{}, false
			}
			if len(rest) >= magicBytes && isMagicLine(rest[:magicBytes], r.accepted()) {
				return r.attach(0), true
			}
		}
		if rest[0] != frameMark {
			return r.fail(breakMark), true
		}
		if len(rest) < 8 {
			return event{}, false
		}
		length := binary.BigEndian.Uint32(rest[4:])
		if length > maxBodyBytes {
			return r.fail(breakLength), true
		}
		if len(rest) < headerBytes {
			return event{}, false
		}
		if frameType(rest[1]) != frameHello {
			r.anyToken = false
		}
		whole := headerBytes + int(length) + checksumBytes
		if len(rest) < whole {
			return r.search(rest)
		}
		if crc32.ChecksumIEEE(rest[:whole-checksumBytes]) != binary.BigEndian.Uint32(rest[whole-checksumBytes:]) {
			// Half a frame, and its missing bytes were taken from the magic line and what follows it.
			if found, ok := r.search(rest[:whole]); ok {
				return found, true
			}
			return r.fail(breakChecksum), true
		}
		if found, ok := r.accept(rest[:whole]); ok {
			return found, true
		}
	}
}

// accept takes one sound frame; not ok when it was seen before.
func (r *frameReader) accept(whole []byte) (event, bool) {
	seq := binary.BigEndian.Uint64(whole[8:])
	if seq > r.lastSeq+1 {
		return r.fail(breakGap), true
	}
	r.consume(len(whole))
	if seq != 0 {
		if seq <= r.lastSeq {
			return event{}, false
		}
		r.lastSeq = seq
	}
	r.current = frame{
		kind:    frameType(whole[1]),
		channel: binary.BigEndian.Uint16(whole[2:]),
		seq:     seq,
		timeUs:  binary.BigEndian.Uint64(whole[16:]),
		body:    whole[headerBytes : len(whole)-checksumBytes],
	}
	return event{frame: &r.current}, true
}

// search looks for a magic line inside a frame that is not sound, or not whole yet.
func (r *frameReader) search(unsound []byte) (event, bool) {
	from := max(r.searched, 1)
	if from < len(unsound) {
		if at := findMagicLine(unsound[from:], r.accepted()); at >= 0 {
			return r.attach(from + at), true
		}
		r.searched = max(from, len(unsound)-magicBytes+1)
	}
	return event{}, false
}

// resync drops bytes up to a magic line.
func (r *frameReader) resync() (event, bool) {
	rest := r.buf[r.start:r.end]
	if at := findMagicLine(rest, r.accepted()); at >= 0 {
		return r.attach(at), true
	}
	r.consume(max(0, len(rest)-magicBytes+1))
	return event{}, false
}

// attach takes the magic line at that place behind start.
func (r *frameReader) attach(at int) event {
	line := r.buf[r.start+at : r.start+at+magicBytes]
	nonce := string(line[nonceAt : magicBytes-1])
	r.consume(at + magicBytes)
	r.synced = true
	return event{nonce: nonce}
}

// fail leaves the bytes of the broken frame in place: the magic line may have begun inside it.
func (r *frameReader) fail(reason breakReason) event {
	r.consume(1)
	r.synced = false
	return event{broken: reason}
}

// reject takes back a frame that came out of place, number and all: the host has to attach and send it again.
func (r *frameReader) reject(f *frame) {
	r.synced = false
	if f.seq != 0 {
		r.lastSeq = f.seq - 1
	}
}

func (r *frameReader) consume(n int) {
	r.start += n
	r.searched = 0
}

// accepted is the token a magic line must carry; empty is any.
func (r *frameReader) accepted() string {
	if r.anyToken {
		return ""
	}
	return r.token
}

// isPrefixOfMagic says whether b may still grow into a magic line with that token.
func isPrefixOfMagic(b []byte, token string) bool {
	line := []byte(magicLine(zeroToken))
	if token != "" {
		copy(line[len(magicPrefix):], token)
	}
	for i, c := range b {
		inToken := i >= len(magicPrefix) && i < nonceAt-1
		inNonce := i >= nonceAt && i < magicBytes-1
		if inNonce || (inToken && token == "") {
			if !isHex(b[i : i+1]) {
				return false
			}
		} else if c != line[i] {
			return false
		}
	}
	return true
}
