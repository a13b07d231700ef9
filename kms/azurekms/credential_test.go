package azurekms

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// environment is a service with the environment's credentials. Requests for tokens go to entra.
func environment(t *testing.T, env map[string]string, entra func(*http.Request) (*http.Response, error)) kms.Service {
	t.Helper()
	for name, value := range map[string]string{
		"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "", "AZURE_AUTHORITY_HOST": "",
		"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
	} {
		t.Setenv(name, value)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	opts := optionsFor(transporter(nil))
	opts.Credential = nil
	opts.ClientOptions.Transport = byHost{entra}
	s, err := New(vaultID, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type byHost struct{ entra transporter }

func (b byHost) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Host, ".vault.azure.net") {
		return transporter(nil).Do(r) // the challenge: no token comes out of these tests
	}
	return b.entra(r)
}

// discovery answers what is asked before a token is.
func discovery(r *http.Request) (*http.Response, error) {
	const base = "https://login.microsoftonline.com/tenant/"
	return answerOf(r, http.StatusOK, `{"tenant_discovery_endpoint": "`+base+`v2.0/.well-known/openid-configuration",
		"authorization_endpoint": "`+base+`authorize", "token_endpoint": "`+base+`token", "issuer": "`+base+`v2.0"}`), nil
}

// Some people set a variable to the secret itself where the name of its file belongs.
func TestSecretsInPlaceOfTheirFilesNameAreNotPrinted(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"a certificate": {"AZURE_CLIENT_CERTIFICATE_PATH": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"},
		"a token":       {"AZURE_FEDERATED_TOKEN_FILE": "hunter2", "AZURE_TOKEN_CREDENTIALS": "WorkloadIdentityCredential"},
		"a long token": {
			"AZURE_FEDERATED_TOKEN_FILE": strings.Repeat("hunter2", 1000), "AZURE_TOKEN_CREDENTIALS": "WorkloadIdentityCredential",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := seal(t.Context(), environment(t, env, discovery), []byte("x"), row)
			if !errors.Is(err, kms.ErrAccessDenied) {
				t.Errorf("%v", err)
			}
			for _, part := range []string{"Credential: ", "file", "az login"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v; want it to say %q", err, part)
				}
			}
			check(t, err)
		})
	}
}

func TestAVariableThatMakesNoSenseIsNotPrinted(t *testing.T) {
	for name, value := range map[string]string{"AZURE_TOKEN_CREDENTIALS": "hunter2", "AZURE_AUTHORITY_HOST": "https://me:hunter2@%zz"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			s, err := New(hsmID, nil)
			if err == nil {
				_, err = seal(t.Context(), s, []byte("x"), row)
			}
			check(t, err)
		})
	}
}

// Who cannot be asked has denied nothing: kms.Key tries again. The credential itself does not, or that would take minutes.
func TestNoTokenForAWhileIsUnavailable(t *testing.T) {
	for says, cause := range map[string]error{
		"no such host":             &net.DNSError{Err: "no such host", Name: "login.microsoftonline.com"},
		"connection refused":       &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")},
		"connection reset by peer": &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")},
		"i/o timeout":              &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("i/o timeout")},
	} {
		t.Run(says, func(t *testing.T) {
			asked := make(map[string]int)
			s := environment(t, map[string]string{"AZURE_CLIENT_SECRET": "hunter2"}, func(r *http.Request) (*http.Response, error) {
				asked[r.URL.String()]++
				return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: cause}
			})
			_, err := seal(t.Context(), s, []byte("x"), row)
			if !errors.Is(err, kms.ErrUnavailable) || errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "az login") {
				t.Errorf("nothing is wrong with the credentials: %v", err)
			}
			for what, n := range asked {
				if n != 1 {
					t.Errorf("%d times %s", n, what)
				}
			}
			if len(asked) == 0 {
				t.Error("no request was made")
			}
			check(t, err)
		})
	}
}

// A proxy's password stands in its address, which the standard library prints where it cannot be parsed.
func TestNetworkErrorsShowNoPassword(t *testing.T) {
	for says, cause := range map[string]error{
		"check the network and the proxy": errors.New(`invalid proxy address "http://me:hunter2@proxy"`),
		"no such host":                    &net.DNSError{Err: "no such host", Name: "myvault.vault.azure.net"},
		"certificate":                     &tls.CertificateVerificationError{Err: errors.New("x509: unknown authority")},
	} {
		s := newService(t, vaultID, transporter(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: r.Method, URL: "https://me:hunter2@vault", Err: cause}
		}))
		_, err := seal(t.Context(), s, []byte("x"), row)
		if !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v", err)
		}
		check(t, err)
	}
}

// Redirects of a token's request would take the client secret along.
func TestTheTokensClientFollowsNoRedirect(t *testing.T) {
	c := tokenClient()
	if err := c.CheckRedirect(nil, nil); err != http.ErrUseLastResponse {
		t.Errorf("%v", err)
	}
}
