package kms

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Service is what a provider implements, for one KMS key. Use it through a Key.
//
// Encrypt and Decrypt get at most Info().BatchSize items and return one Result an item, in the order of the items, each
// with its item's Ref. They are safe for concurrent use, honour ctx, neither keep nor change an item's Data, and tell a
// failure by wrapping one of this package's sentinels in Result.Err: ErrDecryptionFailed for a wrong context, key or
// byte (never with a reason), ErrAccessDenied, ErrKeyNotFound, ErrKeyDisabled, ErrThrottled, ErrUnavailable, ErrWrongAnswer,
// ErrInvalidRequest. An error of ctx is passed on. They do not retry: Key does, and waits as long as a RetryAfter says. A
// call of a method is one request to the service; before any further one that it needs, a Service calls CountRequest.
//
// A Service may also be a Rewrapper, a CrossRewrapper, a KeyVersioner, a DecryptChecker and an io.Closer whose Close can be called twice.
type Service interface {
	Encrypt(ctx context.Context, items []Item) []Result
	Decrypt(ctx context.Context, items []Item) []Result
	Info() Info
}

// Rewrapper is a Service that wraps a ciphertext anew under the key's newest version without showing the plaintext: AWS
// ReEncrypt, Vault rewrap. Its items have the ciphertext as Data; the results are as those of Encrypt.
type Rewrapper interface {
	Rewrap(ctx context.Context, items []RewrapItem) []Result
}

// CrossRewrapper is a Service whose server wraps ciphertexts of other keys anew under its own: AWS ReEncrypt.
type CrossRewrapper interface {
	// RewrapFrom returns the Rewrapper for ciphertexts that another service has made, or nil if this one's server cannot
	// rewrap those. Info().Rewrap holds for it too.
	RewrapFrom(from Service) Rewrapper
}

// KeyVersioner is a Service whose ciphertexts show by which version of the key they were made.
type KeyVersioner interface {
	// KeyVersion returns that version as the service names it, "" for what is none of its ciphertexts. It makes no request.
	KeyVersion(ciphertext []byte) string
}

// DecryptChecker is a Service that has a way of its own to tell whether the caller may decrypt: one that refuses garbage
// before it asks its server, or whose server looks at the ciphertext before it looks at the caller. The item has a context and
// no Data. See Key.CheckDecrypt.
type DecryptChecker interface {
	CheckDecrypt(ctx context.Context, item Item) error // nil: it may
}

// Info tells what a service can do.
type Info struct {
	// KeyID is the id that opens this key, as for Open.
	KeyID string
	// BatchSize is the most items of one request; 0 and 1 mean that the service has no batches.
	BatchSize int
	// ContextEnforced tells that a ciphertext does not open under another context. Where it does, fields need not
	// be bound to their row.
	ContextEnforced bool
	// Rewrap tells what a Rewrapper can do.
	Rewrap RewrapSupport
	// Quota is how many requests a second the service takes by default from an account, for all that it does, where that is known,
	// and in the least of its regions; 0: no quota, or none that is known.
	Quota float64
	// Price is that of a request in US dollars, at list price, without a free allowance; 0: none.
	Price float64
}

// RewrapSupport tells what a service can do without showing the plaintext.
type RewrapSupport int

const (
	// RewrapNone: the service has no rewrap; Key decrypts and encrypts.
	RewrapNone RewrapSupport = iota
	// RewrapSameContext: to the key's newest version, under the context that the ciphertext has.
	RewrapSameContext
	// RewrapAnyContext: also from one context to another.
	RewrapAnyContext
)

// Item is one plaintext to encrypt or one ciphertext to decrypt.
type Item struct {
	Data     []byte
	Context  Context
	Encoding ContextEncoding // nil: Context.Canonical
	// Ref is set by Key, which overwrites it. A Service copies it to the Result, from the service's own answer where that
	// carries a reference, so that an answer in the wrong order is noticed.
	Ref int
}

// RewrapItem is one ciphertext to wrap anew: Data was made under Context, and the result is to be opened under To.
type RewrapItem struct {
	Item
	// From is the key that made Data. nil: the one that is asked to rewrap. A Service ignores it.
	From       *Key
	To         Context
	ToEncoding ContextEncoding // nil: Context.Canonical
}

func (it *Item) source() *Item { return it }

func (it *Item) validate() error { return it.Context.validate() }

func (it *RewrapItem) validate() error {
	if err := it.Context.validate(); err != nil {
		return err
	}
	return it.To.validate()
}

// Target returns the item that the rewrapped ciphertext belongs to: the same Ref, the context To, and no Data.
func (it RewrapItem) Target() Item {
	return Item{Context: it.To, Encoding: it.ToEncoding, Ref: it.Ref}
}

// SameContext tells whether the ciphertext stays under the context that it has.
func (it RewrapItem) SameContext() (bool, error) {
	from, err := it.ContextBytes()
	if err != nil {
		return false, err
	}
	to, err := it.Target().ContextBytes()
	return (from == nil) == (to == nil) && string(from) == string(to), err
}

// Result is the answer to the item with the same Ref: Data or Err.
type Result struct {
	Data []byte
	Err  error
	Ref  int
}

// Op is an operation of a Key.
type Op string

// The operations.
const (
	OpEncrypt Op = "encrypt"
	OpDecrypt Op = "decrypt"
	OpRewrap  Op = "rewrap"
	// OpCheck is CheckDecrypt: nothing is opened, and the service's own log has a decryption that failed.
	OpCheck Op = "check"
)

// Items and results carry data keys: whatever prints one sees its size. That does not hold where one is a field that is
// not exported, whose methods fmt does not ask, nor for test libraries that follow fields: keep items no longer than a
// call.

// Format implements fmt.Formatter for every verb.
func (it Item) Format(f fmt.State, _ rune) { printSize(f, "kms.Item", len(it.Data)) }

// LogValue implements slog.LogValuer.
func (it Item) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(it)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (it Item) MarshalText() ([]byte, error) { return fmt.Append(nil, it), nil }

// Format implements fmt.Formatter for every verb.
func (r Result) Format(f fmt.State, _ rune) {
	if r.Err != nil {
		io.WriteString(f, "kms.Result("+r.Err.Error()+")")
		return
	}
	printSize(f, "kms.Result", len(r.Data))
}

// LogValue implements slog.LogValuer.
func (r Result) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (r Result) MarshalText() ([]byte, error) { return fmt.Append(nil, r), nil }

func printSize(w io.Writer, name string, n int) { fmt.Fprintf(w, "%s(%d bytes)", name, n) }
