package vaultkms_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func TestARequestCarriesWhatTheGemSendsAndAReference(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			e := newEngine(t)
			items := rows(3)
			items[1].Context["long"] = strings.Repeat("x", 50) // over a line of 60 columns
			for i, r := range op.do(t, e.service(t), items) {
				if r.Err != nil || string(r.Data) != op.want(items[i]) || r.Ref != i {
					t.Errorf("item %d: %q, %v", i, r.Data, r.Err)
				}
			}
			got := e.requests()[0]
			if want := "/v1/transit/" + op.name + "/users"; got.Path != want || got.Header.Get("X-Vault-Token") != token {
				t.Errorf("sent to %s, want %s", got.Path, want)
			}
			names := []string{"ciphertext", "context", "reference"}
			if op.name == "encrypt" {
				names = []string{"context", "plaintext", "reference"}
			}
			for i, it := range got.Items {
				if has := slices.Sorted(maps.Keys(it)); !slices.Equal(has, names) {
					t.Errorf("item %d has %q", i, has)
				}
				mime, _ := items[i].ContextMIME()
				if it["context"] != mime || !strings.HasSuffix(mime, "\n") {
					t.Errorf("item %d: the context is %q, want %q", i, it["context"], mime)
				}
				if it["reference"] != fmt.Sprint(i) {
					t.Errorf("item %d has the reference %v", i, it["reference"])
				}
			}
			for _, never := range []string{"associated_data", "key_version", "nonce", "convergent"} {
				if strings.Contains(got.Body, never) {
					t.Errorf("the request has %q", never)
				}
			}
		})
	}
}

// OpenBao takes 1,000 strings a request, which docs/vault.md turns into items.
func TestOpenBaoTakes166ItemsARequest(t *testing.T) {
	for _, op := range operations {
		e := newEngine(t)
		op.do(t, e.service(t), rows(166))
		if n := strings.Count(e.requests()[0].Body, `"`) / 2; n > 1000 || n+6 <= 1000 {
			t.Errorf("%s: 166 items have %d strings", op.name, n)
		}
	}
}

func TestAnswersAreKnownByTheirReference(t *testing.T) {
	lost := func(items ...int) []int { return items }
	all := lost(0, 1, 2, 3, 4)
	tests := map[string]struct {
		alter func(r []result) []result
		lost  []int
	}{
		"in reverse":         {func(r []result) []result { slices.Reverse(r); return r }, nil},
		"one too few":        {func(r []result) []result { return r[1:] }, lost(0)},
		"the last too few":   {func(r []result) []result { return r[:4] }, lost(4)},
		"one too many":       {func(r []result) []result { return append(r, result{"reference": "9"}) }, all},
		"one twice":          {func(r []result) []result { r[1]["reference"] = "2"; return r }, lost(1, 2)},
		"one unknown":        {func(r []result) []result { r[1]["reference"] = "9"; return r }, lost(1)},
		"one without":        {func(r []result) []result { r[3]["reference"] = ""; return r }, lost(3)},
		"none with":          {func(r []result) []result { forget(r); return r }, nil},
		"none with, and few": {func(r []result) []result { forget(r); return r[1:] }, all},
		"one has nothing":    {func(r []result) []result { r[2] = result{"reference": "2"}; return r }, lost(2)},
		"two have swapped":   {func(r []result) []result { r[0], r[4] = r[4], r[0]; return r }, nil},
	}
	for name, test := range tests {
		for _, op := range operations {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				e := newEngine(t)
				e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
					if !s.probe() {
						a.Results = test.alter(a.Results)
					}
					return false
				}
				items := rows(5)
				for i, r := range op.do(t, e.service(t), items) {
					switch {
					case r.Ref != i:
						t.Errorf("result %d is for item %d", i, r.Ref)
					case slices.Contains(test.lost, i) && !errors.Is(r.Err, kms.ErrUnavailable):
						t.Errorf("item %d: %q, %v; want %v", i, r.Data, r.Err, kms.ErrUnavailable)
					case !slices.Contains(test.lost, i) && (r.Err != nil || string(r.Data) != op.want(items[i])):
						t.Errorf("item %d: %q, %v", i, r.Data, r.Err)
					}
				}
			})
		}
	}
}

func forget(r []result) {
	for _, it := range r {
		delete(it, "reference")
	}
}

func TestItemsWithTheSameRefAreAnsweredInOrder(t *testing.T) {
	e := newEngine(t)
	items := rows(3)
	for i := range items {
		items[i].Ref = 5
	}
	for i, r := range e.service(t).Encrypt(t.Context(), items) {
		if want := string(sealed(items)[i].Data); string(r.Data) != want || r.Ref != 5 {
			t.Errorf("item %d: %q, %v", i, r.Data, r.Err)
		}
	}
}

func TestItemsFailAlone(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError} {
		e := newEngine(t)
		e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
			if !s.probe() {
				a.status = status
				a.Results[0] = result{"reference": "0", "error": "cipher: message authentication failed"}
				a.Results[2] = result{"reference": "2", "error": "1 error occurred: * permission denied"}
			}
			return false
		}
		results := e.service(t).Decrypt(t.Context(), sealed(rows(4)))
		for i, want := range []error{kms.ErrDecryptionFailed, nil, kms.ErrAccessDenied, nil} {
			if !errors.Is(results[i].Err, want) {
				t.Errorf("status %d, item %d: %v, want %v", status, i, results[i].Err, want)
			}
		}
	}
}

func TestWhatIsNoCiphertextIsRefusedHere(t *testing.T) {
	e := newEngine(t)
	s := e.service(t)
	good := "vault:v1:" + base64.StdEncoding.EncodeToString([]byte("a ciphertext and 2 more"))
	for _, bad := range []string{
		"", "vault:", "vault:v1:", good + "\n", "\n" + good, good[1:], good[:20] + "\n" + good[20:], good + "=", good + "A",
		strings.Replace(good, "v1", "v0", 1), strings.Replace(good, "v1", "v01", 1), strings.Replace(good, "v1", "v+1", 1),
		strings.Replace(good, "v1", "v9999999999", 1), strings.Replace(good, "v1", "v", 1), strings.ToUpper(good),
		"vault:v1:QQ=", "vault:v1:QQ", "vault:v1:QR==", "vault:v1:=", "vault:v1:QUJD:QUJD",
	} {
		item := kms.Item{Data: []byte(bad), Context: row(1)}
		results := append(s.Decrypt(t.Context(), []kms.Item{item}), s.(kms.Rewrapper).Rewrap(t.Context(), rewraps([]kms.Item{item}))...)
		for _, r := range results {
			if r.Err != kms.ErrDecryptionFailed {
				t.Errorf("%q: %v", bad, r.Err)
			}
		}
	}
	if n := len(e.all()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	kms.NewKey(s, nil).CheckDecrypt(t.Context(), row(1))
	if n := len(e.all()); n != 2 {
		t.Errorf("asking for the right to decrypt led to %d requests, want the question and one", n)
	}
}

// The key's versions begin with another than that of the ciphertext that CheckDecrypt sends, and a server looks at rights first.
func TestTheRightToDecryptShowsWhateverTheKeysVersions(t *testing.T) {
	for text, want := range map[string]error{
		"ciphertext or signature version is disallowed by policy (too old)": nil,
		"no such key version":                    nil,
		"invalid ciphertext: version is too new": nil,
		"cipher: message authentication failed":  nil,
		"permission denied":                      kms.ErrAccessDenied,
		"refusing to use soft-deleted key":       kms.ErrKeyDisabled,
	} {
		e := newEngine(t)
		says := text
		e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
			a.status, a.Results[0] = http.StatusBadRequest, result{"reference": "0", "error": says}
			return false
		}
		s := service(t, &vaultkms.Options{Client: e.client(t), AcceptUnderived: true})
		if err := kms.NewKey(s, nil).CheckDecrypt(t.Context(), row(1)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		if want == nil {
			says = "ciphertext or signature version is disallowed by policy (too old)"
			if r := s.Decrypt(t.Context(), sealed(rows(1)))[0]; !errors.Is(r.Err, kms.ErrKeyDisabled) {
				t.Errorf("a ciphertext that somebody made: %v", r.Err)
			}
		}
	}
}

func TestAPlaintextThatWouldNotOpenAgainIsRefusedHere(t *testing.T) {
	const most = 786_395
	e := newEngine(t)
	s := e.service(t)
	items := rows(2)
	items[0].Data = make([]byte, most)
	items[1].Data = make([]byte, most+1)
	results := s.Encrypt(t.Context(), items)
	if results[0].Err != nil || !errors.Is(results[1].Err, kms.ErrInvalidRequest) {
		t.Errorf("%d bytes: %v; %d bytes: %v", most, results[0].Err, most+1, results[1].Err)
	}
	if sent := e.requests(); len(sent) != 1 || len(sent[0].Items) != 1 {
		t.Errorf("%d requests were made", len(sent))
	}
}

func TestAMistakeOfTheCallerIsRefusedHere(t *testing.T) {
	e := newEngine(t)
	s := e.service(t)
	broken := kms.Item{Data: []byte("x"), Context: row(1), Encoding: func(kms.Context) ([]byte, error) { return nil, errors.New("broken") }}
	moved := rewraps(sealed(rows(1)))
	moved[0].To = row(2)
	for what, r := range map[string]kms.Result{
		"no context":              s.Encrypt(t.Context(), []kms.Item{{Data: []byte("x")}})[0],
		"no context, to open":     s.Decrypt(t.Context(), []kms.Item{{Data: sealed(rows(1))[0].Data}})[0],
		"an encoding that fails":  s.Encrypt(t.Context(), []kms.Item{broken})[0],
		"a rewrap to another row": s.(kms.Rewrapper).Rewrap(t.Context(), moved)[0],
	} {
		if !errors.Is(r.Err, kms.ErrInvalidRequest) {
			t.Errorf("%s: %v", what, r.Err)
		}
	}
	if n := len(e.all()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestContextsAndNoneGoInRequestsOfTheirOwn(t *testing.T) {
	e := newEngine(t)
	e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
		for i, it := range s.Items {
			if it["context"] == nil {
				a.status, a.Results[i] = http.StatusOK, result{"ciphertext": "vault:v7:QUJD", "reference": it["reference"]}
			}
		}
		return false
	}
	items := rows(4)
	items[1].Context, items[2].Context = nil, nil
	s := service(t, &vaultkms.Options{Client: e.client(t), AcceptUnderived: true})
	var requests int
	for _, r := range kms.NewKey(s, &kms.KeyOptions{Observers: []kms.Observer{counter{&requests}}}).EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if all := e.all(); len(all) != 2 || len(all[0].Items) != 2 || len(all[1].Items) != 2 || requests != 2 {
		t.Errorf("%d requests were made, and %d counted", len(all), requests)
	}
	if s.Info().ContextEnforced {
		t.Error("an underived key enforces no context")
	}
}

// counter observes how many requests a Key counts.
type counter struct{ n *int }

func (c counter) Observe(_ context.Context, e kms.Event) { *c.n += e.Requests }

func TestARefusedSizeIsHalvedAndRemembered(t *testing.T) {
	refusals := map[string]func(w http.ResponseWriter){
		"OpenBao": func(w http.ResponseWriter) { refuse(w, 400, "error parsing JSON") },
		"newer OpenBao": func(w http.ResponseWriter) {
			refuse(w, 400, "refused JSON input due to high complexity: exceeded maximum number of strings")
		},
		"Vault's arrays": func(w http.ResponseWriter) { refuse(w, 500, "JSON array exceeds allowed element count") },
		"a proxy":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestEntityTooLarge) },
	}
	for name, refusal := range refusals {
		for _, op := range operations {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				e := newEngine(t)
				e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
					if len(s.Items) > 60 {
						refusal(w)
						return true
					}
					return false
				}
				s := e.service(t)
				items := rows(240)
				for round, want := range []int{6, 4} { // 240, 120, and four of 60; then those alone
					before := len(e.requests())
					for i, r := range op.do(t, s, items) {
						if r.Err != nil || string(r.Data) != op.want(items[i]) {
							t.Fatalf("item %d: %q, %v", i, r.Data, r.Err)
						}
					}
					if n := len(e.requests()) - before; n != want {
						t.Errorf("round %d took %d requests, want %d", round, n, want)
					}
				}
			})
		}
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[%q]}`, text)
}

// One large plaintext does not make later batches small.
func TestASizeInBytesIsNotRemembered(t *testing.T) {
	e := newEngine(t)
	e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
		if len(s.Body) > 1<<20 { // as nginx, unless it is told otherwise
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return true
		}
		return false
	}
	s := e.service(t)
	items := rows(4)
	items[1].Data = make([]byte, 786_395)
	results := s.Encrypt(t.Context(), items)
	for i, r := range results {
		if i == 1 && !errors.Is(r.Err, kms.ErrInvalidRequest) || i != 1 && r.Err != nil {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	before := len(e.requests())
	s.Encrypt(t.Context(), rows(240))
	if n := len(e.requests()) - before; n != 1 {
		t.Errorf("240 items took %d requests", n)
	}
}

func TestEveryFurtherRequestIsCounted(t *testing.T) {
	for budget := range 9 { // 7 will do: the question, 240 items, 120, and four times 60
		e := newEngine(t)
		e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
			if len(s.Items) > 60 {
				refuse(w, 400, "error parsing JSON")
				return true
			}
			return false
		}
		var counted, failed int
		key := kms.NewKey(e.service(t), &kms.KeyOptions{Observers: []kms.Observer{counter{&counted}}})
		for _, r := range key.EncryptBatch(kms.WithBudget(t.Context(), budget), rows(240)) {
			if r.Err != nil {
				failed++
			}
			if r.Err != nil && !errors.Is(r.Err, kms.ErrBudget) {
				t.Errorf("budget %d: %v", budget, r.Err)
			}
		}
		if made := len(e.all()); made != counted || made > budget || failed > 0 != (budget < 7) {
			t.Errorf("budget %d: %d requests, %d counted, %d items failed", budget, made, counted, failed)
		}
	}
}

// The type makes the server refuse to make a key; see docs/vault.md.
func TestARequestMakesNoKey(t *testing.T) {
	e := newEngine(t)
	e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
		_, asked, _ := strings.Cut(s.Body, `"type":"`)
		kind, _, _ := strings.Cut(asked, `"`)
		refuse(w, 400, "unknown key type "+kind) // what Vault says of such a type where it would have to make a key
		return true
	}
	r := e.service(t).Encrypt(t.Context(), rows(1))[0]
	if !errors.Is(r.Err, kms.ErrKeyNotFound) {
		t.Errorf("got %v", r.Err)
	}
	if n := len(e.all()); n != 1 {
		t.Errorf("%d requests were made", n)
	}
}
