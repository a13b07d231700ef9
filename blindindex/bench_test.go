package blindindex_test

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/scrypt"

	"github.com/rowseal/rowseal/blindindex"
)

const benchValue = "ada.lovelace@example.org"

// bare computes an index with the primitive and encoding/base64, and nothing else.
var bare = map[blindindex.Algorithm]func() string{
	blindindex.Argon2id: func() string { return text(argon2.IDKey([]byte(benchValue), testKey, 3, 4096, 1, 32)) },
	blindindex.Argon2i:  func() string { return text(argon2.Key([]byte(benchValue), testKey, 3, 4096, 1, 32)) },
	blindindex.Scrypt:   func() string { return text(must(scrypt.Key([]byte(benchValue), testKey, 4096, 8, 1, 32))) },
	blindindex.PBKDF2SHA256: func() string {
		return text(must(pbkdf2.Key(sha256.New, benchValue, testKey, 10_000, 32)))
	},
	blindindex.HMACSHA256: func() string {
		mac := hmac.New(sha256.New, testKey)
		mac.Write([]byte(benchValue))
		return text(mac.Sum(nil))
	},
}

func text(index []byte) string { return base64.StdEncoding.EncodeToString(index) }

func skipUnapproved(tb testing.TB, a blindindex.Algorithm) {
	tb.Helper()
	if slices.Contains(unapproved, a) {
		needUnapproved(tb)
	}
}

// One index on one core: time, and beside it the ratio to the bare primitive.
func BenchmarkCompute(b *testing.B) {
	for _, a := range algorithms {
		b.Run(string(a), func(b *testing.B) {
			skipUnapproved(b, a)
			x := newIndexer(b, &blindindex.Options{Algorithm: a, Normalize: "strip+lower"})
			batch := 1
			if a == blindindex.HMACSHA256 {
				batch = 500
			}
			compare(b, batch, func() { sink = must(x.Compute(benchValue)) }, func() { sink = bare[a]() })
		})
	}
}

// A batch, with one worker and with as many as the process has: indexes a second, and how many cores the bare primitive
// would keep busy to make as many. 1 is as fast as one core; GOMAXPROCS is the most there can be.
func BenchmarkComputeAll(b *testing.B) {
	const a = blindindex.Argon2id
	for _, workers := range slices.Compact([]int{1, runtime.GOMAXPROCS(0)}) {
		b.Run(fmt.Sprintf("%s/workers=%d", a, workers), func(b *testing.B) {
			skipUnapproved(b, a)
			defer blindindex.SetWorkers(workers)()
			x := newIndexer(b, &blindindex.Options{Algorithm: a, Normalize: "strip+lower"})
			values := numbers(4 * workers)
			var ours, others time.Duration
			for b.Loop() {
				start := time.Now()
				sink = must(x.ComputeAll(b.Context(), values))[0]
				ours += time.Since(start)
				b.StopTimer()
				start = time.Now()
				for range values {
					sink = bare[a]()
				}
				others += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N*len(values))/ours.Seconds(), "indexes/s")
			b.ReportMetric(others.Seconds()/ours.Seconds(), "bare-cores")
		})
	}
}

// compare measures ours, and beside it the ratio to bare. Both run in turn in short batches, so that a change of the
// machine's speed reaches both.
func compare(b *testing.B, batch int, ours, bare func()) {
	var oursTime, bareTime time.Duration
	run := func(n int, f func()) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		n := min(batch, b.N-done)
		oursTime += run(n, ours)
		b.StopTimer()
		bareTime += run(n, bare)
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(oursTime.Seconds()/bareTime.Seconds(), "x/bare")
}

// The promise that the benchmarks watch, in the part that does not depend on the machine.
func TestAnIndexAllocatesAtMostTwiceMoreThanTheBarePrimitive(t *testing.T) {
	for _, a := range algorithms {
		if fips140.Enforced() && slices.Contains(unapproved, a) {
			continue
		}
		x := newIndexer(t, &blindindex.Options{Algorithm: a, Normalize: "strip+lower"})
		ours := testing.AllocsPerRun(3, func() { sink = must(x.Compute(benchValue)) })
		if others := testing.AllocsPerRun(3, func() { sink = bare[a]() }); ours > others+2 {
			t.Errorf("%s: %v allocations, bare %v", a, ours, others)
		}
	}
}

var sink string
