package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
)

// A magic line is "\nTOOLX1 <token> <nonce>\n".
const (
	magicPrefix = "\nTOOLX1 "
	tokenBytes  = 32
	nonceAt     = len(magicPrefix) + tokenBytes + 1
	magicBytes  = nonceAt + tokenBytes + 1
	zeroToken   = "00000000000000000000000000000000"
)

// newToken draws 128 random bits, as hex.
func newToken() string {
	var raw [tokenBytes / 2]byte
	rand.Read(raw[:]) // never fails: the runtime ends the program where no entropy can be had
	return hex.EncodeToString(raw[:])
}

// magicLine is the answer to a host's line with that nonce.
func magicLine(nonce string) []byte {
	return []byte(magicPrefix + zeroToken + " " + nonce + "\n")
}

// isMagicLine says whether b, of magicBytes bytes, is one with that token. An empty token stands for any.
func isMagicLine(b []byte, token string) bool {
	if !bytes.HasPrefix(b, []byte(magicPrefix)) || b[nonceAt-1] != ' ' || b[magicBytes-1] != '\n' {
		return false
	}
	given := b[len(magicPrefix) : nonceAt-1]
	if token != "" && string(given) != token {
		return false
	}
	return isHex(given) && isHex(b[nonceAt:magicBytes-1])
}

// findMagicLine is the place of the first whole magic line in b, or -1.
func findMagicLine(b []byte, token string) int {
	needle := []byte(magicPrefix)
	if token != "" {
		needle = []byte(magicPrefix + token + " ")
	}
	for from := 0; ; from++ {
		next := bytes.Index(b[from:], needle)
		if next < 0 || from+next+magicBytes > len(b) {
			return -1
		}
		from += next
		if isMagicLine(b[from:from+magicBytes], token) {
			return from
		}
	}
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
