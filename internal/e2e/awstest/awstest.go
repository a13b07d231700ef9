// Package awstest is AWS KMS in this process, as far as tests of kms/awskms need it: Encrypt, Decrypt and ReEncrypt in the
// service's JSON protocol, for the real client on the other side. It checks signatures, rights, key states, encryption
// contexts and sizes, and answers with the service's names of errors.
//
// Where the service's documentation leaves open what is looked at first, the server does what is harder for a client: what
// is no ciphertext is told before the right to decrypt is looked at.
package awstest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Account is the account of principals and keys, unless another is named.
const Account = "111122223333"

// State is the state of a key.
type State string

// The states. https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
	PendingImport   State = "PendingImport"
)

// Actions of a policy.
const (
	Encrypt       = "kms:Encrypt"
	Decrypt       = "kms:Decrypt"
	ReEncryptFrom = "kms:ReEncryptFrom"
	ReEncryptTo   = "kms:ReEncryptTo"
)

// Server is the service in all Regions at once: the Region of a request is that of its signature.
type Server struct {
	URL string

	mu         sync.Mutex
	keys       map[string]*key       // by ARN
	aliases    map[string]string     // alias ARN → key ARN
	principals map[string]*Principal // by access key
	requests   []Request
	next       []http.HandlerFunc
	named      map[string]string
}

// Principal is who makes requests, with the rights that Allow tells.
type Principal struct {
	Name      string
	Account   string
	AccessKey string
	SecretKey string
	Token     string // of a role's session, else ""
	Expired   bool
	Allow     func(action, keyARN string) bool
}

// Request is what the server saw of a request. Ids are as the client named them, "" where it named none.
type Request struct {
	Op, KeyID, SourceKeyID, Principal string
	DryRun                            bool
}

type key struct {
	arn    string
	region string
	state  State
	*material
}

// material is what the keys of a multi-Region set share.
type material struct {
	id       string
	versions [][]byte
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{
		keys:       make(map[string]*key),
		aliases:    make(map[string]string),
		principals: make(map[string]*Principal),
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Principal makes one with the given actions on all keys.
func (s *Server) Principal(name string, actions ...string) *Principal {
	return s.PrincipalOf(Account, name, actions...)
}

// PrincipalOf makes one of any account, in which its ids without an account are looked for.
func (s *Server) PrincipalOf(account, name string, actions ...string) *Principal {
	p := &Principal{
		Name: name, Account: account,
		AccessKey: "AKIA" + strings.ToUpper(random(8)), SecretKey: random(20), Token: "session-token-" + random(20),
		Allow: func(action, _ string) bool { return slices.Contains(actions, action) },
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principals[p.AccessKey] = p
	return p
}

// SetRights gives a principal other rights than its actions.
func (s *Server) SetRights(p *Principal, allow func(action, keyARN string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Allow = allow
}

// Expire ends a principal's session.
func (s *Server) Expire(p *Principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Expired = true
}

// CreateKey makes a key and returns its ARN.
func (s *Server) CreateKey(region string) string { return s.CreateKeyOf(Account, region) }

// CreateKeyOf makes a key of any account.
func (s *Server) CreateKeyOf(account, region string) string {
	h := random(16)
	id := strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	return s.create(account, id, region)[0]
}

// CreateMultiRegionKey makes a set of keys, one a Region, and returns their ARNs.
func (s *Server) CreateMultiRegionKey(regions ...string) []string {
	return s.create(Account, "mrk-"+random(16), regions...)
}

func (s *Server) create(account, id string, regions ...string) (arns []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &material{id: id, versions: [][]byte{randomBytes(32)}}
	for _, region := range regions {
		arn := fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", partition(region), region, account, id)
		s.keys[arn] = &key{arn: arn, region: region, state: Enabled, material: m}
		arns = append(arns, arn)
	}
	return arns
}

func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// PointAlias points alias/NAME at a key of its Region, now or anew, and returns the alias's ARN.
func (s *Server) PointAlias(name, keyARN string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	alias := keyARN[:strings.LastIndex(keyARN, ":")+1] + name
	s.aliases[alias] = keyARN
	return alias
}

// SetState changes a key's state.
func (s *Server) SetState(keyARN string, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[keyARN].state = state
}

// Rotate gives a key new material; ciphertexts of the old one still open.
func (s *Server) Rotate(keyARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[keyARN]
	k.versions = append(k.versions, randomBytes(32))
}

// Version tells by which material of its key a ciphertext was made, from 1.
func Version(ciphertext []byte) int {
	b, ok := parseBlob(ciphertext)
	if !ok {
		return 0
	}
	return int(b.version) + 1
}

// Next has the next n requests answered by h.
func (s *Server) Next(n int, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.next = append(s.next, h)
	}
}

// Throttle refuses the next n requests as one too many.
func (s *Server) Throttle(n int) {
	s.Next(n, Refuse("ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."))
}

// Refuse answers with an error.
func Refuse(code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { failure(code, "%s", message).write(w) }
}

// NameAs has all answers name another key in the field KeyID or SourceKeyID. "": what is true.
func (s *Server) NameAs(field, arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named == nil {
		s.named = make(map[string]string)
	}
	s.named[field] = arn
}

// Requests returns what was asked since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.requests
	s.requests = nil
	return seen
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func random(n int) string { return hex.EncodeToString(randomBytes(n)) }
