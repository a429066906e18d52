package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

const (
	maxInputEntries   = 100_000
	maxInputPathBytes = 4095
	maxInputDepth     = 256
)

// inputFailure is why an input was refused.
type inputFailure struct{ code, message string }

// unpacking takes the pieces of one tar stream and unpacks it at the same time.
type unpacking struct {
	pieces *io.PipeWriter
	result chan error
	failed *inputFailure
}

func startUnpacking(into string) *unpacking {
	read, write := io.Pipe()
	u := &unpacking{pieces: write, result: make(chan error, 1)}
	spawn("unpack", func() {
		err := unpack(read, into)
		// The writer learns of the failure with its next piece.
		read.CloseWithError(errors.Join(errUnpackingEnded, err))
		u.result <- err
	})
	return u
}

var errUnpackingEnded = errors.New("unpacking has ended")

// take hands one piece over and returns when it is used, with the failure once there is one.
func (u *unpacking) take(piece []byte) *inputFailure {
	if u.failed == nil {
		if _, err := u.pieces.Write(piece); err != nil {
			u.failed = failureOf(<-u.result)
		}
	}
	return u.failed
}

// finish ends the stream and returns when everything is in place.
func (u *unpacking) finish() *inputFailure {
	if u.failed == nil {
		u.pieces.Close()
		u.failed = failureOf(<-u.result)
	}
	return u.failed
}

func failureOf(err error) *inputFailure {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &inputFailure{code: "disk_full", message: err.Error()}
	default:
		return &inputFailure{code: "bad_input", message: err.Error()}
	}
}

// unpack puts the regular files and folders of a whole tar stream below a folder and refuses everything else. What
// was unpacked before the fault stays.
func unpack(from io.Reader, into string) error {
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open %s: %w", into, err)
	}
	defer root.Close()
	source := &endMarker{from: from}
	archive := tar.NewReader(source)
	modes := map[string]os.FileMode{}
	for count := 1; ; count++ {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", count, err)
		}
		if count > maxInputEntries {
			return fmt.Errorf("more than %d entries", maxInputEntries)
		}
		if err := unpackEntry(root, header, archive, modes); err != nil {
			return fmt.Errorf("entry %d %s: %w", count, shortName(header.Name), err)
		}
	}
	if source.ended {
		return errors.New("the archive ends before its two zero blocks")
	}
	if err := onlyZeros(source); err != nil {
		return err
	}
	// Last, because a folder that may not be written to could not be filled; and from below, because one that may not be
	// entered hides what is in it.
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(modes))) {
		if err := chmodFolder(root, name, modes[name]); err != nil {
			return fmt.Errorf("folder %s: %w", shortName(name), err)
		}
	}
	return nil
}

// chmodFolder goes through a descriptor: Root.Chmod makes a system call that gVisor does not have, and whose refusal by
// the filter there reads as a denial.
func chmodFolder(root *os.Root, name string, mode os.FileMode) error {
	folder, err := root.Open(name)
	if err != nil {
		// An earlier archive has closed it.
		return root.Chmod(name, mode)
	}
	defer folder.Close()
	return folder.Chmod(mode)
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader, modes map[string]os.FileMode) error {
	name, err := entryName(header.Name)
	if err != nil {
		return err
	}
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return errors.New("a sparse file is not allowed")
		}
	}
	mode := os.FileMode(header.Mode) & 0o777
	switch header.Typeflag {
	case tar.TypeDir:
		if header.Size != 0 {
			return fmt.Errorf("a folder of %d bytes", header.Size)
		}
		if err := root.MkdirAll(name, 0o700); err != nil {
			return err
		}
		if name != "." {
			modes[name] = mode
		}
		return nil
	case tar.TypeReg:
		if name == "." || strings.HasSuffix(header.Name, "/") {
			return errors.New("a file with the name of a folder")
		}
		return unpackFile(root, name, mode, header.Size, content, modes)
	default:
		return fmt.Errorf("type %q is not allowed, only files and folders", header.Typeflag)
	}
}

func unpackFile(root *os.Root, name string, mode os.FileMode, size int64, content io.Reader, modes map[string]os.FileMode) error {
	if folder := path.Dir(name); folder != "." {
		if err := unpackParents(root, folder, modes); err != nil {
			return err
		}
	}
	// Exclusive: an archive that names a path twice means two different things by it.
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	written, err := io.Copy(file, content)
	if err != nil {
		return err
	}
	if written != size {
		return fmt.Errorf("%d bytes where the header said %d", written, size)
	}
	return file.Chmod(mode)
}

// unpackParents makes the folders an archive does not name itself.
func unpackParents(root *os.Root, folder string, modes map[string]os.FileMode) error {
	if _, err := root.Stat(folder); err == nil {
		return nil
	}
	if err := root.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for at := folder; at != "."; at = path.Dir(at) {
		if _, known := modes[at]; known {
			return nil
		}
		modes[at] = 0o755
	}
	return nil
}

// entryName is a clean relative path, "." for the folder itself.
func entryName(given string) (string, error) {
	switch {
	case given == "":
		return "", errors.New("an empty name")
	case len(given) > maxInputPathBytes:
		return "", fmt.Errorf("a name of %d bytes, allowed are %d", len(given), maxInputPathBytes)
	case strings.ContainsRune(given, 0):
		return "", errors.New("a name with a NUL")
	case strings.HasPrefix(given, "/"):
		return "", errors.New("an absolute name")
	}
	parts := strings.Split(given, "/")
	for _, part := range parts {
		if part == ".." {
			return "", errors.New("a name with ..")
		}
	}
	if len(parts) > maxInputDepth {
		return "", fmt.Errorf("a name of %d levels, allowed are %d", len(parts), maxInputDepth)
	}
	return path.Clean(given), nil
}

// shortName is a name for a message: quoted, and not longer than a line.
func shortName(name string) string {
	const most = 200
	if len(name) > most {
		return fmt.Sprintf("%q…", name[:most])
	}
	return fmt.Sprintf("%q", name)
}

// endMarker notes whether its source came to an end: tar takes a cut archive for a whole one.
type endMarker struct {
	from  io.Reader
	ended bool
}

func (e *endMarker) Read(into []byte) (int, error) {
	n, err := e.from.Read(into)
	if err == io.EOF {
		e.ended = true
	}
	return n, err
}

// onlyZeros reads to the end: what may follow an archive is padding, and no second archive.
func onlyZeros(from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for _, b := range buffer[:n] {
			if b != 0 {
				return errors.New("bytes after the end of the archive")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
