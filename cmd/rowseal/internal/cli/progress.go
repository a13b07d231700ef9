package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/rowseal/rowseal/sweep"
)

const (
	redraw   = 200 * time.Millisecond // of the bar on a terminal
	barWidth = 32                     // characters
	logged   = 10 * time.Second       // between the lines of a log
)

// watch shows how far a sweep is: a bar on a terminal, and a line now and then elsewhere. What is to be said meanwhile goes to notes,
// since the bar would write over it, and end ends it all.
func watch(w io.Writer, s *sweep.Sweep) (notes io.Writer, end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	notes, show := w, func() { lines(w, s.Status, done) }
	if isTerminal(w) {
		p := mpb.New(mpb.WithOutput(w), mpb.WithWidth(barWidth), mpb.WithRefreshRate(redraw))
		notes, show = p, func() { bar(p, s.Status, done) }
	}
	go func() {
		defer close(ended)
		show()
	}()
	return notes, func() {
		close(done)
		<-ended
	}
}

// lines writes a line every some seconds.
func lines(w io.Writer, status func() sweep.Status, done <-chan struct{}) {
	tick := time.NewTicker(logged)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			st := status()
			fmt.Fprintf(w, "%s: %s %s, %s\n", st.Table, st.Step, progressOf(st), speedOf(st))
		}
	}
}

// bar draws a bar. Its total is set later, when the sweep knows it: one that it begins with would stay.
func bar(p *mpb.Progress, status func() sweep.Status, done <-chan struct{}) {
	b := p.New(0, mpb.BarStyle(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			st := status()
			return st.Table + " " + st.Step + " " + progressOf(st) + " "
		})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + speedOf(status()) })))
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		st := status()
		b.SetTotal(max(st.Estimate, st.Rows+1), false)
		b.SetCurrent(st.Rows)
		select {
		case <-done:
			b.Abort(true)
			p.Wait()
			return
		case <-tick.C:
		}
	}
}

// progressOf is "12,345 of about 30,000,000 rows".
func progressOf(st sweep.Status) string {
	if st.Estimate < st.Rows {
		return rowCount(st.Rows)
	}
	return fmt.Sprintf("%s of about %s", thousands(st.Rows), rowCount(st.Estimate))
}

// speedOf is the rate, the time left, and what went wrong.
func speedOf(st sweep.Status) string {
	switch st.State {
	case sweep.Waiting:
		return "waiting"
	case sweep.Paused:
		return "paused"
	}
	rate := float64(st.Rows-st.Begun) / max(time.Since(st.Started).Seconds(), 0.001)
	text := fmt.Sprintf("%s rows/s", thousands(int64(rate)))
	if left := st.Estimate - st.Rows; left > 0 && rate > 0 {
		text += ", " + duration(max(time.Duration(float64(left)/rate*float64(time.Second)), time.Second)) + " left"
	}
	if st.Throttled > 0 && st.Limit > 0 {
		text += fmt.Sprintf(", the KMS takes %.0f requests/s", st.Limit)
	}
	if st.Quarantined > 0 {
		text += fmt.Sprintf(", %s in quarantine", thousands(st.Quarantined))
	}
	return text
}
