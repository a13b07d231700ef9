package audit

import (
	"maps"
	"slices"
	"time"
)

// timeline counts in steps that are as wide as they must be for there not to be too many.
type timeline struct {
	width  int // an index of steps
	counts map[int64]*Counts
}

// mostPeriods is of periods in which there was something.
const mostPeriods = 400

var steps = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
	7 * 24 * time.Hour, 364 * 24 * time.Hour}

func (t *timeline) step() time.Duration { return steps[t.width] }

func (t *timeline) add(e Event) {
	t.at(e.Time.UnixNano()).add(e)
	for len(t.counts) > mostPeriods && t.width < len(steps)-1 {
		t.widen()
	}
}

// at returns the counts of the step in which a time lies.
func (t *timeline) at(nanoseconds int64) *Counts {
	if t.counts == nil {
		t.counts = map[int64]*Counts{}
	}
	n := nanoseconds / int64(t.step())
	if t.counts[n] == nil {
		t.counts[n] = &Counts{}
	}
	return t.counts[n]
}

func (t *timeline) widen() {
	before, step := t.counts, t.step()
	t.counts = nil
	t.width++
	for n, c := range before {
		t.at(n * int64(step)).merge(*c)
	}
}

func (c *Counts) merge(o Counts) {
	c.Opens += o.Opens
	c.Seals += o.Seals
	c.Rewraps += o.Rewraps
	c.Failures += o.Failures
	c.Changes += o.Changes
}

func (t *timeline) periods() []Period {
	var list []Period
	for _, n := range slices.Sorted(maps.Keys(t.counts)) {
		list = append(list, Period{time.Unix(0, n*int64(t.step())).UTC(), *t.counts[n]})
	}
	return list
}
