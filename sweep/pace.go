package sweep

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Pace spaces the requests to a KMS: at most Rate a second and, once the KMS refuses some because they are too many, as many as it
// takes. It falls to slower of what was asked for when that happened, and then climbs slowly: it settles just under the limit. It is a
// kms.Pacer, and one Pace may serve several sweeps of a process.
type Pace struct {
	// Rate is the most requests a second. 0: as many as the KMS takes.
	Rate float64

	mu     sync.Mutex
	limit  float64   // requests a second now; 0: none is known
	next   time.Time // when the next request may be made
	climb  time.Time // when the limit was last changed
	made   int       // requests since since
	since  time.Time
	recent float64 // requests a second, lately
}

const (
	backOff   = 0.8             // of the rate that was too much
	climbing  = 1.05            // times, each climbStep
	climbStep = time.Second     //
	calm      = 2 * time.Second // refusals so soon after another are of the same crowd
	lowest    = 0.5             // requests a second
	window    = time.Second     // over which the rate is measured
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
	p.count(now)
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

// count measures the rate of the requests.
func (p *Pace) count(now time.Time) {
	if elapsed := now.Sub(p.since); elapsed >= window {
		p.recent, p.made, p.since = float64(p.made)/elapsed.Seconds(), 0, now
	}
	p.made++
}

// current is the limit now, which climbs while nothing is refused.
func (p *Pace) current(now time.Time) float64 {
	for p.limit > 0 && now.Sub(p.climb) >= climbStep {
		p.limit *= climbing
		p.climb = p.climb.Add(climbStep)
	}
	if p.Rate > 0 && (p.limit == 0 || p.limit > p.Rate) {
		return p.Rate
	}
	return p.limit
}

// Done implements kms.Pacer.
func (p *Pace) Done(throttled bool) {
	if throttled {
		p.slow(time.Now())
	}
}

func (p *Pace) slow(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 && now.Sub(p.climb) < 0 { // of the same crowd
		return
	}
	limit := p.current(now)
	if limit == 0 {
		limit = max(p.recent, float64(p.made)/max(now.Sub(p.since).Seconds(), 0.1))
	}
	p.limit = max(limit*backOff, lowest)
	p.climb = now.Add(calm)
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
