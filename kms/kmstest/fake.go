package kmstest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Fake is a KMS key in memory that does as it is told: it can be slow, throttle, refuse, fail in some items and answer
// in the wrong order, and it counts exactly. It is a kms.Service, a kms.Rewrapper, a kms.KeyVersioner and an io.Closer. The zero value is a
// working key without batches; every Fake is another key. Its methods are safe for concurrent use; set its fields
// before the first request.
//
// It wraps with AES-256-GCM under a random key, the context as associated data, so that no wrong use goes unnoticed. A
// ciphertext is its key version (4 bytes), a nonce of 12 bytes, the ciphertext and a tag of 16.
type Fake struct {
	// ID is the key's id. "": "fake-key".
	ID string
	// BatchSize is the most items of a request; one with more is refused with kms.ErrInvalidRequest. 0: 1.
	BatchSize int
	// Support tells what Rewrap does; the rest it refuses with kms.ErrInvalidRequest.
	Support kms.RewrapSupport
	// IgnoreContext makes a key that does not enforce the context, and says so in Info.
	IgnoreContext bool
	// Latency is how long every request takes. Use it with testing/synctest, where no test really waits.
	Latency time.Duration

	// Before is called for every request, before its items are looked at. Its error is that of every item.
	Before func(ctx context.Context, r Request) error
	// Fault is called for every item. Its error is that of the item.
	Fault func(r Request, item kms.Item) error
	// After may replace the answer of a request: see Reverse, Short and Long.
	After func(ctx context.Context, r Request, results []kms.Result) []kms.Result

	mu       sync.Mutex
	versions []cipher.AEAD // versions[n-1] is version n
	denied   map[kms.Op]bool
	disabled bool
	closed   bool
	throttle int
	count    counts
}

type counts struct {
	requests map[kms.Op]int
	items    map[kms.Op]int
	inFlight int
	most     int
}

// Request is one request that a Fake received.
type Request struct {
	Number int // 1 for the first since the Fake was made or Reset
	Op     kms.Op
	Items  int
}

// NewFake returns a key without batches, as new(Fake) does.
func NewFake() *Fake { return new(Fake) }

// Info tells the id and what the fields say.
func (f *Fake) Info() kms.Info {
	id := f.ID
	if id == "" {
		id = "fake-key"
	}
	return kms.Info{KeyID: id, BatchSize: f.batchSize(), ContextEnforced: !f.IgnoreContext, Rewrap: f.Support}
}

// KeyVersion implements kms.KeyVersioner.
func (f *Fake) KeyVersion(ciphertext []byte) string {
	if len(ciphertext) < 4 {
		return ""
	}
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(ciphertext)), 10)
}

func (f *Fake) batchSize() int { return max(f.BatchSize, 1) }

// Encrypt implements kms.Service.
func (f *Fake) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return serve(ctx, f, kms.OpEncrypt, items, itself, func(it kms.Item) ([]byte, error) { return f.seal(it.Data, it) })
}

// Decrypt implements kms.Service.
func (f *Fake) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return serve(ctx, f, kms.OpDecrypt, items, itself, f.open)
}

// Rewrap implements kms.Rewrapper, as far as Support says.
func (f *Fake) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	return serve(ctx, f, kms.OpRewrap, items, source, f.rewrap)
}

// RewrapFrom implements kms.CrossRewrapper between Fakes that rewrap under any context.
func (f *Fake) RewrapFrom(from kms.Service) kms.Rewrapper {
	other, ok := from.(*Fake)
	if !ok || f.Support != kms.RewrapAnyContext || other.Support != kms.RewrapAnyContext {
		return nil
	}
	return crossing{from: other, to: f}
}

type crossing struct{ from, to *Fake }

func (c crossing) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	return serve(ctx, c.to, kms.OpRewrap, items, source, c.rewrap)
}

func (c crossing) rewrap(it kms.RewrapItem) ([]byte, error) {
	plaintext, err := c.from.open(it.Item)
	if err != nil {
		return nil, err
	}
	return c.to.seal(plaintext, it.Target())
}

func itself(it kms.Item) kms.Item       { return it }
func source(it kms.RewrapItem) kms.Item { return it.Item }

// serve is the way of every request, whatever its items are.
func serve[I any](ctx context.Context, f *Fake, op kms.Op, items []I, item func(I) kms.Item, do func(I) ([]byte, error)) []kms.Result {
	r := f.arrive(op, len(items))
	defer f.leave()
	refused := f.refusal(ctx, r)
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i] = kms.Result{Ref: item(it).Ref, Err: refused}
		if results[i].Err == nil && f.Fault != nil {
			results[i].Err = f.Fault(r, item(it))
		}
		if results[i].Err == nil {
			results[i].Data, results[i].Err = do(it)
		}
	}
	if f.After != nil {
		return f.After(ctx, r, results)
	}
	return results
}

func (f *Fake) arrive(op kms.Op, items int) Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &f.count
	if c.requests == nil {
		c.requests, c.items = make(map[kms.Op]int), make(map[kms.Op]int)
	}
	c.requests[op]++
	c.items[op] += items
	c.inFlight++
	c.most = max(c.most, c.inFlight)
	return Request{Number: sum(c.requests, nil), Op: op, Items: items}
}

func (f *Fake) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count.inFlight--
}

// refusal is what keeps a whole request from being served.
func (f *Fake) refusal(ctx context.Context, r Request) error {
	if err := pause(ctx, f.Latency); err != nil {
		return err
	}
	if f.Before != nil {
		if err := f.Before(ctx, r); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.Items > f.batchSize():
		return fmt.Errorf("%d items in a request that takes %d: %w", r.Items, f.batchSize(), kms.ErrInvalidRequest)
	case f.closed:
		return fmt.Errorf("the fake is closed: %w", kms.ErrInvalidRequest)
	case f.throttle > 0:
		f.throttle--
		return kms.ErrThrottled
	case f.disabled:
		return kms.ErrKeyDisabled
	case f.denied[r.Op]:
		return kms.ErrAccessDenied
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (f *Fake) seal(plaintext []byte, it kms.Item) ([]byte, error) {
	version, aead := f.newest()
	aad, err := f.associated(version, it)
	if err != nil {
		return nil, err
	}
	header := binary.BigEndian.AppendUint32(nil, version)
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	return aead.Seal(header, nil, plaintext, aad), nil
}

func (f *Fake) open(it kms.Item) ([]byte, error) {
	if len(it.Data) < 4 {
		return nil, kms.ErrDecryptionFailed
	}
	version := binary.BigEndian.Uint32(it.Data)
	aead, ok := f.version(version)
	if !ok {
		return nil, kms.ErrDecryptionFailed
	}
	aad, err := f.associated(version, it)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, it.Data[4:], aad)
	if err != nil {
		return nil, kms.ErrDecryptionFailed
	}
	return plaintext, nil
}

func (f *Fake) rewrap(it kms.RewrapItem) ([]byte, error) {
	same, err := it.SameContext()
	switch {
	case err != nil:
		return nil, err
	case f.Support == kms.RewrapNone, f.Support == kms.RewrapSameContext && !same:
		return nil, fmt.Errorf("no such rewrap: %w", kms.ErrInvalidRequest)
	}
	return crossing{f, f}.rewrap(it)
}

// associated tells no context (0) and an empty one (1) apart.
func (f *Fake) associated(version uint32, it kms.Item) ([]byte, error) {
	aad := binary.BigEndian.AppendUint32(nil, version)
	if f.IgnoreContext {
		return aad, nil
	}
	b, err := it.ContextBytes()
	if err != nil || b == nil {
		return append(aad, 0), err
	}
	return append(append(aad, 1), b...), nil
}

func (f *Fake) newest() (uint32, cipher.AEAD) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.versions) == 0 {
		f.versions = append(f.versions, newAEAD())
	}
	return uint32(len(f.versions)), f.versions[len(f.versions)-1]
}

func (f *Fake) version(n uint32) (cipher.AEAD, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == 0 || uint64(n) > uint64(len(f.versions)) {
		return nil, false
	}
	return f.versions[n-1], true
}

// In FIPS mode, crypto/rand measures time to seed itself, which panics under testing/synctest, where time stands still.
// One seeded generator exists after init, and as long as one goroutine at a time asks for randomness, no other is made.
var oneAtATime sync.Mutex

func init() { rand.Read(make([]byte, 1)) }

func newKey() []byte {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

func newAEAD() cipher.AEAD {
	block, err := aes.NewCipher(newKey())
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block) // the form of GCM that FIPS-only mode allows
	if err != nil {
		panic(err)
	}
	return aead
}

// Rotate makes a new version of the key. What earlier versions wrapped still opens.
func (f *Fake) Rotate() {
	f.newest()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions = append(f.versions, newAEAD())
}

// Deny takes the right to the operations away: they fail with kms.ErrAccessDenied.
func (f *Fake) Deny(ops ...kms.Op) { f.permit(false, ops) }

// Allow gives it back.
func (f *Fake) Allow(ops ...kms.Op) { f.permit(true, ops) }

func (f *Fake) permit(allowed bool, ops []kms.Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.denied == nil {
		f.denied = make(map[kms.Op]bool)
	}
	for _, op := range ops {
		f.denied[op] = !allowed
	}
}

// Throttle makes the next n requests fail with kms.ErrThrottled.
func (f *Fake) Throttle(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.throttle = n
}

// Disable makes every request fail with kms.ErrKeyDisabled, until Enable.
func (f *Fake) Disable() { f.setDisabled(true) }

// Enable undoes Disable.
func (f *Fake) Enable() { f.setDisabled(false) }

func (f *Fake) setDisabled(d bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disabled = d
}

// Close makes every later request fail. It can be called twice.
func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Requests returns how many requests came for the given operations, or in all. Those that failed count too.
func (f *Fake) Requests(ops ...kms.Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sum(f.count.requests, ops)
}

// Items returns how many items these requests held.
func (f *Fake) Items(ops ...kms.Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sum(f.count.items, ops)
}

// MaxInFlight returns how many requests were under way at once, at most.
func (f *Fake) MaxInFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count.most
}

// Reset sets the counts to zero. Keys, rights and hooks stay.
func (f *Fake) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count = counts{inFlight: f.count.inFlight}
}

func sum(of map[kms.Op]int, ops []kms.Op) int {
	total := 0
	for op, n := range of {
		if len(ops) == 0 || slices.Contains(ops, op) {
			total += n
		}
	}
	return total
}

// Reverse is an After that answers in the wrong order.
func Reverse(_ context.Context, _ Request, results []kms.Result) []kms.Result {
	slices.Reverse(results)
	return results
}

// Short is an After that leaves the last result out.
func Short(_ context.Context, _ Request, results []kms.Result) []kms.Result {
	return results[:len(results)-1]
}

// Long is an After that gives the last result twice.
func Long(_ context.Context, _ Request, results []kms.Result) []kms.Result {
	return append(results, results[len(results)-1])
}
