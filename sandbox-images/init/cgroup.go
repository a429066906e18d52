package main

import (
	"bufio"
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// cgroup reads this container's counters. A figure that the host does not show is not ok. Its files stay open, so
// that a sample costs a few reads and no path lookups.
type cgroup struct {
	memoryStat, memoryEvents, memoryPeak *counterFile
	pidsCurrent, pidsPeak, pidsEvents    *counterFile
	cpu                                  *counterFile
	names                                cgroupNames
}

// cgroupNames is where version 1 and 2 differ inside a file.
type cgroupNames struct {
	anonymous string
	cpuKey    string
	cpuPerUs  int64
}

// openCgroup never fails: what is not there stays nil.
func openCgroup() *cgroup {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	groups, _ := os.ReadFile("/proc/self/cgroup")
	find := func(controller string) string { return cgroupFolder(string(mounts), string(groups), controller) }
	if folder := find("memory"); folder != "" {
		pids, cpu := find("pids"), find("cpuacct")
		return &cgroup{
			memoryStat:   openCounter(folder, "memory.stat"),
			memoryEvents: openCounter(folder, "memory.oom_control"),
			memoryPeak:   openCounter(folder, "memory.max_usage_in_bytes"),
			pidsCurrent:  openCounter(pids, "pids.current"),
			pidsPeak:     openCounter(pids, "pids.peak"),
			pidsEvents:   openCounter(pids, "pids.events"),
			cpu:          openCounter(cpu, "cpuacct.usage"),
			names:        cgroupNames{anonymous: "total_rss", cpuKey: "", cpuPerUs: 1000},
		}
	}
	folder := find("")
	return &cgroup{
		memoryStat:   openCounter(folder, "memory.stat"),
		memoryEvents: openCounter(folder, "memory.events"),
		memoryPeak:   openCounter(folder, "memory.peak"),
		pidsCurrent:  openCounter(folder, "pids.current"),
		pidsPeak:     openCounter(folder, "pids.peak"),
		pidsEvents:   openCounter(folder, "pids.events"),
		cpu:          openCounter(folder, "cpu.stat"),
		names:        cgroupNames{anonymous: "anon", cpuKey: "usage_usec", cpuPerUs: 1},
	}
}

func (c *cgroup) anonymousBytes() (int64, bool) { return c.memoryStat.value(c.names.anonymous) }
func (c *cgroup) oomKills() (int64, bool)       { return c.memoryEvents.value("oom_kill") }
func (c *cgroup) peakBytes() (int64, bool)      { return c.memoryPeak.value("") }
func (c *cgroup) pids() (int64, bool)           { return c.pidsCurrent.value("") }
func (c *cgroup) pidsHigh() (int64, bool)       { return c.pidsPeak.value("") }
func (c *cgroup) pidsRefused() (int64, bool)    { return c.pidsEvents.value("max") }

func (c *cgroup) cpuUs() (int64, bool) {
	used, ok := c.cpu.value(c.names.cpuKey)
	return used / c.names.cpuPerUs, ok
}

// cgroupFolder is where this process's own cgroup of that controller ("" is version 2) can be read, or "".
// With a private cgroup namespace both paths are "/"; without one, engines mount only the container's own part.
func cgroupFolder(mounts, groups, controller string) string {
	own, ok := ownCgroup(groups, controller)
	if !ok {
		return ""
	}
	for line := range strings.Lines(mounts) {
		before, after, found := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		root, at := fields[3], fields[4]
		if controller == "" && kind[0] != "cgroup2" {
			continue
		}
		if controller != "" && (kind[0] != "cgroup" || !hasItem(kind[2], controller)) {
			continue
		}
		if root == "/" {
			return path.Join(at, own)
		}
		if below, ok := strings.CutPrefix(own, root); ok {
			return path.Join(at, below)
		}
	}
	return ""
}

func ownCgroup(groups, controller string) (string, bool) {
	scanner := bufio.NewScanner(strings.NewReader(groups))
	for scanner.Scan() {
		parts := strings.SplitN(scanner.Text(), ":", 3)
		if len(parts) == 3 && (controller == "" && parts[1] == "" || controller != "" && hasItem(parts[1], controller)) {
			return parts[2], true
		}
	}
	return "", false
}

func hasItem(list, item string) bool {
	for _, one := range strings.Split(list, ",") {
		if one == item {
			return true
		}
	}
	return false
}

// counterFile is one open file of counters.
type counterFile struct{ fd int }

func openCounter(folder, name string) *counterFile {
	if folder == "" {
		return nil
	}
	fd, err := syscall.Open(path.Join(folder, name), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &counterFile{fd: fd}
}

// value is the number behind key at the start of a line, or, without a key, the first number.
func (f *counterFile) value(key string) (int64, bool) {
	if f == nil {
		return 0, false
	}
	var read [8192]byte
	n, err := syscall.Pread(f.fd, read[:], 0)
	if err != nil || n <= 0 {
		return 0, false
	}
	return counterIn(read[:n], key)
}

func counterIn(text []byte, key string) (int64, bool) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if key != "" && len(fields) == 2 && string(fields[0]) == key {
			fields = fields[1:]
		} else if key != "" {
			continue
		}
		if len(fields) == 0 {
			return 0, false
		}
		number, err := strconv.ParseInt(string(fields[0]), 10, 64)
		return number, err == nil
	}
	return 0, false
}
