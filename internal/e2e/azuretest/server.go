// Package azuretest is a server of Azure Key Vault's and Managed HSM's REST protocol for tests: HTTPS, the bearer challenge,
// principals with rights, key versions with attributes, real RSA-OAEP-256 and AES-256-GCM, Azure's error bodies, faults on demand
// and exact counts. It also answers as Microsoft Entra ID for client secrets.
//
// Where Azure's behaviour is published or was recorded, the server has it: a disabled key refuses everything, an expired one or one
// that is not yet valid still opens, a soft-deleted one is not found, and no caller without a right learns whether a key exists.
package azuretest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
)

const (
	// Tenant is the tenant that the challenge names.
	Tenant = "7c5e1b0a-0000-4000-8000-azuretest000"
	// Authority is the host that answers as Microsoft Entra ID.
	Authority = "login.microsoftonline.com"

	vaults, hsms = ".vault.azure.net", ".managedhsm.azure.net"
)

// Server answers for every vault: by the names of its hosts.
type Server struct {
	http    *httptest.Server
	done    chan struct{}
	rsaKeys atomic.Int64 // made so far

	mu         sync.Mutex
	keys       map[string]*Key
	principals []*Principal
	faults     []http.HandlerFunc
	requests   map[string]int
	challenges int
	log        []string
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{done: make(chan struct{}), keys: make(map[string]*Key), requests: make(map[string]int)}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.TLS = &tls.Config{Certificates: []tls.Certificate{e2etest.Certificate(t, "*"+vaults, "*"+hsms, Authority)}}
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that go away are part of the tests
	s.http.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// Close ends the server: connections are refused from then on.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.mu.Unlock()
	s.http.Close()
}

// Certificate returns the server's certificate in PEM, for SSL_CERT_FILE.
func (s *Server) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.TLS.Certificates[0].Certificate[0]})
}

// Address returns the server's own address for the hosts that it answers for, and "" for others.
func (s *Server) Address(host string) string {
	if host == Authority || strings.HasSuffix(host, vaults) || strings.HasSuffix(host, hsms) {
		return s.http.Listener.Addr().String()
	}
	return ""
}

// HTTPClient returns a client to which every host is this server. It trusts the server's certificate only.
func (s *Server) HTTPClient() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.http.TLS.Certificates[0].Leaf)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.http.Listener.Addr().String())
		},
	}}
}

// ClientOptions returns options for the SDK's client, with such a client.
func (s *Server) ClientOptions() *azkeys.ClientOptions {
	co := &azkeys.ClientOptions{}
	co.Transport = s.HTTPClient()
	return co
}

// Requests returns how many requests with a token there were, for these operations ("wrapKey", …) or, without any, for all.
func (s *Server) Requests(operations ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for op, count := range s.requests {
		if len(operations) == 0 {
			n += count
		}
		for _, want := range operations {
			if op == want {
				n += count
			}
		}
	}
	return n
}

// Challenges returns how many requests without a token there were.
func (s *Server) Challenges() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.challenges
}

// AuditLog returns what Azure's log shows of each request: operation, caller, key and version, status.
func (s *Server) AuditLog() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

// Fail has the next n requests with a token answered by f.
func (s *Server) Fail(n int, f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.faults = append(s.faults, f)
	}
}

func (s *Server) nextFault() http.HandlerFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) == 0 {
		return nil
	}
	f := s.faults[0]
	s.faults = s.faults[1:]
	return f
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Host == Authority {
		s.serveEntra(w, r)
		return
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		s.mu.Lock()
		s.challenges++
		s.mu.Unlock()
		challenge(w, r, "AKV10000: Request is missing a Bearer or PoP token.")
		return
	}
	op := operationOf(r.URL)
	s.mu.Lock()
	s.requests[op]++
	s.mu.Unlock()
	if f := s.nextFault(); f != nil {
		f(w, r)
		return
	}
	p := s.principal(token)
	if p == nil {
		challenge(w, r, "AKV10022: Invalid or revoked token.")
		return
	}
	answer, fail := s.operate(p, op, r)
	s.mu.Lock()
	status := http.StatusOK
	if fail != nil {
		status = fail.status
	}
	s.log = append(s.log, strings.Join([]string{op, p.name, r.Host + r.URL.Path, http.StatusText(status)}, " "))
	s.mu.Unlock()
	if fail != nil {
		fail.write(w)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// resource is what tokens are for, as the challenge says it: the host without its first label.
func resource(host string) string {
	_, domain, _ := strings.Cut(host, ".")
	return "https://" + domain
}

func challenge(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("WWW-Authenticate", `Bearer authorization="https://`+Authority+`/`+Tenant+`", resource="`+resource(r.Host)+`"`)
	(&failure{status: http.StatusUnauthorized, code: "Unauthorized", message: text}).write(w)
}

var operations = map[string]string{"wrapkey": "wrapKey", "unwrapkey": "unwrapKey", "encrypt": "encrypt", "decrypt": "decrypt"}

// operationOf returns "" for what the server does not do.
func operationOf(u *url.URL) string {
	path := strings.Split(strings.ToLower(u.Path), "/")
	return operations[path[len(path)-1]]
}

// failure is one of Azure's errors.
type failure struct {
	status               int
	code, inner, message string
}

func (f *failure) write(w http.ResponseWriter) {
	type innerError struct {
		Code string `json:"code"`
	}
	var body struct {
		Error struct {
			Code       string      `json:"code"`
			Message    string      `json:"message"`
			InnerError *innerError `json:"innererror,omitempty"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = f.code, f.message
	if f.inner != "" {
		body.Error.InnerError = &innerError{f.inner}
	}
	writeJSON(w, f.status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b)
}

var apiVersion = regexp.MustCompile(`^(7\.\d|20\d\d-\d\d-\d\d)(-preview\.\d)?$`)
