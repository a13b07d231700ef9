// Package s3test is a server of the protocol of Amazon S3 in this process, for the real client on the other side:
// github.com/johannesboyne/gofakes3, and before it what it leaves out. Signatures, the checksums of what is uploaded and rights
// are checked, and If-None-Match can be switched off, as in servers that do not know it.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const region = "eu-west-1"

// Server has one bucket.
type Server struct {
	URL    string
	Bucket string

	memory *s3mem.Backend
	fake   http.Handler

	mu               sync.Mutex
	principals       map[string]principal // by access key
	ignoreConditions bool
	requests         []string
}

type principal struct {
	credentials aws.Credentials
	methods     []string // it may use
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{Bucket: "my-bucket", memory: s3mem.New(), principals: make(map[string]principal)}
	if err := s.memory.CreateBucket(s.Bucket); err != nil {
		t.Fatal(err)
	}
	s.fake = gofakes3.New(s.memory).Server()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Client returns a client with credentials of its own, which may use the given HTTP methods, or all if none is given.
func (s *Server) Client(t testing.TB, methods ...string) *s3.Client {
	p := principal{
		credentials: aws.Credentials{AccessKeyID: "AKIA" + rand.Text(), SecretAccessKey: rand.Text(), SessionToken: "session-" + rand.Text()},
		methods:     methods,
	}
	s.mu.Lock()
	s.principals[p.credentials.AccessKeyID] = p
	s.mu.Unlock()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return s3.New(s3.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.URL),
		UsePathStyle: true,
		HTTPClient:   &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return p.credentials, nil
		}),
	})
}

// IgnoreConditions makes the server overwrite whatever If-None-Match says.
func (s *Server) IgnoreConditions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ignoreConditions = true
}

// Requests returns the requests since the last call, as "METHOD /BUCKET/NAME".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.requests = nil }()
	return s.requests
}

// Objects returns the names of all objects.
func (s *Server) Objects(t testing.TB) (names []string) {
	t.Helper()
	list, err := s.memory.ListBucket(s.Bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		names = append(names, o.Key)
	}
	return names
}

// Object returns the content of an object and the headers that came with it.
func (s *Server) Object(t testing.TB, name string) (content []byte, header map[string]string) {
	t.Helper()
	o, err := s.memory.GetObject(s.Bucket, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Contents.Close()
	if content, err = io.ReadAll(o.Contents); err != nil {
		t.Fatal(err)
	}
	return content, o.Metadata
}

// SetObject replaces the content of an object and leaves its headers, the checksum among them, or makes a new object.
func (s *Server) SetObject(t testing.TB, name string, content []byte) {
	t.Helper()
	var header map[string]string
	if o, err := s.memory.GetObject(s.Bucket, name, nil); err == nil {
		header = o.Metadata
		o.Contents.Close()
	}
	if _, err := s.memory.PutObject(s.Bucket, name, header, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		t.Fatal(err)
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	ignoreConditions := s.ignoreConditions
	s.mu.Unlock()
	if status, code := s.refusal(r, body); code != "" {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, r.Header.Get("Authorization"))
		return
	}
	if ignoreConditions {
		r.Header.Del("If-None-Match")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.fake.ServeHTTP(w, r)
}

// refusal returns the code of the error that the request gets, or "".
func (s *Server) refusal(r *http.Request, body []byte) (status int, code string) {
	accessKey, ok := accessKeyOf(r.Header.Get("Authorization"))
	s.mu.Lock()
	p, known := s.principals[accessKey]
	s.mu.Unlock()
	switch {
	case !ok:
		return http.StatusBadRequest, "AuthorizationHeaderMalformed"
	case !known || p.credentials.SessionToken != r.Header.Get("X-Amz-Security-Token"):
		return http.StatusForbidden, "InvalidAccessKeyId"
	case !isSigned(r, p.credentials):
		return http.StatusForbidden, "SignatureDoesNotMatch"
	case !isSum(r.Header.Get("X-Amz-Content-Sha256"), body, hex.EncodeToString):
		return http.StatusBadRequest, "XAmzContentSHA256Mismatch"
	case r.Method == http.MethodPut && !isSum(r.Header.Get("X-Amz-Checksum-Sha256"), body, base64.StdEncoding.EncodeToString):
		return http.StatusBadRequest, "BadDigest"
	case len(p.methods) > 0 && !slices.Contains(p.methods, r.Method):
		return http.StatusForbidden, "AccessDenied"
	}
	return 0, ""
}

func isSum(header string, body []byte, encode func([]byte) string) bool {
	sum := sha256.Sum256(body)
	return header == encode(sum[:])
}

// accessKeyOf reads "AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/s3/aws4_request, SignedHeaders=…, Signature=…".
func accessKeyOf(authorization string) (accessKey string, ok bool) {
	rest, ok := strings.CutPrefix(authorization, "AWS4-HMAC-SHA256 Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	return parts[0], ok && len(parts) == 5 && parts[2] == region && parts[3] == "s3" && parts[4] == "aws4_request"
}

// isSigned makes the signature once more, with the SDK's own signer.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
func isSigned(r *http.Request, c aws.Credentials) bool {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		return false
	}
	authorization := r.Header.Get("Authorization")
	_, signed, _ := strings.Cut(authorization, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if v := r.Header.Values(name); len(v) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	again.ContentLength = max(r.ContentLength, 0)
	asS3 := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }
	err = v4.NewSigner().SignHTTP(r.Context(), c, again, r.Header.Get("X-Amz-Content-Sha256"), "s3", region, at, asS3)
	return err == nil && subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(authorization)) == 1
}
