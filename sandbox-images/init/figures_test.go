package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheCgroupIsFoundWhereverTheEngineMountsIt(t *testing.T) {
	const v1Mounts = `33 25 0:29 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory
34 25 0:30 / /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct
`
	const v1Groups = "8:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"
	const v2Mounts = "30 25 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
	tests := []struct{ name, mounts, groups, controller, want string }{
		{"version 1, only the container's part mounted", v1Mounts, v1Groups, "memory", "/sys/fs/cgroup/memory"},
		{"version 1, everything mounted", v1Mounts, v1Groups, "cpuacct", "/sys/fs/cgroup/cpu,cpuacct/docker/abc"},
		{"version 1, private namespace", strings.ReplaceAll(v1Mounts, "/docker/abc", "/"), "8:memory:/\n", "memory", "/sys/fs/cgroup/memory"},
		{"a controller that is not there", v1Mounts, v1Groups, "pids", ""},
		{"version 2, private namespace", v2Mounts, "0::/\n", "", "/sys/fs/cgroup"},
		{"version 2, the host's namespace", v2Mounts, "0::/system.slice/x\n", "", "/sys/fs/cgroup/system.slice/x"},
		{"version 2 asked for a controller of version 1", v2Mounts, "0::/\n", "memory", ""},
		{"nothing mounted", "", "", "memory", ""},
		{"garbage", "a b - c\n\n - \n", ":::\n:\n", "memory", ""},
	}
	for _, test := range tests {
		if got := cgroupFolder(test.mounts, test.groups, test.controller); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestACounterIsReadByItsKeyOrNotAtAll(t *testing.T) {
	const text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
	if n, ok := counterIn([]byte(text), "oom_kill"); n != 3 || !ok {
		t.Errorf("oom_kill %d, %v", n, ok)
	}
	if n, ok := counterIn([]byte("42\n"), ""); n != 42 || !ok {
		t.Errorf("%d, %v", n, ok)
	}
	for _, missing := range []string{"", "\n", "max\n"} {
		if n, ok := counterIn([]byte(missing), ""); ok {
			t.Errorf("%q gave %d", missing, n)
		}
	}
	if _, ok := counterIn([]byte(text), "nothing"); ok {
		t.Error("a key that is not there was found")
	}
	if _, ok := (*counterFile)(nil).value("x"); ok {
		t.Error("a file that is not there was read")
	}
}

func TestAMainProcessThatGaveUpAtItsLimitIsCounted(t *testing.T) {
	const limit, own = 4, 20
	tests := []struct {
		name        string
		left        string // what the cgroup counts once the main process is gone
		peak        int64
		wantsCapped bool
	}{
		{"all places but its own still taken", "23", limit, true},
		{"its own place taken by another already", "24", limit, true},
		{"one place free while it lived", "22", limit - 1, false},
		{"it alone", "20", 1, false},
	}
	for _, test := range tests {
		folder := t.TempDir()
		put(t, filepath.Join(folder, "pids.current"), test.left+"\n", 0o644)
		counted := &cgroup{pidsCurrent: openCounter(folder, "pids.current"), names: cgroupNames{cpuPerUs: 1}}
		m := newMeter(counted, nil, limit, own)
		m.sampleAfterMain()
		var exit exitBody
		m.fill(&exit)
		if *exit.PidsPeak != test.peak || exit.PidsCapped != test.wantsCapped {
			t.Errorf("%s: peak %d, capped %v", test.name, *exit.PidsPeak, exit.PidsCapped)
		}
	}
}

func TestOwnMemoryIsKnown(t *testing.T) {
	if own := ownAnonymousBytes(); own < 1<<20 || own > 1<<30 {
		t.Errorf("%d bytes", own)
	}
}

func TestOnlySoundProgressIsTold(t *testing.T) {
	out := newOutbox(clock{origin: time.Now()})
	var lines progressLines
	written := `{"progress":0.5}` + "\n" +
		`{"progress":1,"message":"<done>","more":[1]}` + "\n\n" +
		"  {\"message\":\"spaced\"}  \r\n" +
		`{"progress":1.5}` + "\n" + `{"progress":"1"}` + "\n" + `{}` + "\n" + `[1]` + "\n" + "null\nnonsense\n{\"progress\":\n" +
		`{"message":"` + strings.Repeat("x", maxProgressBytes) + `"}` + "\n" +
		strings.Repeat("{", 4000) + "\n" +
		`{"message":"no newline"}`
	for at := 0; at < len(written); at += 7 {
		lines.take([]byte(written[at:min(at+7, len(written))]), out)
	}
	lines.end(out)
	var told []string
	for _, f := range out.kept {
		told = append(told, string(f.body))
	}
	want := `{"progress":0.5} {"progress":1,"message":"<done>"} {"message":"spaced"} {"message":"no newline"}`
	if got := strings.Join(told, " "); got != want {
		t.Errorf("told %s", got)
	}
	if lines.dropped != 9 {
		t.Errorf("%d dropped", lines.dropped)
	}
}

func TestTheSandboxUserHasANameBesideTheImagesOwn(t *testing.T) {
	at := placesBelow(t.TempDir())
	for _, folder := range []string{at.names, at.seeds} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(at.seeds, "passwd"), "root:x:0:0:root:/root:/bin/bash\ngames:x:5:60::/:/bin/false", 0o644)
	for asked, name := range map[string]string{"": "sandbox", "agent-9": "agent-9", "root": "sandbox", "games": "sandbox", "a:b\n": "sandbox"} {
		writeNames(at, asked)
		users, err := os.ReadFile(filepath.Join(at.names, "passwd"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(users), "root:x:0:0:") || !strings.Contains(string(users), "\n"+name+":x:") || strings.Count(string(users), "\n") != 3 {
			t.Errorf("asked for %q: %q", asked, users)
		}
		group, err := os.ReadFile(filepath.Join(at.names, "group"))
		if err != nil || !strings.HasPrefix(string(group), name+":x:") {
			t.Errorf("group %q, %v", group, err)
		}
	}
}

func TestSealMovesTheNamesOnceAndKeepsThemReadable(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "etc/passwd"), "root:x:0:0::/:/bin/sh\n", 0o644)
	put(t, filepath.Join(root, "etc/group"), "root:x:0:\n", 0o644)
	for range 2 {
		if err := seal(root); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"passwd": "root:x:0:0::/:/bin/sh\n", "group": "root:x:0:\n"} {
			if link, err := os.Readlink(filepath.Join(root, "etc", name)); link != "/run/toolx/"+name {
				t.Errorf("/etc/%s links to %q, %v", name, link, err)
			}
			for _, copy := range []string{"usr/share/toolx", "run/toolx"} {
				if got, err := os.ReadFile(filepath.Join(root, copy, name)); string(got) != content {
					t.Errorf("%s/%s holds %q, %v", copy, name, got, err)
				}
			}
		}
	}
}

func TestTheLaunchSpecComesThroughItsPipeUnchanged(t *testing.T) {
	want := launchSpec{
		argv: []string{"a", "", "b c"}, env: []string{"X=1\n2"}, cwd: "/w", searchPaths: ":", stdin: true,
		nproc: 1, nofile: 2, fsizeBytes: 1 << 40,
	}
	got, err := readLaunchSpec(strings.NewReader(string(want.marshal())))
	if err != nil {
		t.Fatal(err)
	}
	if string(got.marshal()) != string(want.marshal()) || len(got.argv) != 3 || got.fsizeBytes != 1<<40 {
		t.Errorf("%+v", got)
	}
	if _, err := readLaunchSpec(strings.NewReader("\x00\x00\x00\x09abc")); err == nil {
		t.Error("half a spec was taken")
	}
}
