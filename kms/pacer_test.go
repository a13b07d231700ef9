package kms_test

import (
	"context"
	"errors"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// pacer counts, and refuses when it is told to.
type pacer struct {
	waited, done, throttled int
	refuse                  error
}

func (p *pacer) Wait(context.Context) error {
	p.waited++
	return p.refuse
}

func (p *pacer) Done(throttled bool) {
	p.done++
	if throttled {
		p.throttled++
	}
}

func TestEveryRequestWaitsForThePacer(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 2}
	key := kms.NewKey(fake, &kms.KeyOptions{Parallel: 1})
	p := &pacer{}
	ctx := kms.WithPacer(t.Context(), p)
	fake.Throttle(1)
	for i, r := range key.EncryptBatch(ctx, make([]kms.Item, 5)) {
		if r.Err != nil {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	if p.waited != 4 || p.done != 4 || p.throttled != 1 { // three slices, and one of them twice
		t.Errorf("%+v", p)
	}
	p.refuse = errors.New("not now")
	before := fake.Requests()
	if _, err := key.Encrypt(ctx, []byte("x"), nil); !errors.Is(err, p.refuse) || fake.Requests() != before {
		t.Errorf("%v, after %d requests", err, fake.Requests()-before)
	}
	if _, err := key.Encrypt(t.Context(), []byte("x"), nil); err != nil {
		t.Errorf("without a pacer: %v", err)
	}
}

func TestCiphertextsShowTheVersionOfTheirKey(t *testing.T) {
	fake := &kmstest.Fake{}
	key := kms.NewKey(fake, nil)
	for _, want := range []string{"1", "2"} {
		sealed, err := key.Encrypt(t.Context(), []byte("x"), nil)
		if got := key.KeyVersion(sealed); err != nil || got != want {
			t.Errorf("version %q, %v, want %s", got, err, want)
		}
		fake.Rotate()
	}
	if got := key.KeyVersion([]byte("abc")); got != "" {
		t.Errorf("what is no ciphertext shows %q", got)
	}
}
