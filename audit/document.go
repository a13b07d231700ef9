package audit

import (
	"encoding/json"
	"io"
	"time"

	"github.com/rowseal/rowseal/kms"
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
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(d.copy(func(text string) string { return text }))
}

// copy returns a document whose lists are not nil, and whose texts are what change makes of them.
func (d *Document) copy(change func(string) string) *Document {
	c := *d
	c.Title = change(d.Title)
	c.Filters = each(d.Filters, change)
	c.Logs = each(d.Logs, func(l LogRead) LogRead {
		l.Name, l.Examples = change(l.Name), each(l.Examples, change)
		return l
	})
	c.Timeline = each(d.Timeline, func(p Period) Period { return p })
	c.Principals = each(d.Principals, func(p Principal) Principal {
		p.Name, p.Addresses = change(p.Name), each(p.Addresses, change)
		return p
	})
	access := func(a Access) Access {
		a.Principal, a.Record, a.KeyID, a.Address = change(a.Principal), change(a.Record), change(a.KeyID), change(a.Address)
		a.Op, a.Outcome, a.Error = kms.Op(change(string(a.Op))), Outcome(change(string(a.Outcome))), change(a.Error)
		return a
	}
	c.TopRecords, c.Accesses = each(d.TopRecords, access), each(d.Accesses, access)
	c.Errors = each(d.Errors, func(e Count) Count { return Count{change(e.Name), e.Count} })
	line := func(l Line) Line {
		l.Source, l.Op, l.Action = Source(change(string(l.Source))), kms.Op(change(string(l.Op))), change(l.Action)
		l.Outcome, l.Error, l.KeyID = Outcome(change(string(l.Outcome))), change(l.Error), change(l.KeyID)
		l.Principal, l.Purpose, l.Address = change(l.Principal), change(l.Purpose), change(l.Address)
		l.Record, l.To, l.Hash, l.Request = change(l.Record), change(l.To), change(l.Hash), change(l.Request)
		return l
	}
	c.Changes, c.Unexplained.First, c.Unlogged.First = each(d.Changes, line), each(d.Unexplained.First, line), each(d.Unlogged.First, line)
	return &c
}

func each[T any](list []T, change func(T) T) []T {
	changed := make([]T, len(list))
	for i, v := range list {
		changed[i] = change(v)
	}
	return changed
}
