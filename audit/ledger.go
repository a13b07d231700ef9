package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/rowseal/rowseal/kms"
)

// Ledger is an Observer that appends what a program does with its KMS keys to a file: JSON, a line for up to 256 records of a call,
// each line with the hash of the one before, so that a line that is changed, dropped or moved is found by a [Verifier]. What cuts
// lines off the end, or writes all of them anew, is found only by somebody who knows a later [Head]: keep heads where a writer of the
// file cannot reach, by a line in another system's log, say.
//
// Lines are in the file when the call returns, so that they outlive the process; LedgerOptions.Sync makes them outlive the machine. A
// process that ends between the KMS's answer and the line leaves none: the KMS's log then has an open that nothing explains.
//
// Several processes of a machine may write to one file, on systems with flock; elsewhere one may. The file can be renamed at any time:
// a new one goes on with its chain, so that log rotation needs no signal. For both there is a second file, PATH.head, with the last
// entry's head; it protects nothing. It is safe for concurrent use.
type Ledger struct {
	path   string
	opts   LedgerOptions
	redact redactor

	mu   sync.Mutex
	last *os.File // PATH.head, whose lock is that of the ledger; nil when closed
	file *os.File
	size int64 // of file when head was its last entry
	head Head
	torn []byte // what a killed writer left after it
}

// LedgerOptions changes what a Ledger writes. The zero value is right for most programs.
type LedgerOptions struct {
	// Redaction says which values of contexts are written; nil: model_name, model_id and key_name. What is hashed cannot be
	// compared with the log of a KMS, unless HashKey is one that the reader has too.
	Redaction *Redaction
	// Sync has each call wait until its lines are on the disk.
	Sync bool
	// OnError is told when an event could not be written: the call itself is over by then. nil: slog.Error.
	OnError func(error)
}

// OpenLedger opens a ledger to append to it, and makes the file if there is none, readable for its owner and group. opts may be nil.
func OpenLedger(path string, opts *LedgerOptions) (*Ledger, error) {
	l := &Ledger{path: path}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.OnError == nil {
		l.opts.OnError = func(err error) { slog.Error(err.Error()) }
	}
	l.redact = newRedactor(l.opts.Redaction)
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Ledger) open() (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("audit: ledger: %w", err), l.Close())
		}
	}()
	if l.last, err = os.OpenFile(l.path+".head", os.O_CREATE|os.O_RDWR, 0o640); err != nil {
		return err
	}
	if err := lockFile(l.last); err != nil {
		return err
	}
	return errors.Join(l.catchUp(), unlockFile(l.last))
}

// Observe implements kms.Observer.
func (l *Ledger) Observe(ctx context.Context, e kms.Event) {
	if err := l.append(newEntries(ctx, e, l.redact)); err != nil {
		l.opts.OnError(fmt.Errorf("audit: ledger %s: %s of %d data keys with %s is not written down: %w",
			l.path, e.Op, len(e.Items), e.KeyID, err))
	}
}

func (l *Ledger) append(entries []entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		return os.ErrClosed
	}
	if err := lockFile(l.last); err != nil {
		return err
	}
	err := l.catchUp()
	if err == nil {
		err = l.write(entries)
	}
	return errors.Join(err, unlockFile(l.last))
}

// catchUp opens the file that has the ledger's name now, and finds the last entry, whoever wrote it.
func (l *Ledger) catchUp() error {
	if err := l.openCurrent(); err != nil {
		return err
	}
	if head, ok := l.readHead(); ok {
		l.head = head
	}
	info, err := l.file.Stat()
	if err != nil || info.Size() == l.size {
		return err
	}
	l.size, l.torn = info.Size(), nil
	if l.size == 0 {
		return nil
	}
	last, torn, err := lastLine(l.file, l.size)
	if err != nil {
		return err
	}
	l.torn = torn
	if last == nil { // a killed writer's first
		return nil
	}
	e, err := parseEntry(last)
	if err != nil {
		return fmt.Errorf("%s: its last line is no entry of a ledger: %w; rename the file, so that a new one begins, and keep it", l.path, err)
	}
	if e.Seq > l.head.Seq { // its writer was killed before it could say so
		l.head = e.head()
	}
	return nil
}

func (l *Ledger) openCurrent() error {
	if l.file != nil {
		here, err := l.file.Stat()
		if err != nil {
			return err
		}
		if there, err := os.Stat(l.path); err == nil && os.SameFile(here, there) {
			return nil
		}
		if err := l.file.Close(); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	l.file, l.size, l.torn = file, 0, nil
	return err
}

// headFormat has always as many bytes, so that one replaces another in place.
const headFormat = "%020d:%64s\n"

func (l *Ledger) readHead() (h Head, ok bool) {
	b := make([]byte, len(fmt.Sprintf(headFormat, 0, "")))
	if _, err := l.last.ReadAt(b, 0); err != nil { // a new one
		return Head{}, false
	}
	_, err := fmt.Sscanf(string(b), "%d:%64s\n", &h.Seq, &h.Hash)
	return h, err == nil
}

// write appends the lines in one write. Of one that fails nothing stays, if the file can be cut.
func (l *Ledger) write(entries []entry) error {
	var lines []byte
	head := l.head
	if len(l.torn) > 0 {
		lines = append(lines, '\n')
		entries[0].Torn = hashOf(l.torn)
	}
	for _, e := range entries {
		line, next, err := e.after(head)
		if err != nil {
			return err
		}
		lines, head = append(lines, line...), next
	}
	if n, err := l.file.Write(lines); err != nil {
		if n > 0 {
			err = errors.Join(err, l.file.Truncate(l.size))
		}
		return err
	}
	l.size += int64(len(lines))
	l.head, l.torn = head, nil
	if _, err := l.last.WriteAt(fmt.Appendf(nil, headFormat, head.Seq, head.Hash), 0); err != nil {
		return err
	}
	if l.opts.Sync {
		return l.file.Sync()
	}
	return nil
}

// Head is the last entry's: what a later Verifier can be given as known.
func (l *Ledger) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Close closes the file. Events after that are errors. Closing twice is fine.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for _, f := range []*os.File{l.file, l.last} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	l.file, l.last = nil, nil
	return err
}

// lastLine returns a file's last whole line, without its end, and what stands after it.
func lastLine(r io.ReaderAt, size int64) (line, rest []byte, err error) {
	const step = 64 << 10
	var tail []byte
	for at := size; ; {
		n := min(at, step)
		at -= n
		more := make([]byte, n, n+int64(len(tail)))
		if _, err := r.ReadAt(more, at); err != nil {
			return nil, nil, err
		}
		tail = append(more, tail...)
		line, rest, complete := cutLast(tail)
		if complete || at == 0 {
			return line, rest, nil
		}
	}
}

// cutLast tells whether the line's beginning is there.
func cutLast(tail []byte) (line, rest []byte, complete bool) {
	end := lastIndex(tail, len(tail))
	if end < 0 {
		return nil, tail, false
	}
	begin := lastIndex(tail, end)
	return tail[begin+1 : end], tail[end+1:], begin >= 0
}
