package sweep

import (
	"testing"
	"testing/synctest"
	"time"
)

// bucketServer takes so many requests a second, and some more at once.
type bucketServer struct {
	rate, tokens float64
	last         time.Time
}

func (b *bucketServer) refuses() bool {
	now := time.Now()
	b.tokens = min(b.tokens+now.Sub(b.last).Seconds()*b.rate, b.rate)
	b.last = now
	if b.tokens < 1 {
		return true
	}
	b.tokens--
	return false
}

func TestThePaceSettlesJustUnderWhatIsTaken(t *testing.T) {
	for _, limit := range []float64{3, 25, 400, 5000} {
		synctest.Test(t, func(t *testing.T) {
			p, server := &Pace{}, &bucketServer{rate: limit, tokens: limit, last: time.Now()}
			var made, refused int
			begin := time.Now()
			settled := begin.Add(20 * time.Second)
			for end := begin.Add(120 * time.Second); time.Now().Before(end); {
				if err := p.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Microsecond) // which the request takes
				throttled := server.refuses()
				p.Done(throttled)
				if time.Now().Before(settled) {
					continue
				}
				if made++; throttled {
					refused++
				}
			}
			answered := float64(made-refused) / 100
			t.Logf("of %.0f requests a second %.1f are answered, and %.1f%% are refused", limit, answered, 100*float64(refused)/float64(made))
			if answered < 0.8*limit || refused*10 > made {
				t.Errorf("of %.0f requests a second %.1f are answered, and %d of %d are refused", limit, answered, refused, made)
			}
		})
	}
}

func TestThePaceKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := &Pace{Rate: 10}, time.Now()
		for range 101 {
			if err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.Done(false)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 10*time.Second+time.Millisecond || p.Limit() != 10 {
			t.Errorf("101 requests took %v, at a limit of %v", took, p.Limit())
		}
	})
}
