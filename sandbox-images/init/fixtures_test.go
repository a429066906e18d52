package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"testing"
	"testing/iotest"
)

type repetition struct {
	RepeatHex string `json:"repeat_hex"`
	Count     int    `json:"count"`
}

func (r repetition) bytes() []byte { return bytes.Repeat(unhex(r.RepeatHex), r.Count) }

type expectation struct {
	Magic      string      `json:"magic"`
	Error      breakReason `json:"error"`
	Type       frameType   `json:"type"`
	Channel    uint16      `json:"channel"`
	Seq        uint64      `json:"seq"`
	TimeUs     uint64      `json:"time_us"`
	BodyHex    string      `json:"body_hex"`
	BodyRepeat *repetition `json:"body_repeat"`
}

func (e expectation) frame() *frame {
	body := unhex(e.BodyHex)
	if e.BodyRepeat != nil {
		body = e.BodyRepeat.bytes()
	}
	return &frame{kind: e.Type, channel: e.Channel, seq: e.Seq, timeUs: e.TimeUs, body: body}
}

type fixture struct {
	Name   string            `json:"name"`
	Stream string            `json:"stream"`
	Token  string            `json:"token"`
	Nonce  string            `json:"nonce"`
	Bytes  []json.RawMessage `json:"bytes"`
	Encode bool              `json:"encode"`
	Expect []expectation     `json:"expect"`
}

func (f fixture) stream(t testing.TB) []byte {
	var joined []byte
	for _, part := range f.Bytes {
		var text string
		var many repetition
		switch {
		case json.Unmarshal(part, &text) == nil:
			joined = append(joined, unhex(text)...)
		case json.Unmarshal(part, &many) == nil:
			joined = append(joined, many.bytes()...)
		default:
			t.Fatalf("%s: a part is neither a string nor a repetition: %s", f.Name, part)
		}
	}
	return joined
}

func unhex(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return raw
}

func readFixtures(t testing.TB) []fixture {
	t.Helper()
	raw, err := os.ReadFile("testdata/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Schema int       `json:"schema"`
		Cases  []fixture `json:"cases"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if file.Schema != 1 || len(file.Cases) < 40 {
		t.Fatalf("schema %d with %d cases", file.Schema, len(file.Cases))
	}
	return file.Cases
}

// told is every event of a stream as text, to be compared.
func told(src io.Reader, token string) []string {
	reader := newFrameReader(src, token)
	var all []string
	for {
		found, err := reader.next()
		if err != nil {
			return all
		}
		all = append(all, tell(found))
	}
}

func tell(found event) string {
	switch {
	case found.broken != "":
		return "error " + string(found.broken)
	case found.nonce != "":
		return "magic " + found.nonce
	default:
		f := found.frame
		return fmt.Sprintf("frame %#x channel %d seq %d time %d %x", byte(f.kind), f.channel, f.seq, f.timeUs, f.body)
	}
}

func (f fixture) expected() []string {
	var all []string
	for _, e := range f.Expect {
		all = append(all, tell(event{nonce: e.Magic, broken: e.Error, frame: e.frame()}))
	}
	return all
}

func TestTheReaderReportsWhatTheFixturesSayHoweverTheBytesAreCut(t *testing.T) {
	for _, f := range readFixtures(t) {
		if f.Stream != "host" {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			stream := f.stream(t)
			cuts := map[string]io.Reader{
				"whole":     bytes.NewReader(stream),
				"halves":    iotest.HalfReader(bytes.NewReader(stream)),
				"one byte":  iotest.OneByteReader(bytes.NewReader(stream)),
				"in pieces": &pieces{rest: stream, random: rand.New(rand.NewSource(7)), most: 60},
			}
			for name, src := range cuts {
				sameText(t, name, told(src, f.Token), f.expected())
			}
		})
	}
}

func TestTheWriterMakesTheBytesOfTheFixtures(t *testing.T) {
	made := 0
	for _, f := range readFixtures(t) {
		if !f.Encode {
			continue
		}
		made++
		t.Run(f.Stream+" "+f.Name, func(t *testing.T) {
			var got []byte
			for _, e := range f.Expect {
				if e.Magic != "" {
					got = append(got, magicLine(e.Magic)...)
					continue
				}
				got = append(got, encodedFrame(t, e.frame())...)
			}
			if want := f.stream(t); !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, want %d bytes, first difference at %d", len(got), len(want), firstDifference(got, want))
			}
		})
	}
	if made == 0 {
		t.Fatal("no fixture to encode")
	}
}

// encodedFrame is a frame as the writer puts it on a descriptor.
func encodedFrame(t testing.TB, f *frame) []byte {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	failed := make(chan error, 1)
	go func() {
		defer write.Close()
		failed <- writeFrame(int(write.Fd()), f)
	}()
	got, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return got
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func sameText(t testing.TB, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s: event %d is missing: %.200s", what, i, want[i])
		case i >= len(want):
			t.Fatalf("%s: event %d is too many: %.200s", what, i, got[i])
		case got[i] != want[i]:
			t.Fatalf("%s: event %d is %.200s, want %.200s", what, i, got[i], want[i])
		}
	}
}

// pieces cuts its bytes at random places.
type pieces struct {
	rest   []byte
	random *rand.Rand
	most   int
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(into[:min(len(into), 1+p.random.Intn(p.most))], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
