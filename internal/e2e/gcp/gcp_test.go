// Package gcp tests kms/gcpkms against a server of Google Cloud KMS's protocol, and against the service itself where the
// environment names a key.
package gcp

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"google.golang.org/api/option"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/internal/e2e/gcptest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/gcpkms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

const (
	ring    = "projects/my-project/locations/europe-west3/keyRings/my-ring"
	keyID   = ring + "/cryptoKeys/my-key"
	otherID = ring + "/cryptoKeys/other-key"
)

// world is a server with a key and an account that may use it both ways.
type world struct {
	*gcptest.Server
	key   *gcptest.Key
	token string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: gcptest.New(t)}
	w.key = w.CreateKey(keyID)
	w.token = w.account(keyID, gcptest.Encrypter, gcptest.Decrypter)
	return w
}

// account makes one with rights on a resource.
func (w *world) account(resource string, rights ...gcptest.Right) (token string) {
	token = w.Token()
	w.Grant(token, resource, rights...)
	return token
}

// service opens a key for an account. It is closed with the test.
func (w *world) service(t *testing.T, id, token string) kms.Service {
	t.Helper()
	return serviceWith(t, id, w.Client(token))
}

func serviceWith(t *testing.T, id string, options []option.ClientOption) kms.Service {
	t.Helper()
	s, err := gcpkms.New(id, &gcpkms.Options{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kms.NewKey(s, nil).Close() })
	return s
}

// opened is the Key that a program would hold.
func (w *world) opened(t *testing.T) *kms.Key {
	t.Helper()
	return kms.NewKey(w.service(t, keyID, w.token), nil)
}

func one(results []kms.Result) kms.Result { return results[0] }

func row(id string) kms.Context { return kms.Context{"model_name": "User", "model_id": id} }

func item(data []byte) []kms.Item { return []kms.Item{{Data: data, Context: row("1")}} }

var dataKey = []byte("secret-plaintext-of-32-bytes....")

// seal wraps the data key with a service that works.
func seal(t *testing.T, s kms.Service) []byte {
	t.Helper()
	r := one(s.Encrypt(t.Context(), item(dataKey)))
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Data
}

func TestConformance(t *testing.T) {
	w := newWorld(t)
	w.CreateKey(otherID)
	w.Grant(w.token, otherID, gcptest.Encrypter, gcptest.Decrypter)
	sealer := w.account(keyID, gcptest.Encrypter)
	kmstest.Run(t, kmstest.Harness{
		New:          func(t *testing.T) kms.Service { return w.service(t, keyID, w.token) },
		Other:        func(t *testing.T) kms.Service { return w.service(t, otherID, w.token) },
		EncryptOnly:  func(t *testing.T) kms.Service { return w.service(t, keyID, sealer) },
		Disable:      func(*testing.T) { w.key.SetState(0, gcptest.Disabled) },
		Enable:       func(*testing.T) { w.key.SetState(0, gcptest.Enabled) },
		Rotate:       func(*testing.T) { w.key.Rotate() },
		MaxPlaintext: 64 << 10,
		Errors:       errorCases(),
	})
}

// An HSM key takes 8 KiB with the context, and Google alone knows which keys those are.
func TestConformanceOfAnHSMKey(t *testing.T) {
	w := newWorld(t)
	w.key.UseHSM()
	kmstest.Run(t, kmstest.Harness{
		New:  func(t *testing.T) kms.Service { return w.service(t, keyID, w.token) },
		Step: 64,
	})
	r := one(w.service(t, keyID, w.token).Encrypt(t.Context(), item(make([]byte, 8<<10))))
	expect(t, r.Err, kms.ErrInvalidRequest)
}

// The largest plaintext under the largest context.
func TestTheLimitsFit(t *testing.T) {
	w := newWorld(t)
	key := w.opened(t)
	large := bytes.Repeat([]byte{7}, 64<<10)
	c := kms.Context{"k": strings.Repeat("x", 64<<10-len(`{"k":""}`))}
	ciphertext, err := key.Encrypt(t.Context(), large, c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := key.Decrypt(t.Context(), ciphertext, c); err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// CheckDecrypt sends bytes that nobody encrypted. The service looks at rights first.
func TestCheckDecryptTellsTheRight(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"may open":     {w.account(keyID, gcptest.Decrypter), nil},
		"may seal":     {w.account(keyID, gcptest.Encrypter), kms.ErrAccessDenied},
		"may nothing":  {w.Token(), kms.ErrAccessDenied},
		"on the ring":  {w.account(ring, gcptest.Decrypter), nil},
		"other's ring": {w.account(ring+"2", gcptest.Decrypter), kms.ErrAccessDenied},
	} {
		err := kms.NewKey(w.service(t, keyID, c.token), nil).CheckDecrypt(t.Context(), row("1"))
		if c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil {
			expect(t, err, c.want)
		}
	}
}

// A new primary version seals; data of the earlier one opens until that version is disabled.
func TestVersionsAreDisabledOneByOne(t *testing.T) {
	w := newWorld(t)
	s := w.service(t, keyID, w.token)
	old := seal(t, s)
	w.key.Rotate()
	young := seal(t, s)
	w.key.SetState(1, gcptest.Destroyed)
	expect(t, one(s.Decrypt(t.Context(), item(old))).Err, kms.ErrKeyDisabled)
	if r := one(s.Decrypt(t.Context(), item(young))); r.Err != nil || !bytes.Equal(r.Data, dataKey) {
		t.Error(r.Err)
	}
	w.key.SetState(2, gcptest.DestroyScheduled)
	expect(t, one(s.Encrypt(t.Context(), item(dataKey))).Err, kms.ErrKeyDisabled)
}

// lease hands out tokens, of which the later ones are others.
type lease struct{ tokens chan string }

func (l lease) Token() (*oauth2.Token, error) {
	token := <-l.tokens
	l.tokens <- token
	return &oauth2.Token{AccessToken: token}, nil
}

func TestNoGoroutineIsLeft(t *testing.T) {
	w := newWorld(t)
	before := e2etest.Goroutines()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		s, err := gcpkms.New(keyID, &gcpkms.Options{ClientOptions: w.Client(w.token)})
		if err != nil {
			t.Fatal(err)
		}
		key := kms.NewKey(s, nil)
		var items []kms.Item
		for range 40 {
			items = append(items, item(dataKey)...)
		}
		for i, r := range key.EncryptBatch(ctx, items) {
			if r.Err != nil {
				t.Fatalf("item %d: %v", i, r.Err)
			}
		}
		w.CutConnections()
		key.Decrypt(ctx, []byte("no ciphertext"), nil)
		if err := key.Close(); err != nil {
			t.Error(err)
		}
	}
	e2etest.Settle(t, before)
}
