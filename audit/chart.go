package audit

import (
	"fmt"
	"time"
)

// chart is a timeline as it is drawn: how far to the right in percent, so that it is as wide as the page, and how high in pixels.
type chart struct {
	Step             string // of a bar, in words
	Bars             []bar
	Ticks            []tick
	Opens, Failures  lane
	MostOpens        bar
	Height, Axis     int
	First, Last, End time.Time // End: of the last bar
}

// lane is where bars of one kind stand, on a scale of its own: a few failures among many opens have to be seen.
type lane struct {
	Top, Half, Base int // where the lines at the scale's end, half and zero are
	Scale           int // a round number
}

// bar is a period in which there was something.
type bar struct {
	Period
	X, Width          string
	OpensTop          string
	OpensHeight       string
	FailTop           string
	FailHeight        string
	LaneTop, LaneHigh int
}

// tick is a time on the axis.
type tick struct {
	X, Label string
	Anchor   string // of the label: start, middle or end
	Minor    bool   // left out where there is little room
}

const (
	mostBars  = 400
	mostTicks = 9
)

// newChart draws a timeline whose periods are as long as step says at least. Periods without an event are not in it, so that they
// are gaps.
func newChart(periods []Period, step time.Duration) *chart {
	if len(periods) == 0 {
		return nil
	}
	first, last := periods[0].Start, periods[len(periods)-1].Start
	for _, wider := range steps {
		if step < wider && last.Sub(first)/step >= mostBars {
			step = wider
		}
	}
	periods = merged(periods, step)
	from, to := periods[0].Start, periods[len(periods)-1].Start.Add(step)
	c := &chart{Step: stepWords(step), First: from, Last: periods[len(periods)-1].Start, End: to, Axis: 252, Height: 278,
		Opens:    lane{Top: 24, Half: 92, Base: 160, Scale: 1},
		Failures: lane{Top: 204, Base: 252, Scale: 1}}
	for _, p := range periods {
		c.Opens.Scale, c.Failures.Scale = max(c.Opens.Scale, p.Opens), max(c.Failures.Scale, p.Failures)
	}
	c.Opens.Scale, c.Failures.Scale = round(c.Opens.Scale), round(c.Failures.Scale)
	span := to.Sub(from)
	for _, p := range periods {
		b := bar{Period: p, X: percent(p.Start.Sub(from), span), Width: percent(step*9/10, span), LaneHigh: c.Axis}
		b.OpensTop, b.OpensHeight = c.Opens.bar(p.Opens)
		b.FailTop, b.FailHeight = c.Failures.bar(p.Failures)
		if c.Bars = append(c.Bars, b); b.Opens > c.MostOpens.Opens {
			c.MostOpens = b
		}
	}
	c.Ticks = ticks(from, to)
	return c
}

// bar is as high as n is on the lane's scale, and never too low to be seen.
func (l lane) bar(n int) (top, height string) {
	high := 0.0
	if n > 0 {
		high = max(2, float64(l.Base-l.Top)*float64(n)/float64(l.Scale))
	}
	return fmt.Sprintf("%.1f", float64(l.Base)-high), fmt.Sprintf("%.1f", high)
}

// merged counts in longer periods.
func merged(periods []Period, step time.Duration) []Period {
	var list []Period
	for _, p := range periods {
		start := time.Unix(0, p.Start.UnixNano()/int64(step)*int64(step)).UTC()
		if n := len(list); n == 0 || !list[n-1].Start.Equal(start) {
			list = append(list, Period{Start: start})
		}
		list[len(list)-1].merge(p.Counts)
	}
	return list
}

func percent(part, of time.Duration) string {
	return fmt.Sprintf("%.3f%%", 100*float64(part)/float64(of))
}

// round returns a number of one digit and zeros that n does not exceed; but for 1, half of it is whole.
func round(n int) int {
	for scale := 1; ; scale *= 10 {
		for _, digit := range []int{1, 2, 3, 4, 5, 6, 8} {
			if top := digit * scale; n <= top && (top%2 == 0 || top == 1) {
				return top
			}
		}
	}
}

func stepWords(step time.Duration) string {
	switch day := 24 * time.Hour; {
	case step >= 52*7*day:
		return "52 weeks"
	case step >= 7*day:
		return "week"
	case step >= day:
		return "day"
	case step > time.Hour:
		return fmt.Sprintf("%d hours", step/time.Hour)
	case step == time.Hour:
		return "hour"
	case step > time.Minute:
		return fmt.Sprintf("%d minutes", step/time.Minute)
	}
	return "minute"
}

// ticks are round times, days and months, as many as there is room for.
func ticks(from, to time.Time) []tick {
	const day = 24 * time.Hour
	for _, d := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour,
		12 * time.Hour, day, 2 * day, 7 * day} {
		if to.Sub(from)/d < mostTicks {
			return ticksAt(from, to, from.Truncate(d), func(t time.Time) time.Time { return t.Add(d) }, func(t time.Time) string {
				if d < day && !t.Equal(t.Truncate(day)) {
					return t.Format("15:04")
				}
				return t.Format("2 Jan")
			})
		}
	}
	all := 12*(to.Year()-from.Year()) + int(to.Month()-from.Month())
	for _, months := range []int{1, 2, 3, 6, 12, 24, 60, 120, 1200, 12_000} {
		if all/months > mostTicks {
			continue
		}
		start := time.Date(from.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		return ticksAt(from, to, start, func(t time.Time) time.Time { return t.AddDate(0, months, 0) }, func(t time.Time) string {
			if months < 12 {
				return t.Format("Jan 2006")
			}
			return t.Format("2006")
		})
	}
	return nil
}

func ticksAt(from, to, start time.Time, next func(time.Time) time.Time, label func(time.Time) string) []tick {
	var list []tick
	span := to.Sub(from)
	for t := start; t.Before(to); t = next(t) {
		if t.Before(from) {
			continue
		}
		at := tick{X: percent(t.Sub(from), span), Label: label(t), Anchor: "middle", Minor: len(list)%2 == 1}
		switch share := float64(t.Sub(from)) / float64(span); {
		case share < 0.04:
			at.Anchor = "start"
		case share > 0.96:
			at.Anchor = "end"
		}
		list = append(list, at)
	}
	return list
}
