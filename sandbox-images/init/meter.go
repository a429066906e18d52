package main

import (
	"os"
	"slices"
	"syscall"
	"time"
)

// meter samples what a task uses, from start to exit.
type meter struct {
	cgroup *cgroup
	disks  []string
	nproc  int64 // the task's limit of processes and threads

	pidsBefore    int64 // the cgroup's highest count before the task ran
	ownThreads    int64
	cpuBeforeUs   int64
	ownCPUBefore  int64
	oomBefore     int64
	refusedBefore int64

	pidsPeak   int64
	pidsCapped bool
	full       []string
}

// newMeter notes where the counters stand before the task runs.
func newMeter(c *cgroup, disks []string, nproc, ownThreads int64) *meter {
	m := &meter{cgroup: c, disks: disks, nproc: nproc, ownThreads: ownThreads, full: []string{}}
	m.pidsBefore, _ = c.pidsHigh()
	m.cpuBeforeUs, _ = c.cpuUs()
	m.ownCPUBefore = cpuOf(syscall.RUSAGE_SELF)
	m.oomBefore, _ = c.oomKills()
	m.refusedBefore, _ = c.pidsRefused()
	return m
}

// sample takes one look. It costs well below a millisecond.
func (m *meter) sample() {
	if now, ok := m.cgroup.pids(); ok {
		m.seePids(now)
	}
	m.look()
}

// sampleAfterMain is the look right after the main process was waited for. It counted until a moment ago: a program that
// gives up because it may have no further process ends at its limit, and is not seen there by any later look.
func (m *meter) sampleAfterMain() {
	if now, ok := m.cgroup.pids(); ok {
		if now < m.nproc+m.ownThreads {
			now++
		}
		m.seePids(now)
	}
	m.look()
}

// look is what every sample has in common.
func (m *meter) look() {
	if refused, ok := m.cgroup.pidsRefused(); ok && refused > m.refusedBefore {
		m.pidsCapped = true
	}
	for _, path := range m.disks {
		var fs syscall.Statfs_t
		if syscall.Statfs(path, &fs) != nil {
			continue
		}
		noBlocks := fs.Blocks > 0 && fs.Bavail == 0
		noInodes := fs.Files > 0 && fs.Ffree == 0
		if (noBlocks || noInodes) && !slices.Contains(m.full, path) {
			m.full = append(m.full, path)
		}
	}
}

func (m *meter) seePids(count int64) {
	m.pidsPeak = max(m.pidsPeak, count-m.ownThreads)
	if m.nproc > 0 && count >= m.nproc+m.ownThreads-m.refusedTogether() {
		m.pidsCapped = true
	}
}

// refusedTogether is how far below its limit a task may be refused. The kernel counts a process long before it is one
// (its memory is copied in between), and counts those too that it then refuses: a task of many that fork at the same
// moment meets its limit early. Some 14 % were seen; nothing else tells of a refusal.
func (m *meter) refusedTogether() int64 { return m.nproc / 6 }

// taskAnonymousBytes is the anonymous memory of all processes but this one.
func (m *meter) taskAnonymousBytes() (int64, bool) {
	all, ok := m.cgroup.anonymousBytes()
	if !ok {
		return 0, false
	}
	return all - ownAnonymousBytes(), true
}

// ownAnonymousBytes is 0 where the kernel does not say.
func ownAnonymousBytes() int64 {
	statm := openCounter("/proc/self", "statm")
	if statm == nil {
		return 0
	}
	defer syscall.Close(statm.fd)
	var read [128]byte
	n, err := syscall.Pread(statm.fd, read[:], 0)
	if err != nil {
		return 0
	}
	var counts [3]int64 // pages: size, resident, shared
	field, at := 0, 0
	for i := 0; i < n && field < len(counts); i++ {
		if read[i] == ' ' || read[i] == '\n' {
			counts[field], _ = counterIn(read[at:i], "")
			field, at = field+1, i+1
		}
	}
	return (counts[1] - counts[2]) * int64(os.Getpagesize())
}

// nextAfter is how long to wait for the next sample: short at first, for tasks that end at once, and short again
// while the task has more than half of its memory, because it can take the rest in no time.
func nextAfter(samples int, nearMemory bool) time.Duration {
	early := []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}
	switch {
	case samples < len(early):
		return early[samples]
	case nearMemory:
		return 10 * time.Millisecond
	default:
		return 50 * time.Millisecond
	}
}

// fill writes the figures into an exit. Every process of the task must have been waited for.
func (m *meter) fill(exit *exitBody) {
	exit.Source = "sampled"
	if high, ok := m.cgroup.pidsHigh(); ok && high > m.pidsBefore {
		m.seePids(high)
	}
	if _, ok := m.cgroup.pids(); ok {
		peak := max(m.pidsPeak, 1)
		exit.PidsPeak = &peak
	}
	exit.PidsCapped = m.pidsCapped
	if peak, ok := m.cgroup.peakBytes(); ok {
		exit.MemoryPeakBytes = &peak
		exit.Source = "cgroup"
	} else {
		peak := maxResidentBytes()
		exit.MemoryPeakBytes = &peak
	}
	if kills, ok := m.cgroup.oomKills(); ok {
		since := kills - m.oomBefore
		exit.OomKills = &since
	}
	used := cpuOf(syscall.RUSAGE_CHILDREN)
	if all, ok := m.cgroup.cpuUs(); ok {
		used = max(0, all-m.cpuBeforeUs-(cpuOf(syscall.RUSAGE_SELF)-m.ownCPUBefore))
	}
	exit.CPUUs = &used
	exit.DiskFull = m.full
	exit.Disks = m.usage()
}

func (m *meter) usage() []diskBody {
	found := []diskBody{}
	for _, path := range m.disks {
		var fs syscall.Statfs_t
		if syscall.Statfs(path, &fs) != nil {
			continue
		}
		found = append(found, diskBody{
			Path:       path,
			SizeBytes:  fs.Blocks * uint64(fs.Bsize),
			UsedBytes:  (fs.Blocks - fs.Bfree) * uint64(fs.Bsize),
			Inodes:     fs.Files,
			InodesUsed: fs.Files - fs.Ffree,
		})
	}
	return found
}

// cpuOf is user and system time in microseconds.
func cpuOf(who int) int64 {
	var used syscall.Rusage
	if syscall.Getrusage(who, &used) != nil {
		return 0
	}
	return (used.Utime.Nano() + used.Stime.Nano()) / 1000
}

// maxResidentBytes is the largest resident size of any one process that was waited for.
func maxResidentBytes() int64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used) != nil {
		return 0
	}
	return used.Maxrss * 1024
}
