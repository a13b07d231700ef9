package sweep

import (
	"context"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// Forecast is what a sweep would do, and what its KMS would be asked.
type Forecast struct {
	Rows      int64 // that would be visited
	Keys      int64 // data keys that would be wrapped or opened
	Requests  []KeyForecast
	Estimated bool // of a sample
	// AtMost: some data keys may turn out to need nothing, which shows only when the KMS has answered for others.
	AtMost bool
}

// KeyForecast is what one KMS key would be asked.
type KeyForecast struct {
	KeyID    string
	Items    int64
	Requests int64
	Cost     float64 // in US dollars, at kms.Info.Price
	Quota    float64 // kms.Info.Quota
}

// Coster is a Step that knows what a data key costs before it has seen it.
type Coster interface {
	// Cost is how many times the KMS key of the data key's version, and the one that seals, are asked for it. sure is false where it
	// may turn out to be none. sameContext: the encryption context would stay.
	Cost(v VersionCount, seals *kms.Key, sameContext bool) (old, fresh int, sure bool)
}

// Forecast counts the rows and their versions, and tells what the sweep would cost. It makes no request to a KMS, and neither takes the
// lease nor looks at where an earlier sweep was stopped. Steps that are no Coster have no Keys and no Requests.
func (s *Sweep) Forecast(ctx context.Context, sample bool) (Forecast, error) {
	if _, err := s.step.Plan(ctx, s.table(true)); err != nil {
		return Forecast{}, err
	}
	v, err := CountVersions(ctx, s.db, s.rows, s.opts.Where, sample)
	if err != nil {
		return Forecast{}, err
	}
	parts := int64(s.opts.Parts)
	f := Forecast{Rows: v.Rows / parts, Estimated: v.Estimated || parts > 1}
	coster, ok := s.step.(Coster)
	if !ok {
		return f, nil
	}
	items := map[*kms.Key]int64{}
	for _, c := range v.Counts {
		seals := s.sealing(c.Column)
		if c.Key == nil || seals == nil {
			continue
		}
		old, fresh, sure := coster.Cost(c, seals, s.keepsContext(c))
		rows := c.Rows / parts
		if old+fresh > 0 {
			f.Keys += rows
		}
		items[c.Key] += int64(old) * rows
		items[seals] += int64(fresh) * rows
		f.AtMost = f.AtMost || !sure && rows > 0
	}
	for key, n := range items {
		if n > 0 {
			f.Requests = append(f.Requests, s.forecast(key, n))
		}
	}
	slices.SortFunc(f.Requests, func(a, b KeyForecast) int { return int(b.Requests - a.Requests) })
	return f, nil
}

func (s *Sweep) forecast(key *kms.Key, items int64) KeyForecast {
	info := key.Info()
	batch := int64(max(info.BatchSize, 1))
	requests := (items + batch - 1) / batch
	return KeyForecast{info.KeyID, items, requests, float64(requests) * info.Price, info.Quota}
}

// sealing is the KMS key that seals in a key column; nil: the row chooses.
func (s *Sweep) sealing(column string) *kms.Key {
	if ring := s.rows.Keyrings()[column]; ring != nil {
		return ring.Versions()[0].Key
	}
	return nil
}

// keepsContext tells whether a data key of this version would stay under its encryption context.
func (s *Sweep) keepsContext(c VersionCount) bool {
	if c.Current {
		return true
	}
	for _, k := range s.rows.Schema().Keys {
		if k.Column == c.Column {
			_, own := k.Versions[c.Version]
			return !own && c.Version != 0
		}
	}
	return false
}

// Cost implements Coster.
func (s *RewrapStep) Cost(v VersionCount, seals *kms.Key, sameContext bool) (old, fresh int, sure bool) {
	switch {
	case v.Current && s.All:
		return 0, 1, true
	case v.Current && seals.ShowsVersions(): // which of them its newest has wrapped shows when it has answered
		return 0, 1, false
	case v.Current:
		return 0, 0, true
	case seals.RewrapsFrom(v.Key, sameContext):
		return 0, 1, true
	}
	return 1, 1, true
}

// Cost implements Coster.
func (*RekeyStep) Cost(VersionCount, *kms.Key, bool) (old, fresh int, sure bool) { return 1, 1, true }
