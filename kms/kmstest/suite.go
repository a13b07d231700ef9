package kmstest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// Harness is a service under test and what Run has to know of it. Only New is required; the zero value of the rest
// describes a service that takes plaintexts of 0 to 4096 bytes and more, and that authenticates every bit of what it
// makes.
type Harness struct {
	// New returns the service under test: always for the same key. It may be the same value each time.
	New func(t *testing.T) kms.Service
	// Other returns the service for another key of the same provider. nil: not tested.
	Other func(t *testing.T) kms.Service
	// EncryptOnly returns a service for New's key whose credentials lack the right to decrypt. nil: not tested.
	EncryptOnly func(t *testing.T) kms.Service
	// Disable makes New's key refuse everything, and Enable undoes it. nil: not tested.
	Disable, Enable func(t *testing.T)
	// Rotate makes a new version of New's key, which a kms.KeyVersioner must show. nil: not tested.
	Rotate func(t *testing.T)
	// Version tells by which version of the key a ciphertext was made, where a ciphertext shows it.
	Version func(ciphertext []byte) int

	// MinPlaintext and MaxPlaintext are the sizes in bytes that the service takes; others it refuses with
	// kms.ErrInvalidRequest. MaxPlaintext 0: 4096 and more.
	MinPlaintext, MaxPlaintext int
	// Step tests every Step-th size, bit and length alone, for services that are far away. 0: each.
	Step int

	// ContextIsMap tells that the service takes the context as a map, as AWS does: no context and an empty one are the
	// same to it, and context encodings have no meaning.
	ContextIsMap bool
	// NeedsContext tells that the service refuses items without a context (kms.ErrInvalidRequest), as Vault's derived
	// keys do.
	NeedsContext bool
	// Malleable tells that a ciphertext is text that can be written in more than one way. An altered one may then open
	// to the same plaintext, never to another.
	Malleable bool
	// Insecure is for testkms alone: altered ciphertexts may open to anything, and equal plaintexts may show.
	Insecure bool

	// Errors is the service's table of errors.
	Errors []ErrorCase
}

// ErrorCase is one error of the service's own and the sentinel that it must match.
type ErrorCase struct {
	Name string
	Do   func(t *testing.T) error // provokes the error and returns it
	Want error
}

// Run tests a service against the promises of kms.Service. Each subtest is named after the promise that it holds.
//
// It makes about 10,000 requests to a service without batches (800 with Step 16), and 200 to one that takes 240 items.
// At the end it closes what New returned.
func Run(t *testing.T, h Harness) {
	s := newSuite(h)
	t.Run("info is sane and stable", s.infoIsStable)
	t.Run("every plaintext size makes a round trip", s.everySizeRoundTrips)
	t.Run("every sort of context makes a round trip", s.everyContextRoundTrips)
	t.Run("no context and an empty one differ", s.nilAndEmptyContext)
	t.Run("the order of a context does not matter", s.contextOrder)
	if s.enforcesContext(t) {
		t.Run("a wrong context opens nothing", s.wrongContext)
		t.Run("swapped ciphertexts open nothing", s.swappedCiphertexts)
		t.Run("a context encoding is what is authenticated", s.contextEncoding)
	}
	t.Run("every flipped bit is noticed", s.flippedBits)
	t.Run("every truncation is noticed", s.truncations)
	if s.Other != nil {
		t.Run("another key opens nothing", s.otherKey)
	}
	if !s.Insecure {
		t.Run("equal plaintexts do not show", s.equalPlaintexts)
	}
	t.Run("a cancelled ctx stops the request", s.cancelled)
	t.Run("an expired ctx stops the request", s.expired)
	t.Run("a batch answers in order with its refs", s.orderAndRefs)
	t.Run("one bad item fails alone", s.oneBadItem)
	t.Run("batches of any size through a key", s.batchesThroughKey)
	t.Run("parallel use", s.parallelUse)
	t.Run("items are neither changed nor kept", s.itemsAreTheCallers)
	t.Run("rewrap keeps the plaintext", s.rewrap)
	t.Run("rewrap fails for bad items alone", s.rewrapBadItems)
	if s.Other != nil {
		t.Run("rewrap takes another key's ciphertexts", s.rewrapFromOther)
	}
	t.Run("the right to decrypt shows without a ciphertext", s.checkDecrypt)
	if s.EncryptOnly != nil {
		t.Run("encrypt-only seals and does not open", s.encryptOnly)
	}
	if s.Disable != nil {
		t.Run("a disabled key refuses until enabled", s.disabled)
	}
	if s.Rotate != nil {
		t.Run("rotation keeps what was sealed", s.rotation)
	}
	for _, c := range s.Errors {
		t.Run("error "+c.Name, func(t *testing.T) { s.errorCase(t, c) })
	}
	t.Run("closing twice is fine", s.closeTwice)
	t.Run("no request panics", s.reports(panicked))
	t.Run("an answer is a result an item", s.reports(misanswered))
	t.Run("every error matches a sentinel", s.reports(unmatched))
	t.Run("no error shows plaintext or context values", s.reports(leaked))
	t.Run("no failed result has data", s.reports(failedWithData))
}

type suite struct {
	Harness
	*watch
	outOfRange []int // sizes of plaintexts that the service refuses
}

func newSuite(h Harness) *suite {
	s := &suite{Harness: h, watch: newWatch()}
	s.Step = max(s.Step, 1)
	if s.MinPlaintext > 0 {
		s.outOfRange = append(s.outOfRange, s.MinPlaintext-1)
	}
	if s.MaxPlaintext > 0 {
		s.outOfRange = append(s.outOfRange, s.MaxPlaintext+1)
	} else {
		s.MaxPlaintext = 4096
	}
	return s
}

func (s *suite) service(t *testing.T) kms.Service { return s.watched(s.New(t)) }

func (s *suite) key(t *testing.T) *kms.Key { return kms.NewKey(s.service(t), nil) }

func (s *suite) enforcesContext(t *testing.T) bool { return s.New(t).Info().ContextEnforced }

// plaintextMark begins every plaintext and valueMark every context value of the suite, so that they are found wherever
// they are printed. 15 bytes: their base64 has no padding.
const (
	plaintextMark = "kmstest-plain-."
	valueMark     = "kmstest-value-."
)

// plaintext returns n bytes, at random behind the mark.
func plaintext(n int) []byte {
	b := make([]byte, n)
	copy(b[copy(b, plaintextMark):], random(n))
	return b
}

// dataKey is a plaintext of the size of a data key, as near as the service takes it.
func (s *suite) dataKey() []byte { return plaintext(min(max(32, s.MinPlaintext), s.MaxPlaintext)) }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func user(id string) kms.Context {
	return kms.Context{"model_name": "User", "model_id": valueMark + id}
}

func (s *suite) infoIsStable(t *testing.T) {
	service := s.service(t)
	info := service.Info()
	if info.KeyID == "" {
		t.Error("Info().KeyID is empty")
	}
	if info.BatchSize < 0 {
		t.Errorf("Info().BatchSize = %d", info.BatchSize)
	}
	if _, ok := service.(kms.Rewrapper); !ok && info.Rewrap != kms.RewrapNone {
		t.Error("Info().Rewrap promises what no method Rewrap keeps")
	}
	if info.Rewrap < kms.RewrapNone || info.Rewrap > kms.RewrapAnyContext {
		t.Errorf("Info().Rewrap = %d", info.Rewrap)
	}
	one(service.Encrypt(t.Context(), []kms.Item{{Data: s.dataKey(), Context: user("1")}}))
	if again := service.Info(); again != info {
		t.Errorf("Info() = %+v after a request, before it %+v", again, info)
	}
	if again := s.New(t).Info(); again != info {
		t.Errorf("Info() of the same key again = %+v, want %+v", again, info)
	}
}

func (s *suite) everySizeRoundTrips(t *testing.T) {
	var items []kms.Item
	for n := s.MinPlaintext; n <= min(s.MaxPlaintext, 4096); n += s.Step {
		items = append(items, kms.Item{Data: plaintext(n), Context: user("size")})
	}
	s.roundTrip(t, s.key(t), items)
}

// roundTrip encrypts the items and decrypts what came of them.
func (s *suite) roundTrip(t *testing.T, key *kms.Key, items []kms.Item) (ciphertexts []kms.Item) {
	t.Helper()
	ciphertexts = encryptAll(t, key, items)
	for i, r := range key.DecryptBatch(t.Context(), ciphertexts) {
		expectPlaintext(t, i, r, items[i].Data)
	}
	return ciphertexts
}

// encryptAll returns the items with their ciphertexts as Data.
func encryptAll(t *testing.T, key *kms.Key, items []kms.Item) []kms.Item {
	t.Helper()
	ciphertexts := slices.Clone(items)
	for i, r := range key.EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Fatalf("encrypting item %d of %d (%d bytes): %v", i, len(items), len(items[i].Data), r.Err)
		}
		ciphertexts[i].Data = r.Data
	}
	return ciphertexts
}

func expectPlaintext(t *testing.T, i int, r kms.Result, want []byte) {
	t.Helper()
	switch {
	case r.Err != nil:
		t.Errorf("decrypting item %d: %v", i, r.Err)
	case string(r.Data) != string(want):
		t.Errorf("item %d opened to %d bytes that differ from its plaintext of %d", i, len(r.Data), len(want))
	}
}

// expectError wants one of the sentinels, and no data.
func expectError(t *testing.T, what string, r kms.Result, want ...error) {
	t.Helper()
	if r.Err == nil {
		t.Errorf("%s: no error, and %d bytes", what, len(r.Data))
		return
	}
	if !matches(r.Err, want) {
		t.Errorf("%s: %v; want one that matches %q", what, r.Err, want)
	}
}

func matches(err error, any []error) bool {
	return slices.ContainsFunc(any, func(s error) bool { return errors.Is(err, s) })
}

// one returns the result of a request with one item, if it is one.
func one(results []kms.Result) kms.Result {
	if len(results) != 1 {
		return kms.Result{Err: errors.New("kmstest: not one result for one item")}
	}
	return results[0]
}

func (s *suite) seal(t *testing.T, service kms.Service, plaintext []byte, c kms.Context) []byte {
	t.Helper()
	r := one(service.Encrypt(t.Context(), []kms.Item{{Data: slices.Clone(plaintext), Context: c}}))
	if r.Err != nil {
		t.Fatalf("encrypt: %v", r.Err)
	}
	return r.Data
}

func open(ctx context.Context, service kms.Service, ciphertext []byte, c kms.Context) kms.Result {
	return one(service.Decrypt(ctx, []kms.Item{{Data: slices.Clone(ciphertext), Context: c}}))
}

func (s *suite) errorCase(t *testing.T, c ErrorCase) {
	err := c.Do(t)
	if !errors.Is(err, c.Want) {
		t.Errorf("got %v; want one that matches %q", err, c.Want)
	}
	s.checkText(err)
}
