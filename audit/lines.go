package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// longestLine is the most that a line may have: a request to Vault has 32 MiB.
const longestLine = 64 << 20

var errLongLine = fmt.Errorf("a line has more than %d MiB", longestLine>>20)

// lineReader reads lines of any length up to longestLine.
type lineReader struct {
	*bufio.Reader
	long []byte
}

func newLineReader(r *bufio.Reader) *lineReader { return &lineReader{Reader: r} }

// next returns the next line, without its end, which is valid until the call after; io.EOF after the last one.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = l.ReadSlice('\n')
			if len(l.long)+len(line) > longestLine {
				return nil, errLongLine
			}
			l.long = append(l.long, line...)
		}
		line = l.long
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}
