package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// A sandbox is made without the engine's part in its network, and that part is what writes /etc/hosts. Every resolver that finds neither
// that file nor a server in /etc/resolv.conf asks port 53 of 127.0.0.1, and is answered here: the names of the loopback device, and no other.

const (
	dnsHeaderBytes = 12
	// dnsMaxBytes is the longest query over UDP that needs no agreement.
	dnsMaxBytes = 512

	dnsTypeA    = 1
	dnsTypePTR  = 12
	dnsTypeAAAA = 28
	dnsClassIn  = 1
	// dnsRefused says that nobody was asked, not that there is no such name.
	dnsRefused = 5
)

var (
	loopbackV4 = netip.MustParseAddr("127.0.0.1")
	loopbackV6 = netip.MustParseAddr("::1")
)

// serveNames answers for as long as the sandbox lives. Where the engine lets nobody but root have the port, these names are not known, and
// nothing else hangs on them.
func serveNames() {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopbackV4, 53)))
	if err != nil {
		return
	}
	own, _ := os.Hostname()
	spawn("answer for names", func() {
		query := make([]byte, dnsMaxBytes)
		for {
			length, from, err := conn.ReadFromUDPAddrPort(query)
			if err != nil {
				time.Sleep(acceptPause)
				continue
			}
			if answer := answerTo(query[:length], own); answer != nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		}
	})
}

// answerTo is the answer to one query, or nil for what is none. `own` is the sandbox's name.
func answerTo(query []byte, own string) []byte {
	if len(query) < dnsHeaderBytes || query[2]&0xf8 != 0 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	name, length := questionName(query[dnsHeaderBytes:])
	end := dnsHeaderBytes + length + 4
	if length == 0 || len(query) < end {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end-4:])
	class := binary.BigEndian.Uint16(query[end-2:])
	data, isKnown := loopbackRecord(name, kind, own)
	if class != dnsClassIn {
		data, isKnown = nil, false
	}

	answer := bytes.Clone(query[:end])
	// An answer with authority, that recursion is to be had for whoever asks for it, and nothing in the sections that a query may have had.
	answer[2] = query[2]&0x01 | 0x84
	answer[3] = 0x80
	clear(answer[6:dnsHeaderBytes])
	if !isKnown {
		answer[3] |= dnsRefused
	}
	if data == nil {
		return answer
	}
	answer[7] = 1
	// The name of the question again, by where it stands.
	answer = append(answer, 0xc0, dnsHeaderBytes)
	answer = binary.BigEndian.AppendUint16(answer, kind)
	answer = binary.BigEndian.AppendUint16(answer, class)
	answer = binary.BigEndian.AppendUint32(answer, 0)
	answer = binary.BigEndian.AppendUint16(answer, uint16(len(data)))
	return append(answer, data...)
}

// questionName reads a name as it stands in a query: in small letters, with how many bytes it takes; 0 for what is no whole name.
func questionName(bytes []byte) (string, int) {
	var labels []string
	for at := 0; at < len(bytes); {
		length := int(bytes[at])
		at++
		switch {
		case length == 0:
			return strings.ToLower(strings.Join(labels, ".")), at
		case length > 63 || at+length > len(bytes):
			return "", 0
		}
		labels = append(labels, string(bytes[at:at+length]))
		at += length
	}
	return "", 0
}

// loopbackRecord is what a name of the loopback device has of a kind, nil for nothing; and whether it is such a name.
func loopbackRecord(name string, kind uint16, own string) (data []byte, isKnown bool) {
	switch {
	case name == "1.0.0.127.in-addr.arpa", name == "1."+strings.Repeat("0.", 31)+"ip6.arpa":
		if kind == dnsTypePTR {
			return []byte("\x09localhost\x00"), true
		}
		return nil, true
	case name == "localhost", strings.HasSuffix(name, ".localhost"), name == strings.ToLower(own):
		switch kind {
		case dnsTypeA:
			return loopbackV4.AsSlice(), true
		case dnsTypeAAAA:
			return loopbackV6.AsSlice(), true
		}
		return nil, true
	case name == "ip6-localhost", name == "ip6-loopback":
		if kind == dnsTypeAAAA {
			return loopbackV6.AsSlice(), true
		}
		return nil, true
	}
	return nil, false
}
