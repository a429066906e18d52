package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func reg(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: 3}
}
func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }

func TestUnpackMakesFilesAndFoldersWithMaskedModes(t *testing.T) {
	into := t.TempDir()
	suid := reg("a/b/suid")
	suid.Mode = 0o4755
	closed := dir("closed")
	closed.Mode = 0o500
	long := strings.Repeat("n", 255)
	err := unpack(bytes.NewReader(tarOf(t, dir("./"), suid, closed, reg("closed/in"), closed, reg("./-rf"), reg(long), reg("a b\n\xff"))), into)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{
		"a": 0o755, "a/b": 0o755, "a/b/suid": 0o755, "closed": 0o500, "closed/in": 0o644, "-rf": 0o644, long: 0o644, "a b\n\xff": 0o644,
	} {
		found, err := os.Lstat(filepath.Join(into, name))
		if err != nil {
			t.Errorf("%.20q: %v", name, err)
		} else if found.Mode()&(os.ModePerm|os.ModeSetuid) != mode {
			t.Errorf("%.20q has mode %o, want %o", name, found.Mode(), mode)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	sound := tarOf(t, reg("a"), reg("b"))
	tests := map[string][]byte{
		"nothing at all":               {},
		"garbage":                      bytes.Repeat([]byte("garbage!"), 300),
		"a name with ..":               tarOf(t, reg("a/../../x")),
		"only ..":                      tarOf(t, dir("..")),
		"an absolute name":             tarOf(t, reg("/abs")),
		"a symbolic link":              tarOf(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "d", Linkname: "/"}),
		"a hard link":                  tarOf(t, reg("a"), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}),
		"a FIFO":                       tarOf(t, tar.Header{Typeflag: tar.TypeFifo, Name: "f"}),
		"a device":                     tarOf(t, tar.Header{Typeflag: tar.TypeBlock, Name: "b", Devmajor: 8}),
		"a file twice":                 tarOf(t, reg("a"), reg("a")),
		"a file that becomes a folder": tarOf(t, reg("a"), dir("a")),
		"a file used as a folder":      tarOf(t, reg("a"), reg("a/b")),
		"a folder that becomes a file": tarOf(t, dir("a"), reg("a")),
		"a global header":              tarOf(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"path": "../x"}}),
		"a name of 256 bytes":          tarOf(t, reg(strings.Repeat("n", 256))),
		"a path of 5000 bytes":         tarOf(t, reg(strings.Repeat("nnnn/", 1000)+"x")),
		"300 levels":                   tarOf(t, dir(strings.Repeat("d/", 300))),
		"a wrong checksum":             changed(sound, 0, 'c'),
		"an archive behind another":    append(append([]byte(nil), sound...), sound...),
		"bytes behind the end":         append(append([]byte(nil), sound...), 'x'),
		"a size below zero":            paxOf(t, "size", "-1"),
		"a size beyond all":            paxOf(t, "size", "99999999999999999999"),
		"a size of a terabyte":         paxOf(t, "size", "1099511627776"),
		"a path with NUL":              paxOf(t, "path", "a\x00b"),
		"a path out, by extension":     paxOf(t, "path", "../x"),
		"a sparse file":                paxOf(t, "GNU.sparse.major", "1"),
		"a long name without end":      longNameOf(1 << 30),
	}
	for at := 0; at < len(sound); at += 512 {
		if at < len(sound)-512 {
			tests["cut at "+string(rune('0'+at/512))] = sound[:at]
		}
	}
	for name, archive := range tests {
		t.Run(name, func(t *testing.T) {
			into := t.TempDir()
			err := unpack(bytes.NewReader(archive), into)
			if err == nil {
				t.Fatal("it was taken")
			}
			if len(err.Error()) > 1500 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			if beside, _ := os.ReadDir(filepath.Dir(into)); len(beside) != 1 {
				t.Errorf("something was made outside: %v", beside)
			}
		})
	}
}

func TestAFullDiskIsToldApartFromABadInput(t *testing.T) {
	wrapped := errors.Join(&os.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC})
	if got := failureOf(wrapped).code; got != "disk_full" {
		t.Errorf("code %s", got)
	}
	if got := failureOf(errors.New("anything")).code; got != "bad_input" {
		t.Errorf("code %s", got)
	}
}

func changed(archive []byte, at int, to byte) []byte {
	other := append([]byte(nil), archive...)
	other[at] = to
	return other
}

// paxOf is an archive of one file behind one extended record, which the library would not write itself.
func paxOf(t testing.TB, key, value string) []byte {
	t.Helper()
	record := " " + key + "=" + value + "\n"
	size := len(record) + 2
	if size > 99 {
		t.Fatal("the record is too long for this test")
	}
	record = string(rune('0'+size/10)) + string(rune('0'+size%10)) + record
	extended := ustar("PaxHeaders/a", 'x', int64(len(record)))
	block := make([]byte, 512)
	copy(block, record)
	return append(append(extended, block...), tarOf(t, reg("a"))...)
}

// longNameOf announces a name of that many bytes in GNU's way, and has some of them.
func longNameOf(size int64) []byte {
	return append(ustar("././@LongLink", 'L', size), bytes.Repeat([]byte("n"), 4<<20)...)
}

func ustar(name string, kind byte, size int64) []byte {
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x000000000\x000000000\x00")
	copy(block[124:], octal(size, 11))
	copy(block[136:], octal(0, 11))
	block[156] = kind
	copy(block[257:], "ustar\x0000")
	copy(block[148:], "        ")
	sum := int64(0)
	for _, b := range block {
		sum += int64(b)
	}
	copy(block[148:], octal(sum, 6)+"\x00 ")
	return block
}

func octal(n int64, digits int) string {
	text := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		text[i] = byte('0' + n%8)
		n /= 8
	}
	return string(text)
}

// Whatever comes in: no panic, and nothing outside the folder.
func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, dir("d"), reg("d/a"), reg("b")))
	f.Add(tarOf(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "d", Linkname: ".."}, reg("d/x")))
	f.Add(tarOf(f, reg("../x")))
	f.Add(paxOf(f, "path", "../../x"))
	f.Add(paxOf(f, "size", "-1"))
	f.Add(longNameOf(2000)[:3000])
	f.Fuzz(func(t *testing.T, archive []byte) {
		root := t.TempDir()
		into := filepath.Join(root, "in")
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unpack(bytes.NewReader(archive), into)
		beside, err := os.ReadDir(root)
		if err != nil || len(beside) != 1 {
			t.Fatalf("outside of the folder: %v, %v", beside, err)
		}
		err = filepath.WalkDir(into, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && !entry.Type().IsRegular() {
				t.Fatalf("%q is %s", path, entry.Type())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
