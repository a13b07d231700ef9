package audit

import (
	"encoding/csv"
	"io"
	"strings"
	"time"
)

// CSV writes events as comma-separated values (RFC 4180), a line each, after one with the names. A value that a spreadsheet would take
// for a formula has a ' before it (https://owasp.org/www-community/attacks/CSV_Injection).
type CSV struct {
	w     *csv.Writer
	begun bool
}

// NewCSV returns a CSV that writes to w.
func NewCSV(w io.Writer) *CSV { return &CSV{w: csv.NewWriter(w)} }

func (c *CSV) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	return c.w.Write([]string{"time", "source", "operation", "action", "outcome", "error", "key_id", "principal", "purpose", "address", "record",
		"to", "context_hash", "request"})
}

// Write writes an event.
func (c *CSV) Write(l Line) error {
	if err := c.begin(); err != nil {
		return err
	}
	fields := []string{l.Time.UTC().Format(time.RFC3339Nano), string(l.Source), string(l.Op), l.Action, string(l.Outcome), l.Error, l.KeyID,
		l.Principal, l.Purpose, l.Address, l.Record, l.To, l.Hash, l.Request}
	for i, f := range fields {
		if f != "" && strings.ContainsRune("=+-@\t\r", rune(f[0])) {
			fields[i] = "'" + f
		}
	}
	return c.w.Write(fields)
}

// Flush writes what is still in memory, and the names if there was no event.
func (c *CSV) Flush() error {
	if err := c.begin(); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}
