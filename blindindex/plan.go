package blindindex

import (
	"fmt"
	"math/bits"
	"strings"
)

// Plan describes the indexes over one field, to tell beforehand how much they leak together. The analysis is CipherSweet's
// (https://ciphersweet.paragonie.com/security, "Blind Index Information Leaks"): an index of L bits, over a field that has
// 2^K different values, tells min(L, K) bits of each value; the bits of several indexes over the field add up to T; so
// with R rows, each value shares its indexes with about C = R / 2^T rows, the coincidences.
//
// Below 2 coincidences, equal indexes prove equal values. From √R on, a search finds so many wrong rows that the index is
// of little use. Between them, 2 ≤ C < √R, it is sound: whoever reads the database cannot tell a coincidence from equality,
// and a search opens the rows that it found and drops the wrong ones.
//
// The analysis takes the values for evenly spread. Where some are frequent (surnames, cities), their indexes are frequent
// too and can be guessed by rank, however short the index is.
//
// An index of 256 bits, this package's default and the gem's, has no coincidences at all: it tells which rows have equal
// values, by design, and no more than that to those without the key. Uniqueness needs such an index.
type Plan struct {
	Rows    int64 // R: how many rows there will be; less than 1 counts as 1
	Indexes []PlannedIndex
}

// PlannedIndex is one index of a Plan.
type PlannedIndex struct {
	Bits       int // L: 8 times Options.Size; 0, or more than 256, counts as 256
	DomainBits int // K: the binary logarithm of the number of possible values, rounded up; 0 is unlimited
}

// Verdict is what a Leak comes to.
type Verdict string

// The verdicts, in the order in which they are tried.
const (
	Linkable Verdict = "linkable" // C < 2: equal indexes prove equal values
	Coarse   Verdict = "coarse"   // C ≥ √R: a search finds too many wrong rows
	Sound    Verdict = "sound"    // 2 ≤ C < √R
)

// Leak is how much the indexes of a Plan leak.
type Leak struct {
	Rows         int64
	Bits         int     // T: what all indexes together tell of a value
	Coincidences float64 // C: the rows that share a value's indexes by chance
	Verdict      Verdict

	// MinBits and MaxBits are the values of Bits that would be sound for these rows. There are none for less than 8 rows:
	// MaxBits is less than MinBits then.
	MinBits, MaxBits int
}

// Leak tells how much the planned indexes leak together.
func (p Plan) Leak() Leak {
	rows := uint64(max(p.Rows, 1))
	log := bits.Len64(rows) - 1 // the binary logarithm, rounded down
	leak := Leak{
		Rows:         int64(rows),
		Coincidences: float64(rows),
		Verdict:      Sound,
		MinBits:      log/2 + 1, // 2^T > √R
		MaxBits:      log - 1,   // 2^T ≤ R/2
	}
	for _, i := range p.Indexes {
		leak.Bits += i.bits()
	}
	for range leak.Bits {
		leak.Coincidences /= 2
	}
	switch {
	case leak.Bits > leak.MaxBits:
		leak.Verdict = Linkable
	case leak.Bits < leak.MinBits:
		leak.Verdict = Coarse
	}
	return leak
}

func (i PlannedIndex) bits() int {
	const most = 8 * maxSize
	l := i.Bits
	if l <= 0 || l > most {
		l = most
	}
	if i.DomainBits > 0 {
		return min(l, i.DomainBits)
	}
	return l
}

// Room returns how many bits a further index may have so that all are sound together; ok is false where none can be.
func (l Leak) Room() (least, most int, ok bool) {
	least, most = max(l.MinBits-l.Bits, 1), l.MaxBits-l.Bits
	return least, most, least <= most
}

// Sizes returns what Options.Size a single index may have to be sound, in bytes. Often there is one; for some numbers of
// rows there is none, because an index has whole bytes.
func (l Leak) Sizes() (sizes []int) {
	for size := 1; 8*size <= l.MaxBits; size++ {
		if 8*size >= l.MinBits {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// String says it in words.
func (l Leak) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, indexes of %d bits in all: %.3g coincidences, %s", l.Rows, l.Bits, l.Coincidences, l.Verdict)
	switch l.Verdict {
	case Linkable:
		b.WriteString(": equal indexes prove equal values")
	case Coarse:
		b.WriteString(": a search finds too many wrong rows")
	case Sound:
		b.WriteString(": equal indexes do not prove equal values; open what a search finds, and compare")
	}
	if l.MinBits > l.MaxBits {
		b.WriteString(". So few rows have no sound index")
	} else if l.Verdict != Sound {
		fmt.Fprintf(&b, ". Sound are %d to %d bits in all (%s)", l.MinBits, l.MaxBits, l.sizesInWords())
	}
	return b.String()
}

func (l Leak) sizesInWords() string {
	switch sizes := l.Sizes(); len(sizes) {
	case 0:
		return "an index of whole bytes never is"
	case 1:
		return fmt.Sprintf("one index of size %d", sizes[0])
	default:
		return fmt.Sprintf("one index of size %d to %d", sizes[0], sizes[len(sizes)-1])
	}
}
