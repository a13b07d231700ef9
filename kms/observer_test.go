package kms_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// recorder is an Observer that keeps what it is told.
type recorder struct{ events []kms.Event }

func (r *recorder) Observe(_ context.Context, e kms.Event) { r.events = append(r.events, e) }

// observed returns a Key of fake and the events of its calls.
func observed(fake *kmstest.Fake) (*kms.Key, *recorder) {
	r := new(recorder)
	return kms.NewKey(fake, &kms.KeyOptions{Observers: []kms.Observer{r}}), r
}

func TestObserversAreToldOfEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &kmstest.Fake{ID: "vault/users", BatchSize: 2, Latency: time.Second}
		sealed := seal(t, fake, 5)
		sealed[3].Data = []byte("no ciphertext")
		key, told := observed(fake)
		key.DecryptBatch(t.Context(), sealed)
		if len(told.events) != 1 {
			t.Fatalf("%d events", len(told.events))
		}
		e := told.events[0]
		if e.Op != kms.OpDecrypt || e.KeyID != "vault/users" || e.Requests != 3 || e.Failed != 1 || e.Duration != time.Second {
			t.Errorf("got %+v", e)
		}
		if !errors.Is(e.Err, kms.ErrDecryptionFailed) {
			t.Errorf("error %v", e.Err)
		}
		if len(e.Items) != 5 {
			t.Fatalf("%d items", len(e.Items))
		}
		for i, it := range e.Items {
			if (i == 3) != errors.Is(it.Err, kms.ErrDecryptionFailed) || it.Context["model_id"] != strconv.Itoa(i) || it.Attempts != 1 {
				t.Errorf("item %d is %+v", i, it)
			}
		}
	})
}

func TestObserversAreToldOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &kmstest.Fake{}
		fake.Throttle(2)
		key, told := observed(fake)
		key.Encrypt(t.Context(), []byte("data key"), user(1))
		if e := told.events[0]; e.Requests != 3 || e.Items[0].Attempts != 3 || e.Failed != 0 || e.Err != nil {
			t.Errorf("got %+v", e)
		}
	})
}

func TestObserversAreToldOfRefusedCalls(t *testing.T) {
	for _, test := range []struct {
		what string
		call func(context.Context, *kms.Key)
		op   kms.Op
		want error
	}{
		{"encrypt-only", func(ctx context.Context, k *kms.Key) { k.EncryptOnly().Decrypt(ctx, []byte("x"), user(1)) },
			kms.OpDecrypt, kms.ErrAccessDenied},
		{"closed", func(ctx context.Context, k *kms.Key) { k.Close(); k.Encrypt(ctx, []byte("x"), user(1)) },
			kms.OpEncrypt, kms.ErrInvalidRequest},
		{"invalid context", func(ctx context.Context, k *kms.Key) { k.Encrypt(ctx, []byte("x"), kms.Context{"a": "\xff"}) },
			kms.OpEncrypt, kms.ErrInvalidRequest},
		{"no budget", func(ctx context.Context, k *kms.Key) { k.Encrypt(kms.WithBudget(ctx, 0), []byte("x"), user(1)) },
			kms.OpEncrypt, kms.ErrBudget},
	} {
		fake := &kmstest.Fake{}
		key, told := observed(fake)
		test.call(t.Context(), key)
		if len(told.events) != 1 {
			t.Errorf("%s: %d events", test.what, len(told.events))
			continue
		}
		e := told.events[0]
		if e.Op != test.op || e.Requests != 0 || e.Failed != 1 || len(e.Items) != 1 || e.Items[0].Attempts != 0 || !errors.Is(e.Err, test.want) {
			t.Errorf("%s: %+v", test.what, e)
		}
	}
}

func TestACallWithoutItemsIsNoEvent(t *testing.T) {
	key, told := observed(&kmstest.Fake{})
	key.EncryptBatch(t.Context(), nil)
	key.RewrapBatch(t.Context(), nil)
	if len(told.events) != 0 {
		t.Errorf("%d events", len(told.events))
	}
}

func TestObserversAreCalledInTheirOrder(t *testing.T) {
	var order []string
	named := func(name string) kms.Observer {
		return kms.ObserverFunc(func(context.Context, kms.Event) { order = append(order, name) })
	}
	key := kms.NewKey(&kmstest.Fake{}, &kms.KeyOptions{Observers: []kms.Observer{named("a"), named("b"), named("c")}})
	key.Encrypt(t.Context(), []byte("data key"), nil)
	if got := strings.Join(order, ""); got != "abc" {
		t.Errorf("called as %s", got)
	}
}

func TestEventsSayWhichVersionOfTheKeyItWas(t *testing.T) {
	key, told := observed(&kmstest.Fake{Support: kms.RewrapAnyContext})
	sealed, err := key.Encrypt(t.Context(), []byte("data key"), user(1))
	if err != nil {
		t.Fatal(err)
	}
	key.Decrypt(t.Context(), sealed, user(2))
	key.RewrapBatch(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: sealed, Context: user(1)}, To: user(2)}})
	for i, want := range []kms.Op{kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap} {
		if e := told.events[i]; e.Op != want || e.Items[0].KeyVersion != "1" || (e.Err != nil) != (want == kms.OpDecrypt) {
			t.Errorf("%+v", e)
		}
	}
	if it := told.events[2].Items[0]; it.Context["model_id"] != "1" || it.To["model_id"] != "2" || it.From != "" {
		t.Errorf("a rewrap is told as %+v", it)
	}
}
