package kmstest

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// client is one of several clients of a Fake's key.
type client struct{ *Fake }

func (client) Close() error { return nil }

// sealer is one without the right to open.
type sealer struct{ client }

func (sealer) Decrypt(_ context.Context, items []kms.Item) []kms.Result {
	return failAll(items, itself, kms.ErrAccessDenied)
}

func (sealer) Rewrap(_ context.Context, items []kms.RewrapItem) []kms.Result {
	return failAll(items, source, kms.ErrAccessDenied)
}

func failAll[I any](items []I, item func(I) kms.Item, err error) []kms.Result {
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i] = kms.Result{Ref: item(it).Ref, Err: err}
	}
	return results
}

// harnessOf is what Run needs to know of a Fake.
func harnessOf(f *Fake) Harness {
	return Harness{
		New:         func(*testing.T) kms.Service { return client{f} },
		Other:       func(*testing.T) kms.Service { return &Fake{BatchSize: f.BatchSize, Support: f.Support} },
		EncryptOnly: func(*testing.T) kms.Service { return sealer{client{f}} },
		Disable:     func(*testing.T) { f.Disable() },
		Enable:      func(*testing.T) { f.Enable() },
		Rotate:      func(*testing.T) { f.Rotate() },
		Version:     func(ciphertext []byte) int { return int(binary.BigEndian.Uint32(ciphertext)) },
		Errors: []ErrorCase{{
			Name: "when throttled",
			Want: kms.ErrThrottled,
			Do: func(t *testing.T) error {
				f.Throttle(1)
				return one(f.Encrypt(t.Context(), []kms.Item{{Data: plaintext(32)}})).Err
			},
		}},
	}
}

func TestTheFakeKeepsThePromises(t *testing.T) {
	for name, fake := range map[string]*Fake{
		"singles":               {},
		"batches":               {BatchSize: 240},
		"rewraps in place":      {BatchSize: 10, Support: kms.RewrapSameContext},
		"rewraps anywhere":      {Support: kms.RewrapAnyContext},
		"context not enforced":  {BatchSize: 10, IgnoreContext: true},
		"rewraps, not enforced": {IgnoreContext: true, Support: kms.RewrapAnyContext},
	} {
		t.Run(name, func(t *testing.T) { Run(t, harnessOf(fake)) })
	}
}
