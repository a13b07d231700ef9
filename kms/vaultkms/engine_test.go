package vaultkms_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

const token = "hvs.CAESIJ0dG9rZW4tdGhhdC1tdXN0LW5vdC1sZWFr"

// engine is what this package needs to see of a transit engine: a derived key of any name that wraps nothing.
type engine struct {
	*httptest.Server
	// alter, if not nil, answers a request itself, or changes what is answered.
	alter func(w http.ResponseWriter, r sent, a *answer) (done bool)

	mu   sync.Mutex
	seen []sent
}

// sent is a request.
type sent struct {
	Path   string
	Header http.Header
	Body   string
	Items  []map[string]any
}

func (s sent) op() string { return strings.Split(s.Path, "/")[len(strings.Split(s.Path, "/"))-2] }

// probe tells the question whether the key is derived.
func (s sent) probe() bool { return s.Items[0]["context"] == nil }

type answer struct {
	status  int
	Results []result
}

type result map[string]any

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

const noContext = "missing 'context' for key derivation; the key was created using a derived key, which means additional, " +
	"per-request information must be included in order to perform operations with the key"

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s := sent{Path: r.URL.Path, Header: r.Header, Body: string(body)}
	var batch struct {
		Items []map[string]any `json:"batch_input"`
	}
	json.Unmarshal(body, &batch)
	s.Items = batch.Items
	e.mu.Lock()
	e.seen = append(e.seen, s)
	e.mu.Unlock()

	a := answer{status: http.StatusOK}
	for _, it := range s.Items {
		result := serve(s.op(), it)
		result["reference"] = it["reference"]
		if result["error"] != nil {
			a.status = http.StatusBadRequest
		}
		a.Results = append(a.Results, result)
	}
	if e.alter != nil && e.alter(w, s, &a) {
		return
	}
	w.WriteHeader(a.status)
	json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"batch_results": a.Results}})
}

func serve(op string, it map[string]any) result {
	if it["context"] == nil {
		return result{"error": noContext}
	}
	if op == "encrypt" {
		return result{"ciphertext": "vault:v7:" + it["plaintext"].(string), "key_version": 7}
	}
	if op == "rewrap" {
		return result{"ciphertext": strings.Replace(it["ciphertext"].(string), ":v7:", ":v8:", 1)}
	}
	return result{"plaintext": strings.Split(it["ciphertext"].(string), ":")[2]}
}

// requests returns those made so far, without the question.
func (e *engine) requests() (real []sent) {
	for _, s := range e.all() {
		if !s.probe() {
			real = append(real, s)
		}
	}
	return real
}

func (e *engine) all() []sent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]sent(nil), e.seen...)
}

// client returns one with this package's token, and with the retries that the API's client has by itself.
func (e *engine) client(t *testing.T) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.HttpClient = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(config.HttpClient.CloseIdleConnections)
	c, err := api.NewClient(config)
	if err == nil {
		err = c.SetAddress(e.URL)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken(token)
	return c
}

func (e *engine) service(t *testing.T) kms.Service {
	t.Helper()
	return service(t, &vaultkms.Options{Client: e.client(t)})
}

func service(t *testing.T, o *vaultkms.Options) kms.Service {
	t.Helper()
	s, err := vaultkms.New("users", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func row(id int) kms.Context { return kms.Context{"model_name": "User", "model_id": strconv.Itoa(id)} }

// rows returns n items, each with a plaintext and a context of its own.
func rows(n int) []kms.Item {
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = kms.Item{Data: fmt.Appendf(nil, "the data key of row %012d", i), Context: row(i), Ref: i}
	}
	return items
}

// sealed returns the items with the ciphertexts that the engine makes of them.
func sealed(items []kms.Item) []kms.Item {
	out := append([]kms.Item(nil), items...)
	for i, it := range items {
		out[i].Data = []byte("vault:v7:" + base64.StdEncoding.EncodeToString(it.Data))
	}
	return out
}

func rewraps(items []kms.Item) []kms.RewrapItem {
	out := make([]kms.RewrapItem, len(items))
	for i, it := range items {
		out[i] = kms.RewrapItem{Item: it, To: it.Context}
	}
	return out
}

// operations is each of a service on rows, given their plaintexts.
var operations = []struct {
	name string
	do   func(t *testing.T, s kms.Service, items []kms.Item) []kms.Result
	want func(it kms.Item) string
}{
	{"encrypt", func(t *testing.T, s kms.Service, items []kms.Item) []kms.Result {
		return s.Encrypt(t.Context(), items)
	}, func(it kms.Item) string { return string(sealed([]kms.Item{it})[0].Data) }},
	{"decrypt", func(t *testing.T, s kms.Service, items []kms.Item) []kms.Result {
		return s.Decrypt(t.Context(), sealed(items))
	}, func(it kms.Item) string { return string(it.Data) }},
	{"rewrap", func(t *testing.T, s kms.Service, items []kms.Item) []kms.Result {
		return s.(kms.Rewrapper).Rewrap(t.Context(), rewraps(sealed(items)))
	}, func(it kms.Item) string {
		return strings.Replace(string(sealed([]kms.Item{it})[0].Data), ":v7:", ":v8:", 1)
	}},
}
