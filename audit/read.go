package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Reader reads events out of a log, in its order: files of CloudTrail as they are delivered to S3, also several after another, what
// "aws cloudtrail lookup-events" prints, audit files of Vault and OpenBao, what Google's and Azure's audit logs are exported as, and
// ledgers. Each may be compressed with gzip, and need not say what it is. Memory stays the same however long the log is; one entry may
// have up to 64 MiB. It is for one goroutine.
type Reader struct {
	name    string
	in      *bufio.Reader
	lines   *lineReader
	value   []byte // reused
	inside  bool   // of an array, whose elements are the entries
	wrapped bool   // the array is in an object
	at      int    // of the entry
	queue   []Event
	formats []format // the one that matched last first
	vault   *vaultLog
	stats   Stats
	err     error
}

// Stats tells what a Reader has read.
type Stats struct {
	Entries   int     // of the log
	Events    int     // of keys and records
	Skipped   int     // entries that are about something else
	Malformed int     // entries that are none, or none of a known log
	Examples  []Fault // the first ten of those
}

// format turns an entry into events, or says that it is none of its kind. An entry about something else has no events.
type format func(entry []byte) (events []Event, ok bool)

// NewReader returns a Reader of a log. The name is for messages.
func NewReader(name string, r io.Reader) *Reader {
	in, err := unzipped(r)
	rd := &Reader{name: name, in: in}
	if err != nil {
		rd.err = fmt.Errorf("audit: %s: %w", name, err)
		return rd
	}
	rd.lines = newLineReader(rd.in)
	rd.vault = newVaultLog()
	rd.formats = []format{rd.vault.read, readCloudTrail, readLookup, readEventBridge, readGoogle, readAzure, readLedger}
	return rd
}

// unzipped buffers what it reads, and undoes gzip.
func unzipped(r io.Reader) (*bufio.Reader, error) {
	const size = 256 << 10
	in := bufio.NewReaderSize(r, size)
	if magic, _ := in.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return in, nil
	}
	plain, err := gzip.NewReader(in)
	if err != nil {
		return in, err
	}
	return bufio.NewReaderSize(plain, size), nil
}

// Stats tells what has been read so far.
func (r *Reader) Stats() Stats { return r.stats }

// Next returns the next event; io.EOF after the last. An entry that cannot be read is counted, and is no error; an error ends the
// reading.
func (r *Reader) Next() (Event, error) {
	for len(r.queue) == 0 {
		if r.err != nil {
			return Event{}, r.err
		}
		r.fill()
	}
	e := r.queue[0]
	r.queue = r.queue[1:]
	r.stats.Events++
	return e, nil
}

// fill reads an entry.
func (r *Reader) fill() {
	entry, err := r.entry()
	switch {
	case errors.Is(err, errMalformed):
		r.malformed(err.Error())
	case err == io.EOF:
		r.queue, r.err = r.vault.unanswered(), io.EOF
	case err != nil:
		r.err = fmt.Errorf("audit: %s: entry %d: %w", r.name, r.stats.Entries+1, err)
	default:
		r.parse(entry)
	}
}

func (r *Reader) parse(entry []byte) {
	r.stats.Entries++
	r.at++
	for i, f := range r.formats {
		events, ok := f(entry)
		if !ok {
			continue
		}
		if len(events) == 0 {
			r.stats.Skipped++
		}
		r.queue = events
		copy(r.formats[1:i+1], r.formats[:i])
		r.formats[0] = f
		return
	}
	r.stats.Entries--
	r.at--
	if !json.Valid(entry) {
		r.malformed("not JSON")
		return
	}
	r.malformed("not an entry of a log that is known")
}

func (r *Reader) malformed(what string) {
	const examples = 10
	r.at++
	r.stats.Entries++
	r.stats.Malformed++
	if len(r.stats.Examples) < examples {
		r.stats.Examples = append(r.stats.Examples, Fault{File: r.name, Line: r.at, What: what})
	}
}

var errMalformed = errors.New("ends in the middle")

// entry returns the next object of the log: an element of an array, or a line. It is valid until the call after.
func (r *Reader) entry() ([]byte, error) {
	for {
		c, err := r.skip()
		if err != nil {
			return nil, r.ended(err)
		}
		switch {
		case r.inside && c == ',':
			r.in.Discard(1)
		case r.inside && c == ']':
			r.in.Discard(1)
			if err := r.leave(); err != nil {
				return nil, err
			}
		case r.inside:
			return r.element()
		case r.enter():
		default:
			return r.line()
		}
	}
}

// ended is what the log's end means.
func (r *Reader) ended(err error) error {
	if err == io.EOF && r.inside {
		r.inside = false
		return errMalformed
	}
	return err
}

// skip goes past white space and returns the byte after, which stays.
func (r *Reader) skip() (byte, error) {
	for {
		b, err := r.in.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return b, r.in.UnreadByte()
		}
	}
}

// arrays are the names under which logs have their entries, if not one after another.
var arrays = []string{"Records", "records", "Events", "entries"}

// enter goes into an array of entries, if one begins here: [ or {"Records": [.
func (r *Reader) enter() bool {
	at := 0
	next := func() byte { // the next byte that is not white space
		for ; ; at++ {
			b, _ := r.in.Peek(at + 1)
			if len(b) <= at {
				return 0
			}
			if c := b[at]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
				at++
				return c
			}
		}
	}
	literally := func(text string) bool {
		if len(text) > 0 && next() != text[0] {
			return false
		}
		for i := 1; i < len(text); i++ {
			b, _ := r.in.Peek(at + 1)
			if len(b) <= at || b[at] != text[i] {
				return false
			}
			at++
		}
		return true
	}
	into := func(wrapped bool) bool {
		r.in.Discard(at)
		r.inside, r.wrapped = true, wrapped
		return true
	}
	switch next() {
	case '[':
		begin := at
		if c := next(); c == '{' || c == ']' {
			at = begin
			return into(false)
		}
	case '{':
		begin := at
		for _, name := range arrays {
			if at = begin; literally(`"`+name+`"`) && next() == ':' && next() == '[' {
				return into(true)
			}
		}
	}
	return false
}

// leave goes past what follows the array in its object.
func (r *Reader) leave() error {
	r.inside = false
	if !r.wrapped {
		return nil
	}
	_, err := r.object(1)
	return r.incomplete(err)
}

// element returns an element of the array. One that is no object ends at the next comma.
func (r *Reader) element() ([]byte, error) {
	value, err := r.object(0)
	if err != nil {
		r.inside = false
	}
	return value, r.incomplete(err)
}

func (r *Reader) incomplete(err error) error {
	if err == io.EOF {
		return errMalformed
	}
	return err
}

// object reads to the end of an object, given how many are open already.
func (r *Reader) object(depth int) ([]byte, error) {
	r.value = r.value[:0]
	inString, escaped := false, false
	for {
		if _, err := r.in.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := r.in.Peek(r.in.Buffered())
		for i := 0; i < len(chunk); i++ {
			c := chunk[i]
			switch {
			case escaped:
				escaped = false
			case inString && c == '\\':
				escaped = true
			case c == '"':
				inString = !inString
			case inString:
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				depth--
				if depth < 0 && c == ']' { // the array's own end, after something that is no object
					return r.take(chunk[:i]), nil
				}
				if depth < 0 { // the end of more than has begun
					r.inside = false
				}
				if depth <= 0 {
					return r.take(chunk[:i+1]), nil
				}
			case c == ',' && depth == 0:
				return r.take(chunk[:i]), nil
			}
		}
		if len(r.value)+len(chunk) > longestLine {
			return nil, errLongLine
		}
		r.take(chunk)
	}
}

func (r *Reader) take(chunk []byte) []byte {
	r.value = append(r.value, chunk...)
	r.in.Discard(len(chunk))
	return r.value
}

// line returns a line, or, if it begins an object that is printed over several lines, all of it.
func (r *Reader) line() ([]byte, error) {
	line, err := r.lines.next()
	if err != nil || string(bytes.TrimSpace(line)) != "{" {
		return line, err
	}
	value, err := r.object(1)
	if err != nil {
		return nil, r.incomplete(err)
	}
	return append([]byte("{"), value...), nil
}
