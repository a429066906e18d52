package main

import (
	"archive/tar"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	// maxCollectDepth bounds the open descriptors, whatever the host asks for.
	maxCollectDepth = 256
	// What `end` names of the things left out; the rest is only counted.
	maxSkippedNamed     = 200
	maxSkippedPathBytes = 256
)

// Why something was left out.
const (
	whyLink       = "link"
	whyFifo       = "fifo"
	whySocket     = "socket"
	whyDevice     = "device"
	whyUnreadable = "unreadable"
	whyDepth      = "depth"
	whyEntries    = "entries"
	whyBytes      = "bytes"
)

// collector walks one tree and writes it as tar. No process of the task is left, so nothing changes under it, but
// nothing it finds is believed either: every step is one component, from an open folder, and follows no link.
type collector struct {
	archive *tar.Writer
	caps    collectBody
	end     endBody
	buffer  []byte
}

// collectOutput sends the tree below folder as `artifacts` frames. The archive is whole whatever is met.
func collectOutput(folder string, caps collectBody, out *outbox) endBody {
	caps.MaxDepth = min(caps.MaxDepth, maxCollectDepth)
	sink := &artifactSink{out: out}
	c := &collector{
		archive: tar.NewWriter(sink),
		caps:    caps,
		end:     endBody{Skipped: []skippedBody{}},
		buffer:  make([]byte, chunkBytes),
	}
	if fd, err := openFolder(atCwd, folder); err == nil {
		c.folder(fd, "", 1)
	}
	if err := c.archive.Close(); err != nil {
		fatal("close the archive of artifacts", err) // its sink cannot fail
	}
	sink.flush()
	return c.end
}

// folder takes everything in an open folder, in byte order, and closes it. Its path ends with a slash, or is empty.
func (c *collector) folder(fd int, path string, depth int64) {
	opened := os.NewFile(uintptr(fd), "folder")
	defer opened.Close()
	names, err := opened.Readdirnames(-1)
	if err != nil {
		c.skip(path, whyUnreadable)
	}
	slices.Sort(names)
	for _, name := range names {
		c.entry(fd, name, path+name, depth)
	}
}

func (c *collector) entry(parent int, name, path string, depth int64) {
	stat, err := statAt(parent, name)
	if err != nil {
		c.skip(path, whyUnreadable)
		return
	}
	kind := stat.Mode & syscall.S_IFMT
	switch {
	case kind != syscall.S_IFREG && kind != syscall.S_IFDIR:
		c.skip(path, whyOf(kind))
	case depth > c.caps.MaxDepth:
		c.cap(path, whyDepth)
	case c.end.Entries >= c.caps.MaxEntries:
		c.cap(path, whyEntries)
	case kind == syscall.S_IFDIR:
		c.subfolder(parent, name, path, stat, depth)
	case stat.Size > c.caps.MaxBytes-c.end.Bytes:
		c.cap(path, whyBytes)
	default:
		c.file(parent, name, path, stat)
	}
}

func (c *collector) subfolder(parent int, name, path string, stat *syscall.Stat_t, depth int64) {
	makeReadable(parent, name, stat, 0o700)
	fd, err := openFolder(parent, name)
	if err != nil {
		c.skip(path, whyUnreadable)
		return
	}
	c.header(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: 0o755, ModTime: modified(stat)})
	c.folder(fd, path+"/", depth+1)
}

func (c *collector) file(parent int, name, path string, stat *syscall.Stat_t) {
	makeReadable(parent, name, stat, 0o400)
	fd, err := openAt(parent, name, syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY)
	if err != nil {
		c.skip(path, whyUnreadable)
		return
	}
	defer syscall.Close(fd)
	mode := int64(0o644)
	if stat.Mode&0o111 != 0 {
		mode = 0o755
	}
	c.header(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: mode, Size: stat.Size, ModTime: modified(stat)})
	if !c.content(fd, stat.Size) {
		c.skip(path, whyUnreadable)
	}
	c.end.Bytes += stat.Size
}

// content writes exactly size bytes. False: the file did not have them, and zeros took their place.
func (c *collector) content(fd int, size int64) bool {
	whole := true
	for size > 0 {
		piece := c.buffer[:min(size, int64(len(c.buffer)))]
		n := 0
		if whole {
			read, err := syscall.Read(fd, piece)
			if err == syscall.EINTR {
				continue
			}
			n, whole = max(read, 0), err == nil && read > 0
		}
		if !whole {
			clear(piece)
			n = len(piece)
		}
		if _, err := c.archive.Write(piece[:n]); err != nil {
			fatal("write an artifact", err)
		}
		size -= int64(n)
	}
	return whole
}

func (c *collector) header(header *tar.Header) {
	header.Format = tar.FormatPAX
	if err := c.archive.WriteHeader(header); err != nil {
		fatal("write the header of an artifact", err)
	}
	c.end.Entries++
}

// cap leaves something out because of a limit; the first one met is told.
func (c *collector) cap(path, limit string) {
	if c.end.Limit == nil {
		c.end.Limit = &limit
	}
	c.skip(path, limit)
}

func (c *collector) skip(path, why string) {
	c.end.SkippedCount++
	if len(c.end.Skipped) < maxSkippedNamed {
		path = strings.ToValidUTF8(path, "\uFFFD")
		if len(path) > maxSkippedPathBytes {
			path = strings.ToValidUTF8(path[:maxSkippedPathBytes], "") + "…"
		}
		c.end.Skipped = append(c.end.Skipped, skippedBody{Path: path, Why: why})
	}
}

func whyOf(kind uint32) string {
	switch kind {
	case syscall.S_IFLNK:
		return whyLink
	case syscall.S_IFIFO:
		return whyFifo
	case syscall.S_IFSOCK:
		return whySocket
	default:
		return whyDevice
	}
}

// modified is whole seconds in the range of the plain header: all else would cost the entry an extended one.
func modified(stat *syscall.Stat_t) time.Time {
	const mostSeconds = 1<<33 - 1
	return time.Unix(min(max(stat.Mtim.Sec, 0), mostSeconds), 0)
}

const (
	atCwd             = -100
	atSymlinkNofollow = 0x100
)

// isEmptyFolder is false for what cannot be read, too.
func isEmptyFolder(path string) bool {
	fd, err := openFolder(atCwd, path)
	if err != nil {
		return false
	}
	opened := os.NewFile(uintptr(fd), path)
	defer opened.Close()
	_, err = opened.Readdirnames(1)
	return err == io.EOF
}

func openFolder(parent int, name string) (int, error) {
	return openAt(parent, name, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW)
}

func openAt(parent int, name string, flags int) (int, error) {
	for {
		fd, err := syscall.Openat(parent, name, flags|syscall.O_CLOEXEC, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

// makeReadable gives the owner the bits that are missing. A file of another user stays as it is.
// SAFETY: the name was just seen to be a file or folder, and no process is left that could put a link there.
func makeReadable(parent int, name string, stat *syscall.Stat_t, bits uint32) {
	if stat.Mode&bits != bits {
		_ = syscall.Fchmodat(parent, name, stat.Mode&0o777|bits, 0)
	}
}

func statAt(parent int, name string) (*syscall.Stat_t, error) {
	path, err := syscall.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}
	var stat syscall.Stat_t
	_, _, errno := syscall.Syscall6(sysFstatat, uintptr(parent), uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&stat)), atSymlinkNofollow, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	return &stat, nil
}

// artifactSink cuts the archive into frames.
type artifactSink struct {
	out   *outbox
	chunk []byte
	size  int
}

var _ io.Writer = (*artifactSink)(nil)

func (s *artifactSink) Write(bytes []byte) (int, error) {
	total := len(bytes)
	for len(bytes) > 0 {
		if s.chunk == nil {
			s.chunk, s.size = s.out.chunk(), 0
		}
		n := copy(s.chunk[s.size:], bytes)
		s.size += n
		bytes = bytes[n:]
		if s.size == len(s.chunk) {
			s.flush()
		}
	}
	return total, nil
}

// flush sends what is there.
func (s *artifactSink) flush() {
	if s.size > 0 {
		s.out.stream(frameArtifacts, s.chunk, s.size)
	}
	s.chunk, s.size = nil, 0
}
