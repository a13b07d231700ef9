package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

func by(name string, e audit.Event) audit.Event {
	e.Principal = name
	return e
}

// alerts returns what a rule finds: "minute principal count".
func alerts(t *testing.T, r audit.Rule, m *audit.Matcher, events ...audit.Event) string {
	t.Helper()
	r.Name = "rule"
	w, err := audit.NewWatch([]audit.Rule{r}, m)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range events {
		for _, a := range w.See(e) {
			found = append(found, fmt.Sprintf("%g %s %d", a.Event.Time.Sub(noon).Minutes(), a.Event.Principal, a.Count))
		}
	}
	return strings.Join(found, ", ")
}

func TestRules(t *testing.T) {
	failed := func(e *audit.Event) { e.Outcome = audit.Failed }
	sealed := func(e *audit.Event) { e.Op = kms.OpEncrypt }
	var burst []audit.Event
	for i := range 6 {
		burst = append(burst, by("eve", kmsOpen(float64(i), user(i))))
	}
	twice := append(append([]audit.Event{}, burst...), by("eve", kmsOpen(20, user(1))), by("eve", kmsOpen(21, user(1))), by("eve", kmsOpen(22, user(1))), by("eve", kmsOpen(23, user(1))))
	others := []audit.Event{by("a", kmsOpen(0, user(1))), by("b", kmsOpen(1, user(1))), by("c", kmsOpen(2, user(1))), by("d", kmsOpen(3, user(1)))}
	many := audit.Rule{MoreThan: 3, Within: 10 * time.Minute}
	per := func(p audit.Per) audit.Rule { r := many; r.Per = p; return r }
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	office := &audit.Hours{Days: []time.Weekday{1, 2, 3, 4, 5}, From: 8 * time.Hour, To: 18 * time.Hour, Zone: berlin}
	for _, test := range []struct {
		what   string
		rule   audit.Rule
		events []audit.Event
		want   string
	}{
		{"too many, told once", many, burst, "3 eve 4"},
		{"and again later", many, twice, "3 eve 4, 23 eve 4"},
		{"just as many as may be", audit.Rule{MoreThan: 6, Within: 10 * time.Minute}, burst, ""},
		{"too slow to be too many", audit.Rule{MoreThan: 3, Within: 2 * time.Minute}, burst, ""},
		{"each of several", many, others, ""},
		{"of one record", per(audit.PerRecord), others, "3 d 4"},
		{"of different records", per(audit.PerRecord), burst, ""},
		{"of all", per(audit.PerAll), others, "3 d 4"},
		{"failed opens count", many, []audit.Event{with(burst[0], failed), with(burst[1], failed), with(burst[2], failed), burst[3]}, "3 eve 4"},
		{"seals do not", many, []audit.Event{with(burst[0], sealed), burst[1], burst[2], burst[3]}, ""},
		{"only of one table", audit.Rule{Filter: audit.Filter{Records: []kms.Context{{"model_name": "Person"}}}}, burst, ""},
		{"honeytoken", audit.Rule{Filter: audit.Filter{Records: []kms.Context{user(4)}}}, burst, "4 eve 1"},
		{"who must not open, and tries", audit.Rule{Filter: audit.Filter{Principals: []string{"ev*"}}}, []audit.Event{with(burst[0], failed), others[0]}, "0 eve 1"},
		{"all but some", audit.Rule{NotPrincipals: []string{"a", "b", "c"}}, others, "3 d 1"},
		{"office hours", audit.Rule{Outside: office}, []audit.Event{kmsOpen(0, user(1)), kmsOpen(5*60-1, user(1)), kmsOpen(5*60, user(1)), kmsOpen(4*24*60, user(1))},
			"300 app 1, 5760 app 1"},
	} {
		if got := alerts(t, test.rule, nil, test.events...); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

func TestHoursOverMidnight(t *testing.T) {
	night := &audit.Hours{Days: []time.Weekday{time.Friday}, From: 22 * time.Hour, To: 6 * time.Hour}
	friday := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for hour, want := range map[int]bool{5: false, 21: false, 22: true, 23: true, 24: true, 29: true, 30: false, 46: false} {
		if got := night.Include(friday.Add(time.Duration(hour) * time.Hour)); got != want {
			t.Errorf("%d hours after Friday began: %v", hour, got)
		}
	}
}

func TestUnexplainedOpensAreAlerts(t *testing.T) {
	m := &audit.Matcher{}
	m.Application(appOpen(0, user(1)))
	rule := audit.Rule{Unexplained: true}
	if got := alerts(t, rule, m, kmsOpen(0, user(1)), kmsOpen(1, user(2)), with(kmsOpen(1, user(3)), func(e *audit.Event) { e.Outcome = audit.Failed })); got != "1 app 1" {
		t.Errorf("got %q", got)
	}
}

func TestARuleThatCannotBeRightIsRefused(t *testing.T) {
	for what, r := range map[string]audit.Rule{
		"no name": {}, "no time": {Name: "x", MoreThan: 1}, "no number": {Name: "x", Within: time.Hour}, "per nothing": {Name: "x", Per: audit.PerAll},
		"per what": {Name: "x", MoreThan: 1, Within: time.Hour, Per: "host"}, "negative": {Name: "x", MoreThan: -1}, "no hours": {Name: "x", Outside: &audit.Hours{}},
	} {
		if _, err := audit.NewWatch([]audit.Rule{r}, nil); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
