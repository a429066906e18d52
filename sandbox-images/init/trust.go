package main

import (
	"os"
	"path/filepath"
)

// trustFile is what programs are told to trust where the operator adds certificates to the image's.
const trustFile = "ca.pem"

// writeTrust puts the image's certificates and these into one file. Without any there is none, and the image's own count.
func writeTrust(at places, extra string) {
	if extra == "" {
		return
	}
	var known []byte
	for _, path := range at.trust {
		if found, err := os.ReadFile(path); err == nil {
			known = found
			break
		}
	}
	replaceFile(filepath.Join(at.names, trustFile), append(withLine(known, ""), extra...))
}
