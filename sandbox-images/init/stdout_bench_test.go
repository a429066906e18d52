package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkStdout passes 1 GiB from a task to a host that only acknowledges.
func BenchmarkStdout(b *testing.B) {
	const total = 1 << 30
	b.SetBytes(total)
	for b.Loop() {
		root, err := filepath.EvalSymlinks(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		at := placesBelow(root)
		for _, folder := range at.writable() {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if got := passStdout(b, root, startBody{
			Argv: []string{"head", "-c", "1G", "/dev/zero"}, Env: map[string]string{"PATH": "/usr/bin:/bin"}, Cwd: at.workspace, DeadlineMs: 60000,
		}); got != total {
			b.Fatalf("%d bytes came", got)
		}
	}
}

// passStdout runs one task and counts its stdout.
func passStdout(b *testing.B, root string, start startBody) (total int) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), rootVariable+"="+root)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	send := func(bytes []byte) {
		if _, err := in.Write(bytes); err != nil {
			b.Error(err)
		}
	}
	send([]byte(magicPrefix + zeroToken + " " + zeroToken + "\n"))
	send(encodeForTest(&frame{kind: frameHello, body: encode(helloBody{Version: 1})}))
	send(encodeForTest(&frame{kind: frameStart, seq: 1, body: encode(start)}))
	from := bufio.NewReaderSize(out, 256<<10)
	if _, err := from.Discard(magicBytes); err != nil {
		b.Fatal(err)
	}
	unacknowledged := 0
	var header [headerBytes]byte
	for {
		if _, err := io.ReadFull(from, header[:]); err != nil {
			b.Fatal(err)
		}
		size := int(binary.BigEndian.Uint32(header[4:]))
		if _, err := from.Discard(size + checksumBytes); err != nil {
			b.Fatal(err)
		}
		switch frameType(header[1]) {
		case frameStdout:
			total += size
			if unacknowledged += size; unacknowledged > 1<<20 {
				unacknowledged = 0
				send(encodeForTest(&frame{kind: frameHostAck, body: header[8:16]}))
			}
		case frameExit:
			return total
		}
	}
}
