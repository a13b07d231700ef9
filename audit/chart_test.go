package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func periodsAt(step time.Duration, at ...int) []Period {
	list := make([]Period, len(at))
	for i, n := range at {
		list[i] = Period{Start: time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * step), Counts: Counts{Opens: 1 + i}}
	}
	return list
}

func TestAChartHasGapsWhereNothingWasLogged(t *testing.T) {
	c := newChart(periodsAt(time.Hour, 0, 1, 9), time.Hour)
	var at []string
	for _, b := range c.Bars {
		at = append(at, b.X+" "+b.Width)
	}
	if got, want := fmt.Sprint(at), "[0.000% 9.000% 10.000% 9.000% 90.000% 9.000%]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if c.Opens.Scale != 4 || c.Failures.Scale != 1 || c.Bars[2].OpensHeight != "102.0" || c.Step != "hour" || c.MostOpens.Opens != 3 {
		t.Errorf("%+v", c)
	}
}

// A minute in a year would be too narrow to be seen.
func TestAChartHasNoMoreBarsThanCanBeSeen(t *testing.T) {
	c := newChart(periodsAt(time.Minute, 0, 5, 365*24*60), time.Minute)
	if c.Step != "day" || len(c.Bars) != 2 || c.Bars[0].Opens != 3 || c.Bars[1].Opens != 3 {
		t.Errorf("%s: %+v", c.Step, c.Bars)
	}
}

func TestRoundScales(t *testing.T) {
	for n, want := range map[int]int{0: 1, 1: 1, 2: 2, 3: 4, 5: 6, 7: 8, 9: 10, 11: 20, 21: 30, 95: 100, 236: 300, 1001: 2000} {
		if got := round(n); got != want {
			t.Errorf("%d: got %d, want %d", n, got, want)
		}
	}
}

func TestTicksAreRoundTimes(t *testing.T) {
	from := time.Date(2026, 11, 9, 23, 50, 0, 0, time.UTC)
	for span, want := range map[time.Duration]string{
		time.Minute:            "23:50",
		30 * time.Minute:       "23:50 23:55 10 Nov 00:05 00:10 00:15",
		10 * time.Hour:         "10 Nov 03:00 06:00 09:00",
		40 * time.Hour:         "10 Nov 06:00 12:00 18:00 11 Nov 06:00 12:00",
		14 * 24 * time.Hour:    "11 Nov 13 Nov 15 Nov 17 Nov 19 Nov 21 Nov 23 Nov",
		120 * 24 * time.Hour:   "Dec 2026 Jan 2027 Feb 2027 Mar 2027",
		10 * 8766 * time.Hour:  "2028 2030 2032 2034 2036",
		290 * 8766 * time.Hour: "",
	} {
		var labels []string
		for _, tick := range ticks(from, from.Add(span)) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != want && want != "" || len(labels) > mostTicks+1 || len(labels) == 0 {
			t.Errorf("%v: got %s, want %s", span, got, want)
		}
	}
	at := ticks(from, from.Add(30*time.Minute))
	if at[0].Anchor != "start" || at[1].Anchor != "middle" || at[0].Minor || !at[1].Minor {
		t.Errorf("%+v", at)
	}
}

func TestWhatIsNotVisibleIsShown(t *testing.T) {
	for text, want := range map[string]string{
		"User 1":                       "User 1",
		`DOMAIN\ada`:                   `DOMAIN\ada`,
		"Ünïcode, 日本, עברית, 👩":        "Ünïcode, 日本, עברית, 👩",
		"\x00\x1b\x7f\t\n\u0085":       `\x00\x1b\x7f\t\n\u0085`,
		"\u202e\u2066\u200b\ufeff":     `\u202e\u2066\u200b\ufeff`,
		"a\u00a0b\u3000c\u2028":        `a\u00a0b\u3000c\u2028`,
		"\u3164\u115f\u2800\U000e0041": `\u3164\u115f\u2800\U000e0041`,
		"\xff\xc3":                     `\xff\xc3`,
		"\ufffd":                       "\ufffd",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	var got []string
	for _, n := range []int{0, 7, 999, 1_000, 12_345, 123_456, 1_234_567, -999, -1_000} {
		got = append(got, number(n))
	}
	if want := []string{"0", "7", "999", "1,000", "12,345", "123,456", "1,234,567", "-999", "-1,000"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
