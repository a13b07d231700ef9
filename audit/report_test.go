package audit_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

func TestAReportCounts(t *testing.T) {
	r := &audit.Report{}
	for i := range 30 {
		r.Add(by("ada", kmsOpen(float64(i), user(i%3))))
	}
	r.Add(by("eve", with(kmsOpen(5, user(1)), func(e *audit.Event) { e.Outcome, e.Error = audit.Failed, "AccessDenied" })))
	r.Add(by("eve", with(kmsOpen(-5, user(1)), func(e *audit.Event) { e.Outcome, e.Address = audit.Unknown, "192.0.2.1" })))
	r.Add(by("ada", with(kmsOpen(5, user(1)), func(e *audit.Event) { e.Op = kms.OpEncrypt })))
	r.Add(by("root", with(kmsOpen(40, nil), func(e *audit.Event) { e.Op, e.Action = audit.OpManage, "DisableKey" })))
	s := r.Summary()
	if s.Totals != (audit.Counts{Opens: 31, Seals: 1, Failures: 1, Changes: 1}) || s.Records != 3 || s.Approximate {
		t.Errorf("%+v", s)
	}
	if !s.First.Equal(at(-5)) || !s.Last.Equal(at(40)) || s.Step != "1m0s" || len(s.Timeline) != 32 {
		t.Errorf("%v to %v in %d steps of %s", s.First, s.Last, len(s.Timeline), s.Step)
	}
	if p := s.Principals[0]; p.Name != "ada" || p.Opens != 30 || p.Records != 3 || p.Seals != 1 {
		t.Errorf("%+v", p)
	}
	if p := s.Principals[1]; p.Name != "eve" || p.Opens != 1 || p.Failures != 1 || fmt.Sprint(p.Addresses) != "[192.0.2.1]" {
		t.Errorf("%+v", p)
	}
	if top := s.TopRecords[0]; top.Record != "User 1" || top.Count != 11 {
		t.Errorf("%+v", top)
	}
	if len(s.Errors) != 1 || s.Errors[0] != (audit.Count{Name: "AccessDenied", Count: 1}) || len(s.Changes) != 1 || s.Changes[0].Action != "DisableKey" {
		t.Errorf("%+v %+v", s.Errors, s.Changes)
	}
	if a := s.Accesses[0]; a.Count != 10 || a.Principal != "ada" || len(s.Accesses) != 6 {
		t.Errorf("%d accesses, the first %+v", len(s.Accesses), a)
	}
}

// However many records there are, totals stay exact, and none that is opened more often than its share is missing.
func TestAReportOfMoreThanItCanTellApart(t *testing.T) {
	r := &audit.Report{MostAccesses: 100}
	random := rand.New(rand.NewPCG(1, 2))
	true7 := 0
	const n = 20_000
	for i := range n {
		id := random.IntN(50_000) + 10
		if i%50 == 0 {
			id, true7 = 7, true7+1
		}
		r.Add(kmsOpen(float64(i), user(id)))
	}
	s := r.Summary()
	if s.Totals.Opens != n || !s.Approximate || len(s.Accesses) != 100 {
		t.Errorf("%d opens, %d accesses", s.Totals.Opens, len(s.Accesses))
	}
	top := s.TopRecords[0]
	if top.Record != "User 7" || top.Count < true7 || top.Count-top.Over > true7 {
		t.Errorf("opened %d times: %+v", true7, top)
	}
	if len(s.Timeline) > 400 || s.Step == "1m0s" {
		t.Errorf("%d steps of %s", len(s.Timeline), s.Step)
	}
	total := 0
	for _, a := range s.Accesses {
		total += a.Count
	}
	if total != n { // as Space-Saving has it: what is too much of one is too little of others
		t.Errorf("the accesses have %d opens", total)
	}
	if first, last := s.Timeline[0].Start, s.Timeline[len(s.Timeline)-1].Start; first.After(noon) || last.Before(at(n-2*24*60)) || last.After(at(n)) {
		t.Errorf("the timeline goes from %v to %v", first, last)
	}
	total = 0
	for _, p := range s.Timeline {
		total += p.Opens
	}
	if total != n {
		t.Errorf("the timeline has %d opens", total)
	}
}

func TestAReportHidesWhatIsNotToBeShown(t *testing.T) {
	c := kms.Context{"model_name": "User", "model_id": "1", "email": "ada@example.org"}
	for what, r := range map[string]*audit.Report{"hidden": {}, "shown": {Redaction: &audit.Redaction{ShowAll: true}}} {
		line := r.Line(with(kmsOpen(0, c), func(e *audit.Event) { e.To = c }))
		if strings.Contains(line.Record+line.To, "ada@example.org") != (what == "shown") || !strings.HasPrefix(line.Record, "User 1") {
			t.Errorf("%s: %+v", what, line)
		}
	}
}

func TestCSVIsSafeForSpreadsheets(t *testing.T) {
	var out bytes.Buffer
	table := audit.NewCSV(&out)
	for _, name := range []string{"=1+1", "+1", "-1", "@x", "ada, \"the\" first", "\tx"} {
		if err := table.Write(audit.Line{Time: noon, Principal: name, Record: "User 1"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(lines) != 7 || len(lines[0]) != len(lines[1]) {
		t.Fatalf("%v %v", lines, err)
	}
	for i, want := range []string{"'=1+1", "'+1", "'-1", "'@x", "ada, \"the\" first", "'\tx"} {
		if got := lines[i+1][7]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	out.Reset()
	if err := audit.NewCSV(&out).Flush(); err != nil || !strings.HasPrefix(out.String(), "time,source,") {
		t.Errorf("%q %v", out.String(), err)
	}
}
