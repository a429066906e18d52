package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// collected walks a tree as `collect` does, and gives the archive and what `end` said.
func collected(t *testing.T, folder string, caps collectBody) ([]byte, endBody) {
	t.Helper()
	out := newOutbox(clock{origin: time.Now()})
	done := make(chan endBody)
	go func() { done <- collectOutput(folder, caps, out) }()
	var archive []byte
	take := func() {
		out.mu.Lock()
		defer out.mu.Unlock()
		for _, f := range out.kept {
			archive = append(archive, f.body...)
			out.sentSeq = f.seq
		}
		out.forget(out.nextSeq)
	}
	for {
		select {
		case end := <-done:
			take()
			return archive, end
		case <-time.After(time.Millisecond):
			take()
		}
	}
}

var wide = collectBody{MaxBytes: 1 << 30, MaxEntries: 100_000, MaxDepth: 64}

func put(t *testing.T, path string, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestCollectTakesOnlyFilesAndFoldersAndNamesTheRest(t *testing.T) {
	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }
	put(t, in("a.txt"), "a", 0o4755)
	put(t, in("closed"), "c", 0)
	put(t, in("sub/b"), "b", 0o600)
	put(t, in("locked/d"), "d", 0o600)
	for _, err := range []error{
		os.Chtimes(in("sub/b"), time.Time{}, time.Unix(1<<40, 0)),
		os.Chtimes(in("closed"), time.Time{}, time.Unix(-5, 0)),
		os.Chmod(in("locked"), 0),
		os.Symlink("/etc/shadow", in("shadow")),
		os.Symlink("/", in("rootlink")),
		os.Symlink("loop", in("loop")),
		os.Link(in("a.txt"), in("hard")),
		syscall.Mkfifo(in("fifo"), 0o644),
		syscall.Mknod(in("socket"), syscall.S_IFSOCK|0o644, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	archive, end := collected(t, root, wide)
	files := untar(t, archive)
	want := map[string]string{"a.txt": "a", "hard": "a", "closed": "c", "sub/": "dir", "sub/b": "b", "locked/": "dir", "locked/d": "d"}
	if fmt.Sprint(files) != fmt.Sprint(want) {
		t.Errorf("files %v", files)
	}
	var skipped []string
	for _, s := range end.Skipped {
		skipped = append(skipped, s.Path+":"+s.Why)
	}
	if got := strings.Join(skipped, " "); got != "fifo:fifo loop:link rootlink:link shadow:link socket:socket" {
		t.Errorf("skipped %s", got)
	}
	if end.Entries != 7 || end.Bytes != 5 || end.SkippedCount != 5 || end.Limit != nil {
		t.Errorf("end %+v", end)
	}
}

func TestCollectKeepsOddNamesByteForByte(t *testing.T) {
	root := t.TempDir()
	names := []string{"a\nb", "\x1b[31m", "\xff", strings.Repeat("n", 255), " ", "...", "-rf", "--checkpoint-action=exec=sh",
		"*", "a%2f..", "\u202e", "\u00e9", "e\u0301", "A", "a", "con", `back\slash`}
	for _, name := range names {
		put(t, filepath.Join(root, name), name, 0o644)
	}
	archive, _ := collected(t, root, wide)
	files := untar(t, archive)
	for _, name := range names {
		if files[name] != name {
			t.Errorf("%q holds %q", name, files[name])
		}
	}
	if len(files) != len(names) {
		t.Errorf("%d files", len(files))
	}
	slices.Sort(names)
	if order := entryOrder(t, archive); !slices.Equal(order, names) {
		t.Errorf("not in the order of their bytes: %q", order)
	}
}

func entryOrder(t *testing.T, archive []byte) []string {
	t.Helper()
	var names []string
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

func TestCollectStopsAtEachCapAndStillEndsTheArchive(t *testing.T) {
	tests := []struct {
		name    string
		caps    collectBody
		entries int64
		limit   string
	}{
		{"exactly at the limits", collectBody{MaxBytes: 9, MaxEntries: 5, MaxDepth: 3}, 5, ""},
		{"one byte over", collectBody{MaxBytes: 8, MaxEntries: 5, MaxDepth: 3}, 4, "bytes"},
		{"one entry over", collectBody{MaxBytes: 9, MaxEntries: 4, MaxDepth: 3}, 4, "entries"},
		{"one level over", collectBody{MaxBytes: 9, MaxEntries: 5, MaxDepth: 2}, 4, "depth"},
		{"nothing allowed", collectBody{}, 0, "depth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			put(t, filepath.Join(root, "a"), "123", 0o644)
			put(t, filepath.Join(root, "b/c/d"), "456", 0o644)
			put(t, filepath.Join(root, "e"), "789", 0o644)
			archive, end := collected(t, root, test.caps)
			limit := ""
			if end.Limit != nil {
				limit = *end.Limit
			}
			if end.Entries != test.entries || limit != test.limit || int64(len(untar(t, archive))) != test.entries {
				t.Errorf("end %s", encode(end))
			}
		})
	}
}

func TestCollectJudgesASparseFileByItsApparentSize(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "huge"), "", 0o644)
	if err := os.Truncate(filepath.Join(root, "huge"), 1<<40); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "small"), "s", 0o644)
	archive, end := collected(t, root, wide)
	if len(archive) > 1<<20 || end.Entries != 1 || *end.Limit != "bytes" {
		t.Errorf("%d bytes, end %s", len(archive), encode(end))
	}
}

func TestCollectSurvivesATreeOf10000LevelsAndAPathOf4095Bytes(t *testing.T) {
	root := t.TempDir()
	fd, err := syscall.Open(root, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 31)
	for range 10_000 {
		if err := syscall.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := syscall.Openat(fd, name, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Close(fd)
		fd = next
	}
	syscall.Close(fd)
	archive, end := collected(t, root, collectBody{MaxBytes: 1, MaxEntries: 100_000, MaxDepth: 1 << 40})
	if end.Entries != maxCollectDepth || end.SkippedCount != 1 || *end.Limit != "depth" {
		t.Errorf("end %.300s", encode(end))
	}
	longest := 0
	for path := range untar(t, archive) {
		longest = max(longest, len(path))
	}
	if longest != maxCollectDepth*32 {
		t.Errorf("the longest path has %d bytes", longest)
	}
}

func TestAFileAlwaysYieldsTheBytesItsHeaderSays(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "short"), "abc", 0o644)
	fd, err := syscall.Open(filepath.Join(root, "short"), syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	out := newOutbox(clock{origin: time.Now()})
	c := &collector{buffer: make([]byte, 16)}
	sink := &artifactSink{out: out}
	c.archive = tar.NewWriter(sink)
	c.header(&tar.Header{Typeflag: tar.TypeReg, Name: "short", Mode: 0o644, Size: 10})
	if c.content(fd, 10) {
		t.Error("a file of 3 bytes passed for one of 10")
	}
	if err := c.archive.Close(); err != nil {
		t.Fatal(err)
	}
	sink.flush()
	if got := untar(t, out.kept[0].body)["short"]; got != "abc"+string(bytes.Repeat([]byte{0}, 7)) {
		t.Errorf("content %q", got)
	}
}

func TestEndNamesOnlySoManyOfTheThingsLeftOut(t *testing.T) {
	root := t.TempDir()
	for i := range 5000 {
		if err := os.Symlink("x", filepath.Join(root, fmt.Sprintf("%s\x01%04d", strings.Repeat("\xff", 200), i))); err != nil {
			t.Fatal(err)
		}
	}
	_, end := collected(t, root, wide)
	if end.SkippedCount != 5000 || len(end.Skipped) != maxSkippedNamed || len(encode(end)) > maxBodyBytes {
		t.Errorf("%d skipped, %d named, %d bytes", end.SkippedCount, len(end.Skipped), len(encode(end)))
	}
}

func TestWithoutAnOutputFolderTheArchiveIsEmptyAndWhole(t *testing.T) {
	archive, end := collected(t, filepath.Join(t.TempDir(), "none"), wide)
	if end.Entries != 0 || len(untar(t, archive)) != 0 || len(archive) != 1024 {
		t.Errorf("%d bytes, end %s", len(archive), encode(end))
	}
}
