package rowseal_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
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

// BenchmarkFile seals and opens rows with a file, and does the same with the bytes alone and Lockbox's box, so that the
// ratio tells what the row costs: its data key, the store in memory, the reference. Heap is the most that was in use, which
// is a multiple of the file, because it is sealed in memory.
func BenchmarkFile(b *testing.B) {
	for _, size := range []int{64 << 10, 16 << 20} {
		text := bytes.Repeat([]byte("sixty-four bytes of a scanned letter, which no one has to read.\n"), size/64)
		b.Run(fmt.Sprintf("seal/bytes=%d", size), func(b *testing.B) {
			box := bareBox(b)
			benchmarkFile(b, size, func(ctx context.Context, letters *rowseal.Model[letter], files *objects) {
				l := &letter{ID: 1}
				l.Scan.Set(bytes.NewReader(text), rowseal.FileInfo{Name: "scan.pdf"})
				must(b, letters.Seal(ctx, l))
				must(b, files.Memory.Delete(ctx, l.Scan.Object()))
			}, func() { must(b, second(box.EncryptFile(bytes.NewReader(text), int64(size), nil))) })
		})
		b.Run(fmt.Sprintf("open/bytes=%d", size), func(b *testing.B) {
			box := bareBox(b)
			ciphertext, err := box.EncryptFile(bytes.NewReader(text), int64(size), nil)
			must(b, err)
			var row stored
			benchmarkFile(b, size, func(ctx context.Context, letters *rowseal.Model[letter], _ *objects) {
				if row == nil {
					l := &letter{ID: 1}
					l.Scan.Set(bytes.NewReader(text), rowseal.FileInfo{Name: "scan.pdf"})
					row = sealed(b, letters, l)
				}
				l := load[letter](b, 1, row)
				must(b, letters.Open(ctx, l))
				r, err := l.Scan.Open(ctx)
				must(b, err)
				if n, err := io.Copy(io.Discard, r); n != int64(size) || err != nil {
					b.Fatal(n, err)
				}
			}, func() { must(b, second(box.DecryptFile(bytes.NewReader(ciphertext), int64(size), nil))) })
		})
	}
}

func bareBox(b *testing.B) *lockbox.Box {
	b.Helper()
	box, err := lockbox.New(masterSecret("file"), &lockbox.Options{Format: lockbox.Format{Raw: true}})
	must(b, err)
	return box
}

// benchmarkFile measures a call with a row, and beside it, in turn, the bare one.
func benchmarkFile(b *testing.B, size int, call func(context.Context, *rowseal.Model[letter], *objects), bare func()) {
	files := &objects{}
	letters := lettersOf(b, &kmstest.Fake{}, files)
	call(b.Context(), letters, files) // what is prepared once
	bare()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var rows, alone time.Duration
	var peak uint64
	for b.Loop() {
		start := time.Now()
		call(b.Context(), letters, files)
		rows += time.Since(start)
		b.StopTimer()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
		start = time.Now()
		bare()
		alone += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(rows.Seconds()/alone.Seconds(), "×bare")
	b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
}
