package gcptest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Right is a permission on keys.
type Right string

// The rights of roles/cloudkms.cryptoKeyEncrypter and roles/cloudkms.cryptoKeyDecrypter.
const (
	Encrypter Right = "cloudkms.cryptoKeyVersions.useToEncrypt"
	Decrypter Right = "cloudkms.cryptoKeyVersions.useToDecrypt"
)

type grant struct {
	resource string
	right    Right
}

// account is who shows a token.
type account struct {
	expired bool
	grants  map[grant]bool
}

// Token makes an account and returns its bearer token.
func (s *Server) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := "ya29." + rand.Text()
	s.accounts[token] = &account{grants: make(map[grant]bool)}
	return token
}

// Grant gives an account rights on a key, a key ring, a location or a project, and on all below it.
func (s *Server) Grant(token, resource string, rights ...Right) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rights {
		s.accounts[token].grants[grant{resource, r}] = true
	}
}

// Revoke takes a granted right away.
func (s *Server) Revoke(token, resource string, r Right) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts[token].grants, grant{resource, r})
}

// Expire makes a token as one whose time is over.
func (s *Server) Expire(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[token].expired = true
}

// may tells whether a right was granted on a key or on anything above it.
func (a *account) may(r Right, name string) bool {
	for g := range a.grants {
		if g.right == r && (g.resource == name || strings.HasPrefix(name, g.resource+"/")) {
			return true
		}
	}
	return false
}

// admit checks who asks for what, in the order of the service: who, where to, whether he may.
func (s *Server) admit(ctx context.Context, name string, r Right) error {
	md, _ := metadata.FromIncomingContext(ctx)
	a, err := s.authenticate(md)
	if err != nil {
		return err
	}
	if route := md.Get("x-goog-request-params"); len(route) != 1 || route[0] != "name="+url.QueryEscape(name) {
		return fail(codes.InvalidArgument, "The request was sent to a location that is not the key's, or was misrouted. gRPC "+
			"clients must ensure that 'x-goog-request-params' is specified in request metadata.")
	}
	if !a.may(r, name) {
		text := fmt.Sprintf("Permission '%s' denied on resource '%s' (or it may not exist).", r, name)
		return fail(codes.PermissionDenied, text, info("IAM_PERMISSION_DENIED", "permission", string(r), "resource", name))
	}
	return nil
}

func (s *Server) authenticate(md metadata.MD) (*account, error) {
	const text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid " +
		"authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
	bearer := md.Get("authorization")
	if len(bearer) != 1 {
		return nil, fail(codes.Unauthenticated, text, info("CREDENTIALS_MISSING"))
	}
	token, _ := strings.CutPrefix(bearer[0], "Bearer ")
	a := s.accounts[cmp.Or(s.signer(token), token)]
	switch {
	case a == nil:
		return nil, fail(codes.Unauthenticated, text, info("ACCESS_TOKEN_TYPE_UNSUPPORTED"))
	case a.expired:
		return nil, fail(codes.Unauthenticated, text, info("ACCESS_TOKEN_EXPIRED"))
	}
	return a, nil
}

func info(reason string, pairs ...string) *errdetails.ErrorInfo {
	about := map[string]string{"service": "cloudkms.googleapis.com"}
	for n := 0; n < len(pairs); n += 2 {
		about[pairs[n]] = pairs[n+1]
	}
	return &errdetails.ErrorInfo{Reason: reason, Domain: "googleapis.com", Metadata: about}
}
