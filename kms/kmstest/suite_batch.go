package kmstest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// rows returns n items, each with a plaintext and a context of its own; where the service takes it, some without.
func (s *suite) rows(n int) []kms.Item {
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = kms.Item{Data: s.dataKey(), Context: user(strconv.Itoa(i))}
		if i%7 == 3 && !s.NeedsContext {
			items[i].Context = nil
		}
	}
	return items
}

func (s *suite) batchSize(t *testing.T) int { return max(1, s.New(t).Info().BatchSize) }

func (s *suite) orderAndRefs(t *testing.T) {
	service := s.service(t)
	items := s.rows(min(7, s.batchSize(t)))
	for i := range items {
		items[i].Ref = 100 - 3*i
	}
	want := make([][]byte, len(items))
	for i, r := range s.answers(t, items, service.Encrypt(t.Context(), items)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		want[i], items[i].Data = items[i].Data, r.Data
	}
	for i, r := range s.answers(t, items, service.Decrypt(t.Context(), items)) {
		expectPlaintext(t, i, r, want[i])
	}
}

// answers fails the test unless there is a result an item, with its ref.
func (s *suite) answers(t *testing.T, items []kms.Item, results []kms.Result) []kms.Result {
	t.Helper()
	if len(results) != len(items) {
		t.Fatalf("%d results for %d items", len(results), len(items))
	}
	for i, r := range results {
		if r.Ref != items[i].Ref {
			t.Errorf("result %d has ref %d, its item %d", i, r.Ref, items[i].Ref)
		}
	}
	return results
}

func (s *suite) oneBadItem(t *testing.T) {
	service := s.service(t)
	items := s.rows(5)
	sealed := encryptAll(t, kms.NewKey(service, nil), items)
	sealed[2].Data = []byte("no ciphertext")
	check := func(t *testing.T, results []kms.Result) {
		for i, r := range results {
			if i == 2 {
				expectError(t, "what is no ciphertext", r, kms.ErrDecryptionFailed)
			} else {
				expectPlaintext(t, i, r, items[i].Data)
			}
		}
	}
	check(t, kms.NewKey(service, nil).DecryptBatch(t.Context(), sealed))
	if s.batchSize(t) >= len(sealed) {
		check(t, s.answers(t, sealed, service.Decrypt(t.Context(), sealed)))
	}
	s.refusedSizes(t, service)
}

// refusedSizes sends plaintexts just out of range between good ones.
func (s *suite) refusedSizes(t *testing.T, service kms.Service) {
	for _, n := range s.outOfRange {
		items := s.rows(3)
		items[1].Data = plaintext(n)
		results := kms.NewKey(service, nil).EncryptBatch(t.Context(), items)
		expectError(t, fmt.Sprintf("a plaintext of %d bytes", n), results[1], kms.ErrInvalidRequest)
		for _, i := range []int{0, 2} {
			if results[i].Err != nil {
				t.Errorf("item %d beside it: %v", i, results[i].Err)
			}
		}
	}
}

func (s *suite) batchesThroughKey(t *testing.T) {
	sizes := []int{1, 2, 20}
	if b := s.batchSize(t); b > 1 {
		sizes = []int{1, 2, b, b + 1, 2*b + 3}
	}
	key := s.key(t)
	for _, n := range sizes {
		s.roundTrip(t, key, s.rows(n))
	}
}

func (s *suite) parallelUse(t *testing.T) {
	service := s.service(t)
	key := kms.NewKey(service, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			items := s.rows(3)
			for i, r := range key.EncryptBatch(t.Context(), items) {
				if r.Err != nil {
					t.Errorf("encrypt: %v", r.Err)
					return
				}
				expectPlaintext(t, i, open(t.Context(), service, r.Data, items[i].Context), items[i].Data)
			}
		})
		wg.Go(func() {
			want, c := s.dataKey(), user(strconv.Itoa(i))
			ciphertext, err := key.Encrypt(t.Context(), want, c)
			if err != nil {
				t.Errorf("encrypt: %v", err)
				return
			}
			expectPlaintext(t, i, open(t.Context(), service, ciphertext, c), want)
		})
	}
	wg.Wait()
}

func (s *suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.refusesUnder(ctx, t, context.Canceled)
}

func (s *suite) expired(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	s.refusesUnder(ctx, t, context.DeadlineExceeded)
}

// refusesUnder asks the service itself: a Key would not even make the request.
func (s *suite) refusesUnder(ctx context.Context, t *testing.T, want error) {
	service := s.service(t)
	items := s.rows(min(3, s.batchSize(t)))
	sealed := encryptAll(t, kms.NewKey(service, nil), items)
	for _, r := range s.answers(t, items, service.Encrypt(ctx, items)) {
		expectError(t, "encrypt", r, want)
	}
	for _, r := range s.answers(t, sealed, service.Decrypt(ctx, sealed)) {
		expectError(t, "decrypt", r, want)
	}
	if rewrapper, support := rewrapperOf(service); support != kms.RewrapNone {
		r := one(rewrapper.Rewrap(ctx, []kms.RewrapItem{{Item: sealed[0], To: sealed[0].Context}}))
		expectError(t, "rewrap", r, want)
	}
}
