package sweep

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Pace spaces the requests to a KMS: at most Rate a second and, once the KMS refuses some because they are too many, as many as it
// takes: it falls to a little less than what was answered lately, and then climbs slowly, until the next refusal. It is a kms.Pacer, and
// one Pace may serve several sweeps of a process.
type Pace struct {
	// Rate is the most requests a second. 0: as many as the KMS takes.
	Rate float64

	mu     sync.Mutex
	limit  float64   // requests a second now; 0: none is known
	next   time.Time // when the next request may be made
	change time.Time // when the limit was last changed, or will climb again
	now    answered
	before answered // the window before
}

// answered counts the requests that were answered in a window of time.
type answered struct {
	since time.Time
	took  time.Duration // 0: it is not over
	n     int
}

const (
	window    = time.Second
	below     = 0.9             // of the rate that was answered when the KMS refused some
	climb     = 1.03            // times, every climbStep
	climbStep = time.Second     //
	calm      = 2 * time.Second // after a refusal: more of them are of the same crowd
	lowest    = 0.5             // requests a second
)

// Wait implements kms.Pacer.
func (p *Pace) Wait(ctx context.Context) error {
	d := p.reserve(time.Now())
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// reserve takes the next moment for a request, and tells how far it is from now.
func (p *Pace) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.since.IsZero() {
		p.now.since = now
	}
	limit := p.current(now)
	if limit == 0 {
		return 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	at := p.next
	p.next = at.Add(time.Duration(float64(time.Second) / limit))
	return at.Sub(now)
}

// current is the limit now, which climbs while nothing is refused.
func (p *Pace) current(now time.Time) float64 {
	for p.limit > 0 && now.Sub(p.change) >= climbStep {
		p.limit *= climb
		p.change = p.change.Add(climbStep)
	}
	if p.Rate > 0 && (p.limit == 0 || p.limit > p.Rate) {
		return p.Rate
	}
	return p.limit
}

// Done implements kms.Pacer.
func (p *Pace) Done(throttled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if elapsed := now.Sub(p.now.since); elapsed >= window {
		p.before, p.now = p.now, answered{since: now}
		p.before.took = elapsed
	}
	if !throttled {
		p.now.n++
		return
	}
	if p.limit > 0 && now.Before(p.change) { // of the same crowd
		return
	}
	limit := p.current(now)
	p.limit = max(below*p.rate(now), lowest)
	if limit > 0 {
		p.limit = min(p.limit, limit)
	}
	p.change = now.Add(calm)
	p.next = now.Add(time.Duration(float64(time.Second) / p.limit))
}

// rate is how many requests a second were answered lately.
func (p *Pace) rate(now time.Time) float64 {
	took := p.before.took + now.Sub(p.now.since)
	return float64(p.before.n+p.now.n) / max(took, window/10).Seconds()
}

// Limit is how many requests a second are made at most now; 0: as many as the work needs.
func (p *Pace) Limit() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current(time.Now())
}

// counter counts the requests of a sweep, which another Pacer paces.
type counter struct {
	kms.Pacer
	requests, throttled atomic.Int64
}

// Wait implements kms.Pacer.
func (c *counter) Wait(ctx context.Context) error {
	err := c.Pacer.Wait(ctx)
	if err == nil {
		c.requests.Add(1)
	}
	return err
}

// Done implements kms.Pacer.
func (c *counter) Done(throttled bool) {
	if throttled {
		c.throttled.Add(1)
	}
	c.Pacer.Done(throttled)
}
