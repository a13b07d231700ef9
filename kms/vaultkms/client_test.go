package vaultkms_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
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
	for _, name := range []string{
		"VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_TOKEN", "VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_HEADERS", "VAULT_MAX_RETRIES",
		"VAULT_WRAP_TTL", "VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "VAULT_CLIENT_TIMEOUT",
	} {
		t.Setenv(name, "")
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
	for name, value := range map[string]string{
		"VAULT_CACERT":     filepath.Join(t.TempDir(), "missing.pem"),
		"VAULT_ADDR":       "http://user:pass word@host:port",
		"VAULT_PROXY_ADDR": "http://user:pass word@host:port",
	} {
		t.Run(name, func(t *testing.T) {
			hermetic(t)
			t.Setenv(name, value)
			_, err := kms.Open(t.Context(), "vault/users", nil)
			if !errors.Is(err, kms.ErrInvalidRequest) || strings.Contains(err.Error(), "word") {
				t.Errorf("got %v", err)
			}
		})
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
