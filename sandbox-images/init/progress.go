package main

import (
	"bytes"
	"encoding/json"
)

// A line of progress, its newline excluded, is at most this long.
const maxProgressBytes = 4096

// progressLines cuts what a task writes to its progress descriptor into lines.
type progressLines struct {
	line    []byte
	tooLong bool
	dropped int64
}

func (p *progressLines) take(read []byte, out *outbox) {
	for len(read) > 0 {
		end := bytes.IndexByte(read, '\n')
		piece := read
		if end >= 0 {
			piece = read[:end]
		}
		if len(p.line)+len(piece) > maxProgressBytes {
			p.tooLong = true
		} else {
			p.line = append(p.line, piece...)
		}
		if end < 0 {
			return
		}
		read = read[end+1:]
		p.end(out)
	}
}

// end closes the current line; a last one without a newline counts as well.
func (p *progressLines) end(out *outbox) {
	line, tooLong := bytes.TrimSpace(p.line), p.tooLong
	p.line, p.tooLong = p.line[:0], false
	if len(line) == 0 && !tooLong {
		return
	}
	body, ok := progressBody(line)
	if tooLong || !ok {
		p.dropped++
		return
	}
	out.line(frameProgress, body)
}

// progressBody is the frame for one line: only the two known fields, and only where they are sound.
func progressBody(line []byte) ([]byte, bool) {
	var known struct {
		Progress *float64 `json:"progress,omitempty"`
		Message  *string  `json:"message,omitempty"`
	}
	if len(line) == 0 || line[0] != '{' {
		return nil, false
	}
	if err := json.Unmarshal(line, &known); err != nil {
		return nil, false
	}
	if known.Progress == nil && known.Message == nil {
		return nil, false
	}
	if known.Progress != nil && (*known.Progress < 0 || *known.Progress > 1) {
		return nil, false
	}
	body := encode(known)
	return body, len(body) <= maxProgressBytes
}
