package main

import (
	"fmt"
	"os"
)

// exitInternal is the status of a sandbox-init that cannot go on.
const exitInternal = 70

// fatal ends the process: the host sees the message on the container's standard error and no exit frame.
func fatal(what string, err error) {
	fmt.Fprintf(os.Stderr, "sandbox-init: %s: %v\n", what, err)
	os.Exit(exitInternal)
}

// spawn runs body in a goroutine. A panic there is a bug, and must end in one line and a status instead of a trace.
func spawn(what string, body func()) {
	go func() {
		defer stopOnPanic(what)
		body()
	}()
}

// stopOnPanic is deferred at the root of every goroutine.
func stopOnPanic(what string) {
	if cause := recover(); cause != nil {
		fatal(what, fmt.Errorf("panic: %v", cause))
	}
}
