// Package kms is what a key management service is to rowseal: a [Key] that wraps data keys and is told, at every call,
// which record they belong to.
//
// Programs hold a *Key, usually from [Open]. Providers implement [Service] and are imported for their effect:
//
//	import (
//		"github.com/rowseal/rowseal/kms"
//		_ "github.com/rowseal/rowseal/kms/localkms"
//	)
//
//	key, err := kms.Open(ctx, "local/users", nil)
//
// Key does once what every provider would else do for itself: it cuts work into the batches that the service takes,
// calls a service without batches in parallel within bounds, gives every request a time limit, waits and retries when
// throttled, holds rates and budgets, checks answers, and tells observers what happened.
package kms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Key is a key of a KMS. It is safe for concurrent use.
type Key struct {
	*shared
	encryptOnly bool
}

// shared is what a Key and its EncryptOnly form have in common.
type shared struct {
	service   Service
	opts      KeyOptions
	limiter   *limiter
	sealing   *Key // the EncryptOnly form: one, so that work can be gathered by Key
	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// KeyOptions changes how a Key calls its service. The zero value is right for most programs.
type KeyOptions struct {
	// Parallel is how many requests one call has under way at once. 0: 16 where the service takes one item a request, 4
	// where it takes batches.
	Parallel int
	// BatchSize lowers the number of items a request below the service's own.
	BatchSize int
	// Timeout is how long one request may take. 0: 10 seconds, which leaves a provider room for two attempts of 2
	// seconds to connect and 2 to read.
	Timeout time.Duration
	// Rate is how many requests a second are made at most, over all calls of this Key. 0: no limit.
	Rate float64
	// Observers are called after each call, in their order.
	Observers []Observer
}

const defaultTimeout = 10 * time.Second

// NewKey returns the Key of a service. opts may be nil.
func NewKey(s Service, opts *KeyOptions) *Key {
	sh := &shared{service: s}
	if opts != nil {
		sh.opts = *opts
	}
	if sh.opts.Timeout <= 0 {
		sh.opts.Timeout = defaultTimeout
	}
	sh.limiter = newLimiter(sh.opts.Rate)
	sh.sealing = &Key{shared: sh, encryptOnly: true}
	return &Key{shared: sh}
}

// Info tells the key's id and what its service can do.
func (k *Key) Info() Info { return k.service.Info() }

// ID is the key's id.
func (k *Key) ID() string { return k.Info().KeyID }

// String returns the key's id.
func (k *Key) String() string { return k.ID() }

// Format prints the key's id for every verb, so that no dump shows a provider's credentials. It is a method of Key, not
// of *Key: fmt would follow the pointers of a copied Key.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, "kms.Key("+k.ID()+")") }

// EncryptOnly returns a Key of the same service that can encrypt and nothing else: Decrypt, and Rewrap of its own
// ciphertexts, fail with ErrAccessDenied before any request. Ciphertexts of another key it takes if that one may decrypt. It
// is the same Key at every call.
func (k *Key) EncryptOnly() *Key { return k.sealing }

// KeyVersion tells by which version of the KMS's key a ciphertext was made, as the service names it: "1", "2" and so on with
// Vault, OpenBao and local keys. It is "" where ciphertexts do not show that, as those of AWS and Google do not. It makes no request.
func (k *Key) KeyVersion(ciphertext []byte) string {
	if v, ok := k.service.(KeyVersioner); ok {
		return v.KeyVersion(ciphertext)
	}
	return ""
}

// ShowsVersions tells whether KeyVersion may have an answer for the ciphertexts of this key's service.
func (k *Key) ShowsVersions() bool {
	_, ok := k.service.(KeyVersioner)
	return ok
}

// Encrypt wraps a plaintext, usually a data key of 32 bytes, for the record that ec names.
func (k *Key) Encrypt(ctx context.Context, plaintext []byte, ec Context) ([]byte, error) {
	r := k.EncryptBatch(ctx, []Item{{Data: plaintext, Context: ec}})[0]
	return r.Data, r.Err
}

// Decrypt opens what Encrypt returned, under the same context. Anything else is ErrDecryptionFailed.
func (k *Key) Decrypt(ctx context.Context, ciphertext []byte, ec Context) ([]byte, error) {
	r := k.DecryptBatch(ctx, []Item{{Data: ciphertext, Context: ec}})[0]
	return r.Data, r.Err
}

// EncryptBatch wraps many plaintexts in as few requests as the service allows. It returns one result an item, in their
// order; one item's error does not stop the others. Item.Ref is ignored and Result.Ref is the item's index.
func (k *Key) EncryptBatch(ctx context.Context, items []Item) []Result {
	return run(ctx, k, OpEncrypt, items, k.service.Encrypt)
}

// DecryptBatch opens many ciphertexts; as EncryptBatch.
func (k *Key) DecryptBatch(ctx context.Context, items []Item) []Result {
	return run(ctx, k, OpDecrypt, items, k.service.Decrypt)
}

// RewrapBatch wraps ciphertexts anew under this key's newest version: ciphertexts of this key, or of the key that From
// names, and under another context where To differs. The service does it without showing the plaintext where it can
// (Info().Rewrap, CrossRewrapper); otherwise the old key decrypts and this one encrypts. Results are as those of
// EncryptBatch.
func (k *Key) RewrapBatch(ctx context.Context, items []RewrapItem) []Result {
	results := make([]Result, len(items))
	var froms []*Key
	indexes := make(map[*Key][]int)
	for i, it := range items {
		from := it.From
		if from == nil {
			from = k
		}
		if indexes[from] == nil {
			froms = append(froms, from)
		}
		indexes[from] = append(indexes[from], i)
	}
	for _, from := range froms {
		scatter(results, indexes[from], k.rewrapFrom(ctx, from, pick(items, indexes[from])))
	}
	return results
}

func (k *Key) rewrapFrom(ctx context.Context, from *Key, items []RewrapItem) []Result {
	rewrapper := k.rewrapper(from)
	here, there := splitRewrap(items, rewrapper, k.Info().Rewrap)
	if k.closed.Load() { // run refuses all of them
		here, there = nil, append(here, there...)
	}
	results := make([]Result, len(items))
	if len(there) > 0 {
		rewrap := func(ctx context.Context, items []RewrapItem) []Result { return rewrapper.Rewrap(ctx, items) }
		scatter(results, there, run(ctx, k, OpRewrap, pick(items, there), rewrap))
	}
	if len(here) > 0 {
		scatter(results, here, k.rewrapHere(ctx, from, pick(items, here)))
	}
	return results
}

// rewrapper is what takes ciphertexts of from without showing the plaintext, or nil.
func (k *Key) rewrapper(from *Key) Rewrapper {
	if from == k {
		r, _ := k.service.(Rewrapper)
		return r
	}
	// A From that may not decrypt is left to rewrapHere, whose first call it then refuses.
	if cross, ok := k.service.(CrossRewrapper); ok && !from.encryptOnly && !from.closed.Load() {
		return cross.RewrapFrom(from.service)
	}
	return nil
}

// RewrapsFrom tells whether the service itself wraps ciphertexts of from (this key, if nil) anew, in one request and without showing
// the plaintext; otherwise from decrypts and this key encrypts. sameContext: the context stays.
func (k *Key) RewrapsFrom(from *Key, sameContext bool) bool {
	if from == nil {
		from = k
	}
	support := k.Info().Rewrap
	return k.rewrapper(from) != nil && (support == RewrapAnyContext || support == RewrapSameContext && sameContext)
}

// splitRewrap tells what goes to the service. What run will refuse goes there too, lest it be opened first.
func splitRewrap(items []RewrapItem, r Rewrapper, support RewrapSupport) (here, there []int) {
	for i, it := range items {
		same, err := it.SameContext()
		can := r != nil && (support == RewrapAnyContext || support == RewrapSameContext && same && err == nil)
		if can || it.validate() != nil {
			there = append(there, i)
		} else {
			here = append(here, i)
		}
	}
	return here, there
}

// rewrapHere decrypts and encrypts in this process.
func (k *Key) rewrapHere(ctx context.Context, from *Key, items []RewrapItem) []Result {
	sources := make([]Item, len(items))
	for i, it := range items {
		sources[i] = it.Item
	}
	results := from.DecryptBatch(ctx, sources)
	var opened []int
	var targets []Item
	for i, r := range results {
		if r.Err == nil {
			t := items[i].Target()
			t.Data = r.Data
			opened, targets = append(opened, i), append(targets, t)
		}
	}
	if len(targets) > 0 {
		scatter(results, opened, k.EncryptBatch(ctx, targets))
	}
	for _, t := range targets {
		clear(t.Data)
	}
	return results
}

// CheckDecrypt tells whether this key may decrypt, where no ciphertext of it is at hand: as a rule it asks the service to
// open one that nobody made. nil: the service refused the ciphertext and not the caller.
func (k *Key) CheckDecrypt(ctx context.Context, ec Context) error {
	check := k.openMadeUp
	if c, ok := k.service.(DecryptChecker); ok {
		check = c.CheckDecrypt
	}
	asked := func(ctx context.Context, items []Item) []Result {
		return []Result{{Ref: items[0].Ref, Err: check(ctx, items[0])}}
	}
	return run(ctx, k, OpCheck, []Item{{Context: ec}}, asked)[0].Err
}

func (k *Key) openMadeUp(ctx context.Context, it Item) error {
	it.Data = make([]byte, 64)
	rand.Read(it.Data)
	results := k.service.Decrypt(ctx, []Item{it})
	if len(results) != 1 {
		return ErrWrongAnswer
	}
	if errors.Is(results[0].Err, ErrDecryptionFailed) {
		return nil
	}
	return results[0].Err
}

// pick returns the elements at the given indexes; scatter puts results back there.
func pick[T any](all []T, indexes []int) []T {
	picked := make([]T, len(indexes))
	for n, i := range indexes {
		picked[n] = all[i]
	}
	return picked
}

func scatter(results []Result, indexes []int, from []Result) {
	for n, i := range indexes {
		results[i] = from[n]
		results[i].Ref = i
	}
}

// Close releases what the service holds, for all Keys made from this one. A closed Key refuses every call; closing
// twice is fine.
func (k *Key) Close() error {
	k.closeOnce.Do(func() {
		k.closed.Store(true)
		if c, ok := k.service.(io.Closer); ok {
			k.closeErr = c.Close()
		}
	})
	return k.closeErr
}
