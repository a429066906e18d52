package main

import (
	"syscall"
	"time"
)

// How long sandbox-init insists on the end of killed processes before it reports without them.
const (
	killPatience = 2 * time.Second
	killAgain    = 5 * time.Millisecond
)

// memoryToleranceBytes is what the cgroup's figures may be off, its batched counting and our own growth included.
const memoryToleranceBytes = 4 << 20

// Why a task ended.
const (
	causeExited   = "exited"
	causeDeadline = "deadline"
	causeSignal   = "signal"
	causeMemory   = "memory"
)

// task is the running task: its clock, its limits, its end.
type task struct {
	pid         int
	deadline    time.Duration
	grace       time.Duration
	memoryBytes int64 // 0: no limit of its own
	started     time.Time

	meter   *meter
	reaper  *reaper
	ended   <-chan ending
	pump    *pump
	signals chan taskSignal
}

type taskSignal struct {
	number syscall.Signal
	grace  time.Duration
}

// run returns when every process of the task is dead and all output stands in the outbox.
func (t *task) run() exitBody {
	cause, ended := t.watch()
	runUs := time.Since(t.started).Microseconds()
	t.meter.sampleAfterMain()
	t.killRest()
	t.pump.finish()
	exit := exitBody{
		Cause:           cause,
		RunUs:           runUs,
		StdoutBytes:     t.pump.stdout.bytes,
		StderrBytes:     t.pump.stderr.bytes,
		ProgressDropped: t.pump.progress.dropped,
	}
	if ended.status.Signaled() {
		name := signalName(ended.status.Signal())
		exit.Signal = &name
	} else {
		code := ended.status.ExitStatus()
		exit.Code = &code
	}
	t.meter.fill(&exit)
	return exit
}

// watch waits for the end of the main process and brings it about where a limit says so. The first reason counts.
func (t *task) watch() (cause string, ended ending) {
	cause = causeExited
	because := func(reason string) {
		if cause == causeExited {
			cause = reason
		}
	}
	deadline := time.NewTimer(t.deadline)
	defer deadline.Stop()
	samples := 0
	sampling := time.NewTimer(nextAfter(samples, false))
	defer sampling.Stop()
	var kill, giveUp <-chan time.Time
	end := func(number syscall.Signal, grace time.Duration) {
		if number == syscall.SIGKILL || grace <= 0 {
			signalTask(t.pid, syscall.SIGKILL)
			kill, giveUp = nil, time.After(killPatience)
			return
		}
		signalTask(t.pid, number)
		if kill == nil {
			kill = time.After(grace)
		}
	}
	for {
		select {
		case ended = <-t.ended:
			return cause, ended
		case <-deadline.C:
			because(causeDeadline)
			end(syscall.SIGTERM, t.grace)
		case asked := <-t.signals:
			because(causeSignal)
			end(asked.number, asked.grace)
		case <-kill:
			end(syscall.SIGKILL, 0)
		case <-giveUp:
			// Stuck in the kernel: the container's end is the host's affair.
			return cause, ending{status: syscall.WaitStatus(syscall.SIGKILL)}
		case <-sampling.C:
			t.meter.sample()
			used := t.limitedMemory()
			if used > t.memoryBytes+memoryToleranceBytes {
				because(causeMemory)
				end(syscall.SIGKILL, 0)
			}
			samples++
			sampling.Reset(nextAfter(samples, used > t.memoryBytes/2))
		}
	}
}

// limitedMemory is what the task has of the memory that is limited: 0 without a limit, or where no figure is to be had.
func (t *task) limitedMemory() int64 {
	if t.memoryBytes <= 0 {
		return 0
	}
	used, _ := t.meter.taskAnonymousBytes()
	return used
}

// killRest ends what the main process left behind.
func (t *task) killRest() {
	giveUp := time.After(killPatience)
	for {
		signalTask(t.pid, syscall.SIGKILL)
		select {
		case <-t.reaper.all:
			return
		case <-giveUp:
			return
		case <-time.After(killAgain):
		}
	}
}
