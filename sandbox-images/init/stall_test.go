package main

import (
	"os"
	"testing"
	"time"
)

// A frame that says it is longer than what comes must not keep the stream waiting for ever.
func TestHalfAFrameThatStandsStillBreaksTheStream(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	token := newToken()
	reader := newFrameReader(read, token)
	reader.await = func(time.Duration) bool {
		has, _ := awaitEither(int(read.Fd()), noDescriptor, 20*time.Millisecond)
		return has
	}
	attach := func(token string) []byte { return []byte(magicPrefix + token + " " + zeroToken + "\n") }
	if _, err := write.Write(attach(zeroToken)); err != nil {
		t.Fatal(err)
	}
	if found, err := reader.next(); err != nil || found.nonce == "" {
		t.Fatalf("got %+v and %v, want the magic line", found, err)
	}
	half := make([]byte, headerBytes)
	half[0], half[1], half[7] = frameMark, byte(frameStdin), 9
	if _, err := write.Write(half); err != nil {
		t.Fatal(err)
	}
	if found, err := reader.next(); err != nil || found.broken != breakStall {
		t.Fatalf("got %+v and %v, want a stall", found, err)
	}
	if _, err := write.Write(attach(token)); err != nil {
		t.Fatal(err)
	}
	if found, err := reader.next(); err != nil || found.nonce == "" {
		t.Fatalf("got %+v and %v, want the next magic line", found, err)
	}
}
