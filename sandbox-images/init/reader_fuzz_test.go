package main

import (
	"bytes"
	"math/rand"
	"testing"
)

const fuzzToken = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// Whatever comes in: no panic, the same events however it is cut, rising numbers, and no body above the cap.
func FuzzReader(f *testing.F) {
	for _, one := range readFixtures(f) {
		if stream := one.stream(f); len(stream) < 8192 {
			f.Add(stream, int64(1))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed int64) {
		sameText(t, "in pieces",
			told(&pieces{rest: stream, random: rand.New(rand.NewSource(seed)), most: 100}, fuzzToken),
			told(bytes.NewReader(stream), fuzzToken))
		reader := newFrameReader(bytes.NewReader(stream), fuzzToken)
		last := uint64(0)
		for {
			found, err := reader.next()
			if err != nil {
				return
			}
			if found.frame == nil || found.frame.seq == 0 {
				continue
			}
			if found.frame.seq != last+1 || len(found.frame.body) > maxBodyBytes {
				t.Fatalf("frame %d after %d with %d bytes", found.frame.seq, last, len(found.frame.body))
			}
			last = found.frame.seq
		}
	})
}
