package activestorage_test

import (
	"bytes"
	"testing"
	"time"
)

// BenchmarkOpen reads a file of 1 MiB from memory, and beside it the ratio to what cannot be saved: reading the object, the
// checksum that Rails has, and the box.
func BenchmarkOpen(b *testing.B) {
	content := string(bytes.Repeat([]byte("p"), 1<<20))
	s := newShelf(b, sealed(b, box, content), marked, nil)
	ours := func() {
		if _, err := s.files.Open(b.Context(), s.license, box); err != nil {
			b.Fatal(err)
		}
	}
	bare := func() {
		object, err := s.objects.Get(b.Context(), s.license.Blob.Key, 2<<20)
		if err != nil || railsChecksum(object) != s.license.Blob.Checksum {
			b.Fatal(err)
		}
		if _, err := box.Open(object); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	var spent [2]time.Duration
	for i := 0; b.Loop(); i++ {
		for turn := range 2 {
			which := (i + turn) % 2 // in turn the first, so that neither always pays for the other's garbage
			if which == 1 {
				b.StopTimer()
			}
			start := time.Now()
			[]func(){ours, bare}[which]()
			spent[which] += time.Since(start)
			b.StartTimer()
		}
	}
	b.ReportMetric(spent[0].Seconds()/spent[1].Seconds(), "x/bare")
}
