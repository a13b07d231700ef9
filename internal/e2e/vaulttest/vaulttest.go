// Package vaulttest gives tests a real Vault: in memory, unsealed, with a transit engine, and gone when the test ends,
// even if the test process is killed. It needs a Unix.
//
// The built-in server is the program internal/e2e/vaultserver, which the first test that needs it builds; without Go's
// build cache that takes some minutes. Each also runs a test against a bao or vault that is on the PATH.
package vaulttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Server is a running Vault or OpenBao.
type Server struct {
	Name    string // what it is, for logs
	Address string
	Root    *api.Client // has the root token: may do everything

	unsealKey string
	dir       string
	policies  atomic.Int32
}

// Start starts the built-in Vault for tb alone.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{Name: "the built-in Vault", dir: tb.TempDir()}
	var started struct {
		Address   string
		RootToken string `json:"root_token"`
		UnsealKey string `json:"unseal_key"`
	}
	run(tb, s.dir, func(line string) bool {
		return json.Unmarshal([]byte(line), &started) == nil && started.Address != ""
	}, program(tb))
	s.Address, s.unsealKey = started.Address, started.UnsealKey
	s.use(tb, started.RootToken)
	return s
}

// Each runs a test against the built-in Vault, and against the bao and the vault that are on the PATH, each in dev mode.
func Each(t *testing.T, test func(t *testing.T, s *Server)) {
	t.Run("built-in", func(t *testing.T) { test(t, Start(t)) })
	for _, name := range []string{"bao", "vault"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("DOES NOT RUN AGAINST %s: there is none on the PATH", name)
			continue
		}
		t.Run(name, func(t *testing.T) { test(t, startDev(t, path)) })
	}
}

// use makes the server ready for tests.
func (s *Server) use(tb testing.TB, rootToken string) {
	tb.Helper()
	s.Root = s.Client(tb, rootToken)
	health, err := s.Root.Sys().Health()
	if err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
	tb.Logf("RUNS AGAINST %s, version %s", s.Name, health.Version)
	s.Mount(tb, "transit")
}

// Client returns a client with this token and without retries, whose connections end with tb. It ignores the environment.
func (s *Server) Client(tb testing.TB, token string) *api.Client {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	c, err := api.NewClient(&api.Config{Address: s.Address, HttpClient: &http.Client{Transport: transport}})
	if err != nil {
		tb.Fatal(err)
	}
	c.SetAddress(s.Address) // after VAULT_ADDR
	c.ClearNamespace()
	c.SetToken(token)
	return c
}

// Token makes a token that may do what the policy says, and look after itself.
func (s *Server) Token(tb testing.TB, policyHCL string) string {
	tb.Helper()
	name := fmt.Sprintf("policy-%d", s.policies.Add(1))
	if err := s.Root.Sys().PutPolicy(name, policyHCL); err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
	made := s.Write(tb, "auth/token/create", map[string]any{"policies": []string{name}})
	return made.Auth.ClientToken
}

// Write writes to a path with the root token.
func (s *Server) Write(tb testing.TB, path string, data map[string]any) *api.Secret {
	tb.Helper()
	secret, err := s.Root.Logical().Write(path, data)
	if err != nil {
		tb.Fatalf("%s: writing to %s: %v", s.Name, path, err)
	}
	return secret
}

// RateLimit lets a path (transit/encrypt/my-key, or sys for an engine's mount) have so many requests a second, all tokens
// together; the others are answered with 429.
func (s *Server) RateLimit(tb testing.TB, path string, perSecond float64) {
	tb.Helper()
	s.Write(tb, "sys/quotas/rate-limit/test", map[string]any{"path": path, "rate": perSecond})
}

// Seal seals the server: it answers every request with 503.
func (s *Server) Seal(tb testing.TB) {
	tb.Helper()
	if err := s.Root.Sys().Seal(); err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
}

// Unseal undoes Seal.
func (s *Server) Unseal(tb testing.TB) {
	tb.Helper()
	status, err := s.Root.Sys().Unseal(s.unsealKey)
	if err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
	if status.Sealed {
		tb.Fatalf("%s is still sealed", s.Name)
	}
}
