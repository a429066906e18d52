// Command sandbox-init is PID 1 of every sandbox and the only trusted code in it. It speaks the protocol of
// docs/sandbox-protocol.md over its standard input and output.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:], sandboxPlaces))
}

func run(args []string, at places) int {
	defer stopOnPanic("main")
	switch {
	case len(args) == 0:
		return serveSandbox(at)
	case args[0] == "launch":
		return becomeTask()
	case args[0] == "seal":
		if err := seal("/"); err != nil {
			fmt.Fprintf(os.Stderr, "sandbox-init seal: %v\n", err)
			return 1
		}
		return 0
	case args[0] == "version":
		fmt.Printf("sandbox-init, protocol %d\n", protocolVersion)
		return 0
	default:
		fmt.Fprintf(os.Stderr, "sandbox-init: no command %q; known are: none (PID 1), seal, version\n", args[0])
		return 2
	}
}

// serveSandbox is the life of a sandbox. Everything that can be done before the task is known is done first.
func serveSandbox(at places) int {
	started := clock{origin: time.Now()}
	shield()
	reaper := newReaper()
	out := newOutbox(started)
	launcher, err := startLauncher(reaper, out)
	if err != nil {
		fatal("prepare the launcher", err)
	}
	token := newToken()
	wire := newWire()
	reader := newFrameReader(wire, token)
	reader.await = wire.await
	s := &session{
		places:   at,
		token:    token,
		wire:     wire,
		out:      out,
		reader:   reader,
		launcher: launcher,
		reaper:   reaper,
		cgroup:   openCgroup(),
		feed:     newStdinFeed(launcher.stdin, out.used),
		channels: newChannels(out),
		signals:  make(chan taskSignal, 16),
		finished: make(chan struct{}),
		state:    stateIdle,
		secrets:  json.RawMessage("[]"),
	}
	writeNames(at, defaultUserName)
	if os.Getpid() == 1 {
		serveNames()
	}
	warmUp()
	warmUpListening()
	spawn("write", func() { writeFrames(out, s.readyBody) })
	return s.serve()
}

// warmUp pays for what encoding/json does once a type, before a task waits for it.
func warmUp() {
	var start startBody
	_ = json.Unmarshal([]byte(`{"argv":[""],"env":{"":""},"limits":{"nproc":1}}`), &start)
	encode(startedBody{})
	encode(exitBody{Disks: []diskBody{{}}})
	encode(endBody{Skipped: []skippedBody{{}}})
}
