package gcpkms

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc/connectivity"

	"github.com/rowseal/rowseal/kms"
)

func TestOpeningAKeyAsksForNothing(t *testing.T) {
	var asked atomic.Int64
	metadata := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer metadata.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(metadata.URL, "http://"))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "missing.json"))
	key, err := kms.Open(t.Context(), testID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Close(); err != nil || asked.Load() > 0 {
		t.Errorf("%v; the metadata server was asked %d times", err, asked.Load())
	}
	_, err = key.Encrypt(t.Context(), []byte("x"), nil)
	only(t, err, kms.ErrInvalidRequest)
}

func TestMissingCredentialsTellWhatToDoAndAreLookedForAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	s := open(t, nil)
	r := seal(t.Context(), s, "x")
	only(t, r.Err, kms.ErrAccessDenied)
	for _, part := range []string{"no such file", "gcloud auth application-default login", "GOOGLE_APPLICATION_CREDENTIALS"} {
		if !strings.Contains(r.Err.Error(), part) {
			t.Errorf("%v; want it to say %s", r.Err, part)
		}
	}

	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error": "invalid_grant", "error_description": "secret-description"}`, http.StatusBadRequest)
	}))
	defer tokens.Close()
	json := `{"type": "authorized_user", "client_id": "id", "client_secret": "secret-client", "refresh_token": "secret-refresh",
		"token_uri": "` + tokens.URL + `"}`
	if err := os.WriteFile(file, []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client(t.Context()); err != nil {
		t.Errorf("the file is there now: %v", err)
	}
}

func TestBrokenCredentialsAreNotPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	for name, json := range map[string]string{
		"no JSON":      `secret-1`,
		"cut off":      `{"type": "service_account", "private_key": "secret-1`,
		"no PEM":       `{"type": "service_account", "private_key": "secret-1", "client_email": "a@b", "token_uri": "https://secret-1/"}`,
		"unknown type": `{"type": "secret-1"}`,
		"wrong types":  `{"type": "authorized_user", "refresh_token": ["secret-1"]}`,
	} {
		if err := os.WriteFile(file, []byte(json), 0o600); err != nil {
			t.Fatal(err)
		}
		r := seal(t.Context(), open(t, nil), "x")
		if r.Err == nil || strings.Contains(r.Err.Error(), "secret") {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

// Some people set the variable to the credentials themselves.
func TestCredentialsInPlaceOfTheirFilesNameAreNotPrinted(t *testing.T) {
	for name, value := range map[string]string{
		"JSON":      `{"type": "service_account", "private_key": "secret-1"}`,
		"long JSON": `{"private_key": "` + strings.Repeat("secret-1", 1000) + `"}`,
		"a token":   "secret-1",
	} {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", value)
		err := seal(t.Context(), open(t, nil), "x").Err
		only(t, err, kms.ErrAccessDenied)
		if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "GOOGLE_APPLICATION_CREDENTIALS") {
			t.Errorf("%s: %v", name, err)
		}
		if !wellFormed(err, kms.ErrAccessDenied) {
			t.Errorf("%s: %v; want it to begin with the package and to end with the sentinel", name, err)
		}
	}
}

// slow is a service whose client is made when release is closed.
type slow struct {
	*service
	begun, release chan struct{}
	made           atomic.Int64 // how often that began
	client         *cloudkms.KeyManagementClient
}

func slowly(t *testing.T, options []option.ClientOption) *slow {
	t.Helper()
	s := &slow{begun: make(chan struct{}), release: make(chan struct{})}
	l := &lazyClient{make: func(ctx context.Context) (*cloudkms.KeyManagementClient, error) {
		if s.made.Add(1) == 1 {
			close(s.begun)
		}
		<-s.release
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		client, err := cloudkms.NewKeyManagementClient(ctx, options...)
		s.client = client
		return client, err
	}}
	key, err := parseID(testID)
	if err != nil {
		t.Fatal(err)
	}
	s.service = newService(key, connection{client: l.get, close: l.Close})
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOneClientIsMadeForAllWhoWait(t *testing.T) {
	s := slowly(t, new(server).start(t))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if r := seal(t.Context(), s, "x"); r.Err != nil {
				t.Error(r.Err)
			}
		})
	}
	<-s.begun
	close(s.release)
	wg.Wait()
	if r := seal(t.Context(), s, "x"); r.Err != nil || s.made.Load() != 1 {
		t.Errorf("%d clients were made; %v", s.made.Load(), r.Err)
	}
}

func TestWhoGivesUpDoesNotWaitForTheClient(t *testing.T) {
	s := slowly(t, new(server).start(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- seal(ctx, s, "x").Err }()
	<-s.begun
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("who gave up got %v", err)
	}
	close(s.release)
	if r := seal(t.Context(), s, "x"); r.Err != nil || s.made.Load() != 1 {
		t.Errorf("who came later: %v; %d clients were made", r.Err, s.made.Load())
	}
}

func TestAClientThatComesAfterCloseIsClosed(t *testing.T) {
	srv := new(server)
	s := slowly(t, srv.start(t))
	done := make(chan error)
	go func() { done <- seal(t.Context(), s, "x").Err }()
	<-s.begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	close(s.release)
	only(t, <-done, kms.ErrInvalidRequest)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	//lint:ignore SA1019 there is one connection, and nothing else shows its state
	if state := s.client.Connection().GetState(); state != connectivity.Shutdown {
		t.Errorf("the client that came late is %v", state)
	}
	if srv.requests.Load() > 0 {
		t.Error("a closed service has made a request")
	}
}

func TestOptionsForTwoClientsAreRefused(t *testing.T) {
	c, err := lazily(new(server).start(t)).client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = New(testID, &Options{Client: c, ClientOptions: []option.ClientOption{option.WithUserAgent("x")}})
	if !errors.Is(err, kms.ErrInvalidRequest) {
		t.Error(err)
	}
}
