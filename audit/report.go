package audit

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Report counts events: who opened which records, when and how often, and what failed. Memory stays the same however many events there
// are. The zero value is ready to use; it is for one goroutine.
type Report struct {
	// Redaction says which values of contexts are shown; nil: model_name, model_id and key_name.
	Redaction *Redaction
	// MostAccesses is how many different accesses are told apart: a principal and a record, an operation and how it ended. 0: 100,000. Where
	// there are more, those of the highest counts stay (Space-Saving: Metwally, Agrawal and El Abbadi, 2005), and a count may be
	// too high by Access.Over.
	MostAccesses int

	redact   *redactor
	totals   Counts
	timeline timeline
	accesses accesses
	groups   map[string]*Principal
	errors   map[string]int
	manage   []Event
	first    time.Time
	last     time.Time
}

// Counts are how often.
type Counts struct {
	Opens    int `json:"opens"` // that were done, or may have been
	Seals    int `json:"seals"` // that were done
	Rewraps  int `json:"rewraps"`
	Failures int `json:"failures"` // of all three
	Changes  int `json:"changes"`  // of keys, rights and logs, those that failed included
}

func (c *Counts) add(e Event) {
	switch {
	case e.Op == OpManage:
		c.Changes++
	case e.Outcome == Failed:
		c.Failures++
	case e.Op == kms.OpDecrypt:
		c.Opens++
	case e.Op == kms.OpEncrypt:
		c.Seals++
	case e.Op == kms.OpRewrap:
		c.Rewraps++
	}
}

// Summary is what a Report has found.
type Summary struct {
	First       time.Time   `json:"first"`
	Last        time.Time   `json:"last"`
	Totals      Counts      `json:"totals"`
	Records     int         `json:"records"` // that were opened, as far as the log tells them apart
	Step        string      `json:"step"`    // of the timeline, as "1h0m0s"
	Timeline    []Period    `json:"timeline"`
	Principals  []Principal `json:"principals"`  // by opens
	TopRecords  []Access    `json:"top_records"` // opens of all principals, the most first; twenty
	Accesses    []Access    `json:"accesses"`    // the most first
	Approximate bool        `json:"approximate"` // there are more accesses than told apart
	Errors      []Count     `json:"errors"`      // the most first
	Changes     []Line      `json:"changes"`     // of keys, rights and logs; the first thousand
}

// Period is a step of the timeline.
type Period struct {
	Start time.Time `json:"start"`
	Counts
}

// Count is how often there was something.
type Count struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// Principal is somebody who asked the KMS.
type Principal struct {
	Name string `json:"name"`
	Counts
	Records   int       `json:"records"` // opened, different ones
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Addresses []string  `json:"addresses"` // the first few
}

// Access is what one principal did with one record, in one way.
type Access struct {
	Principal string    `json:"principal,omitempty"`
	Record    string    `json:"record"`
	KeyID     string    `json:"key_id"`
	Op        kms.Op    `json:"op"`
	Outcome   Outcome   `json:"outcome"`
	Error     string    `json:"error,omitempty"`
	Count     int       `json:"count"`
	Over      int       `json:"over,omitempty"` // the count may be too high by this
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Address   string    `json:"address,omitempty"` // the last
}

// Line is an event as reports show it.
type Line struct {
	Time      time.Time `json:"time"`
	Source    Source    `json:"source"`
	Op        kms.Op    `json:"op"`
	Action    string    `json:"action"`
	Outcome   Outcome   `json:"outcome"`
	Error     string    `json:"error,omitempty"`
	KeyID     string    `json:"key_id"`
	Principal string    `json:"principal"`
	Purpose   string    `json:"purpose,omitempty"`
	Address   string    `json:"address,omitempty"`
	Record    string    `json:"record"`
	To        string    `json:"to,omitempty"` // of a rewrap, the record that it is for now
	Hash      string    `json:"context_hash,omitempty"`
	Request   string    `json:"request,omitempty"`
}

const (
	mostAccesses   = 100_000
	mostPrincipals = 10_000
	mostChanges    = 1_000
	mostAddresses  = 5
	mostErrors     = 1_000
	topRecords     = 20
	others         = "(others)"
)

// Add counts an event.
func (r *Report) Add(e Event) {
	r.totals.add(e)
	r.timeline.add(e)
	if r.first.IsZero() || e.Time.Before(r.first) {
		r.first = e.Time
	}
	if e.Time.After(r.last) {
		r.last = e.Time
	}
	r.principal(e).add(e)
	if e.Op != OpManage {
		if e.Outcome == Failed {
			r.failed(e.Error)
		}
		r.access(e)
		return
	}
	if len(r.manage) < mostChanges {
		r.manage = append(r.manage, e)
	}
}

func (r *Report) principal(e Event) *Principal {
	if r.groups == nil {
		r.groups = map[string]*Principal{}
	}
	name := e.Principal
	p := r.groups[name]
	if p == nil && len(r.groups) >= mostPrincipals {
		name = others
		p = r.groups[name]
	}
	if p == nil {
		p = &Principal{Name: name, First: e.Time, Last: e.Time, Addresses: []string{}}
		r.groups[name] = p
	}
	return p
}

func (p *Principal) add(e Event) {
	p.Counts.add(e)
	p.First, p.Last = earlier(p.First, e.Time), later(p.Last, e.Time)
	if e.Address != "" && len(p.Addresses) < mostAddresses && !slices.Contains(p.Addresses, e.Address) {
		p.Addresses = append(p.Addresses, e.Address)
	}
}

func (r *Report) failed(what string) {
	if r.errors == nil {
		r.errors = map[string]int{}
	}
	if _, ok := r.errors[what]; !ok && len(r.errors) >= mostErrors {
		what = others
	}
	r.errors[what]++
}

func (r *Report) access(e Event) {
	r.accesses.add(r.Line(e), cmp.Or(r.MostAccesses, mostAccesses))
}

// Line is an event as the report shows it.
func (r *Report) Line(e Event) Line {
	if r.redact == nil {
		redact := newRedactor(r.Redaction)
		r.redact = &redact
	}
	e.Context, e.To = r.redact.context(e.Context), r.redact.context(e.To)
	line := Line{Time: e.Time, Source: e.Source, Op: e.Op, Action: e.Action, Outcome: e.Outcome, Error: e.Error, KeyID: e.KeyID,
		Principal: e.Principal, Purpose: e.Purpose, Address: e.Address, Record: e.Record(), Hash: e.ContextHash, Request: e.Request}
	if e.To != nil {
		line.To = recordName(e.To)
	}
	return line
}

// Summary returns what was found so far.
func (r *Report) Summary() Summary {
	s := Summary{First: r.first, Last: r.last, Totals: r.totals, Accesses: r.accesses.list(), Approximate: r.accesses.full}
	s.Timeline, s.Step = r.timeline.periods(), r.timeline.step().String()
	records := map[string]map[string]bool{}
	opened := map[string]*Access{}
	for _, a := range s.Accesses {
		if a.Op != kms.OpDecrypt || a.Outcome == Failed || a.Record == "" {
			continue
		}
		if records[a.Principal] == nil {
			records[a.Principal] = map[string]bool{}
		}
		records[a.Principal][a.Record] = true
		if opened[a.Record] == nil {
			opened[a.Record] = &Access{Record: a.Record, KeyID: a.KeyID, Op: a.Op, Outcome: OK, First: a.First, Last: a.Last}
		}
		o := opened[a.Record]
		o.Count, o.Over = o.Count+a.Count, o.Over+a.Over
		o.First, o.Last = earlier(o.First, a.First), later(o.Last, a.Last)
	}
	s.Records = len(opened)
	for _, o := range opened {
		s.TopRecords = append(s.TopRecords, *o)
	}
	slices.SortFunc(s.TopRecords, byCount)
	s.TopRecords = s.TopRecords[:min(len(s.TopRecords), topRecords)]
	for _, p := range r.groups {
		p.Records = len(records[p.Name])
		s.Principals = append(s.Principals, *p)
	}
	slices.SortFunc(s.Principals, func(a, b Principal) int {
		return cmp.Or(cmp.Compare(b.Opens, a.Opens), cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.Name, b.Name))
	})
	for name, n := range r.errors {
		s.Errors = append(s.Errors, Count{name, n})
	}
	slices.SortFunc(s.Errors, func(a, b Count) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	for _, e := range r.manage {
		s.Changes = append(s.Changes, r.Line(e))
	}
	return s
}

func byCount(a, b Access) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Record, b.Record), cmp.Compare(a.Principal, b.Principal),
		cmp.Compare(a.Op, b.Op), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Error, b.Error), cmp.Compare(a.KeyID, b.KeyID))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// accesses counts with a bounded number of counters: a new access takes the counter of the rarest, and its count.
type accesses struct {
	byKey map[accessKey]*counter
	heap  counters
	full  bool
}

type accessKey struct {
	principal, record, keyID string
	op                       kms.Op
	outcome                  Outcome
	err                      string
}

type counter struct {
	Access
	at int // in the heap
}

func (a *accesses) add(l Line, most int) {
	if a.byKey == nil {
		a.byKey = map[accessKey]*counter{}
	}
	key := accessKey{l.Principal, l.Record, l.KeyID, l.Op, l.Outcome, l.Error}
	c := a.byKey[key]
	switch {
	case c != nil:
		c.First = earlier(c.First, l.Time)
	case len(a.heap) < most:
		c = &counter{Access: newAccess(l), at: len(a.heap)}
		a.byKey[key] = c
		heap.Push(&a.heap, c)
	default:
		a.full = true
		c = a.heap[0]
		delete(a.byKey, c.key())
		before := c.Count
		c.Access = newAccess(l)
		c.Count, c.Over = before, before
		a.byKey[key] = c
	}
	c.Count++
	if !l.Time.Before(c.Last) {
		c.Last, c.Address = l.Time, l.Address
	}
	heap.Fix(&a.heap, c.at)
}

func newAccess(l Line) Access {
	return Access{Principal: l.Principal, Record: l.Record, KeyID: l.KeyID, Op: l.Op, Outcome: l.Outcome, Error: l.Error, First: l.Time}
}

func (c *counter) key() accessKey {
	return accessKey{c.Principal, c.Record, c.KeyID, c.Op, c.Outcome, c.Error}
}

func (a *accesses) list() []Access {
	list := make([]Access, len(a.heap))
	for i, c := range a.heap {
		list[i] = c.Access
	}
	slices.SortFunc(list, byCount)
	return list
}

// counters is a heap whose first has the lowest count.
type counters []*counter

func (h counters) Len() int           { return len(h) }
func (h counters) Less(i, j int) bool { return h[i].Count < h[j].Count }
func (h counters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *counters) Push(x any) { *h = append(*h, x.(*counter)) }
func (h *counters) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
