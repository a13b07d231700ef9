package kms

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Event is one finished call of a Key. It holds no plaintext, no ciphertext and no key.
type Event struct {
	Op       Op
	KeyID    string
	Contexts []Context     // one an item, in their order; the caller's own maps: do not change them
	Errs     []error       // one an item, nil for those that succeeded
	Failed   int           // how many of Errs are not nil
	Err      error         // Errs joined; nil if none failed
	Requests int           // made to the service, retries included; 0 if the call was refused before any
	Duration time.Duration // of the whole call
}

// Observer is told of every call of a Key, also of those that were refused or failed. It is called by the goroutine
// that made the call, after it, and must be safe for concurrent use.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

// LogOptions changes what Logger prints of contexts.
type LogOptions struct {
	// Show lists the context names whose values are printed. nil: model_name, model_id and key_name.
	Show []string
	// ShowAll prints every value.
	ShowAll bool
	// HashKey keys the hashes of the other values, so that the same value has the same hash in every process that has
	// it: 32 random bytes (FIPS-only mode panics at fewer than 14). Empty: a random key, made with the Logger. A hash
	// without a key would not hide an e-mail address: addresses can be guessed.
	HashKey []byte
}

// Logger returns an Observer that writes a line a call to l: level Info, or Warn with the first error if an item
// failed. Values of contexts that opts does not show are printed as the first 8 bytes of their HMAC-SHA-256. Both
// arguments may be nil; nil l is slog.Default.
func Logger(l *slog.Logger, opts *LogOptions) Observer {
	lo := logObserver{logger: l, show: []string{"model_name", "model_id", "key_name"}}
	if lo.logger == nil {
		lo.logger = slog.Default()
	}
	if opts != nil {
		lo.all = opts.ShowAll
		lo.hashKey = slices.Clone(opts.HashKey)
		if opts.Show != nil {
			lo.show = slices.Clone(opts.Show)
		}
	}
	if len(lo.hashKey) == 0 {
		lo.hashKey = make([]byte, 32)
		rand.Read(lo.hashKey) // never fails: crypto/rand ends the program instead
	}
	return lo
}

type logObserver struct {
	logger  *slog.Logger
	show    []string
	all     bool
	hashKey []byte
}

func (lo logObserver) Observe(ctx context.Context, e Event) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("op", string(e.Op)),
		slog.String("key_id", e.KeyID),
		slog.Int("items", len(e.Contexts)),
		slog.Int("requests", e.Requests),
		slog.Duration("duration", e.Duration),
		slog.Any("contexts", lo.contexts(e.Contexts, nil)),
	}
	if e.Err != nil {
		level = slog.LevelWarn
		attrs = append(attrs,
			slog.Int("failed", e.Failed),
			slog.Any("failed_contexts", lo.contexts(e.Contexts, e.Errs)),
			slog.String("error", first(e).Error()))
	}
	lo.logger.LogAttrs(ctx, level, "kms", attrs...)
}

// first is the error that is shown of a batch: they are as a rule alike, and may be thousands.
func first(e Event) error {
	for _, err := range e.Errs {
		if err != nil {
			return err
		}
	}
	return e.Err
}

// contexts lists all contexts, because an audit needs every row's name, or, given errs, those of the items that failed.
func (lo logObserver) contexts(all []Context, errs []error) []map[string]string {
	shown := make([]map[string]string, 0, len(all))
	for i, c := range all {
		if errs != nil && (i >= len(errs) || errs[i] == nil) {
			continue
		}
		values := make(map[string]string, len(c))
		for name, value := range c {
			values[name] = lo.value(name, value)
		}
		shown = append(shown, values)
	}
	return shown
}

func (lo logObserver) value(name, value string) string {
	if lo.all || slices.Contains(lo.show, name) {
		return value
	}
	mac := hmac.New(sha256.New, lo.hashKey)
	fmt.Fprintf(mac, "%d:%s%s", len(name), name, value) // the name too: equal values of two names need not show as equal
	return "hmac:" + hex.EncodeToString(mac.Sum(nil)[:8])
}
