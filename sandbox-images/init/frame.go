package main

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// The layout of a frame; docs/sandbox-protocol.md is the contract.
const (
	frameMark     = 0xF5
	headerBytes   = 24
	checksumBytes = 4
	maxBodyBytes  = 262144
)

// protocolVersion is what hello and ready carry.
const protocolVersion = 1

type frameType byte

// Host to sandbox.
const (
	frameHello    frameType = 0x01
	frameInput    frameType = 0x02
	frameStart    frameType = 0x03
	frameStdin    frameType = 0x04
	frameSignal   frameType = 0x05
	frameCollect  frameType = 0x06
	frameHostAck  frameType = 0x07
	frameShutdown frameType = 0x08
	framePrepare  frameType = 0x0A
	frameArm      frameType = 0x0B
	frameRehearse frameType = 0x0C
)

// Both ways, never numbered.
const (
	frameOpen   frameType = 0x10
	frameData   frameType = 0x11
	frameWindow frameType = 0x12
	frameClose  frameType = 0x13
)

func isOfChannel(kind frameType) bool { return kind >= frameOpen && kind <= frameClose }

// Sandbox to host.
const (
	frameReady      frameType = 0x41
	frameStdout     frameType = 0x42
	frameStderr     frameType = 0x43
	frameProgress   frameType = 0x44
	frameExit       frameType = 0x45
	frameArtifacts  frameType = 0x46
	frameEnd        frameType = 0x47
	frameSandboxAck frameType = 0x48
	frameError      frameType = 0x49
	frameFailed     frameType = 0x4A
	frameStarted    frameType = 0x4C
	framePrepared   frameType = 0x4D
)

// frame is one frame of either direction. seq is 0 where the frame is not numbered.
type frame struct {
	kind    frameType
	channel uint16
	seq     uint64
	timeUs  uint64
	body    []byte
}

// putHeader writes the 24 bytes that come before the body.
func (f *frame) putHeader(into *[headerBytes]byte) {
	into[0] = frameMark
	into[1] = byte(f.kind)
	binary.BigEndian.PutUint16(into[2:], f.channel)
	binary.BigEndian.PutUint32(into[4:], uint32(len(f.body)))
	binary.BigEndian.PutUint64(into[8:], f.seq)
	binary.BigEndian.PutUint64(into[16:], f.timeUs)
}

// appendTo adds the whole frame.
func (f *frame) appendTo(piece []byte) []byte {
	var header [headerBytes]byte
	var sum [checksumBytes]byte
	f.putHeader(&header)
	f.putChecksum(&header, &sum)
	piece = slices.Grow(piece, headerBytes+len(f.body)+checksumBytes)
	return append(append(append(piece, header[:]...), f.body...), sum[:]...)
}

// putChecksum writes the 4 bytes that come after the body.
func (f *frame) putChecksum(header *[headerBytes]byte, into *[checksumBytes]byte) {
	sum := crc32.Update(crc32.ChecksumIEEE(header[:]), crc32.IEEETable, f.body)
	binary.BigEndian.PutUint32(into[:], sum)
}
