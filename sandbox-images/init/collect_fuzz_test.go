package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plantTree makes files and folders that the bytes name, one a line: a line's length is its file's size, and a slash at its end makes a
// folder. Names that a file system does not take are left out. It gives what was made.
func plantTree(t *testing.T, root string, lines []byte) map[string]string {
	t.Helper()
	made := map[string]string{}
	for number, line := range strings.Split(string(lines), "\n") {
		name := filepath.Clean(strings.ReplaceAll(line, "\x00", "_"))
		if number == 64 || name == "." || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") {
			continue
		}
		place := filepath.Join(root, name)
		if strings.HasSuffix(line, "/") {
			_ = os.MkdirAll(place, 0o755)
			continue
		}
		content := strings.Repeat(string(rune('a'+number%26)), len(line)*37)
		if os.MkdirAll(filepath.Dir(place), 0o755) != nil || os.WriteFile(place, []byte(content), os.FileMode(number*73)&0o777) != nil {
			continue
		}
		made[name] = content
	}
	return made
}

// Whatever names and sizes a tree has: every file comes out once, with its bytes, as a plain entry of root's in the narrow kind of tar that
// the host reads, and unpacks to the same tree.
func FuzzCollect(f *testing.F) {
	f.Add([]byte("a\nb/c\nd/"))
	f.Add([]byte("\xff\xfe\n\u202e\n-rf\n" + strings.Repeat("n", 255) + "\n" + strings.Repeat("deep/", 40) + "x"))
	f.Add([]byte(strings.Repeat("12345678", 64) + "\ne\u0301\n\u00e9"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		if len(lines) > 4096 {
			return
		}
		root := t.TempDir()
		made := plantTree(t, root, lines)
		archive, end := collected(t, root, wide)
		if end.SkippedCount != 0 || end.Limit != nil {
			t.Fatalf("left out: %s", encode(end))
		}
		found := map[string]string{}
		reader := tar.NewReader(bytes.NewReader(archive))
		for {
			header, err := reader.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for key := range header.PAXRecords {
				if key != "path" && key != "size" {
					t.Fatalf("%q has the record %q", header.Name, key)
				}
			}
			if header.Uid != 0 || header.Gid != 0 || header.Uname+header.Gname != "" || header.Mode&^0o111 != 0o644 {
				t.Fatalf("%q is %o of %d:%d", header.Name, header.Mode, header.Uid, header.Gid)
			}
			if header.Typeflag == tar.TypeDir {
				continue
			}
			content, err := io.ReadAll(reader)
			if err != nil || header.Typeflag != tar.TypeReg || found[header.Name] != "" {
				t.Fatalf("%q: type %q, %v", header.Name, header.Typeflag, err)
			}
			found[header.Name] = string(content)
		}
		into := t.TempDir()
		if err := unpack(bytes.NewReader(archive), into); err != nil {
			t.Fatal(err)
		}
		for name, content := range made {
			unpacked, err := os.ReadFile(filepath.Join(into, name))
			if found[name] != content || err != nil || string(unpacked) != content {
				t.Fatalf("%q: %d bytes of %d in the archive, %d unpacked, %v", name, len(found[name]), len(content), len(unpacked), err)
			}
		}
		if len(found) != len(made) {
			t.Fatalf("%d files came of %d", len(found), len(made))
		}
	})
}
