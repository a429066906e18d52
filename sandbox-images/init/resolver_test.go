package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// queryFor is a query as a resolver sends it: it wants recursion, and its number is 0xabcd.
func queryFor(name string, kind, class uint16) []byte {
	query := []byte{0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		query = append(append(query, byte(len(label))), label...)
	}
	query = binary.BigEndian.AppendUint16(append(query, 0), kind)
	return binary.BigEndian.AppendUint16(query, class)
}

func TestTheNamesOfTheLoopbackDeviceAreAnsweredAndNoOther(t *testing.T) {
	const v4, v6, localhost = "7f000001", "00000000000000000000000000000001", "096c6f63616c686f737400"
	reverse6 := "1." + strings.Repeat("0.", 31) + "ip6.arpa"
	tests := []struct {
		name        string
		kind, class uint16
		// The record's data in hexadecimal digits; none: the answer has no record.
		data string
		code byte
	}{
		{"localhost", dnsTypeA, dnsClassIn, v4, 0},
		{"localhost", dnsTypeAAAA, dnsClassIn, v6, 0},
		{"LocalHost", dnsTypeA, dnsClassIn, v4, 0},
		{"a.b.localhost", dnsTypeA, dnsClassIn, v4, 0},
		{"localhost", 15, dnsClassIn, "", 0},
		{"localhost", dnsTypeA, 3, "", dnsRefused},
		{"sandbox", dnsTypeA, dnsClassIn, v4, 0},
		{"ip6-localhost", dnsTypeAAAA, dnsClassIn, v6, 0},
		{"ip6-loopback", dnsTypeA, dnsClassIn, "", 0},
		{"1.0.0.127.in-addr.arpa", dnsTypePTR, dnsClassIn, localhost, 0},
		{reverse6, dnsTypePTR, dnsClassIn, localhost, 0},
		{"2.0.0.127.in-addr.arpa", dnsTypePTR, dnsClassIn, "", dnsRefused},
		{"notlocalhost", dnsTypeA, dnsClassIn, "", dnsRefused},
		{"localhost.example", dnsTypeA, dnsClassIn, "", dnsRefused},
		{"secret.evil.test", dnsTypeA, dnsClassIn, "", dnsRefused},
	}
	for _, one := range tests {
		query := queryFor(one.name, one.kind, one.class)
		answer := answerTo(query, "Sandbox")
		if len(answer) < len(query) {
			t.Errorf("%s %d: no answer", one.name, one.kind)
			continue
		}
		records := binary.BigEndian.Uint16(answer[6:])
		if answer[0] != 0xab || answer[1] != 0xcd || answer[2] != 0x85 || answer[3] != 0x80|one.code || records != uint16(min(1, len(one.data))) {
			t.Errorf("%s %d: header %x", one.name, one.kind, answer[:dnsHeaderBytes])
		}
		if got := hex.EncodeToString(answer[len(query):]); !strings.HasSuffix(got, one.data) || (one.data == "") != (got == "") {
			t.Errorf("%s %d: record %s", one.name, one.kind, got)
		}
	}
}

func TestWhatIsNoQueryHasNoAnswer(t *testing.T) {
	good := queryFor("localhost", dnsTypeA, dnsClassIn)
	change := func(at int, to byte) []byte {
		changed := append([]byte(nil), good...)
		changed[at] = to
		return changed
	}
	for name, query := range map[string][]byte{
		"nothing":              {},
		"half a header":        good[:11],
		"an answer":            change(2, 0x81),
		"another opcode":       change(2, 0x29),
		"no question":          change(5, 0),
		"two questions":        change(5, 2),
		"a name cut short":     good[:dnsHeaderBytes+4],
		"no type":              good[:len(good)-3],
		"a label too long":     change(dnsHeaderBytes, 64),
		"a pointer":            change(dnsHeaderBytes, 0xc0),
		"a label past its end": append(append([]byte(nil), good[:dnsHeaderBytes]...), 9, 'l'),
	} {
		if answer := answerTo(query, "sandbox"); answer != nil {
			t.Errorf("%s: %x", name, answer)
		}
	}
}

func FuzzAnswerTo(f *testing.F) {
	f.Add(queryFor("localhost", dnsTypeA, dnsClassIn))
	f.Add(queryFor("secret.evil.test", dnsTypeAAAA, dnsClassIn))
	f.Fuzz(func(t *testing.T, query []byte) {
		answer := answerTo(query, "sandbox")
		// At most one record behind what was asked: its fixed part, and an address.
		if len(answer) > len(query)+12+16 || answer != nil && !bytes.Equal(answer[:2], query[:2]) {
			t.Fatalf("%x in answer to %x", answer, query)
		}
	})
}
