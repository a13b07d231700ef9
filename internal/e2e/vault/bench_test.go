package vault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func TestAThousandDataKeysTakeSixRequests(t *testing.T) {
	s := vaulttest.Start(t)
	s.Key(t, "users", true)
	for _, op := range []struct {
		name string
		do   func(k *faulty) []kms.Result
	}{
		{"wrapped", func(k *faulty) []kms.Result {
			return k.key.EncryptBatch(kms.WithBudget(t.Context(), 6), k.rows(1000))
		}},
		{"unwrapped", func(k *faulty) []kms.Result {
			sealed := newFaulty(t, s.Root, kms.KeyOptions{}).seal(t, 1000)
			return k.key.DecryptBatch(kms.WithBudget(t.Context(), 6), sealed)
		}},
		{"rewrapped", func(k *faulty) []kms.Result {
			sealed := newFaulty(t, s.Root, kms.KeyOptions{}).seal(t, 1000)
			items := make([]kms.RewrapItem, len(sealed))
			for i, it := range sealed {
				items[i] = kms.RewrapItem{Item: it, To: it.Context}
			}
			return k.key.RewrapBatch(kms.WithBudget(t.Context(), 6), items)
		}},
	} {
		k := newFaulty(t, s.Root, kms.KeyOptions{})
		k.wantAll(t, op.do(k), nil)
		if n := k.requests(); n != 6 {
			t.Errorf("a thousand data keys were %s in %d requests, want five and the question", op.name, n)
		}
	}
}

const (
	benchRows     = 1000
	benchParallel = 4 // as kms.Key's
)

// BenchmarkThousandDataKeys compares vaultkms with one request a key, and with a client that does no more than it must. Each
// does its thousand in turn, so that all meet the same machine: "ratio" is vaultkms's rate as a part of the bare client's.
func BenchmarkThousandDataKeys(b *testing.B) {
	s := vaulttest.Start(b)
	s.Write(b, "transit/keys/users", map[string]any{"derived": true})
	service, err := vaultkms.New("users", &vaultkms.Options{Client: s.Root})
	if err != nil {
		b.Fatal(err)
	}
	batches := kms.NewKey(service, &kms.KeyOptions{Parallel: benchParallel})
	singles := kms.NewKey(service, &kms.KeyOptions{BatchSize: 1, Parallel: 16})
	bare := bareClient{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, address: s.Address, token: s.Root.Token()}
	b.Cleanup(bare.http.CloseIdleConnections)

	plain := make([]kms.Item, benchRows)
	for i := range plain {
		plain[i] = kms.Item{Data: make([]byte, 32), Context: kms.Context{"model_name": "User", "model_id": strconv.Itoa(i)}}
	}
	sealed := slices.Clone(plain)
	for i, r := range batches.EncryptBatch(b.Context(), plain) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		sealed[i].Data = r.Data
	}
	key := func(do func(context.Context, []kms.Item) []kms.Result, items []kms.Item) func() error {
		return func() error {
			for _, r := range do(b.Context(), items) {
				if r.Err != nil {
					return r.Err
				}
			}
			return nil
		}
	}
	b.Run("unwrap", func(b *testing.B) {
		compare(b, key(batches.DecryptBatch, sealed), key(singles.DecryptBatch, sealed), func() error { return bare.all("decrypt", sealed) })
	})
	b.Run("wrap", func(b *testing.B) {
		compare(b, key(batches.EncryptBatch, plain), key(singles.EncryptBatch, plain), func() error { return bare.all("encrypt", plain) })
	})
}

func compare(b *testing.B, batches, singles, bare func() error) {
	todo := []func() error{batches, singles, bare}
	timers := make([]stopwatch, len(todo))
	for n := 0; b.Loop(); n++ {
		for i := range todo {
			i = (i + n) % len(todo) // so that none always comes after the same one
			timers[i].run(b, todo[i])
		}
	}
	rate := func(w stopwatch) float64 { return benchRows * float64(w.runs) / w.took.Seconds() }
	b.ReportMetric(rate(timers[0]), "rows/s")
	b.ReportMetric(rate(timers[1]), "singles-rows/s")
	b.ReportMetric(rate(timers[2]), "bare-rows/s")
	b.ReportMetric(rate(timers[0])/rate(timers[2]), "ratio")
	b.ReportMetric(0, "ns/op") // of all three together: no use
}

type stopwatch struct {
	runs int
	took time.Duration
}

func (w *stopwatch) run(b *testing.B, do func() error) {
	start := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	w.took += time.Since(start)
	w.runs++
}

// bareClient sends the batches that vaultkms sends, and decodes the answers.
type bareClient struct {
	http           *http.Client
	address, token string
}

type bareItem struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Context    string `json:"context,omitempty"`
	Reference  string `json:"reference,omitempty"`
	Error      string `json:"error,omitempty"`
}

func (c bareClient) all(op string, items []kms.Item) error {
	var wg sync.WaitGroup
	workers := make(chan struct{}, benchParallel)
	errs := make(chan error, len(items))
	for batch := range slices.Chunk(items, 240) {
		workers <- struct{}{}
		wg.Go(func() {
			errs <- c.one(op, batch)
			<-workers
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c bareClient) one(op string, items []kms.Item) error {
	batch := make([]bareItem, len(items))
	for i, it := range items {
		context, err := it.ContextMIME()
		if err != nil {
			return err
		}
		batch[i] = bareItem{Context: context, Reference: strconv.Itoa(i)}
		if op == "encrypt" {
			batch[i].Plaintext = base64.StdEncoding.EncodeToString(it.Data)
		} else {
			batch[i].Ciphertext = string(it.Data)
		}
	}
	body, err := json.Marshal(map[string]any{"batch_input": batch})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, c.address+"/v1/transit/"+op+"/users", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Results []bareItem `json:"batch_results"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if len(answer.Data.Results) != len(items) || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d, %d results", resp.StatusCode, len(answer.Data.Results))
	}
	for _, r := range answer.Data.Results {
		if _, err := base64.StdEncoding.DecodeString(r.Plaintext); err != nil {
			return err
		}
	}
	return nil
}
