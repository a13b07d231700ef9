package azuretest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// TokenPrefix begins every token, and SecretPrefix every client secret, for tests that look for them.
const (
	TokenPrefix  = "azuretest-token-"
	SecretPrefix = "azuretest-secret-"
)

// Principal is a caller with rights. It is an azcore.TokenCredential.
type Principal struct {
	name   string
	rights []string
	secret string

	mu      sync.Mutex
	valid   []string // tokens
	issued  int
	revoked bool // no further token is valid
	expired bool // the client secret
}

// Principal returns a new caller who may do these operations: "wrapKey", "unwrapKey", "encrypt", "decrypt".
func (s *Server) Principal(name string, rights ...string) *Principal {
	p := &Principal{name: name, rights: rights, secret: SecretPrefix + rand.Text()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principals = append(s.principals, p)
	return p
}

// GetToken implements azcore.TokenCredential.
func (p *Principal) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	scopes := []string{"https://vault.azure.net/.default", "https://managedhsm.azure.net/.default"}
	if o.TenantID != Tenant || len(o.Scopes) != 1 || !slices.Contains(scopes, o.Scopes[0]) {
		return azcore.AccessToken{}, fmt.Errorf("azuretest: token for tenant %q and scopes %q", o.TenantID, o.Scopes)
	}
	return azcore.AccessToken{Token: p.issue(), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (p *Principal) issue() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued++
	token := TokenPrefix + rand.Text()
	if !p.revoked {
		p.valid = append(p.valid, token)
	}
	return token
}

// Issued returns how many tokens were asked for.
func (p *Principal) Issued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issued
}

// ExpireTokens makes the tokens so far invalid. New ones are valid.
func (p *Principal) ExpireTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.valid = nil
}

// Revoke makes all tokens invalid, and those to come.
func (p *Principal) Revoke() {
	p.ExpireTokens()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = true
}

// ExpireSecret makes Entra refuse the client secret.
func (p *Principal) ExpireSecret() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expired = true
}

// Environment returns the variables of azidentity's EnvironmentCredential for this principal, and the secret among them.
func (p *Principal) Environment() (env []string, secret string) {
	return []string{"AZURE_TENANT_ID=" + Tenant, "AZURE_CLIENT_ID=" + p.name, "AZURE_CLIENT_SECRET=" + p.secret}, p.secret
}

// ClientSecret returns the SDK's own credential for this principal, which asks the server's Entra.
func (p *Principal) ClientSecret(t testing.TB, s *Server) azcore.TokenCredential {
	t.Helper()
	c, err := azidentity.NewClientSecretCredential(Tenant, p.name, p.secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: "https://" + Authority},
			Transport: s.HTTPClient(),
		},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *Server) principal(token string) *Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.principals {
		p.mu.Lock()
		valid := slices.Contains(p.valid, token)
		p.mu.Unlock()
		if valid {
			return p
		}
	}
	return nil
}

func (s *Server) serveEntra(w http.ResponseWriter, r *http.Request) {
	base := "https://" + Authority + "/" + Tenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/v2.0/.well-known/openid-configuration"):
		writeJSON(w, http.StatusOK, map[string]string{
			"issuer":                 base + "/v2.0",
			"authorization_endpoint": base + "/oauth2/v2.0/authorize",
			"token_endpoint":         base + "/oauth2/v2.0/token",
		})
	case strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"):
		s.serveToken(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	refuse := func(code, text string) {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": code, "error_description": text})
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.principals, func(p *Principal) bool { return p.name == r.FormValue("client_id") })
	var p *Principal
	if i >= 0 {
		p = s.principals[i]
	}
	s.mu.Unlock()
	if p == nil || r.FormValue("client_secret") != p.secret {
		refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.")
		return
	}
	p.mu.Lock()
	expired := p.expired
	p.mu.Unlock()
	if expired {
		refuse("invalid_client", "AADSTS7000222: The provided client secret keys for app '"+p.name+"' are expired.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": p.issue()})
}
