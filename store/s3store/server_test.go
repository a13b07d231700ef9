package s3store_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/store/s3store"
)

// The credentials of the tests: texts that are found wherever they are printed.
var credentials = aws.Credentials{
	AccessKeyID: "AKIATESTACCESSKEYID", SecretAccessKey: "test/secret+access/key", SessionToken: "test-session-token",
}

const key = "rg27wufiakeyw65qzsy068mu6h1c"

// server answers with one handler after the other, and with the last one for ever. It notes the requests.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	answers  []http.HandlerFunc
	requests []request
}

type request struct {
	method, path string
	header       http.Header
	body         string
}

func newServer(t *testing.T, answers ...http.HandlerFunc) *server {
	s := &server{answers: answers}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that break off are part of the tests
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, request{r.Method, r.URL.EscapedPath(), r.Header, string(body)})
	answer := s.answers[min(len(s.requests), len(s.answers))-1]
	s.mu.Unlock()
	answer(w, r)
}

// want compares the methods of the requests.
func (s *server) want(t *testing.T, methods string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for _, r := range s.requests {
		got = append(got, r.method)
	}
	if strings.Join(got, " ") != methods {
		t.Errorf("requests: %q, want %q", got, methods)
	}
}

func clientOf(s *httptest.Server) *s3.Client {
	return s3.New(s3.Options{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(s.URL),
		UsePathStyle: true,
		HTTPClient:   s.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return credentials, nil
		}),
	})
}

func newStore(t *testing.T, s *server, opts *s3store.Options) *s3store.Store {
	t.Helper()
	files, err := s3store.New(clientOf(s.Server), "my-bucket", "sealed/", opts)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// object answers a GET.
func object(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, content)
	}
}

// refusal answers as S3 does: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func refusal(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", "656c76696e6727732072657175657374")
		w.WriteHeader(status)
		if code != "" {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>a message</Message><RequestId>1</RequestId></Error>", code)
		}
	}
}

// breakOff closes the connection without an answer.
func breakOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// never answers.
func never(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
