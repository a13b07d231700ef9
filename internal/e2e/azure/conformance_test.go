package azure

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/internal/e2e/azuretest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/azurekms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// kind is a sort of key and what it takes to use it.
type kind struct {
	name       string
	host       string
	seal, open string // the rights
	add        func(*azuretest.Server, string) *azuretest.Key
	rsa        bool // on a Managed HSM

	minPlaintext, maxPlaintext int
	// step leaves out some of what the suite alters: a request takes a millisecond, or five under the race detector. 7 still flips a bit of
	// each byte, and kms/azurekms's own tests cut at each. ROWSEAL_SOAK=1 leaves nothing out.
	step int
}

var kinds = []kind{
	{"RSA", "https://kv.vault.azure.net", "wrapKey", "unwrapKey", (*azuretest.Server).RSA, false, 0, 64 << 10, 7},
	{"AES", "https://hsm.managedhsm.azure.net", "encrypt", "decrypt", (*azuretest.Server).AES, false, 1, 4096, 7},
}

var others = []kind{
	{"AES with padded IVs", "https://hsm.managedhsm.azure.net", "encrypt", "decrypt", (*azuretest.Server).PaddedAES, false, 1, 4096, 16},
	{"RSA on an HSM", "https://hsm.managedhsm.azure.net", "wrapKey", "unwrapKey", (*azuretest.Server).RSA, true, 0, 64 << 10, 64},
}

func eachKind(t *testing.T, f func(t *testing.T, w world)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { f(t, newWorld(t, k)) })
	}
}

// world is a server with one key and three callers.
type world struct {
	kind
	*azuretest.Server
	id                   string
	key                  *azuretest.Key
	both, sealer, nobody *azuretest.Principal
}

func newWorld(t *testing.T, k kind) world {
	t.Helper()
	w := world{kind: k, Server: azuretest.New(t), id: k.host + "/keys/users"}
	w.key = k.add(w.Server, w.id)
	w.both = w.Principal("both", k.seal, k.open)
	w.sealer = w.Principal("sealer", k.seal)
	w.nobody = w.Principal("nobody")
	return w
}

// service is a client of its own, so that each is challenged and gets a token.
func (w world) service(t *testing.T, id string, as *azuretest.Principal) kms.Service {
	t.Helper()
	opts := &azurekms.Options{AcceptPublicKeyWrapping: true, RSA: w.rsa, Credential: as, ClientOptions: w.ClientOptions()}
	t.Cleanup(opts.ClientOptions.Transport.(*http.Client).CloseIdleConnections)
	s, err := azurekms.New(id, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// versionOf is the version that a ciphertext names: length and text behind the magic.
func versionOf(ciphertext []byte) string { return string(ciphertext[5 : 5+int(ciphertext[4])]) }

func (w world) harness(t *testing.T) kmstest.Harness {
	t.Helper()
	w.add(w.Server, w.host+"/keys/other")
	mine := w.service(t, w.id, w.both)
	return kmstest.Harness{
		New:          func(*testing.T) kms.Service { return mine },
		Other:        func(t *testing.T) kms.Service { return w.service(t, w.host+"/keys/other", w.both) },
		EncryptOnly:  func(t *testing.T) kms.Service { return w.service(t, w.id, w.sealer) },
		Disable:      func(*testing.T) { w.key.SetEnabled(false) },
		Enable:       func(*testing.T) { w.key.SetEnabled(true) },
		Rotate:       func(*testing.T) { w.key.Rotate() },
		Version:      func(ciphertext []byte) int { return w.key.Number(versionOf(ciphertext)) },
		MinPlaintext: w.minPlaintext,
		MaxPlaintext: w.maxPlaintext,
		Errors:       w.errorCases(),
	}
}

func TestConformance(t *testing.T) {
	for _, k := range slices.Concat(kinds, others) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, k)
			h := w.harness(t)
			if os.Getenv("ROWSEAL_SOAK") != "1" {
				h.Step = k.step
			}
			kmstest.Run(t, h)
		})
	}
}

var row = kms.Context{"model_name": "User", "model_id": "42"}

// seal and open are single requests, without kms.Key's retries.
func seal(t *testing.T, s kms.Service) error {
	t.Helper()
	return s.Encrypt(t.Context(), []kms.Item{{Data: []byte("a data key"), Context: row}})[0].Err
}

func open(t *testing.T, s kms.Service, ciphertext []byte, ec kms.Context) error {
	t.Helper()
	return s.Decrypt(t.Context(), []kms.Item{{Data: ciphertext, Context: ec}})[0].Err
}

func sealed(t *testing.T, s kms.Service) []byte {
	t.Helper()
	r := s.Encrypt(t.Context(), []kms.Item{{Data: []byte("a data key"), Context: row}})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Data
}

// errorCases is the table of errors. Each case is a world of its own.
func (w world) errorCases() []kmstest.ErrorCase {
	always := func(f http.HandlerFunc, do func(*testing.T, world, kms.Service, []byte) error) func(*testing.T) error {
		return func(t *testing.T) error {
			own := newWorld(t, w.kind)
			s := own.service(t, own.id, own.both)
			ciphertext := sealed(t, s)
			if f != nil {
				own.Fail(1, f)
			}
			return do(t, own, s, ciphertext)
		}
	}
	opens := func(t *testing.T, _ world, s kms.Service, ciphertext []byte) error {
		return open(t, s, ciphertext, row)
	}
	seals := func(t *testing.T, _ world, s kms.Service, _ []byte) error { return seal(t, s) }
	after := func(change func(world), do func(*testing.T, world, kms.Service, []byte) error) func(*testing.T) error {
		return always(nil, func(t *testing.T, own world, s kms.Service, ciphertext []byte) error {
			change(own)
			return do(t, own, s, ciphertext)
		})
	}
	yesterday, tomorrow := time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	return []kmstest.ErrorCase{
		{Name: "under a wrong context", Want: kms.ErrDecryptionFailed, Do: always(nil, func(t *testing.T, _ world, s kms.Service, c []byte) error {
			return open(t, s, c, kms.Context{"model_name": "User", "model_id": "43"})
		})},
		{Name: "of another key", Want: kms.ErrKeyNotFound, Do: always(nil, func(t *testing.T, own world, _ kms.Service, c []byte) error {
			own.add(own.Server, own.host+"/keys/other") // which has no such version
			return open(t, own.service(t, own.host+"/keys/other", own.both), c, row)
		})},
		{Name: "of another version", Want: kms.ErrDecryptionFailed, Do: always(nil, func(t *testing.T, own world, s kms.Service, c []byte) error {
			own.key.Rotate()
			copy(c[5:], versionOf(sealed(t, s)))
			return open(t, s, c, row)
		})},
		{Name: "denied to open", Want: kms.ErrAccessDenied, Do: always(nil, func(t *testing.T, own world, _ kms.Service, c []byte) error {
			return open(t, own.service(t, own.id, own.sealer), c, row)
		})},
		{Name: "denied to seal", Want: kms.ErrAccessDenied, Do: always(nil, func(t *testing.T, own world, _ kms.Service, _ []byte) error {
			return seal(t, own.service(t, own.id, own.nobody))
		})},
		{Name: "not permitted by the key", Want: kms.ErrAccessDenied, Do: after(func(w world) { w.key.Permit(w.seal) }, opens)},
		{Name: "missing", Want: kms.ErrKeyNotFound, Do: always(nil, func(t *testing.T, own world, _ kms.Service, _ []byte) error {
			return seal(t, own.service(t, own.host+"/keys/missing", own.both))
		})},
		{Name: "disabled, opening", Want: kms.ErrKeyDisabled, Do: after(func(w world) { w.key.SetEnabled(false) }, opens)},
		{Name: "disabled, sealing", Want: kms.ErrKeyDisabled, Do: after(func(w world) { w.key.SetEnabled(false) }, seals)},
		{Name: "expired, sealing", Want: kms.ErrKeyDisabled, Do: after(func(w world) { w.key.SetValid(time.Time{}, yesterday) }, seals)},
		{Name: "not yet valid, sealing", Want: kms.ErrKeyDisabled, Do: after(func(w world) { w.key.SetValid(tomorrow, time.Time{}) }, seals)},
		{Name: "soft-deleted", Want: kms.ErrKeyNotFound, Do: after(func(w world) { w.key.SetDeleted(true) }, opens)},
		{Name: "being deleted", Want: kms.ErrKeyDisabled, Do: always(azuretest.Body(http.StatusConflict,
			`{"error":{"code":"Conflict","message":"Key users is currently being deleted.","innererror":{"code":"ObjectIsBeingDeleted"}}}`), seals)},
		{Name: "throttled", Want: kms.ErrThrottled, Do: always(azuretest.Throttled(0), opens)},
		{Name: "unreachable", Want: kms.ErrUnavailable, Do: after(func(w world) { w.Close() }, opens)},
		{Name: "malformed ciphertext", Want: kms.ErrDecryptionFailed, Do: always(nil, func(t *testing.T, _ world, s kms.Service, c []byte) error {
			return open(t, s, c[:len(c)/2], row)
		})},
		{Name: "malformed answer", Want: kms.ErrUnavailable, Do: always(azuretest.Body(http.StatusOK, `{"kid":`), opens)},
		{Name: "a key of the other sort", Want: kms.ErrInvalidRequest, Do: always(nil, func(t *testing.T, own world, _ kms.Service, _ []byte) error {
			own.add = map[bool]func(*azuretest.Server, string) *azuretest.Key{true: (*azuretest.Server).AES, false: (*azuretest.Server).RSA}[own.seal == "wrapKey"]
			own.add(own.Server, own.host+"/keys/sort")
			return seal(t, own.service(t, own.host+"/keys/sort", own.both))
		})},
		{Name: "expired credentials", Want: kms.ErrAccessDenied, Do: after(func(w world) { w.both.Revoke() }, opens)},
		{Name: "expired client secret", Want: kms.ErrAccessDenied, Do: always(nil, func(t *testing.T, own world, _ kms.Service, _ []byte) error {
			own.both.ExpireSecret()
			s, err := azurekms.New(own.id, &azurekms.Options{
				AcceptPublicKeyWrapping: true, Credential: own.both.ClientSecret(t, own.Server), ClientOptions: own.ClientOptions(),
			})
			if err != nil {
				t.Fatal(err)
			}
			err = seal(t, s)
			if !strings.Contains(err.Error(), "AADSTS7000222") || !strings.Contains(err.Error(), "AZURE_CLIENT_ID") {
				t.Errorf("no hint: %v", err)
			}
			return err
		})},
	}
}

// Azure lets expired keys, and those that are not yet valid, open: rows stay readable after a key's expiry date.
func TestAnExpiredKeyStillOpens(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		s := w.service(t, w.id, w.both)
		ciphertext := sealed(t, s)
		w.key.SetValid(time.Time{}, time.Now().Add(-time.Hour))
		if err := open(t, s, ciphertext, row); err != nil {
			t.Error(err)
		}
	})
}

func TestARecoveredKeyOpensAgain(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		s := w.service(t, w.id, w.both)
		ciphertext := sealed(t, s)
		w.key.SetDeleted(true)
		if err := open(t, s, ciphertext, row); !errors.Is(err, kms.ErrKeyNotFound) || !strings.Contains(err.Error(), "recover") {
			t.Errorf("deleted: %v", err)
		}
		w.key.SetDeleted(false)
		if err := open(t, s, ciphertext, row); err != nil {
			t.Error(err)
		}
	})
}

// The SDK's own credential gets a token with a client secret, once, and a new one when Azure refuses it.
func TestTokensAreTheClients(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		s, err := azurekms.New(w.id, &azurekms.Options{
			AcceptPublicKeyWrapping: true, Credential: w.both.ClientSecret(t, w.Server), ClientOptions: w.ClientOptions(),
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := seal(t, s); err != nil {
				t.Fatal(err)
			}
		}
		if issued, challenges := w.both.Issued(), w.Challenges(); issued != 1 || challenges != 1 {
			t.Errorf("%d tokens and %d challenges", issued, challenges)
		}
	})
}

func TestAnExpiredTokenIsRenewed(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		s := w.service(t, w.id, w.both)
		ciphertext := sealed(t, s)
		w.both.ExpireTokens()
		if err := open(t, s, ciphertext, row); err != nil || w.both.Issued() != 2 {
			t.Errorf("%v after %d tokens", err, w.both.Issued())
		}
	})
}

// Azure's log has the operation, the caller and the key's version. It has nothing of the row.
func TestWhatAzureLogs(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		s := w.service(t, w.id, w.both)
		ciphertext := sealed(t, s)
		if err := open(t, s, ciphertext, row); err != nil {
			t.Fatal(err)
		}
		log := w.AuditLog()
		if len(log) != 2 || !strings.HasPrefix(log[0], w.seal+" both ") || !strings.Contains(log[1], versionOf(ciphertext)) {
			t.Errorf("%q", log)
		}
		if strings.Contains(strings.Join(log, ""), "42") && !strings.Contains(versionOf(ciphertext), "42") {
			t.Errorf("the row's id is in %q", log)
		}
	})
}

// A wrap needs the public half of an RSA key alone: whoever can write to the database plants a data key that he knows. This is what
// AcceptPublicKeyWrapping accepts, and what an AES key of a Managed HSM does not allow.
func TestAPublicKeyWrapsForAnyone(t *testing.T) {
	w := newWorld(t, kinds[0])
	public, version := w.key.Public()
	planted := []byte("a data key that someone else made")
	r := w.service(t, w.id, w.both).Decrypt(t.Context(), []kms.Item{{Data: wrapLocally(t, public, version, planted, row), Context: row}})[0]
	if r.Err != nil || string(r.Data) != string(planted) {
		t.Errorf("%q, %v", r.Data, r.Err)
	}
	if n := w.Requests("wrapKey"); n != 0 {
		t.Errorf("the server wrapped %d times", n)
	}
}

// Against Azure itself, with the credentials of azidentity.DefaultAzureCredential.
func TestLive(t *testing.T) {
	id, other := os.Getenv("ROWSEAL_LIVE_AZURE_KEY"), os.Getenv("ROWSEAL_LIVE_AZURE_OTHER_KEY")
	if id == "" {
		t.Skip("NOT TESTED AGAINST AZURE: set ROWSEAL_LIVE_AZURE_KEY to a key id (https://NAME.vault.azure.net/keys/NAME or " +
			"https://NAME.managedhsm.azure.net/keys/NAME), and ROWSEAL_LIVE_AZURE_OTHER_KEY to another key's, with credentials that " +
			"may wrap and unwrap, or encrypt and decrypt")
	}
	connect := func(id string) func(*testing.T) kms.Service {
		s, err := azurekms.New(id, &azurekms.Options{AcceptPublicKeyWrapping: true})
		if err != nil {
			t.Fatal(err)
		}
		return func(*testing.T) kms.Service { return s }
	}
	h := kmstest.Harness{New: connect(id), MaxPlaintext: 64 << 10, Step: 64}
	if strings.Contains(id, ".managedhsm.") {
		h.MinPlaintext, h.MaxPlaintext = 1, 4096
	}
	if other != "" {
		h.Other = connect(other)
	}
	kmstest.Run(t, h)
}
