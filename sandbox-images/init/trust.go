package main

import (
	"os"
	"path/filepath"
)

// trustFile is what programs are told to trust where the operator adds certificates to the image's.
const trustFile = "ca.pem"

// wgetFile says the same to wget, which knows no variable for it.
const wgetFile = "wgetrc"

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
	place := filepath.Join(at.names, trustFile)
	replaceFile(place, append(withLine(known, ""), extra...))
	replaceFile(filepath.Join(at.names, wgetFile), []byte("ca_certificate = "+place+"\n"))
}
