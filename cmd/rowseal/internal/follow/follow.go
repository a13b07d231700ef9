// Package follow reads files that grow, as tail -F does.
package follow

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// poll is how long a reader waits at the end of a file before it looks again.
const poll = 250 * time.Millisecond

// Reader reads a file that grows, and goes on with the next one of its name when it is renamed or cut off. It ends with its ctx.
type Reader struct {
	ctx  context.Context
	path string
	file *os.File
	at   int64
}

// Open begins at the end of the file, or, with fromStart, at its beginning. A file that is not there yet is waited for.
func Open(ctx context.Context, path string, fromStart bool) (*Reader, error) {
	r := &Reader{ctx: ctx, path: path}
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err != nil:
		return nil, err
	}
	r.file = file
	if !fromStart {
		r.at, err = file.Seek(0, io.SeekEnd)
	}
	return r, err
}

// Read waits until there is something; io.EOF is only the end of ctx.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		if r.file != nil {
			n, err := r.file.Read(p)
			r.at += int64(n)
			if n > 0 {
				return n, nil
			}
			if err != nil && err != io.EOF {
				return 0, err
			}
		}
		if err := r.renew(); err != nil {
			return 0, err
		}
		select {
		case <-r.ctx.Done():
			return 0, io.EOF
		case <-time.After(poll):
		}
	}
}

// renew opens what has the name now. The old file has been read to its end.
func (r *Reader) renew() error {
	now, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.file != nil {
		old, err := r.file.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(old, now) {
			if now.Size() < r.at { // cut off, to be written anew
				r.at, err = r.file.Seek(0, io.SeekStart)
			}
			return err
		}
		if n, _ := r.file.Seek(0, io.SeekEnd); n > r.at { // a last line, since the last look
			_, err := r.file.Seek(r.at, io.SeekStart)
			return err
		}
		r.file.Close()
	}
	r.at = 0
	r.file, err = os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		r.file, err = nil, nil
	}
	return err
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
