package gcp

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/api/option"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/internal/e2e/gcptest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// errorCases are the service's errors, each with a world of its own.
func errorCases() []kmstest.ErrorCase {
	encrypt := func(t *testing.T, s kms.Service) error { return one(s.Encrypt(t.Context(), item(dataKey))).Err }
	decrypt := func(t *testing.T, s kms.Service, ciphertext []byte) error {
		return one(s.Decrypt(t.Context(), item(ciphertext))).Err
	}
	in := func(do func(t *testing.T, w *world, s kms.Service) error) func(*testing.T) error {
		return func(t *testing.T) error {
			w := newWorld(t)
			return do(t, w, w.service(t, keyID, w.token))
		}
	}
	sealedThen := func(change func(w *world)) func(*testing.T) error {
		return in(func(t *testing.T, w *world, s kms.Service) error {
			ciphertext := seal(t, s)
			change(w)
			return decrypt(t, s, ciphertext)
		})
	}
	changed := func(change func(w *world)) func(*testing.T) error {
		return in(func(t *testing.T, w *world, s kms.Service) error {
			change(w)
			return encrypt(t, s)
		})
	}
	return []kmstest.ErrorCase{
		{Name: "wrong context", Want: kms.ErrDecryptionFailed,
			Do: in(func(t *testing.T, _ *world, s kms.Service) error {
				return one(s.Decrypt(t.Context(), []kms.Item{{Data: seal(t, s), Context: row("2")}})).Err
			})},
		{Name: "wrong key", Want: kms.ErrDecryptionFailed, Do: in(func(t *testing.T, w *world, s kms.Service) error {
			w.CreateKey(otherID)
			w.Grant(w.token, otherID, gcptest.Decrypter)
			return decrypt(t, w.service(t, otherID, w.token), seal(t, s))
		})},
		{Name: "malformed", Want: kms.ErrDecryptionFailed, Do: in(func(t *testing.T, _ *world, s kms.Service) error {
			return decrypt(t, s, []byte("no ciphertext"))
		})},
		{Name: "seal denied", Want: kms.ErrAccessDenied,
			Do: changed(func(w *world) { w.Revoke(w.token, keyID, gcptest.Encrypter) })},
		{Name: "open denied", Want: kms.ErrAccessDenied,
			Do: sealedThen(func(w *world) { w.Revoke(w.token, keyID, gcptest.Decrypter) })},
		{Name: "missing", Want: kms.ErrKeyNotFound, Do: in(func(t *testing.T, w *world, _ kms.Service) error {
			return encrypt(t, w.service(t, otherID, w.account(ring, gcptest.Encrypter)))
		})},
		{Name: "missing, for one without rights above it", Want: kms.ErrAccessDenied,
			Do: in(func(t *testing.T, w *world, _ kms.Service) error {
				return encrypt(t, w.service(t, otherID, w.token))
			})},
		{Name: "disabled, to seal", Want: kms.ErrKeyDisabled,
			Do: changed(func(w *world) { w.key.SetState(0, gcptest.Disabled) })},
		{Name: "disabled, to open", Want: kms.ErrKeyDisabled,
			Do: sealedThen(func(w *world) { w.key.SetState(0, gcptest.Disabled) })},
		{Name: "scheduled for deletion, to seal", Want: kms.ErrKeyDisabled,
			Do: changed(func(w *world) { w.key.SetState(0, gcptest.DestroyScheduled) })},
		{Name: "scheduled for deletion, to open", Want: kms.ErrKeyDisabled,
			Do: sealedThen(func(w *world) { w.key.SetState(0, gcptest.DestroyScheduled) })},
		{Name: "destroyed", Want: kms.ErrKeyDisabled,
			Do: sealedThen(func(w *world) { w.key.SetState(0, gcptest.Destroyed) })},
		{Name: "no primary version", Want: kms.ErrKeyDisabled, Do: changed(func(w *world) { w.key.NoPrimary() })},
		{Name: "throttled", Want: kms.ErrThrottled, Do: changed(func(w *world) { w.Throttle(1, 0) })},
		{Name: "unreachable", Want: kms.ErrUnavailable, Do: changed(func(w *world) { w.Stop() })},
		{Name: "expired credentials, to seal", Want: kms.ErrAccessDenied,
			Do: changed(func(w *world) { w.Expire(w.token) })},
		{Name: "expired credentials, to open", Want: kms.ErrAccessDenied,
			Do: sealedThen(func(w *world) { w.Expire(w.token) })},
		{Name: "unknown credentials", Want: kms.ErrAccessDenied,
			Do: in(func(t *testing.T, w *world, _ kms.Service) error {
				return encrypt(t, w.service(t, keyID, "ya29.nobody"))
			})},
	}
}

func expect(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v; want one that matches %q", err, want)
	}
}

// Whoever reads the error must know what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	says := map[string][]string{
		"seal denied":                  {"useToEncrypt", keyID, "roles/cloudkms.cryptoKeyEncrypter", "does not exist"},
		"open denied":                  {"useToDecrypt", keyID, "roles/cloudkms.cryptoKeyDecrypter"},
		"missing":                      {otherID, "not found"},
		"disabled, to open":            {keyID + "/cryptoKeyVersions/1", "DISABLED"},
		"destroyed":                    {"DESTROYED"},
		"throttled":                    {"Quota exceeded", "Cryptographic requests"},
		"expired credentials, to seal": {"invalid authentication credentials", "gcloud auth application-default login"},
		"unreachable":                  {"connection"},
	}
	for _, c := range errorCases() {
		for _, part := range says[c.Name] {
			if err := c.Do(t); !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v; want it to say %s", c.Name, err, part)
			}
		}
		delete(says, c.Name)
	}
	if len(says) > 0 {
		t.Errorf("no such cases: %v", says)
	}
}

func TestNobodyListens(t *testing.T) {
	addr := e2etest.NobodyListens(t)
	w := newWorld(t)
	s := serviceWith(t, keyID, append(w.Client(w.token), option.WithEndpoint(addr)))
	err := one(s.Encrypt(t.Context(), item(dataKey))).Err
	expect(t, err, kms.ErrUnavailable)
	if !strings.Contains(err.Error(), addr) {
		t.Errorf("%v; want it to say who was called", err)
	}
}
