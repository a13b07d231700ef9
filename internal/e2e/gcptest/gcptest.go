// Package gcptest is Google Cloud KMS for tests: Encrypt and Decrypt of google.cloud.kms.v1.KeyManagementService over TLS on
// a loopback port, for Google's own client.
//
// It does as the service does: bearer tokens and their expiry, rights on keys, key rings and projects, the routing header,
// checksums, key versions with their states, size limits, and AAD. It knows service accounts by what they sign, and logins by
// the access tokens that it hands out for them. Codes, details and texts are those of the service where
// they are known. Ciphertexts are of its outer form, with AES-256-GCM inside.
package gcptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
)

// Server is the service. Its methods are safe for concurrent use.
type Server struct {
	kmspb.UnimplementedKeyManagementServiceServer
	listener *listener
	grpc     *grpc.Server
	tokens   *httptest.Server
	roots    *x509.CertPool
	pem      []byte

	mu        sync.Mutex
	hooks     Hooks
	keys      map[string]*Key
	accounts  map[string]*account // by token
	files     map[string]string   // tokens, by what stands for them in credential files
	requests  int
	throttled int
	wait      time.Duration
}

// Hooks change what the server does, for faults. Each may be nil.
type Hooks struct {
	// Before comes before everything else. Its error is the answer.
	Before func(ctx context.Context, number int) error
	// Received may change a request before it is looked at, as a bad network could.
	Received func(proto.Message)
	// Answer may change an answer before it is sent.
	Answer func(proto.Message)
}

// New starts a server, which stops with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{keys: make(map[string]*Key), accounts: make(map[string]*account), files: make(map[string]string)}
	certificate := e2etest.Certificate(t, kmsHost, tokenHost)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(certificate.Leaf)
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.listener = &listener{Listener: l, open: make(map[*net.TCPConn]bool)}
	s.grpc = grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	kmspb.RegisterKeyManagementServiceServer(s.grpc, s)
	go s.grpc.Serve(s.listener)
	s.tokens = httptest.NewUnstartedServer(http.HandlerFunc(s.serveToken))
	s.tokens.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.tokens.StartTLS()
	t.Cleanup(s.Stop)
	return s
}

const kmsHost, tokenHost = "cloudkms.googleapis.com", "oauth2.googleapis.com"

// Certificate returns the server's certificate in PEM, for SSL_CERT_FILE.
func (s *Server) Certificate() []byte { return s.pem }

// Address returns where this server answers for a host of Google's, and "" if it does not.
func (s *Server) Address(host string) string {
	switch host {
	case kmsHost:
		return s.listener.Addr().String()
	case tokenHost:
		return s.tokens.Listener.Addr().String()
	}
	return ""
}

// Client returns the options of a client that shows a token.
func (s *Server) Client(token string) []option.ClientOption {
	return s.ClientOf(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token}))
}

// ClientOf returns the options of a client that shows what a source hands out.
func (s *Server) ClientOf(tokens oauth2.TokenSource) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(s.listener.Addr().String()),
		option.WithTokenSource(tokens),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots}))),
	}
}

// Stop ends the server and its connections. Its addresses then refuse connections.
func (s *Server) Stop() {
	s.grpc.Stop()
	s.tokens.Close()
}

// CutConnections resets every connection (TCP RST), with the calls that are under way. New ones are accepted.
func (s *Server) CutConnections() { s.listener.cut() }

// SetHooks replaces the hooks.
func (s *Server) SetHooks(h Hooks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = h
}

// Throttle answers the next n requests with RESOURCE_EXHAUSTED, and with a RetryInfo if wait is above 0.
func (s *Server) Throttle(n int, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttled, s.wait = n, wait
}

// Requests returns how many requests have come, refused ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// listener knows its connections, to reset them.
type listener struct {
	net.Listener
	mu   sync.Mutex
	open map[*net.TCPConn]bool
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c.(*net.TCPConn)] = true
	return c, nil
}

func (l *listener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.SetLinger(0) // close sends RST instead of FIN
		c.Close()
		delete(l.open, c)
	}
}
