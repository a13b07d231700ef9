package audit

import (
	"encoding/json"
	"io"
	"time"
)

// Document is a report that is finished: what a person, or a program, is shown of a Report and of what a Matcher found. WriteText,
// WriteJSON and WriteHTML write it.
type Document struct {
	Title   string    `json:"title"`
	Made    time.Time `json:"made"`
	Filters []string  `json:"filters"` // in words, what the events had to be like
	Logs    []LogRead `json:"logs"`
	Summary

	// Compared tells that ledgers were given too.
	Compared    bool  `json:"compared"`
	Unexplained Lines `json:"unexplained"` // opens in the KMS's log that no application event explains
	Unlogged    Lines `json:"unlogged"`    // opens in the ledgers that the KMS's log does not have
}

// LogRead is a log that was read.
type LogRead struct {
	Name      string   `json:"name"`
	Ledger    bool     `json:"ledger"`
	Entries   int      `json:"entries"`
	Events    int      `json:"events"`
	Malformed int      `json:"malformed"` // entries that could not be read: each may be an event that is missing here
	Examples  []string `json:"examples"`
}

// NewLogRead returns what a document says of a log.
func NewLogRead(name string, ledger bool, s Stats) LogRead {
	l := LogRead{Name: name, Ledger: ledger, Entries: s.Entries, Events: s.Events, Malformed: s.Malformed, Examples: []string{}}
	for _, f := range s.Examples {
		l.Examples = append(l.Examples, f.String())
	}
	return l
}

// Lines are the first events of many.
type Lines struct {
	Count int    `json:"count"`
	First []Line `json:"first"` // a thousand at most
}

// Add appends a line, if there is room, and counts it.
func (l *Lines) Add(line Line) {
	const most = 1_000
	l.Count++
	if len(l.First) < most {
		l.First = append(l.First, line)
	}
}

// WriteJSON writes the document as JSON. Lists are never null.
func (d *Document) WriteJSON(w io.Writer) error {
	c := *d
	c.Filters, c.Logs = notNull(d.Filters), notNull(d.Logs)
	c.Timeline, c.Principals, c.TopRecords = notNull(d.Timeline), notNull(d.Principals), notNull(d.TopRecords)
	c.Accesses, c.Errors, c.Changes = notNull(d.Accesses), notNull(d.Errors), notNull(d.Changes)
	c.Unexplained.First, c.Unlogged.First = notNull(d.Unexplained.First), notNull(d.Unlogged.First)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(&c)
}

func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
