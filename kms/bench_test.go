package kms_test

import (
	"fmt"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// BenchmarkKey measures what a Key itself adds: its service, in memory, takes about a microsecond an item.
func BenchmarkKey(b *testing.B) {
	for _, batch := range []int{1, 240} {
		for _, n := range []int{1, 10, 1000} {
			b.Run(fmt.Sprintf("encrypt/batch=%d/items=%d", batch, n), func(b *testing.B) {
				fake := &kmstest.Fake{BatchSize: batch}
				key := kms.NewKey(fake, nil)
				items := rows(n)
				measure(b, fake, n, func() []kms.Result { return key.EncryptBatch(b.Context(), items) })
			})
			b.Run(fmt.Sprintf("decrypt/batch=%d/items=%d", batch, n), func(b *testing.B) {
				fake := &kmstest.Fake{BatchSize: batch}
				key := kms.NewKey(fake, nil)
				sealed := seal(b, fake, n)
				measure(b, fake, n, func() []kms.Result { return key.DecryptBatch(b.Context(), sealed) })
			})
		}
	}
}

func measure(b *testing.B, fake *kmstest.Fake, items int, call func() []kms.Result) {
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range call() {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	b.ReportMetric(float64(fake.Requests())/float64(b.N), "requests/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*items), "ns/item")
}
