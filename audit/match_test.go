package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }

// appOpen is a line of a ledger; kmsOpen one of CloudTrail.
func appOpen(minutes float64, c kms.Context) audit.Event {
	return audit.Event{Time: at(minutes), Source: audit.LedgerFile, Op: kms.OpDecrypt, Outcome: audit.OK, KeyID: "alias/users", Context: c, Attempts: 1}
}

func kmsOpen(minutes float64, c kms.Context) audit.Event {
	return audit.Event{Time: at(minutes), Source: audit.CloudTrail, Op: kms.OpDecrypt, Outcome: audit.OK, KeyID: "arn:…", Context: c, Principal: "app"}
}

func with(e audit.Event, change func(*audit.Event)) audit.Event {
	change(&e)
	return e
}

func TestEachOpenIsExplainedByOneEvent(t *testing.T) {
	failed := func(e *audit.Event) { e.Outcome = audit.Failed }
	unknown := func(e *audit.Event) { e.Outcome = audit.Unknown }
	retried := func(e *audit.Event) { e.Attempts = 3 }
	byKey := func(e *audit.Event) { e.Source, e.Context, e.KeyID = audit.GoogleAudit, nil, "alias/users" }
	for _, test := range []struct {
		what                  string
		app, service          []audit.Event
		unexplained, unlogged int
	}{
		{"the same", []audit.Event{appOpen(0, user(1))}, []audit.Event{kmsOpen(0.01, user(1))}, 0, 0},
		{"another record", []audit.Event{appOpen(0, user(1))}, []audit.Event{kmsOpen(0, user(2))}, 1, 1},
		{"twice for one", []audit.Event{appOpen(0, user(1))}, []audit.Event{kmsOpen(0, user(1)), kmsOpen(0.1, user(1))}, 1, 0},
		{"once for two", []audit.Event{appOpen(0, user(1)), appOpen(1, user(1))}, []audit.Event{kmsOpen(0, user(1))}, 0, 1},
		{"a clock that is behind", []audit.Event{appOpen(0, user(1))}, []audit.Event{kmsOpen(-4.9, user(1))}, 0, 0},
		{"too early", []audit.Event{appOpen(0, user(1))}, []audit.Event{kmsOpen(-5.1, user(1))}, 1, 1},
		{"too late", []audit.Event{appOpen(0, user(1))}, []audit.Event{kmsOpen(5.1, user(1))}, 1, 1},
		{"a call that took long", []audit.Event{with(appOpen(0, user(1)), func(e *audit.Event) { e.Duration = time.Hour })},
			[]audit.Event{kmsOpen(64, user(1))}, 0, 0},
		{"a retry of which the KMS did more", []audit.Event{with(appOpen(0, user(1)), retried)},
			[]audit.Event{kmsOpen(0, user(1)), kmsOpen(0, user(1)), kmsOpen(0, user(1)), kmsOpen(0, user(1))}, 1, 0},
		{"a retry does not take another's", []audit.Event{with(appOpen(0, user(1)), retried), appOpen(1, user(1))},
			[]audit.Event{kmsOpen(0.1, user(1)), kmsOpen(0.2, user(1))}, 0, 0},
		{"failed for the application alone", []audit.Event{with(appOpen(0, user(1)), failed)}, []audit.Event{kmsOpen(0, user(1))}, 0, 0},
		{"failed for both", []audit.Event{with(appOpen(0, user(1)), failed)}, []audit.Event{with(kmsOpen(0, user(1)), failed)}, 0, 0},
		{"the log does not tell", []audit.Event{appOpen(0, user(1))}, []audit.Event{with(kmsOpen(0, user(1)), unknown)}, 0, 0},
		{"the log does not tell, and nobody asked", nil, []audit.Event{with(kmsOpen(0, user(1)), unknown)}, 1, 0},
		{"refused before any request", []audit.Event{with(appOpen(0, user(1)), func(e *audit.Event) { e.Attempts = 0 })}, []audit.Event{kmsOpen(0, user(1))}, 1, 0},
		{"a seal needs none", nil, []audit.Event{with(kmsOpen(0, user(1)), func(e *audit.Event) { e.Op = kms.OpEncrypt })}, 0, 0},
		{"by key, where the log has no record", []audit.Event{appOpen(0, user(1)), appOpen(0, user(2))},
			[]audit.Event{with(kmsOpen(0, nil), byKey), with(kmsOpen(1, nil), byKey), with(kmsOpen(2, nil), byKey)}, 1, 0},
		{"by key, which is named in other words", []audit.Event{with(appOpen(0, user(1)), func(e *audit.Event) { e.KeyID = "vault/transit/users" })},
			[]audit.Event{with(with(kmsOpen(0, nil), byKey), func(e *audit.Event) { e.KeyID = "vault/users" })}, 0, 0},
		{"by key, another one", []audit.Event{appOpen(0, user(1))}, []audit.Event{with(with(kmsOpen(0, nil), byKey), func(e *audit.Event) { e.KeyID = "x" })}, 1, 1},
		{"no context is a record of its own at AWS", []audit.Event{appOpen(0, user(1)), appOpen(0, nil)}, []audit.Event{kmsOpen(0, nil), kmsOpen(0, nil)}, 1, 1},
		{"a hash that is nobody's", []audit.Event{appOpen(0, user(1))},
			[]audit.Event{with(kmsOpen(0, nil), func(e *audit.Event) { e.Source, e.ContextHash = audit.VaultAudit, "hmac-sha256:1" })}, 1, 1},
	} {
		m := &audit.Matcher{}
		for _, e := range test.app {
			m.Application(e)
		}
		unexplained := 0
		for _, e := range test.service {
			if !m.Explains(e) {
				unexplained++
			}
		}
		if unlogged := m.Unlogged(); unexplained != test.unexplained || len(unlogged) != test.unlogged {
			t.Errorf("%s: %d unexplained, %d unlogged, want %d and %d", test.what, unexplained, len(unlogged), test.unexplained, test.unlogged)
		}
	}
}

// A ledger hashes what is not to be shown: such values are compared by hash if the key is known, and else not.
func TestWhatALedgerHidesIsCompared(t *testing.T) {
	tenant := func(name string) kms.Context {
		return kms.Context{"model_name": "User", "model_id": "1", "tenant": name}
	}
	hidden := func(e *audit.Event) { e.Context["tenant"] = "hmac:0123456789abcdef" }
	m := &audit.Matcher{}
	m.Application(appOpen(0, user(2)))
	m.Application(appOpen(0, tenant("shown")))
	m.Application(with(appOpen(0, tenant("acme")), hidden))
	if !m.Explains(kmsOpen(0, tenant("acme"))) || !m.Explains(kmsOpen(0, tenant("other"))) || m.Explains(kmsOpen(0, tenant("acme"))) || !m.Explains(kmsOpen(0, user(2))) {
		t.Error("hidden values are not left out")
	}

	r := &audit.Redaction{HashKey: []byte(strings.Repeat("k", 32))}
	hashed := &audit.Report{Redaction: r}
	shown := hashed.Line(appOpen(0, tenant("acme"))).Record
	value := shown[strings.Index(shown, "tenant=")+len("tenant="):]
	m = &audit.Matcher{Redaction: r}
	m.Application(with(appOpen(0, tenant("")), func(e *audit.Event) { e.Context["tenant"] = value }))
	if m.Explains(kmsOpen(0, tenant("other"))) || !m.Explains(kmsOpen(0, tenant("acme"))) {
		t.Errorf("values that are hashed under a known key are not compared: %s", shown)
	}
}

func TestAMatcherForgets(t *testing.T) {
	m := &audit.Matcher{}
	m.Application(appOpen(0, user(1)))
	m.Application(appOpen(10, user(1)))
	m.Forget(at(5))
	if m.Explains(kmsOpen(0, user(1))) || !m.Explains(kmsOpen(10, user(1))) {
		t.Error("it forgot the wrong one")
	}
}

func TestFilters(t *testing.T) {
	e := audit.Event{Time: noon, Op: kms.OpDecrypt, Outcome: audit.OK, KeyID: "vault/team/users", Principal: "arn:aws:sts::1:assumed-role/app/i-1",
		Context: kms.Context{"model_name": "User", "model_id": "1"}}
	for what, test := range map[string]struct {
		filter audit.Filter
		want   bool
	}{
		"none":                     {audit.Filter{}, true},
		"since then":               {audit.Filter{Since: noon}, true},
		"since later":              {audit.Filter{Since: at(1)}, false},
		"until then":               {audit.Filter{Until: noon}, false},
		"until later":              {audit.Filter{Until: at(1)}, true},
		"principal":                {audit.Filter{Principals: []string{"x", e.Principal}}, true},
		"principal's part":         {audit.Filter{Principals: []string{"app"}}, false},
		"pattern":                  {audit.Filter{Principals: []string{"arn:*:assumed-role/app/*"}}, true},
		"pattern with more":        {audit.Filter{Principals: []string{"arn:*role/app/*x"}}, false},
		"pattern that overlaps":    {audit.Filter{Principals: []string{"arn:aws:sts::1:assumed-role/app/i-1*i-1"}}, false},
		"stars":                    {audit.Filter{Principals: []string{"**a*p*p**"}}, true},
		"key":                      {audit.Filter{KeyIDs: []string{"vault/*"}}, true},
		"other key":                {audit.Filter{KeyIDs: []string{"vault/users"}}, false},
		"operation":                {audit.Filter{Ops: []kms.Op{kms.OpEncrypt}}, false},
		"outcome":                  {audit.Filter{Outcomes: []audit.Outcome{audit.Failed, audit.OK}}, true},
		"record":                   {audit.Filter{Records: []kms.Context{{"model_id": "1"}}}, true},
		"other record":             {audit.Filter{Records: []kms.Context{{"model_id": "1", "key_name": ""}}}, false},
		"one of two":               {audit.Filter{Records: []kms.Context{{"model_id": "2"}, {"model_name": "User"}}}, true},
		"no record is none of all": {audit.Filter{Records: []kms.Context{}}, false},
	} {
		if got := test.filter.Match(e); got != test.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	nameless := e
	nameless.Context = nil
	if (&audit.Filter{Records: []kms.Context{{}}}).Match(nameless) {
		t.Error("a record that the log does not name was found")
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, perRecord := range []bool{true, false} {
		b.Run(fmt.Sprintf("by record %v", perRecord), func(b *testing.B) {
			m := &audit.Matcher{}
			i := 0
			for b.Loop() {
				i++
				app, service := appOpen(float64(i)/1000, user(i)), kmsOpen(float64(i)/1000, user(i))
				if !perRecord {
					service.Source, service.Context, service.KeyID = audit.GoogleAudit, nil, app.KeyID
				}
				m.Application(app)
				if !m.Explains(service) {
					b.Fatal("not explained")
				}
			}
			b.ReportAllocs()
		})
	}
}
