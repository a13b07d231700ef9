package audit_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

// hasher is an audit device that counts.
type hasher struct {
	mu    sync.Mutex
	asked []string
	fail  error
}

func (h *hasher) AuditHash(ctx context.Context, text string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, text)
	return "hmac of " + strings.TrimSpace(text), h.fail
}

func TestNamesAreAskedForOnce(t *testing.T) {
	h, names := &hasher{}, &audit.Names{}
	var contexts []kms.Context
	for i := range 100 {
		contexts = append(contexts, user(i%40))
	}
	contexts = append(contexts, nil)
	for range 2 {
		if err := names.Learn(t.Context(), h, nil, contexts...); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.asked) != 2*40 {
		t.Errorf("%d questions for 40 contexts", len(h.asked))
	}
	hash, err := audit.ContextHash(t.Context(), h, user(7), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := names.Resolve(audit.Event{ContextHash: hash}); e.Record() != "User 7" {
		t.Errorf("%s is %s", hash, e.Record())
	}
	for _, e := range []audit.Event{{ContextHash: "hmac of something else"}, {}, {ContextHash: hash, Context: user(8)}} {
		if got := names.Resolve(e); got.Record() == "User 7" {
			t.Errorf("%+v is User 7", e)
		}
	}
}

func TestWhatCannotBeAskedIsNotLearned(t *testing.T) {
	h, names := &hasher{fail: kms.ErrAccessDenied}, &audit.Names{}
	if err := names.Learn(t.Context(), h, nil, user(1), user(2)); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("got %v", err)
	}
	h.fail = nil
	if err := names.Learn(t.Context(), h, nil, user(1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := names.Learn(ctx, h, nil, user(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := names.Learn(t.Context(), h, nil, kms.Context{"a": "\xff"}); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Errorf("got %v", err)
	}
}
