package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// Verifier checks that a ledger is as it was written: that no line was changed, dropped, moved or added. Give it the files of one
// ledger, the oldest first. The zero value is ready to use.
type Verifier struct {
	// After is the entry that the first line follows, for a ledger whose older files are gone. Zero: there is none before.
	After Head
	// Known are heads that the ledger had. One that it does not have now is a fault: lines were cut off, or all written anew.
	Known []Head

	begun  bool
	last   Head
	torn   []byte // what stands before the next line, and is none
	tornAt position
	missed map[int]bool // of Known
	result Verification
}

// Verification is what a Verifier found.
type Verification struct {
	Entries, Records uint64
	First, Last      time.Time
	Head             Head // of the last entry: keep it elsewhere, to know later that all this was there
	Torn             int  // lines that a killed writer left unfinished, as the line after each says: no faults
	Faults           []Fault
	More             int // faults that Faults has no room for
}

// Fault is a place where a ledger is not as it was written.
type Fault struct {
	File string
	Line int // 0: the end
	What string
}

// String is "FILE:LINE: WHAT".
func (f Fault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.What
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What)
}

type position struct {
	file string
	line int
}

const mostFaults = 100

func (v *Verifier) fault(at position, format string, args ...any) {
	if len(v.result.Faults) == mostFaults {
		v.result.More++
		return
	}
	v.result.Faults = append(v.result.Faults, Fault{at.file, at.line, fmt.Sprintf(format, args...)})
}

// Add reads a file, which may be compressed with gzip, to its end. The error is that of reading.
func (v *Verifier) Add(name string, r io.Reader) error {
	if !v.begun {
		v.begun, v.last = true, v.After
		v.missed = map[int]bool{}
		for i := range v.Known {
			v.missed[i] = true
		}
	}
	in, err := unzipped(r)
	if err != nil {
		return fmt.Errorf("audit: %s: %w", name, err)
	}
	lines := newLineReader(in)
	for n := 1; ; n++ {
		line, err := lines.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("audit: %s: %w", name, err)
		}
		v.line(position{name, n}, line)
	}
	if v.torn != nil { // the next file does not say
		v.fault(v.tornAt, "not an entry")
		v.torn = nil
	}
	return nil
}

func (v *Verifier) line(at position, line []byte) {
	e, err := parseEntry(line)
	if errors.Is(err, errNoEntry) {
		if v.torn != nil {
			v.fault(v.tornAt, "not an entry")
		}
		v.torn, v.tornAt = bytes.Clone(line), at
		return
	}
	v.checkTorn(at, e)
	switch expected := v.last; {
	case errors.Is(err, errHash):
		v.fault(at, "entry %d was changed: %v", e.Seq, err)
	case e.Seq > expected.Seq+1 && v.result.Entries == 0 && v.After == Head{}:
		v.fault(at, "it begins with entry %d: those before are missing, or in an earlier file, or follow a head that has to be given", e.Seq)
	case e.Seq == expected.Seq+2:
		v.fault(at, "entry %d is missing before this one, %d", expected.Seq+1, e.Seq)
	case e.Seq > expected.Seq+1:
		v.fault(at, "entries %d to %d are missing before this one, %d", expected.Seq+1, e.Seq-1, e.Seq)
	case e.Seq <= expected.Seq:
		v.fault(at, "entry %d stands after entry %d: it was moved, or stands there twice, or another ledger begins", e.Seq, expected.Seq)
	case e.Seq == 1 && e.Prev != noHash, e.Seq > 1 && e.Prev != expected.Hash:
		v.fault(at, "entry %d does not follow the entry %d that stands before it: one of them was changed or replaced", e.Seq, expected.Seq)
	}
	v.last = e.head()
	v.count(at, e)
}

// checkTorn: a line that is no entry is none that was changed only if the next one says so, which has its hash.
func (v *Verifier) checkTorn(at position, e entry) {
	switch {
	case v.torn == nil && e.Torn == "":
	case v.torn != nil && e.Torn == hashOf(v.torn):
		v.result.Torn++
	case v.torn != nil:
		v.fault(v.tornAt, "not an entry")
	default:
		v.fault(at, "a line is missing before entry %d, which a killed writer left unfinished", e.Seq)
	}
	v.torn = nil
}

func (v *Verifier) count(at position, e entry) {
	r := &v.result
	r.Entries++
	r.Records += uint64(len(e.Records))
	if r.First.IsZero() || e.Time.Before(r.First) {
		r.First = e.Time
	}
	if e.Time.After(r.Last) {
		r.Last = e.Time
	}
	for i, known := range v.Known {
		if v.missed[i] && known.Seq == e.Seq {
			v.missed[i] = false
			if known.Hash != e.hash {
				v.fault(at, "entry %d has another hash than the head that is known: it was written anew, or one before it", e.Seq)
			}
		}
	}
}

// Result tells what was found in all files.
func (v *Verifier) Result() Verification {
	r := v.result
	r.Head = v.last
	for i, known := range v.Known {
		if v.missed == nil || v.missed[i] {
			what := fmt.Sprintf("entry %d, which is known, is missing: the last one is %d", known.Seq, v.last.Seq)
			r.Faults = append(r.Faults[:len(r.Faults):len(r.Faults)], Fault{File: "end", What: what})
		}
	}
	return r
}
