package vaultkms_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

// hermetic takes Vault's variables out of the environment.
func hermetic(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "VAULT_") {
			t.Setenv(name, "")
		}
	}
}

func TestAnIDIsReadFromTheEnvironment(t *testing.T) {
	hermetic(t)
	e := newEngine(t)
	t.Setenv("VAULT_ADDR", e.URL)
	t.Setenv("VAULT_TOKEN", token)
	t.Setenv("VAULT_NAMESPACE", "team")
	t.Setenv("VAULT_MAX_RETRIES", "9")
	t.Setenv("VAULT_WRAP_TTL", "60s")
	key, err := kms.Open(t.Context(), "vault/eu/transit/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	if n := len(e.all()); n != 0 {
		t.Errorf("opening made %d requests", n)
	}
	if _, err := key.Encrypt(t.Context(), []byte("x"), row(1)); err != nil {
		t.Fatal(err)
	}
	got := e.requests()[0]
	if got.Path != "/v1/eu/transit/encrypt/users" || got.Header.Get("X-Vault-Token") != token ||
		got.Header.Get("X-Vault-Namespace") != "team" || got.Header.Get("X-Vault-Wrap-Ttl") != "" || got.Header.Get("X-Vault-Request") != "true" {
		t.Errorf("sent %s with %v", got.Path, got.Header)
	}
}

func TestAnEnvironmentThatCannotBeRightIsRefusedAtOnce(t *testing.T) {
	for _, test := range []struct{ name, value, says string }{
		{"VAULT_CACERT", filepath.Join(t.TempDir(), "missing.pem"), "open VAULT_CACERT: no such file or directory"},
		{"VAULT_ADDR", "localhost", "VAULT_ADDR"},
		{"VAULT_ADDR", "localhost:8200", "VAULT_ADDR"},
		{"VAULT_ADDR", "127.0.0.1:8200", "VAULT_ADDR"},
		{"VAULT_ADDR", "ftp://localhost", "VAULT_ADDR"},
		{"VAULT_ADDR", "https://", "VAULT_ADDR"},
		{"VAULT_AGENT_ADDR", "localhost", "VAULT_AGENT_ADDR"},
		{"VAULT_PROXY_ADDR", "http://localhost:port", "a proxy's address"},
		{"VAULT_MAX_RETRIES", "many", "VAULT_MAX_RETRIES"},
		{"VAULT_SKIP_VERIFY", "yes, please", "VAULT_SKIP_VERIFY"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			hermetic(t)
			t.Setenv(test.name, test.value)
			_, err := kms.Open(t.Context(), "vault/users", nil)
			if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, which does not say %q", err, test.says)
			}
		})
	}
}

// Someone sets a variable to a key instead of to the name of its file, or writes a password wrongly.
func TestErrorsOfTheEnvironmentShowNoValues(t *testing.T) {
	const secret = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"
	pem := "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n"
	file := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(file, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	hermetic(t)
	e := newEngine(t)
	for _, environment := range []map[string]string{
		{"VAULT_CACERT": pem},
		{"VAULT_CACERT": pem + strings.Repeat("x", 5000)}, // no file's name is so long
		{"VAULT_CACERT_BYTES": "-----BEGIN CERTIFICATE-----\n" + secret},
		{"VAULT_CLIENT_CERT": pem, "VAULT_CLIENT_KEY": file},
		{"VAULT_CLIENT_CERT": file, "VAULT_CLIENT_KEY": pem},
		{"VAULT_CLIENT_CERT": file, "VAULT_CLIENT_KEY": pem, "VAULT_NAMESPACE": pem[:20]},
		{"VAULT_CLIENT_CERT": file, "VAULT_CLIENT_KEY": file},
		{"VAULT_CLIENT_KEY": pem},
		{"VAULT_ADDR": "http://user:" + secret + " @host"},
		{"VAULT_ADDR": "http://user:" + secret + "/@host"},
		{"VAULT_ADDR": secret},
		{"VAULT_AGENT_ADDR": secret + "\x7f"},
		{"VAULT_PROXY_ADDR": "http://user:" + secret + "\x7f@host"},
		{"VAULT_HTTP_PROXY": "http://user:" + secret + "/@host"},
		{"VAULT_MAX_RETRIES": pem},
		{"VAULT_CLIENT_TIMEOUT": pem},
		{"VAULT_SKIP_VERIFY": pem},
		{"VAULT_SRV_LOOKUP": pem},
		{"VAULT_DISABLE_REDIRECTS": pem},
		{"VAULT_RATE_LIMIT": pem},
		{"VAULT_HEADERS": pem},
		{"VAULT_HEADERS": `{"X-Vault-Token": "` + secret + `"}`},
	} {
		t.Run("", func(t *testing.T) {
			own := e.client(t) // before the environment is wrong
			for name, value := range environment {
				t.Setenv(name, value)
			}
			_, ofID := kms.Open(t.Context(), "vault/users", nil)
			_, ofClient := vaultkms.New("users", &vaultkms.Options{Client: own})
			if !errors.Is(ofID, kms.ErrInvalidRequest) {
				t.Errorf("%q: %v", environment, ofID)
			}
			for _, err := range []error{ofID, ofClient} {
				for _, text := range printed(err) {
					if strings.Contains(text, secret[:12]) || strings.Contains(text, "PRIVATE") {
						t.Errorf("an error shows a value: %s", text)
					}
				}
			}
		})
	}
}

func TestADeniedRequestWithoutATokenSaysSo(t *testing.T) {
	hermetic(t)
	e := newEngine(t)
	e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
		refused := s.Header.Get("X-Vault-Token") != token
		if refused {
			refuse(w, http.StatusForbidden, "permission denied")
		}
		return refused
	}
	t.Setenv("VAULT_ADDR", e.URL)
	own := e.client(t)
	s := service(t, &vaultkms.Options{Client: own})
	own.SetToken("")
	wrong := e.client(t)
	wrong.SetToken("hvs.expired")
	for _, test := range []struct {
		s    kms.Service
		says string
	}{
		{service(t, nil), "no token: VAULT_TOKEN is not set"},
		{s, "no token: the program's client has none"},
		{service(t, &vaultkms.Options{Client: wrong}), "the token has expired"},
	} {
		err := test.s.Encrypt(t.Context(), rows(1))[0].Err
		if !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("got %v, which does not say %q", err, test.says)
		}
	}
}

// As Vault Agent, which adds a token of its own.
func TestARequestNeedsNoTokenWhereTheServerNeedsNone(t *testing.T) {
	hermetic(t)
	e := newEngine(t)
	t.Setenv("VAULT_ADDR", e.URL)
	if r := service(t, nil).Encrypt(t.Context(), rows(1))[0]; r.Err != nil {
		t.Error(r.Err)
	}
}

func TestAnAddressThatCannotBeRightIsAnInvalidRequest(t *testing.T) {
	hermetic(t)
	encrypted := httptest.NewUnstartedServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS()
	t.Cleanup(encrypted.Close)
	proxied := newEngine(t).client(t)
	proxied.CloneConfig().HttpClient.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) {
		return nil, fmt.Errorf("invalid proxy address %q: no URL", "http://user:password@proxy") // as net/http says
	}
	of := func(address string) *api.Client {
		c := newEngine(t).client(t)
		c.SetAddress(address)
		return c
	}
	for _, test := range []struct {
		client *api.Client
		says   string
	}{
		{of(strings.Replace(encrypted.URL, "https", "http", 1)), "does the address begin with https://?"},
		{of("localhost"), "does not begin with https://"},
		{proxied, "HTTPS_PROXY"},
	} {
		err := service(t, &vaultkms.Options{Client: test.client}).Encrypt(t.Context(), rows(1))[0].Err
		if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "password") {
			t.Errorf("got %v, which does not say %q", err, test.says)
		}
	}
}

func TestOptionsSayWhereTheKeyIs(t *testing.T) {
	for _, test := range []struct {
		options             vaultkms.Options
		id, path, namespace string
	}{
		{vaultkms.Options{}, "vault/users", "/v1/transit/encrypt/users", "client's"},
		{vaultkms.Options{Mount: "transit"}, "vault/users", "/v1/transit/encrypt/users", "client's"},
		{vaultkms.Options{Mount: "/team/transit/"}, "vault/team/transit/users", "/v1/team/transit/encrypt/users", "client's"},
		{vaultkms.Options{Namespace: "a/b/"}, "vault/a/b/transit/users", "/v1/transit/encrypt/users", "a/b"},
	} {
		e := newEngine(t)
		test.options.Client = e.client(t)
		test.options.Client.SetNamespace("client's")
		s := service(t, &test.options)
		if got := s.Info().KeyID; got != test.id {
			t.Errorf("the id is %s, want %s", got, test.id)
		}
		if r := s.Encrypt(t.Context(), rows(1))[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
		if got := e.requests()[0]; got.Path != test.path || got.Header.Get("X-Vault-Namespace") != test.namespace {
			t.Errorf("sent to %s in namespace %q", got.Path, got.Header.Get("X-Vault-Namespace"))
		}
	}
}

func TestAnIDOpensTheKeyAgain(t *testing.T) {
	hermetic(t)
	for id, want := range map[string]string{
		"vault/users":              "vault/users",
		"vault/transit/users":      "vault/users",
		"vault/team/transit/users": "vault/team/transit/users",
		"vault/a_b-c.d1":           "vault/a_b-c.d1",
	} {
		key, err := kms.Open(t.Context(), id, nil)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if key.ID() != want {
			t.Errorf("%s has the id %s, want %s", id, key.ID(), want)
		}
	}
	for _, id := range []string{
		"vault/", "vault//users", "vault/transit/", "vault/us ers", "vault/../sys/users", "vault/transit/../users", "vault/-users", "vault/users?",
		"vault/a b/users", "vault/users%2f", "vault/sys/./users", "vault/üsers", "vault/users\n",
	} {
		if _, err := kms.Open(t.Context(), id, nil); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := vaultkms.New("transit/users", nil); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Errorf("a mount in a name: %v", err)
	}
}

func TestTheCallersClientIsNeitherChangedNorFrozen(t *testing.T) {
	e := newEngine(t)
	c := e.client(t)
	c.SetMaxRetries(5)
	c.AddHeader("X-Of-Mine", "1")
	s := service(t, &vaultkms.Options{Client: c, Namespace: "other"})
	before := settings(c)
	s.Encrypt(t.Context(), rows(1))
	if after := settings(c); !reflect.DeepEqual(before, after) {
		t.Errorf("the client had %v and has %v", before, after)
	}

	moved := newEngine(t)
	c.SetToken("hvs.renewed")
	c.SetAddress(moved.URL)
	c.AddHeader("X-Of-Mine", "2")
	s.Encrypt(t.Context(), rows(1))
	got := moved.all()[0].Header
	if got.Get("X-Vault-Token") != "hvs.renewed" || len(got["X-Of-Mine"]) != 2 || got.Get("X-Vault-Namespace") != "other" {
		t.Errorf("sent with %v", got)
	}
}

func settings(c *api.Client) []any {
	config := c.CloneConfig()
	check := reflect.ValueOf(config.HttpClient.CheckRedirect).IsNil()
	return []any{c.Address(), c.Token(), c.Namespace(), c.Headers(), c.MaxRetries(), c.ClientTimeout(), c.CheckRetry() == nil, check, config.HttpClient.Transport}
}

// The token may change while requests are under way: the race detector looks at this.
func TestATokenIsRenewedUnderWay(t *testing.T) {
	e := newEngine(t)
	c := e.client(t)
	s := service(t, &vaultkms.Options{Client: c})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if r := s.Encrypt(t.Context(), rows(1))[0]; r.Err != nil {
					t.Error(r.Err)
				}
				c.SetToken(token)
				c.SetNamespace("")
			}
		})
	}
	wg.Wait()
}

func TestAServiceDoesNotTryAgain(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusPreconditionFailed} {
		e := newEngine(t)
		e.alter = func(w http.ResponseWriter, _ sent, _ *answer) bool {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(status)
			return true
		}
		c := e.client(t) // which would, twice
		if c.MaxRetries() != 2 {
			t.Fatalf("the API's client makes %d retries", c.MaxRetries())
		}
		service(t, &vaultkms.Options{Client: c}).Encrypt(t.Context(), rows(1))
		if n := len(e.all()); n != 1 {
			t.Errorf("status %d: %d requests", status, n)
		}
	}
}

// A standby node sends requests on to the active one.
func TestARedirectIsFollowedOnce(t *testing.T) {
	active := newEngine(t)
	var visits int
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits++
		http.Redirect(w, r, active.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(standby.Close)
	c := active.client(t)
	c.SetAddress(standby.URL)
	items := rows(2)
	for i, r := range service(t, &vaultkms.Options{Client: c}).Encrypt(t.Context(), items) {
		if want := string(sealed(items)[i].Data); r.Err != nil || string(r.Data) != want {
			t.Errorf("item %d: %q, %v", i, r.Data, r.Err)
		}
	}
	active.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
		http.Redirect(w, &http.Request{Method: "PUT"}, standby.URL+s.Path, http.StatusTemporaryRedirect)
		return true
	}
	visits = 0
	r := service(t, &vaultkms.Options{Client: c}).Encrypt(t.Context(), rows(1))[0]
	if !errors.Is(r.Err, kms.ErrUnavailable) || visits != 1 {
		t.Errorf("a circle: %v after %d visits", r.Err, visits)
	}
}

func TestARedirectGoesNowhereInPlainTextNorAgainstTheEnvironment(t *testing.T) {
	hermetic(t)
	elsewhere := newEngine(t)
	redirect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	encrypted, plain := httptest.NewTLSServer(redirect), httptest.NewServer(redirect)
	t.Cleanup(encrypted.Close)
	t.Cleanup(plain.Close)

	own := elsewhere.client(t)
	own.CloneConfig().HttpClient.Transport.(*http.Transport).TLSClientConfig = encrypted.Client().Transport.(*http.Transport).TLSClientConfig
	own.SetAddress(encrypted.URL)
	downgraded := service(t, &vaultkms.Options{Client: own})
	t.Setenv("VAULT_ADDR", plain.URL)
	t.Setenv("VAULT_DISABLE_REDIRECTS", "true")
	for what, s := range map[string]kms.Service{"https to http": downgraded, "where the environment forbids it": service(t, nil)} {
		if r := s.Encrypt(t.Context(), rows(1))[0]; !errors.Is(r.Err, kms.ErrUnavailable) {
			t.Errorf("%s: %v", what, r.Err)
		}
	}
	if n := len(elsewhere.all()); n != 0 {
		t.Errorf("%d requests were sent on", n)
	}
}

func TestTheClientsTimeoutIsNotTheCallersDeadline(t *testing.T) {
	let := make(chan struct{})
	e := newEngine(t)
	e.alter = func(http.ResponseWriter, sent, *answer) bool { <-let; return false }
	defer close(let)
	c := e.client(t)
	c.SetClientTimeout(50 * time.Millisecond)
	r := service(t, &vaultkms.Options{Client: c}).Encrypt(t.Context(), rows(1))[0]
	if !errors.Is(r.Err, kms.ErrUnavailable) || errors.Is(r.Err, context.DeadlineExceeded) {
		t.Errorf("got %v", r.Err)
	}
}

// A client as the environment says waits two seconds for an answer to begin, and the test with it.
func TestTheEnvironmentsClientDoesNotWaitForEver(t *testing.T) {
	hermetic(t)
	let := make(chan struct{})
	e := newEngine(t)
	e.alter = func(http.ResponseWriter, sent, *answer) bool { <-let; return false }
	defer close(let)
	t.Setenv("VAULT_ADDR", e.URL)
	r := service(t, nil).Encrypt(t.Context(), rows(1))[0]
	if !errors.Is(r.Err, kms.ErrUnavailable) {
		t.Errorf("got %v", r.Err)
	}
}

func TestAUnixSocketWillDo(t *testing.T) {
	hermetic(t)
	e := &engine{}
	socket := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip("this system has no Unix sockets: ", err)
	}
	e.Server = httptest.NewUnstartedServer(e)
	e.Listener.Close()
	e.Listener = listener
	e.Start()
	defer e.Close()
	t.Setenv("VAULT_ADDR", "unix://"+socket)
	s := service(t, nil)
	for range 2 {
		if r := s.Encrypt(t.Context(), rows(1))[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if err := s.(interface{ Close() error }).Close(); err != nil {
		t.Error(err)
	}
}

// The caller's own client keeps its connections: they are not ours to close.
func TestCloseLetsGoOfOurConnectionsAlone(t *testing.T) {
	hermetic(t)
	for _, ours := range []bool{true, false} {
		closed := make(chan struct{}, 16)
		e := &engine{}
		e.Server = httptest.NewUnstartedServer(e)
		e.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		}
		e.Start()
		t.Cleanup(e.Server.Close)
		t.Setenv("VAULT_ADDR", e.URL)
		var opts *vaultkms.Options
		if !ours {
			opts = &vaultkms.Options{Client: e.client(t)}
		}
		s := service(t, opts)
		if r := s.Encrypt(t.Context(), rows(1))[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
		if err := s.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
		if ours {
			<-closed // or the test's time limit
			continue
		}
		if r := s.Encrypt(t.Context(), rows(1))[0]; r.Err != nil || len(closed) > 0 {
			t.Errorf("%d of the caller's connections were closed: %v", len(closed), r.Err)
		}
	}
}
