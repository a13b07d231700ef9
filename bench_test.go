package rowseal_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// entry is a row of three fields under one data key.
type entry struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Notes           rowseal.Sealed[string] `rowseal:"padding=64"`
	Pin             rowseal.Sealed[int64]
}

func (e *entry) set() {
	e.Email.Set("ada.lovelace@example.org")
	e.Notes.Set("sixty-four bytes, which is what a note of that length would take")
	e.Pin.Set(1815)
}

// BenchmarkSeal seals new rows and BenchmarkOpen opens loaded ones and reads their fields, against a service in memory that
// takes batches of 240. Both count the rows' own cost: the time of the fake's AES-GCM is in them, that of a network is not.
func BenchmarkSeal(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			fake := &kmstest.Fake{BatchSize: 240}
			entries := newModel[entry](b, "entries", ringOf(b, fake), nil)
			measureRows(b, fake, n, func() {
				rows := make([]entry, n)
				for i := range rows {
					rows[i].ID = int64(i + 1)
					rows[i].set()
				}
				must(b, entries.SealSlice(b.Context(), rows))
			})
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			fake := &kmstest.Fake{BatchSize: 240}
			entries := newModel[entry](b, "entries", ringOf(b, fake), nil)
			rows := make([]entry, n)
			for i := range rows {
				rows[i].ID = int64(i + 1)
				rows[i].set()
			}
			must(b, entries.SealSlice(b.Context(), rows))
			fake.Reset()
			pointers := make([]*entry, n)
			for i := range rows {
				pointers[i] = &rows[i]
			}
			measureRows(b, fake, n, func() {
				entries.Wipe(pointers...)
				must(b, entries.OpenSlice(b.Context(), rows))
				for i := range rows {
					_, err := rows[i].Email.Get()
					_, err2 := rows[i].Notes.Get()
					pin, err3 := rows[i].Pin.Get()
					if err != nil || err2 != nil || err3 != nil || pin != 1815 {
						b.Fatal(err, err2, err3, pin)
					}
				}
			})
		})
	}
}

func measureRows(b *testing.B, fake *kmstest.Fake, rows int, call func()) {
	b.ReportAllocs()
	before := mallocs()
	for b.Loop() {
		call()
	}
	allocations := mallocs() - before
	b.ReportMetric(float64(fake.Requests())/float64(b.N), "requests/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
	b.ReportMetric(float64(allocations)/float64(b.N*rows), "allocs/row")
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
