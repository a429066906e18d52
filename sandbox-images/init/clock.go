package main

import "time"

// clock counts microseconds since sandbox-init started, on the monotonic clock.
type clock struct{ origin time.Time }

func (c clock) us() uint64 { return uint64(time.Since(c.origin).Microseconds()) }
