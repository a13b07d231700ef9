package blindindex_test

import (
	"math"
	"slices"
	"testing"

	"github.com/rowseal/rowseal/blindindex"
)

func planned(bits ...int) (indexes []blindindex.PlannedIndex) {
	for _, b := range bits {
		indexes = append(indexes, blindindex.PlannedIndex{Bits: b})
	}
	return indexes
}

// The figures are those of CipherSweet's page (https://ciphersweet.paragonie.com/security).
func TestCoincidencesAreCipherSweets(t *testing.T) {
	indexes := []blindindex.PlannedIndex{{Bits: 16, DomainBits: 24}, {Bits: 8}}
	for rows, want := range map[int64]float64{1 << 31: 128, 1 << 24: 1, 1 << 16: 0.00390625} {
		leak := blindindex.Plan{Rows: rows, Indexes: indexes}.Leak()
		if leak.Coincidences != want || leak.Bits != 24 || leak.Rows != rows {
			t.Errorf("%d rows: %+v, want %v coincidences", rows, leak, want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		rows    int64
		bits    []int
		verdict blindindex.Verdict
		sizes   []int
	}{
		// CipherSweet's example of 50,000 rows: 8 bits at least.
		{50_000, []int{7}, blindindex.Coarse, []int{1}},
		{50_000, []int{8}, blindindex.Sound, []int{1}},
		{50_000, []int{14}, blindindex.Sound, []int{1}},
		{50_000, []int{15}, blindindex.Linkable, []int{1}},
		{50_000, []int{4, 4}, blindindex.Sound, []int{1}},
		{50_000, []int{8, 8}, blindindex.Linkable, []int{1}},
		{50_000, nil, blindindex.Coarse, []int{1}},
		{50_000, []int{0}, blindindex.Linkable, []int{1}}, // the default size

		{1_000_000, []int{16}, blindindex.Sound, []int{2}},
		{1_000_000, []int{8}, blindindex.Coarse, []int{2}},
		{100_000, []int{16}, blindindex.Linkable, nil}, // no whole number of bytes is sound
		{100_000, []int{8}, blindindex.Coarse, nil},
		{1 << 17, []int{16}, blindindex.Sound, []int{2}},
		{1 << 34, []int{32}, blindindex.Sound, []int{3, 4}},
		{math.MaxInt64, []int{256}, blindindex.Linkable, []int{4, 5, 6, 7}},

		{7, []int{1}, blindindex.Coarse, nil},
		{1, []int{8}, blindindex.Linkable, nil},
		{0, []int{8}, blindindex.Linkable, nil},
		{-5, []int{8}, blindindex.Linkable, nil},
	} {
		leak := blindindex.Plan{Rows: c.rows, Indexes: planned(c.bits...)}.Leak()
		if leak.Verdict != c.verdict || !slices.Equal(leak.Sizes(), c.sizes) {
			t.Errorf("%d rows, %v bits: %s, sizes %v; want %s, %v", c.rows, c.bits, leak, leak.Sizes(), c.verdict, c.sizes)
		}
	}
}

// The bounds are found by whole numbers; here they are asked of the formula, around every power of two.
func TestSoundIsFromTwoCoincidencesToTheRootOfTheRows(t *testing.T) {
	for power := range 40 {
		for _, rows := range []int64{1<<power - 1, 1 << power, 1<<power + 1} {
			for bits := 1; bits < 50; bits++ {
				leak := blindindex.Plan{Rows: rows, Indexes: planned(bits)}.Leak()
				r := math.Max(1, float64(rows))
				c := r / math.Pow(2, float64(bits))
				want := blindindex.Sound
				if c < 2 {
					want = blindindex.Linkable
				} else if c*c >= r {
					want = blindindex.Coarse
				}
				inside := leak.MinBits <= bits && bits <= leak.MaxBits
				if leak.Verdict != want || inside != (want == blindindex.Sound) || leak.Coincidences != c {
					t.Errorf("%d rows, %d bits: %+v, want %s and %v", rows, bits, leak, want, c)
				}
			}
		}
	}
}

func TestASmallDomainLimitsWhatAnIndexTells(t *testing.T) {
	for _, c := range []struct {
		index blindindex.PlannedIndex
		want  int
	}{
		{blindindex.PlannedIndex{Bits: 16, DomainBits: 1}, 1},
		{blindindex.PlannedIndex{Bits: 16, DomainBits: 14}, 14},
		{blindindex.PlannedIndex{Bits: 8, DomainBits: 14}, 8},
		{blindindex.PlannedIndex{}, 256},
		{blindindex.PlannedIndex{Bits: 300}, 256},
		{blindindex.PlannedIndex{Bits: -1, DomainBits: -1}, 256},
	} {
		leak := blindindex.Plan{Rows: 1000, Indexes: []blindindex.PlannedIndex{c.index}}.Leak()
		if leak.Bits != c.want {
			t.Errorf("%+v tells %d bits, want %d", c.index, leak.Bits, c.want)
		}
	}
}

// CipherSweet's planner says 4 to 11 for one index of 4 bits and 8 to 15 for none: its upper bound is the first with fewer
// than 2 coincidences, ours the last with 2 or more, as its page has it.
func TestRoomForAFurtherIndex(t *testing.T) {
	for _, c := range []struct {
		rows        int64
		bits        []int
		least, most int
		ok          bool
	}{
		{50_000, nil, 8, 14, true},
		{50_000, []int{4}, 4, 10, true},
		{50_000, []int{8}, 1, 6, true},
		{50_000, []int{14}, 1, 0, false},
		{50_000, []int{256}, 1, -242, false},
		{7, nil, 2, 1, false},
	} {
		least, most, ok := blindindex.Plan{Rows: c.rows, Indexes: planned(c.bits...)}.Leak().Room()
		if least != c.least || most != c.most || ok != c.ok {
			t.Errorf("%d rows, %v bits: %d to %d, %v; want %d to %d, %v", c.rows, c.bits, least, most, ok, c.least, c.most, c.ok)
		}
	}
}

func TestALeakSaysWhatItComesTo(t *testing.T) {
	for want, plan := range map[string]blindindex.Plan{
		"50000 rows, indexes of 256 bits in all: 4.32e-73 coincidences, linkable: equal indexes prove equal values. " +
			"Sound are 8 to 14 bits in all (one index of size 1)": {Rows: 50_000, Indexes: planned(0)},
		"50000 rows, indexes of 4 bits in all: 3.12e+03 coincidences, coarse: a search finds too many wrong rows. " +
			"Sound are 8 to 14 bits in all (one index of size 1)": {Rows: 50_000, Indexes: planned(4)},
		"50000 rows, indexes of 12 bits in all: 12.2 coincidences, sound: equal indexes do not prove equal values; " +
			"open what a search finds, and compare": {Rows: 50_000, Indexes: planned(8, 4)},
		"7 rows, indexes of 8 bits in all: 0.0273 coincidences, linkable: equal indexes prove equal values. " +
			"So few rows have no sound index": {Rows: 7, Indexes: planned(8)},
	} {
		if got := plan.Leak().String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
