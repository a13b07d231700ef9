package sweep

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// RewrapStep wraps data keys anew, by the newest version of the KMS key that seals: after the KMS has rotated its key, and from
// older versions of the keyring, which may be other keys, other providers, or other contexts. The data keys, and everything sealed
// under them, stay. It is safe beside any writer, a Rails application included.
//
// A data key that needs nothing costs nothing: one of the keyring's first version is left alone where the KMS shows in its
// ciphertexts that its own newest version has wrapped it (Vault, OpenBao, Azure, local keys). Which one is the newest the step sees
// from one data key that it rewraps first.
type RewrapStep struct {
	// All rewraps also what is wrapped by the keyring's first version where the KMS does not show its own versions (AWS, Google):
	// after a rotation inside such a KMS.
	All bool

	rows   *rowseal.Rows
	newest map[*kms.Key]string // the newest version of each KMS key, once it is known
	asked  bool
}

// Name implements Step.
func (s *RewrapStep) Name() string { return "rewrap" }

// Plan implements Step.
func (s *RewrapStep) Plan(_ context.Context, t Table) (Plan, error) {
	s.rows, s.newest, s.asked = t.Rows, map[*kms.Key]string{}, false
	rings := t.Rows.Keyrings()
	return Plan{Sealed: slices.Sorted(maps.Keys(rings)), Settings: fmt.Sprintf("all=%t %s", s.All, target(rings))}, nil
}

// target names what the keyrings seal with.
func target(rings map[string]*rowseal.Keyring) string {
	var parts []string
	for column, ring := range rings {
		if ring == nil {
			parts = append(parts, column+"=by row")
			continue
		}
		first := ring.Versions()[0]
		parts = append(parts, fmt.Sprintf("%s=v%d:%s", column, first.Number, first.Key.ID()))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// Do implements Step.
func (s *RewrapStep) Do(ctx context.Context, rows []*Row) error {
	if !s.asked {
		s.asked = true
		s.ask(ctx, rows)
	}
	kept, err := s.rewrap(ctx, rows, s.isOld)
	if err := Spread(err, rows); err != nil {
		return err
	}
	s.learn(rows, kept)
	return nil
}

// ask finds out which the newest version of each key is, by one data key that it may have wrapped.
func (s *RewrapStep) ask(ctx context.Context, rows []*Row) {
	asked := map[*kms.Key]bool{}
	kept, err := s.rewrap(ctx, rows, func(w rowseal.WrappedKey) bool {
		if !w.Current || w.KeyVersion == "" || asked[w.Key] {
			return false
		}
		asked[w.Key] = true
		return true
	})
	if err == nil { // else it comes again when the rows are done
		s.learn(rows, kept)
	}
}

// rewrap wraps those data keys of rows anew that are chosen; kept are the others.
func (s *RewrapStep) rewrap(ctx context.Context, rows []*Row, choose func(rowseal.WrappedKey) bool) (kept map[string]bool, err error) {
	kept = map[string]bool{}
	err = s.rows.Rewrap(ctx, func(w rowseal.WrappedKey) bool {
		kept[w.Wrapped] = !choose(w)
		return !kept[w.Wrapped]
	}, rowsOf(rows)...)
	return kept, err
}

// isOld tells whether a data key is to be wrapped anew.
func (s *RewrapStep) isOld(w rowseal.WrappedKey) bool {
	switch {
	case !w.Current:
		return true
	case w.KeyVersion == "":
		return s.All
	}
	return w.KeyVersion != s.newest[w.Key]
}

// learn notes by which versions of their keys data keys are wrapped now: what was just wrapped shows the newest.
func (s *RewrapStep) learn(rows []*Row, kept map[string]bool) {
	for _, row := range rows {
		if row.Err != nil {
			continue
		}
		wrapped, err := s.rows.Wrapped(row.Row)
		row.Err = err
		for _, w := range wrapped {
			if w.KeyVersion != "" && !kept[w.Wrapped] {
				s.newest[w.Key] = w.KeyVersion
			}
		}
	}
}
