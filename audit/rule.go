package audit

import (
	"fmt"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Rule says what nobody should see in a log. Its parts are joined by "and".
type Rule struct {
	Name string
	// Filter says which events the rule is about. No Ops: opens, those included that failed.
	Filter Filter
	// NotPrincipals has patterns, as Filter.Principals, of whom the rule is not about.
	NotPrincipals []string
	// Outside, if not nil, is only about events at other times.
	Outside *Hours
	// Unexplained is only about opens that no application event explains: see Watch.Matcher.
	Unexplained bool
	// MoreThan and Within: one event is nothing, but more than so many within this time are. 0: one is enough. What is counted together
	// is what Per says.
	MoreThan int
	Within   time.Duration
	Per      Per
}

// Per is what a rule counts together.
type Per string

// What is counted together. Per record catches the one customer that everybody looks at.
const (
	PerPrincipal Per = "principal" // also ""
	PerRecord    Per = "record"
	PerAll       Per = "all"
)

// Hours are times of the week.
type Hours struct {
	Days     []time.Weekday // nil: all
	From, To time.Duration  // of the day, from midnight on; To is not in it. 8h and 18h, or 22h and 6h over midnight
	Zone     *time.Location // nil: UTC
}

// Include tells whether a time is in the hours. Those over midnight belong to the day on which they begin.
func (h *Hours) Include(t time.Time) bool {
	if h.Zone == nil {
		t = t.UTC()
	} else {
		t = t.In(h.Zone)
	}
	clock := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	day := t.Weekday()
	switch {
	case h.From < h.To:
		return h.on(day) && h.From <= clock && clock < h.To
	case clock >= h.From:
		return h.on(day)
	default:
		return h.on((day+6)%7) && clock < h.To
	}
}

func (h *Hours) on(day time.Weekday) bool {
	for _, d := range h.Days {
		if d == day {
			return true
		}
	}
	return h.Days == nil
}

func (r *Rule) validate() error {
	wrong := ""
	switch {
	case r.Name == "":
		wrong = "has no name"
	case r.MoreThan < 0:
		wrong = "has a number below 0"
	case r.MoreThan > 0 && r.Within <= 0:
		wrong = "says how many are too many, and not within which time"
	case r.MoreThan == 0 && r.Within != 0:
		wrong = "says within which time, and not how many are too many"
	case r.MoreThan == 0 && r.Per != "":
		wrong = "says per what it counts, and not how many are too many"
	case r.Per != "" && r.Per != PerPrincipal && r.Per != PerRecord && r.Per != PerAll:
		wrong = fmt.Sprintf("counts per %q, which has to be principal, record or all", r.Per)
	case r.Outside != nil && r.Outside.From == r.Outside.To:
		wrong = "has hours that begin when they end"
	}
	if wrong == "" {
		return nil
	}
	return fmt.Errorf("audit: rule %q %s: %w", r.Name, wrong, kms.ErrInvalidRequest)
}

// matches tells whether the rule is about an event, whether or not it is explained.
func (r *Rule) matches(e Event) bool {
	switch {
	case len(r.Filter.Ops) == 0 && e.Op != kms.OpDecrypt, r.Unexplained && !e.Opened():
		return false
	case !r.Filter.Match(e), r.Outside != nil && r.Outside.Include(e.Time):
		return false
	}
	return r.NotPrincipals == nil || !matchesAny(r.NotPrincipals, e.Principal)
}
