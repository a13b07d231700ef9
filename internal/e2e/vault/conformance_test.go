package vault_test

import (
	"encoding/base64"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func TestADerivedKeyKeepsThePromises(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Key(t, "users", true)
		s.Key(t, "other", true)
		sealer := s.Token(t, `path "transit/encrypt/users" { capabilities = ["update"] }`)
		h := kmstest.Harness{
			New:          opening(service(t, "users", s.Root)),
			Other:        opening(service(t, "other", s.Root)),
			EncryptOnly:  opening(service(t, "users", s.Client(t, sealer))),
			Rotate:       func(t *testing.T) { s.Rotate(t, "users") },
			Version:      versionOf,
			MaxPlaintext: maxPlaintext,
			NeedsContext: true,
			Errors:       errorCases(s),
		}
		if softDeletes(s) {
			h.Disable = func(t *testing.T) { softDelete(t, s, "users") }
			h.Enable = func(t *testing.T) { s.Write(t, "transit/keys/users/soft-delete-restore", nil) }
		} else {
			t.Log("NOT TESTED: a disabled key. Vault's transit engine has none; OpenBao's has soft-delete")
		}
		kmstest.Run(t, h)
	})
}

func TestAnUnderivedKeyKeepsThePromisesThatItsInfoMakes(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Key(t, "old", false)
		s.Key(t, "other", false)
		accepting := func(name string) kms.Service {
			return newService(t, name, &vaultkms.Options{Client: s.Root, AcceptUnderived: true})
		}
		kmstest.Run(t, kmstest.Harness{
			New:          opening(accepting("old")),
			Other:        opening(accepting("other")),
			Rotate:       func(t *testing.T) { s.Rotate(t, "old") },
			Version:      versionOf,
			MaxPlaintext: maxPlaintext,
		})
	})
}

// maxPlaintext is what the documentation says of vaultkms.
const maxPlaintext = 786_395

func TestTheLargestPlaintextMakesARoundTrip(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Key(t, "users", true)
		users := service(t, "users", s.Root)
		for _, n := range []int{maxPlaintext - 1, maxPlaintext} {
			item := kms.Item{Data: make([]byte, n), Context: ada}
			sealed := only(t, users.Encrypt(t.Context(), []kms.Item{item}))
			must(t, sealed.Err)
			opened := only(t, users.Decrypt(t.Context(), []kms.Item{{Data: sealed.Data, Context: ada}}))
			if opened.Err != nil || len(opened.Data) != n {
				t.Errorf("%d bytes: %d, %v", n, len(opened.Data), opened.Err)
			}
			must(t, rewrap(t, users, sealed.Data))
		}
	})
}

func TestVaultDoesNotTakeTheCiphertextOfALargerPlaintext(t *testing.T) {
	s := vaulttest.Start(t) // OpenBao would
	s.Key(t, "users", true)
	mime, err := kms.Item{Context: ada}.ContextMIME()
	must(t, err)
	larger := base64.StdEncoding.EncodeToString(make([]byte, maxPlaintext+1))
	sealed := s.Write(t, "transit/encrypt/users", map[string]any{"plaintext": larger, "context": mime}).Data["ciphertext"].(string)
	wantErr(t, "to open it", decrypt(t, service(t, "users", s.Root), []byte(sealed)), kms.ErrInvalidRequest)
}

// CheckDecrypt has seen no ciphertext, so it knows no version of the key.
func TestTheRightToDecryptShowsAfterARotation(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Key(t, "users", true)
		s.Rotate(t, "users")
		s.Write(t, "transit/keys/users/config", map[string]any{"min_decryption_version": 2, "min_encryption_version": 2})
		check := func(right string) error {
			token := s.Token(t, `path "transit/`+right+`/users" { capabilities = ["update"] }`)
			return kms.NewKey(service(t, "users", s.Client(t, token)), nil).CheckDecrypt(t.Context(), ada)
		}
		wantErr(t, "with the right to decrypt", check("decrypt"), nil)
		wantErr(t, "with the right to encrypt alone", check("encrypt"), kms.ErrAccessDenied)
		s.Write(t, "transit/keys/users/trim", map[string]any{"min_available_version": 2})
		wantErr(t, "after version 1 was trimmed", check("decrypt"), nil)
	})
}

// A service of your own: see CONTRIBUTING.
func TestALiveKeyKeepsThePromises(t *testing.T) {
	id, other := os.Getenv("ROWSEAL_LIVE_VAULT_KEY"), os.Getenv("ROWSEAL_LIVE_VAULT_OTHER_KEY")
	if id == "" {
		t.Skip("NOT RUN: set ROWSEAL_LIVE_VAULT_KEY to the id of a derived key, such as vault/users, with VAULT_ADDR and a VAULT_TOKEN " +
			"that may encrypt, decrypt and rewrap with it; set ROWSEAL_LIVE_VAULT_OTHER_KEY to the id of another, " +
			"and ROWSEAL_LIVE_VAULT_SEALER to a token that may only encrypt with the first")
	}
	step, err := strconv.Atoi(os.Getenv("ROWSEAL_LIVE_STEP"))
	if err != nil {
		step = 16
	}
	h := kmstest.Harness{New: openingID(id), Version: versionOf, MaxPlaintext: maxPlaintext, NeedsContext: true, Step: step}
	if other != "" {
		h.Other = openingID(other)
	}
	if sealer := os.Getenv("ROWSEAL_LIVE_VAULT_SEALER"); sealer != "" {
		h.EncryptOnly = func(t *testing.T) kms.Service {
			t.Setenv("VAULT_TOKEN", sealer)
			return openID(t, id)
		}
	}
	kmstest.Run(t, h)
}

func errorCases(s *vaulttest.Server) []kmstest.ErrorCase {
	with := func(policy string) func(t *testing.T) *api.Client {
		return func(t *testing.T) *api.Client { return s.Client(t, s.Token(t, policy)) }
	}
	root := func(*testing.T) *api.Client { return s.Root }
	noRights := with(`path "transit/keys/users" { capabilities = ["read"] }`)
	sealAnything := with(`path "transit/encrypt/+" { capabilities = ["create", "update"] }`)
	updateAnything := with(`path "transit/encrypt/+" { capabilities = ["update"] }`)

	cases := []kmstest.ErrorCase{
		{Name: "of a wrong key", Want: kms.ErrDecryptionFailed, Do: func(t *testing.T) error {
			return decrypt(t, service(t, "users", s.Root), sealedBy(t, service(t, "other", s.Root)))
		}},
		{Name: "of what is no ciphertext", Want: kms.ErrDecryptionFailed, Do: func(t *testing.T) error {
			return decrypt(t, service(t, "users", s.Root), []byte("vault:v1:****"))
		}},
		{Name: "of a version that there is not", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
			return decrypt(t, service(t, "users", s.Root), []byte("vault:v99999:"+strings.Repeat("AAAA", 20)))
		}},
		{Name: "of a version below min_decryption_version", Want: kms.ErrKeyDisabled, Do: func(t *testing.T) error {
			s.Key(t, "raised", true)
			sealed := sealedBy(t, service(t, "raised", s.Root))
			s.Rotate(t, "raised")
			s.Write(t, "transit/keys/raised/config", map[string]any{"min_decryption_version": 2})
			return decrypt(t, service(t, "raised", s.Root), sealed)
		}},
		{Name: "of an underived key, sealing", Want: kms.ErrInvalidRequest, Do: func(t *testing.T) error {
			s.Key(t, "plain", false)
			return encrypt(t, service(t, "plain", s.Root))
		}},
		{Name: "of an underived key, opening", Want: kms.ErrInvalidRequest, Do: func(t *testing.T) error {
			accepting := newService(t, "plain", &vaultkms.Options{Client: s.Root, AcceptUnderived: true})
			return decrypt(t, service(t, "plain", s.Root), sealedBy(t, accepting))
		}},
		{Name: "of a key that only signs", Want: kms.ErrInvalidRequest, Do: func(t *testing.T) error {
			s.Write(t, "transit/keys/signs", map[string]any{"type": "ed25519"})
			return encrypt(t, service(t, "signs", s.Root))
		}},
		{Name: "without a client token", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "users", s.Client(t, "")))
		}},
		{Name: "of a token with a line break", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "users", s.Client(t, s.Root.Token()+"\n")))
		}},
		{Name: "of an expired token", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "users", s.Client(t, expiredToken(t, s))))
		}},
		{Name: "of a revoked token", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
			token := s.Token(t, `path "transit/encrypt/users" { capabilities = ["update"] }`)
			s.Write(t, "auth/token/revoke", map[string]any{"token": token})
			return encrypt(t, service(t, "users", s.Client(t, token)))
		}},
		{Name: "of another server's mount", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
			return encrypt(t, newService(t, "users", &vaultkms.Options{Client: s.Root, Mount: "nowhere"}))
		}},
		{Name: "of an engine that is none of transit", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
			return encrypt(t, newService(t, "users", &vaultkms.Options{Client: s.Root, Mount: "auth/token"}))
		}},
		{Name: "when throttled", Want: kms.ErrThrottled, Do: func(t *testing.T) error {
			s.Key(t, "throttled", true)
			s.RateLimit(t, "transit/encrypt/throttled", 0.01)
			throttled := service(t, "throttled", s.Root)
			encrypt(t, throttled)
			return encrypt(t, throttled)
		}},
		{Name: "when sealed", Want: kms.ErrUnavailable, Do: func(t *testing.T) error {
			s.Seal(t)
			defer s.Unseal(t)
			return encrypt(t, service(t, "users", s.Root))
		}},
		{Name: "when unreachable", Want: kms.ErrUnavailable, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "users", nobody(t)))
		}},
	}
	for _, op := range []string{"seal", "open", "rewrap"} {
		do := map[string]func(t *testing.T, s kms.Service, sealed []byte) error{
			"seal":   func(t *testing.T, s kms.Service, _ []byte) error { return encrypt(t, s) },
			"open":   decrypt,
			"rewrap": rewrap,
		}[op]
		missing := func(client func(*testing.T) *api.Client) func(*testing.T) error {
			return func(t *testing.T) error { return do(t, service(t, "missing", client(t)), madeUp) }
		}
		cases = append(cases,
			kmstest.ErrorCase{Name: "denied to " + op, Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
				return do(t, service(t, "users", noRights(t)), madeUp)
			}},
			kmstest.ErrorCase{Name: "of a missing key, to " + op, Want: kms.ErrKeyNotFound, Do: missing(root)})
	}
	cases = append(cases,
		kmstest.ErrorCase{Name: "of a missing key, where the policy would make one", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
			before := s.Keys(t)
			err := encrypt(t, service(t, "missing", sealAnything(t)))
			if after := s.Keys(t); len(after) != len(before) {
				t.Errorf("there were the keys %q and there are %q", before, after)
			}
			return err
		}},
		kmstest.ErrorCase{Name: "of a missing key, with update alone", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "missing", updateAnything(t)))
		}})
	return cases
}

var (
	ada    = kms.Context{"model_name": "User", "model_id": "1"}
	madeUp = []byte("vault:v1:" + strings.Repeat("AAAA", 20))
)

func service(t *testing.T, name string, c *api.Client) kms.Service {
	t.Helper()
	return newService(t, name, &vaultkms.Options{Client: c})
}

func newService(t *testing.T, name string, opts *vaultkms.Options) kms.Service {
	t.Helper()
	s, err := vaultkms.New(name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opening is New of a harness, for a service that is there already.
func opening(s kms.Service) func(*testing.T) kms.Service {
	return func(*testing.T) kms.Service { return s }
}

func openingID(id string) func(*testing.T) kms.Service {
	return func(t *testing.T) kms.Service { return openID(t, id) }
}

// openID opens an id as kms.Open does, and returns the service.
func openID(t *testing.T, id string) kms.Service {
	t.Helper()
	path := strings.TrimPrefix(id, "vault/")
	mount, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		mount, name = path[:i], path[i+1:]
	}
	return newService(t, name, &vaultkms.Options{Mount: mount})
}

func encrypt(t *testing.T, s kms.Service) error {
	t.Helper()
	return only(t, s.Encrypt(t.Context(), []kms.Item{{Data: []byte("a data key"), Context: ada}})).Err
}

func decrypt(t *testing.T, s kms.Service, sealed []byte) error {
	t.Helper()
	return only(t, s.Decrypt(t.Context(), []kms.Item{{Data: sealed, Context: ada}})).Err
}

func rewrap(t *testing.T, s kms.Service, sealed []byte) error {
	t.Helper()
	item := kms.RewrapItem{Item: kms.Item{Data: sealed, Context: ada}, To: ada}
	return only(t, s.(kms.Rewrapper).Rewrap(t.Context(), []kms.RewrapItem{item})).Err
}

func sealedBy(t *testing.T, s kms.Service) []byte {
	t.Helper()
	r := only(t, s.Encrypt(t.Context(), []kms.Item{{Data: []byte("a data key"), Context: ada}}))
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Data
}

func only(t *testing.T, results []kms.Result) kms.Result {
	t.Helper()
	if len(results) != 1 {
		t.Fatalf("%d results for one item", len(results))
	}
	return results[0]
}

func versionOf(ciphertext []byte) int {
	version, _, _ := strings.Cut(strings.TrimPrefix(string(ciphertext), "vault:v"), ":")
	n, _ := strconv.Atoi(version)
	return n
}

// softDeletes tells OpenBao from Vault.
func softDeletes(s *vaulttest.Server) bool { return strings.HasSuffix(s.Name, "bao") }

func softDelete(t *testing.T, s *vaulttest.Server, name string) {
	t.Helper()
	if _, err := s.Root.Logical().Delete("transit/keys/" + name + "/soft-delete"); err != nil {
		t.Fatal(err)
	}
}

// expiredToken returns a token that was good once.
func expiredToken(t *testing.T, s *vaulttest.Server) string {
	t.Helper()
	made := s.Write(t, "auth/token/create", map[string]any{"policies": []string{"root"}, "ttl": "1s"})
	token := made.Auth.ClientToken
	for late := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, err := s.Client(t, token).Auth().Token().LookupSelf(); err != nil {
			return token
		}
		if time.Now().After(late) {
			t.Fatal("a token of a second still works after a minute")
		}
	}
}

// nobody is a client of an address where nothing listens.
func nobody(t *testing.T) *api.Client {
	t.Helper()
	return clientOf(t, "http://"+e2etest.NobodyListens(t))
}

// clientOf returns a client with connections of its own, which end with t.
func clientOf(t testing.TB, address string) *api.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := api.NewClient(&api.Config{HttpClient: &http.Client{Transport: transport}})
	if err == nil {
		err = c.SetAddress(address)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(fakeToken)
	return c
}

const fakeToken = "hvs.not-a-token-that-any-server-knows"
