package main

import (
	"bytes"
	"encoding/json"
)

// The JSON bodies; docs/sandbox-protocol.md says what each field means.

type helloBody struct {
	Version int    `json:"version"`
	LastSeq uint64 `json:"last_seq"`
	// Door is the name of a socket to be opened; empty: none is asked for.
	Door string `json:"door"`
}

type limitsBody struct {
	Nproc       int64 `json:"nproc"`
	Nofile      int64 `json:"nofile"`
	FsizeBytes  int64 `json:"fsize_bytes"`
	MemoryBytes int64 `json:"memory_bytes"`
}

type startBody struct {
	Argv       []string          `json:"argv"`
	Env        map[string]string `json:"env"`
	Cwd        string            `json:"cwd"`
	Stdin      bool              `json:"stdin"`
	DeadlineMs int64             `json:"deadline_ms"`
	GraceMs    int64             `json:"grace_ms"`
	UserName   string            `json:"user_name"`
	Limits     limitsBody        `json:"limits"`
	Secrets    json.RawMessage   `json:"secrets"`
	Listen     []listenBody      `json:"listen"`
	ExtraCA    string            `json:"extra_ca"`
	Prepared   bool              `json:"prepared"`
	Armed      bool              `json:"armed"`
}

// prepareBody is a program of the image to be started before the task is known.
type prepareBody struct {
	Argv   []string          `json:"argv"`
	Env    map[string]string `json:"env"`
	Limits limitsBody        `json:"limits"`
}

// rehearseBody is a program of the image, by its path, that is run to its end.
type rehearseBody struct {
	Argv []string `json:"argv"`
}

type preparedBody struct {
	Ready bool `json:"ready"`
}

// listenBody is a port of the task's loopback, and what its connections are called to the host.
type listenBody struct {
	Port int    `json:"port"`
	To   string `json:"to"`
}

type openBody struct {
	To     string `json:"to"`
	Window uint32 `json:"window"`
}

type closeBody struct {
	Error *string `json:"error"`
}

type signalBody struct {
	Signal  string `json:"signal"`
	GraceMs int64  `json:"grace_ms"`
}

type collectBody struct {
	MaxBytes   int64 `json:"max_bytes"`
	MaxEntries int64 `json:"max_entries"`
	MaxDepth   int64 `json:"max_depth"`
}

type readyBody struct {
	Version       int             `json:"version"`
	Token         string          `json:"token"`
	State         string          `json:"state"`
	LastInSeq     uint64          `json:"last_in_seq"`
	FirstSeq      uint64          `json:"first_seq"`
	NextSeq       uint64          `json:"next_seq"`
	Secrets       json.RawMessage `json:"secrets"`
	Channels      bool            `json:"channels"`
	Prepares      bool            `json:"prepares"`
	CollectsEarly bool            `json:"collects_early"`
	Arms          bool            `json:"arms"`
	Rehearses     bool            `json:"rehearses"`
	Door          bool            `json:"door"`
}

type startedBody struct {
	Pid int `json:"pid"`
}

type failedBody struct {
	Stage   string `json:"stage"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type errorBody struct {
	Code        string `json:"code"`
	Message     string `json:"message"`
	ExpectedSeq uint64 `json:"expected_seq"`
}

type diskBody struct {
	Path       string `json:"path"`
	SizeBytes  uint64 `json:"size_bytes"`
	UsedBytes  uint64 `json:"used_bytes"`
	Inodes     uint64 `json:"inodes"`
	InodesUsed uint64 `json:"inodes_used"`
}

type exitBody struct {
	Code            *int       `json:"code"`
	Signal          *string    `json:"signal"`
	Cause           string     `json:"cause"`
	RunUs           int64      `json:"run_us"`
	CPUUs           *int64     `json:"cpu_us"`
	MemoryPeakBytes *int64     `json:"memory_peak_bytes"`
	OomKills        *int64     `json:"oom_kills"`
	PidsPeak        *int64     `json:"pids_peak"`
	PidsCapped      bool       `json:"pids_capped"`
	DiskFull        []string   `json:"disk_full"`
	Disks           []diskBody `json:"disks"`
	StdoutBytes     int64      `json:"stdout_bytes"`
	StderrBytes     int64      `json:"stderr_bytes"`
	ProgressDropped int64      `json:"progress_dropped"`
	Source          string     `json:"source"`
}

type skippedBody struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type endBody struct {
	Entries      int64         `json:"entries"`
	Bytes        int64         `json:"bytes"`
	Skipped      []skippedBody `json:"skipped"`
	SkippedCount int64         `json:"skipped_count"`
	Limit        *string       `json:"limit"`
}

// encode makes a body. None of these types can fail.
func encode(body any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
