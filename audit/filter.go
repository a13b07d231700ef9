package audit

import (
	"slices"
	"strings"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Filter says which events matter. The zero value lets all through.
type Filter struct {
	Since, Until time.Time // from Since on and before Until; zero: without an end
	// Principals has patterns, any of which has to match all of the principal; "*" stands for any text. nil: everybody.
	Principals []string
	KeyIDs     []string // patterns, as Principals
	Ops        []kms.Op
	Outcomes   []Outcome
	// Records has contexts, with all of whose entries the event's has to agree for any of them. nil: all records, those too that the
	// log does not name.
	Records []kms.Context
}

// Match tells whether an event passes.
func (f *Filter) Match(e Event) bool {
	switch {
	case !f.Since.IsZero() && e.Time.Before(f.Since), !f.Until.IsZero() && !e.Time.Before(f.Until):
		return false
	case len(f.Ops) > 0 && !slices.Contains(f.Ops, e.Op), len(f.Outcomes) > 0 && !slices.Contains(f.Outcomes, e.Outcome):
		return false
	}
	return matchesAny(f.Principals, e.Principal) && matchesAny(f.KeyIDs, e.KeyID) && f.matchesRecord(e)
}

func (f *Filter) matchesRecord(e Event) bool {
	agrees := func(c kms.Context) bool { return has(e.Context, c) || has(e.To, c) }
	return f.Records == nil || slices.ContainsFunc(f.Records, agrees)
}

// has tells whether c has all entries of part.
func has(c, part kms.Context) bool {
	if c == nil {
		return false
	}
	for name, value := range part {
		if got, ok := c[name]; !ok || got != value {
			return false
		}
	}
	return true
}

func matchesAny(patterns []string, text string) bool {
	return patterns == nil || slices.ContainsFunc(patterns, func(p string) bool { return matches(p, text) })
}

// matches: "*" stands for any text, slashes included, and nothing else is special.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return pattern == text
	}
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}
