package localkms

import (
	"fmt"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// One request reads and checks the key file once, which is most of the time of a batch of 1.
func BenchmarkService(b *testing.B) {
	key := newKey(b, newStore(b), "users")
	for _, n := range []int{1, 1000} {
		items := make([]kms.Item, n)
		for i := range items {
			items[i] = kms.Item{Data: make([]byte, 32), Context: kms.Context{"model_name": "User", "model_id": fmt.Sprint(i)}}
		}
		wrapped := make([]kms.Item, n)
		for i, r := range key.Encrypt(b.Context(), items) {
			wrapped[i] = kms.Item{Data: r.Data, Context: items[i].Context}
		}
		b.Run(fmt.Sprintf("wrap/batch=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				requireAll(b, key.Encrypt(b.Context(), items))
			}
		})
		b.Run(fmt.Sprintf("unwrap/batch=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				requireAll(b, key.Decrypt(b.Context(), wrapped))
			}
		})
	}
}

func requireAll(b *testing.B, results []kms.Result) {
	for _, r := range results {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
