package azurekms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

func TestIDs(t *testing.T) {
	for id, want := range map[string]struct{ vault, name string }{
		"https://v.vault.azure.net/keys/users":            {"https://v.vault.azure.net", "users"},
		"https://v.managedhsm.azure.net/keys/users-2":     {"https://v.managedhsm.azure.net", "users-2"},
		"https://v.vault.azure.cn/keys/U":                 {"https://v.vault.azure.cn", "U"},
		"https://v.vault.usgovcloudapi.net/keys/users":    {"https://v.vault.usgovcloudapi.net", "users"},
		"https://127.0.0.1:8443/keys/users":               {"https://127.0.0.1:8443", "users"},
		"https://kv.corp.example/keys/0":                  {"https://kv.corp.example", "0"},
		"https://v/keys/" + strings.Repeat("k", 127):      {"https://v", strings.Repeat("k", 127)},
		"https://V.Vault.Azure.Net/keys/Users-With-Cases": {"https://V.Vault.Azure.Net", "Users-With-Cases"},
	} {
		k, err := parseID(id)
		if err != nil || k.vault() != want.vault || k.name != want.name || k.id != id {
			t.Errorf("%s: %+v, %v", id, k, err)
		}
	}
}

func TestIDsThatAreRefused(t *testing.T) {
	for id, why := range map[string]string{
		"":                                    "no https URL",
		"http://v.vault.azure.net/keys/users": "no https URL",
		"https:///keys/users":                 "no https URL",
		"https://v.vault.azure.net/secrets/users":                               "does not begin with /keys/",
		"https://v.vault.azure.net/keys/":                                       "1 to 127",
		"https://v.vault.azure.net/keys/a_b":                                    "1 to 127",
		"https://v.vault.azure.net/keys/a%2Fb":                                  "1 to 127",
		"https://v/keys/" + strings.Repeat("k", 128):                            "1 to 127",
		"https://v.vault.azure.net/keys/users/":                                 "goes on",
		"https://v.vault.azure.net/keys/users/0123456789abcdef0123456789abcdef": "leave the version out",
		"https://v.vault.azure.net/keys/users/a/b":                              "goes on",
		"https://v.vault.azure.net/keys/users?api-version=7.4":                  "no user, query",
		"https://v.vault.azure.net/keys/users#x":                                "no user, query",
		"https://me:hunter2@v.vault.azure.net/keys/users":                       "no user, query",
	} {
		_, err := New(id, nil)
		if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestOnlyThisKeysAnswersAreTaken(t *testing.T) {
	k, err := parseID("https://v.vault.azure.net/keys/users")
	if err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[azkeys.ID]string{
		"https://v.vault.azure.net/keys/users/0a":     "0a",
		"https://V.vault.azure.net/keys/Users/0a":     "0a",
		"https://v.vault.azure.net:443/keys/users/0a": "0a",
		"https://w.vault.azure.net/keys/users/0a":     "",
		"https://v.vault.azure.net/keys/other/0a":     "",
		"https://v.vault.azure.net/keys/users":        "",
		"https://v.vault.azure.net/keys/users/":       "",
		"https://v.vault.azure.net/keys/users/0A":     "",
		"https://v.vault.azure.net/keys/users/0a/b":   "",
		"https://v.vault.azure.net/secrets/users/0a":  "",
		"%": "",
	} {
		if version, ok := k.versionOf(kid); ok != (want != "") || ok && version != want {
			t.Errorf("%s: %q, %v", kid, version, ok)
		}
	}
}

func TestWhichKeysAreRSA(t *testing.T) {
	for id, hsm := range map[string]bool{
		"https://v.vault.azure.net/keys/users":               false,
		"https://v.managedhsm.azure.net/keys/users":          true,
		"https://V.ManagedHSM.usgovcloudapi.net/keys/users":  true,
		"https://managedhsm.vault.azure.net/keys/managedhsm": false,
	} {
		if _, err := New(id, nil); (err == nil) != hsm {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := New(id, &Options{AcceptPublicKeyWrapping: true}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := New(id, &Options{RSA: true}); !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), acceptVariable) {
			t.Errorf("%s as RSA: %v", id, err)
		}
	}
}

func TestAnRSAKeyOfAManagedHSMWraps(t *testing.T) {
	f := newFakeKeys(t)
	aes := f.service(t, hsmID).(service)
	rsa := service{aes.key, rsaForm{aes.key}}
	ciphertext, err := seal(t.Context(), rsa, []byte("x"), row)
	if err != nil || string(ciphertext[:4]) != rsaMagic {
		t.Fatalf("%q, %v", ciphertext[:4], err)
	}
	if plaintext, err := open(t.Context(), rsa, ciphertext, row); string(plaintext) != "x" {
		t.Error(err)
	}
	if _, err := open(t.Context(), aes, ciphertext, row); err != kms.ErrDecryptionFailed {
		t.Errorf("the same key as AES: %v", err)
	}
}

// kms.Open has no options: the environment accepts.
func TestOpen(t *testing.T) {
	for value, accepted := range map[string]bool{"": false, "false": false, "1": false, "true": true} {
		t.Setenv(acceptVariable, value)
		key, err := kms.Open(t.Context(), vaultID, nil)
		if (err == nil) != accepted || err != nil && !strings.Contains(err.Error(), acceptVariable) {
			t.Errorf("%q: %v", value, err)
		}
		if err == nil && key.ID() != vaultID {
			t.Errorf("id %s", key.ID())
		}
	}
	if _, err := kms.Open(t.Context(), hsmID, nil); err != nil {
		t.Error(err)
	}
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "nonsense")
	if _, err := kms.Open(t.Context(), hsmID, nil); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("credentials that are none: %v", err)
	}
}

type secretCredential struct{ Secret string }

func (secretCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "bearer-hunter2", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestNothingPrintsCredentials(t *testing.T) {
	opts := &Options{AcceptPublicKeyWrapping: true, Credential: secretCredential{"hunter2"}}
	s, err := New(vaultID, opts)
	if err != nil {
		t.Fatal(err)
	}
	key := kms.NewKey(s, nil)
	for _, v := range []any{opts, *opts, s, key, *key, []any{s}, map[string]any{"s": s, "o": opts}} {
		if text := printed(t, v); strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("%T is printed with its credential:\n%s", v, text)
		}
	}
	for _, v := range []any{*opts, s} { // for handlers that look at values in ways of their own
		if got := slog.AnyValue(v).Resolve(); got.Kind() != slog.KindString {
			t.Errorf("%T resolves to a %s", v, got.Kind())
		}
	}
	if text := printed(t, s); strings.Count(text, "azurekms.Service("+vaultID+")") != 9 {
		t.Errorf("the service is printed as %s", text)
	}
}

// printed is how programs print a value.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "value", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "value", v)
	j, err := json.Marshal(v)
	if err != nil {
		t.Errorf("%T: %v", v, err)
	}
	return b.String() + string(j)
}

// Whatever answers, what is not right is not stored and not handed out.
func TestAnswersThatCannotBeRight(t *testing.T) {
	type change func(*result)
	wrong, opaque := kms.ErrWrongAnswer, kms.ErrDecryptionFailed
	kid := func(id string) change {
		return func(r *result) { r.KID = to.Ptr(azkeys.ID(id)) }
	}
	sized := func(n int) change { return func(r *result) { r.Result = make([]byte, n) } }
	for what, c := range map[string]struct {
		change
		seal, open error // nil: not tried
	}{
		"another vault":         {kid("https://evil.vault.azure.net/keys/users/0123456789abcdef0123456789abcdef"), wrong, wrong},
		"another key":           {kid("https://myvault.vault.azure.net/keys/other/0123456789abcdef0123456789abcdef"), wrong, wrong},
		"another version":       {func(r *result) { *r.KID = (*r.KID)[:len(*r.KID)-1] + "0" }, nil, wrong},
		"no version":            {func(r *result) { *r.KID = (*r.KID)[:len(*r.KID)-33] }, wrong, wrong},
		"no key":                {func(r *result) { r.KID = nil }, wrong, wrong},
		"no result":             {sized(0), wrong, opaque},
		"a short result":        {sized(31), wrong, opaque},
		"a long result":         {sized(2000), wrong, opaque},
		"another key, AES":      {func(r *result) { r.Result = make([]byte, 32) }, wrong, opaque},
		"HSM: no IV":            {func(r *result) { r.IV = nil }, wrong, nil},
		"HSM: a short IV":       {func(r *result) { r.IV = make([]byte, 11) }, wrong, nil},
		"HSM: a long IV":        {func(r *result) { r.IV = make([]byte, 17) }, wrong, nil},
		"HSM: a short tag":      {func(r *result) { r.AuthenticationTag = make([]byte, 12) }, wrong, nil},
		"HSM: a result too few": {func(r *result) { r.Result = r.Result[1:] }, wrong, wrong},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFakeKeys(t)
			id := vaultID
			if strings.HasPrefix(what, "HSM") {
				id = hsmID
			}
			s := f.service(t, id)
			ciphertext, err := seal(t.Context(), s, make([]byte, 32), row)
			if err != nil {
				t.Fatal(err)
			}
			f.change = c.change
			if _, err := seal(t.Context(), s, make([]byte, 32), row); c.seal != nil && !errors.Is(err, c.seal) {
				t.Errorf("seal: %v, want %v", err, c.seal)
			}
			if b, err := open(t.Context(), s, ciphertext, row); c.open != nil && (!errors.Is(err, c.open) || b != nil) {
				t.Errorf("open: %v, want %v", err, c.open)
			}
		})
	}
}

// A wrap needs the public half alone: this is what AcceptPublicKeyWrapping accepts.
func TestAnyoneWithThePublicKeyWraps(t *testing.T) {
	f := newFakeKeys(t)
	public := f.private.PublicKey
	forger := &fakeKeys{version: f.version, block: f.block}
	forger.private = newFakeKeys(t).private
	forger.private.PublicKey = public
	forger.private.D = nil // all that is left wraps
	planted := []byte("a data key that a forger has made")
	ciphertext, err := seal(t.Context(), forger.service(t, vaultID), planted, row)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := open(t.Context(), f.service(t, vaultID), ciphertext, row)
	if err != nil || string(opened) != string(planted) {
		t.Errorf("%v", err)
	}
}

// The client's own retries are off, whoever made the client; Key tries an unavailable service twice.
func TestARequestIsOneRequest(t *testing.T) {
	for name, options := range map[string]func(policy.Transporter) *Options{
		"our client": optionsFor,
		"the caller's client": func(tr policy.Transporter) *Options {
			co := optionsFor(tr).ClientOptions
			co.Retry = policy.RetryOptions{MaxRetries: 5, RetryDelay: time.Hour}
			client, err := azkeys.NewClient("https://myvault.vault.azure.net", &azfake.TokenCredential{}, co)
			if err != nil {
				t.Fatal(err)
			}
			return &Options{AcceptPublicKeyWrapping: true, Client: client}
		},
	} {
		requests := 0
		s, err := New(vaultID, options(transporter(func(r *http.Request) (*http.Response, error) {
			requests++
			return answerOf(r, http.StatusServiceUnavailable, ""), nil
		})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal(t.Context(), s, []byte("x"), row); !errors.Is(err, kms.ErrUnavailable) || requests != 1 {
			t.Errorf("%s: %v after %d requests", name, err, requests)
		}
		if _, err := kms.NewKey(s, nil).Encrypt(t.Context(), []byte("x"), row); !errors.Is(err, kms.ErrUnavailable) || requests != 3 {
			t.Errorf("%s: %v after %d requests", name, err, requests-1)
		}
	}
}

// pairs hands two items to a service that takes one.
type pairs struct{ kms.Service }

func (p pairs) Info() kms.Info {
	info := p.Service.Info()
	info.BatchSize = 2
	return info
}

func TestFurtherItemsAreCounted(t *testing.T) {
	f := newFakeKeys(t)
	key := kms.NewKey(pairs{f.service(t, vaultID)}, nil)
	results := key.EncryptBatch(kms.WithBudget(t.Context(), 1), []kms.Item{{Data: []byte("a")}, {Data: []byte("b")}})
	if results[0].Err != nil || !errors.Is(results[1].Err, kms.ErrBudget) || f.asked != 1 {
		t.Errorf("%v, %v after %d requests", results[0].Err, results[1].Err, f.asked)
	}
}

// reach has the service's own client reach the server by the name in the id.
func reach(s kms.Service, server *httptest.Server) {
	own := s.(service).own.Transport.(*http.Transport)
	own.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	own.TLSClientConfig.ServerName = "example.com"
	own.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
}

// A redirect 307 would take the plaintext along, even from https to http, and its answer would be believed.
func TestOurClientFollowsNoRedirect(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	s, err := New(hsmID, &Options{Credential: &azfake.TokenCredential{}})
	if err != nil {
		t.Fatal(err)
	}
	reach(s, server)
	_, err = seal(t.Context(), s, []byte("x"), row)
	if !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), "307: a redirect") {
		t.Errorf("%v", err)
	}
	if reached {
		t.Error("the redirect was followed")
	}
}

// A server that takes connections and never answers is given up, by the client's own limit.
func TestOurClientGivesUpASilentServer(t *testing.T) {
	silence := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silence }))
	defer server.Close()
	defer close(silence)
	opts := &Options{Credential: &azfake.TokenCredential{}}
	s, err := New(hsmID, opts)
	if err != nil {
		t.Fatal(err)
	}
	reach(s, server)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // lest the test wait for ever
	defer cancel()
	if _, err := seal(ctx, s, []byte("x"), row); !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), "timeout awaiting") {
		t.Errorf("%v", err)
	}
	for range 2 {
		if err := s.(service).Close(); err != nil {
			t.Error(err)
		}
	}
}
