package audit

import (
	"slices"
	"time"
)

// Watch applies rules to events, in the order of a log. It is for one goroutine. Memory grows with the principals, or records, that a
// rule counts: by the times of as many events as are too many, for each that had one within the rule's time.
type Watch struct {
	// Matcher, if not nil, has the applications' events: Unexplained rules need it.
	Matcher *Matcher

	rules  []Rule
	counts []map[string]*window // by rule
	swept  time.Time
}

// Alert is something that a rule has found.
type Alert struct {
	Rule  string
	Event Event // the one that was too many
	Count int   // events that were counted; 1 for a rule that does not count
	Since time.Time
}

// window holds the times of the last events.
type window struct {
	times []time.Time
	quiet time.Time // until then the rule has said enough
}

// NewWatch returns a Watch for rules. A rule that cannot be right is kms.ErrInvalidRequest.
func NewWatch(rules []Rule, m *Matcher) (*Watch, error) {
	w := &Watch{Matcher: m, rules: slices.Clone(rules)}
	for i := range w.rules {
		if err := w.rules[i].validate(); err != nil {
			return nil, err
		}
		w.counts = append(w.counts, map[string]*window{})
	}
	return w, nil
}

// Unexplained tells whether there is a rule about opens that no application event explains.
func (w *Watch) Unexplained() bool {
	return slices.ContainsFunc(w.rules, func(r Rule) bool { return r.Unexplained })
}

// See takes the next event of a KMS's log and returns what the rules have found. Of events that are counted together there is one alert
// within the rule's time, and not one for each further event.
func (w *Watch) See(e Event) (alerts []Alert) {
	explained := !w.Unexplained() || w.Matcher == nil || w.Matcher.Explains(e)
	for i := range w.rules {
		r := &w.rules[i]
		if !r.matches(e) || r.Unexplained && explained {
			continue
		}
		a := Alert{Rule: r.Name, Event: e, Count: 1, Since: e.Time}
		if r.MoreThan == 0 || w.count(i, e, &a) {
			alerts = append(alerts, a)
		}
	}
	w.sweep(e.Time)
	return alerts
}

// count tells whether there are too many now.
func (w *Watch) count(rule int, e Event, a *Alert) bool {
	r := &w.rules[rule]
	what := per(r.Per, e)
	win := w.counts[rule][what]
	if win == nil {
		win = &window{}
		w.counts[rule][what] = win
	}
	win.times = append(win.times, e.Time)
	win.drop(e.Time.Add(-r.Within))
	if len(win.times) <= r.MoreThan {
		return false
	}
	win.times = win.times[len(win.times)-r.MoreThan-1:]
	if e.Time.Before(win.quiet) {
		return false
	}
	win.quiet = e.Time.Add(r.Within)
	a.Count, a.Since = len(win.times), win.times[0]
	return true
}

func per(what Per, e Event) string {
	switch what {
	case PerAll:
		return ""
	case PerRecord:
		return e.Record()
	}
	return e.Principal
}

// drop forgets the times before t. Logs are in order but for a few; those few count as they come.
func (win *window) drop(t time.Time) {
	n := 0
	for n < len(win.times) && win.times[n].Before(t) {
		n++
	}
	win.times = win.times[n:]
}

// sweep forgets, now and then, whom nothing was heard of.
func (w *Watch) sweep(now time.Time) {
	const often = time.Minute
	if now.Sub(w.swept) < often {
		return
	}
	w.swept = now
	for i, windows := range w.counts {
		for what, win := range windows {
			win.drop(now.Add(-w.rules[i].Within))
			if len(win.times) == 0 && win.quiet.Before(now) {
				delete(windows, what)
			}
		}
	}
}
