package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	_ "github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/hashicorp/vault/api"
	"github.com/rs/zerolog"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

// Each fault meets a key that has worked, with 480 rows in two requests, and ends.
func TestABrokenConnectionIsUnavailable(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	for name, toxic := range map[string]string{
		"reset":                          `{"type": "reset_peer", "attributes": {"timeout": 0}}`,
		"closed in the midst of a batch": `{"type": "limit_data", "attributes": {"bytes": 10000}}`,
		"latency beyond the timeout":     `{"type": "latency", "attributes": {"latency": 60000}}`,
		"an answer too slow":             `{"type": "bandwidth", "attributes": {"rate": 20}}`,
		"nothing comes":                  `{"type": "timeout", "attributes": {"timeout": 0}}`,
	} {
		t.Run(name, func(t *testing.T) {
			e2etest.NoGoroutineStays(t)
			proxy := through(t, s)
			k := newFaulty(t, clientWith(t, "http://"+proxy.Listen, s.Root.Token()), kms.KeyOptions{Timeout: 300 * time.Millisecond})
			sealed := k.seal(t, 480)
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				t.Fatal(err)
			}
			before := k.requests()
			k.wantAll(t, k.open(t, sealed), kms.ErrUnavailable)
			if n := k.requests() - before; n != 4 {
				t.Errorf("two batches took %d requests, want each once and once again", n)
			}
			proxy.Toxics.ResetToxics(t.Context())
			k.wantAll(t, k.open(t, sealed), nil)
		})
	}
}

func TestAnAddressWhereNobodyListensIsUnavailable(t *testing.T) {
	e2etest.NoGoroutineStays(t)
	k := newFaulty(t, nobody(t), kms.KeyOptions{})
	k.wantAll(t, k.key.EncryptBatch(t.Context(), k.rows(480)), kms.ErrUnavailable)
	if n := k.requests(); n > 4 {
		t.Errorf("two batches took %d requests, want the question twice each at most", n)
	}
}

func TestASealedVaultIsUnavailableUntilItIsNot(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		s.Key(t, "users", true)
		k := newFaulty(t, s.Root, kms.KeyOptions{})
		sealed := k.seal(t, 3)
		s.Seal(t)
		k.wantAll(t, k.open(t, sealed), kms.ErrUnavailable)
		k.wantAll(t, newFaulty(t, s.Root, kms.KeyOptions{}).open(t, sealed), kms.ErrUnavailable)
		s.Unseal(t)
		k.wantAll(t, k.open(t, sealed), nil)
	})
}

func TestRetryAfterIsObeyedWithinReason(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	for _, test := range []struct {
		status, times int
		retryAfter    string
		want          error
		requests      int
	}{
		{http.StatusTooManyRequests, 1, "1", nil, 2},
		{http.StatusServiceUnavailable, 1, "1", nil, 2},
		{http.StatusServiceUnavailable, 9, "1", kms.ErrUnavailable, 2},
		{http.StatusTooManyRequests, 1, "3600", kms.ErrThrottled, 1},
		{http.StatusServiceUnavailable, 1, "3600", kms.ErrUnavailable, 1},
	} {
		t.Run(fmt.Sprint(test.status, " ", test.retryAfter), func(t *testing.T) {
			e2etest.NoGoroutineStays(t)
			p := inFront(t, s)
			k := newFaulty(t, p.client(t, s.Root.Token()), kms.KeyOptions{})
			sealed := k.seal(t, 3)
			left := test.times
			p.before = func(w http.ResponseWriter, _ []byte) bool {
				if left--; left < 0 {
					return false
				}
				w.Header().Set("Retry-After", test.retryAfter)
				w.WriteHeader(test.status)
				return true
			}
			before, start := k.requests(), time.Now()
			k.wantAll(t, k.open(t, sealed), test.want)
			if n := k.requests() - before; n != int64(test.requests) {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			if waited := time.Since(start); test.requests == 2 && waited < time.Second {
				t.Errorf("waited %v of a second", waited)
			}
		})
	}
}

func TestOneBadItemOfABatchFailsAlone(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	p := inFront(t, s)
	k := newFaulty(t, p.client(t, s.Root.Token()), kms.KeyOptions{})
	sealed := k.seal(t, 240)
	p.results = func(results []any) []any { // as a policy of Sentinel might
		if len(results) > 7 {
			results[7] = map[string]any{"reference": "7", "error": "permission denied"}
		}
		return results
	}
	sealed[9].Context = k.rows(1)[0].Context // another row's
	before := k.requests()
	for i, r := range k.open(t, sealed) {
		want := map[int]error{7: kms.ErrAccessDenied, 9: kms.ErrDecryptionFailed}[i]
		k.want(t, i, r, want)
	}
	if n := k.requests() - before; n != 1 {
		t.Errorf("%d requests, want 1: neither error is worth another", n)
	}
}

func TestAPermutedAnswerIsPutInOrder(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	p := inFront(t, s)
	k := newFaulty(t, p.client(t, s.Root.Token()), kms.KeyOptions{})
	p.results = func(results []any) []any { slices.Reverse(results); return results }
	sealed := k.seal(t, 480)
	k.wantAll(t, k.open(t, sealed), nil)
	p.results = nil
	k.wantAll(t, k.open(t, sealed), nil)
}

func TestAShortAnswerLosesNothing(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	p := inFront(t, s)
	k := newFaulty(t, p.client(t, s.Root.Token()), kms.KeyOptions{})
	sealed := k.seal(t, 10)
	before := k.requests()
	p.results = func(results []any) []any { return results[:7] }
	for i, r := range k.open(t, sealed) {
		want := kms.ErrWrongAnswer
		if i < 7 {
			want = nil
		}
		k.want(t, i, r, want)
	}
	p.results = func(results []any) []any { return append(results, results[0]) }
	k.wantAll(t, k.open(t, sealed), kms.ErrWrongAnswer)
	if n := k.requests() - before; n != 2 {
		t.Errorf("%d requests, want 2: a server that answers so is not asked again", n)
	}
	p.results = nil
	k.wantAll(t, k.open(t, sealed), nil)
}

func TestATokenRevokedMidwayEndsInAccessDenied(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	opener := s.Token(t, `path "transit/decrypt/users" { capabilities = ["update"] }`)
	p := inFront(t, s)
	sealed := newFaulty(t, s.Root, kms.KeyOptions{}).seal(t, 10*240)
	k := newFaulty(t, p.client(t, opener), kms.KeyOptions{Parallel: 1})
	var seen atomic.Int32
	p.before = func(http.ResponseWriter, []byte) bool {
		if seen.Add(1) == 5 { // the question and three batches
			s.Write(t, "auth/token/revoke", map[string]any{"token": opener})
		}
		return false
	}
	for i, r := range k.open(t, sealed) {
		want := kms.ErrAccessDenied
		if i < 3*240 {
			want = nil
		}
		k.want(t, i, r, want)
	}
	if n := seen.Load(); n != 11 {
		t.Errorf("10 batches took %d requests, want each once and the question", n)
	}
}

// OpenBao's default, in front of Vault.
func TestAServerOfAThousandStringsGetsHalves(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	p := inFront(t, s)
	p.before = func(w http.ResponseWriter, body []byte) bool {
		if bytes.Count(body, []byte(`"`))/2 <= 1000 {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"errors":["error parsing JSON"]}`)
		return true
	}
	k := newFaulty(t, p.client(t, s.Root.Token()), kms.KeyOptions{Parallel: 1})
	sealed := k.seal(t, 1000)
	if n := k.requests(); n != 11 {
		t.Errorf("sealing took %d requests, want the question, one refused, eight halves, and the last 40 rows", n)
	}
	k.wantAll(t, k.open(t, sealed), nil)
	spared := newFaulty(t, p.client(t, s.Root.Token()), kms.KeyOptions{BatchSize: 166})
	spared.wantAll(t, spared.open(t, sealed), nil)
	if n := spared.requests(); n != 8 {
		t.Errorf("with a BatchSize of 166, opening took %d requests, want the question and seven", n)
	}
}

// faulty is a key whose errors are searched for secrets.
type faulty struct {
	key     *kms.Key
	secrets []string
	n       atomic.Int64
}

func newFaulty(t *testing.T, c *api.Client, opts kms.KeyOptions) *faulty {
	t.Helper()
	k := &faulty{secrets: []string{c.Token()}}
	opts.Observers = []kms.Observer{kms.ObserverFunc(func(_ context.Context, e kms.Event) { k.n.Add(int64(e.Requests)) })}
	k.key = kms.NewKey(newService(t, "users", &vaultkms.Options{Client: c}), &opts)
	t.Cleanup(func() { k.key.Close() })
	return k
}

func (k *faulty) requests() int64 { return k.n.Load() }

func (k *faulty) rows(n int) []kms.Item {
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = kms.Item{Data: dataKey(i), Context: kms.Context{"model_name": "User", "model_id": fmt.Sprintf("identity %09d", i)}}
	}
	return items
}

// dataKey is text, so that it is found wherever it is printed.
func dataKey(i int) []byte { return fmt.Appendf(nil, "the data key %019d", i) }

func (k *faulty) seal(t *testing.T, n int) []kms.Item {
	t.Helper()
	items := k.rows(n)
	for i, r := range k.key.EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Fatalf("sealing row %d: %v", i, r.Err)
		}
		items[i].Data = r.Data
	}
	return items
}

// open opens, and fails rather than hang.
func (k *faulty) open(t *testing.T, sealed []kms.Item) []kms.Result {
	t.Helper()
	done := make(chan []kms.Result, 1)
	go func() { done <- k.key.DecryptBatch(t.Context(), sealed) }()
	select {
	case results := <-done:
		return results
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
		return nil
	}
}

func (k *faulty) wantAll(t *testing.T, results []kms.Result, want error) {
	t.Helper()
	for i, r := range results {
		k.want(t, i, r, want)
	}
}

func (k *faulty) want(t *testing.T, i int, r kms.Result, want error) {
	t.Helper()
	switch {
	case !errors.Is(r.Err, want):
		t.Fatalf("row %d: %v, want %v", i, r.Err, want)
	case want == nil && len(r.Data) > 0 && !bytes.HasPrefix(r.Data, []byte("vault:")) && string(r.Data) != string(dataKey(i)):
		t.Fatalf("row %d opened to another's data key", i)
	case want == nil:
		return
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "error", r.Err, "result", r, "key", k.key)
	text := fmt.Sprintf("%v %+v %#v %s", r.Err, r.Err, r.Err, log.String())
	encoded := base64.StdEncoding.EncodeToString(dataKey(i))
	for _, secret := range append(k.secrets, "the data key", encoded[:16], "identity") {
		if strings.Contains(text, secret) {
			t.Fatalf("row %d: an error shows %q: %s", i, secret, text)
		}
	}
}

// clientWith returns a client with connections of its own.
func clientWith(t *testing.T, address, token string) *api.Client {
	t.Helper()
	c := clientOf(t, address)
	c.SetToken(token)
	return c
}

// through puts a toxiproxy before a server.
func through(t *testing.T, s *vaulttest.Server) *toxiproxy.Proxy {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics log by themselves
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "vault", "127.0.0.1:0", strings.TrimPrefix(s.Address, "http://"))
	must(t, p.Start())
	t.Cleanup(p.Stop)
	return p
}

// front is a server before a server: it refuses requests, and alters answers.
type front struct {
	*httptest.Server
	before  func(w http.ResponseWriter, body []byte) (done bool)
	results func(results []any) []any // of batches that have contexts
	mu      sync.Mutex
}

func inFront(t *testing.T, s *vaulttest.Server) *front {
	t.Helper()
	target, err := url.Parse(s.Address)
	must(t, err)
	p := &front{}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	proxy := httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: p.alter,
		Transport:      transport,
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // all of it: a server may answer before it has read the end, and that breaks ReverseProxy
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.mu.Lock()
		done := p.before != nil && p.before(w, body)
		p.mu.Unlock()
		if !done {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { p.Close(); transport.CloseIdleConnections() })
	return p
}

func (p *front) client(t *testing.T, token string) *api.Client { return clientWith(t, p.URL, token) }

func (p *front) alter(r *http.Response) error {
	if p.results == nil {
		return nil
	}
	var answer map[string]any
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return err
	}
	data := answer["data"].(map[string]any)
	data["batch_results"] = p.results(data["batch_results"].([]any))
	body, err := json.Marshal(answer)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return err
}
