package main

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"
)

const (
	prSetDumpable       = 4
	prSetChildSubreaper = 36
	lastSignal          = 64
	// ownThreads are made before any task runs: a fork bomb must find nothing left to take that sandbox-init needs.
	ownThreads      = 20
	memoryGoalBytes = 20 << 20
)

// shield makes this process hard to hurt from inside the sandbox. The task has the same user id.
func shield() {
	// SAFETY: nobody may trace PID 1, read its memory or open its descriptors through /proc.
	prctl(prSetDumpable, 0)
	if os.Getpid() != 1 {
		// Only in tests: PID 1 gets every orphan without asking.
		prctl(prSetChildSubreaper, 1)
	}
	ignoreSignals()
	runtime.GOMAXPROCS(2)
	debug.SetMemoryLimit(memoryGoalBytes)
	makeThreads(ownThreads)
}

func prctl(option, value uintptr) {
	syscall.Syscall6(syscall.SYS_PRCTL, option, value, 0, 0, 0, 0)
}

// ignoreSignals lets no signal end this process. The runtime has handlers for most signals, so the kernel, which
// drops a signal to a PID 1 without handler, would deliver them.
func ignoreSignals() {
	for number := syscall.Signal(1); number <= lastSignal; number++ {
		switch number {
		case syscall.SIGKILL, syscall.SIGSTOP:
		case syscall.SIGCHLD: // ignored, it would take the exit statuses with it
		case syscall.SIGURG:
			// The runtime interrupts with it what has computed for long, and takes for that what has just woken: under gVisor a detour
			// while a task waits. Nothing here computes for long without a call of a function, where the runtime looks for itself.
			ignoreAtKernel(number)
		case 33: // the runtime's own: it has a handler, and does nothing unless it asked for the signal itself
		case 32, 34:
			// The runtime leaves these at their default. The kernel drops such a signal to a PID 1 unless its first thread
			// happens to block it (the runtime blocks all while it starts a thread): then it ends the process.
			ignoreAtKernel(number)
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE:
			// Ignored, a fault of our own could not be reported. Nobody reads the channel: the signal is dropped.
			signal.Notify(make(chan os.Signal, 1), number)
		default:
			signal.Ignore(number)
		}
	}
}

// ignoreAtKernel is for the signals that os/signal does not touch.
func ignoreAtKernel(number syscall.Signal) {
	const ignore = 1
	action := struct{ handler, flags, restorer, mask uint64 }{handler: ignore}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(number), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
}

// makeThreads makes the runtime start that many threads now; it keeps them for later use.
func makeThreads(count int) {
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	for range count {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			// A goroutine that waits while it is locked to its thread keeps the thread from all others.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		}()
	}
	ready.Wait()
	close(release)
	done.Wait()
}

// ownStatus stays open: to count threads before a task starts costs one read.
var ownStatus = sync.OnceValue(func() *counterFile { return openCounter("/proc/self", "status") })

// threadCount is the number of threads of this process now.
func threadCount() (int64, error) {
	count, ok := ownStatus().value("Threads:")
	if !ok {
		return 0, errors.New("count own threads: /proc/self/status does not say")
	}
	return count, nil
}
