package audit

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Matcher compares what a KMS has logged with what applications say that they did, opens only, record by record: each open that the KMS
// logged has to be that of one event of a ledger, and the other way round. Where the KMS does not log records, as Google's and Azure's,
// it compares by key.
//
// Times need not be the same: an open in the KMS's log belongs to a call that ran then, or that began or ended not longer than Tolerance
// before or after. What took several requests may be in the KMS's log as often. Memory grows with the opens of the ledgers, by some 500
// bytes each. It is safe for concurrent use.
type Matcher struct {
	// Tolerance is for clocks that differ, and for logs that round. 0: 5 minutes.
	Tolerance time.Duration
	// Redaction is that of the ledgers, if it has a HashKey. Without one, values that a ledger has as hashes are not compared.
	Redaction *Redaction

	mu     sync.Mutex
	redact *redactor
	hidden map[string]bool    // names whose values the ledgers do not show
	all    []*opened          // in the order in which they came
	slots  map[slot][]*opened // by where they may be looked for
}

// opened is an event of a ledger that may explain opens.
type opened struct {
	Event
	spare int  // how many opens it may still explain
	due   bool // the KMS's log should have it, and has not yet
}

// slot is a record, or a key, at a time.
type slot struct {
	what string
	time int64
}

const slotWidth = 10 * time.Second

func slotTime(t time.Time) int64 { return t.UnixNano() / int64(slotWidth) }

// Application adds an event of a ledger. What is no open is ignored.
func (m *Matcher) Application(e Event) {
	if e.Op != kms.OpDecrypt || e.Attempts == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o := &opened{Event: e, spare: e.Attempts, due: e.Outcome == OK}
	m.all = append(m.all, o)
	if m.hides(e.Context) { // records that seemed to be others are the same now
		m.slots = nil
		for _, o := range m.all {
			m.file(o)
		}
		return
	}
	m.file(o)
}

// hides tells whether a context has a value that is not shown, under a name whose values were shown until now.
func (m *Matcher) hides(c kms.Context) bool {
	if m.hashKey() {
		return false
	}
	if m.hidden == nil {
		m.hidden = map[string]bool{}
	}
	before := len(m.hidden)
	for name, value := range c {
		if strings.HasPrefix(value, hashPrefix) {
			m.hidden[name] = true
		}
	}
	return len(m.hidden) > before
}

// hashKey tells whether values can be hashed as the ledgers' were.
func (m *Matcher) hashKey() bool {
	if m.redact == nil && m.Redaction != nil && len(m.Redaction.HashKey) > 0 {
		r := newRedactor(m.Redaction)
		m.redact = &r
	}
	return m.redact != nil
}

func (m *Matcher) file(o *opened) {
	if m.slots == nil {
		m.slots = map[slot][]*opened{}
	}
	for _, what := range []string{m.record(o.Context), keyOnly(o.KeyID)} {
		for t := slotTime(o.Time); t <= slotTime(o.Time.Add(o.Duration)); t++ {
			at := slot{what, t}
			m.slots[at] = append(m.slots[at], o)
		}
	}
}

// record is what the context of one record has in all logs.
func (m *Matcher) record(c kms.Context) string {
	shown := c
	if len(m.hidden) > 0 && c != nil {
		shown = kms.Context{}
		for name, value := range c {
			if !m.hidden[name] {
				shown[name] = value
			}
		}
	}
	text, _ := json.Marshal(shown) // of a map of texts, which has no error
	return string(text)
}

// keyOnly is what the key of a ledger, as a program names it, and of a KMS's log have in common.
func keyOnly(id string) string {
	if name, ok := strings.CutPrefix(id, "vault/transit/"); ok {
		id = "vault/" + name
	}
	key, _ := azureKey(id)
	return "key " + strings.ToLower(key)
}

// where tells under what to look for what explains an event of a KMS's log.
func (m *Matcher) where(e Event) string {
	switch {
	case e.Context == nil && e.ContextHash == "" && e.Source != CloudTrail:
		return keyOnly(e.KeyID)
	case e.Context == nil && e.ContextHash != "":
		return "hash " + e.ContextHash // of no record of the ledgers
	case m.hashKey():
		return m.record(m.redact.context(e.Context))
	}
	return m.record(e.Context)
}

// Explains tells whether an application's event explains an open of the KMS's log; it explains no other then. What is no open needs no
// explanation.
func (m *Matcher) Explains(e Event) bool {
	if !e.Opened() {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.nearest(m.where(e), e.Time)
	if found == nil {
		return false
	}
	found.spare--
	found.due = false
	return true
}

// nearest returns the nearest call whose open the KMS's log still lacks, else the nearest that might have been tried again.
func (m *Matcher) nearest(what string, t time.Time) *opened {
	tolerance := m.tolerance()
	var again *opened
	for d := int64(0); d <= int64(tolerance/slotWidth)+1; d++ {
		var due *opened
		for _, at := range []slot{{what, slotTime(t) - d}, {what, slotTime(t) + d}} {
			for _, o := range m.live(at) {
				switch {
				case o.distance(t) > tolerance:
				case o.due && (due == nil || o.distance(t) < due.distance(t)):
					due = o
				case !o.due && (again == nil || o.distance(t) < again.distance(t)):
					again = o
				}
			}
		}
		if due != nil {
			return due
		}
	}
	return again
}

// live returns the calls of a slot that may explain more, and forgets the others.
func (m *Matcher) live(at slot) []*opened {
	list, ok := m.slots[at]
	if !ok {
		return nil
	}
	list = slices.DeleteFunc(list, func(o *opened) bool { return o.spare == 0 })
	if m.slots[at] = list; len(list) == 0 {
		delete(m.slots, at)
	}
	return list
}

func (m *Matcher) tolerance() time.Duration { return cmp.Or(m.Tolerance, 5*time.Minute) }

// distance is how far a time is from when the call ran.
func (o *opened) distance(t time.Time) time.Duration {
	return max(o.Time.Sub(t), t.Sub(o.Time.Add(o.Duration)), 0)
}

// Unlogged returns the opens of the ledgers that the KMS's log did not have, by time. A log that comes late, or ends before the ledger,
// lacks them honestly.
func (m *Matcher) Unlogged() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	var events []Event
	for _, o := range m.all {
		if o.due {
			events = append(events, o.Event)
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return events
}

// Forget drops the calls that ended before a time, for who follows logs that have no end.
func (m *Matcher) Forget(before time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots = nil
	m.all = slices.DeleteFunc(m.all, func(o *opened) bool { return o.Time.Add(o.Duration).Before(before) })
	for _, o := range m.all {
		m.file(o)
	}
}
