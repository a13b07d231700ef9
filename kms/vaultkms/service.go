package vaultkms

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/rowseal/rowseal/kms"
)

// batchSize is what Vault takes at once with room to spare, and OpenBao in two halves.
const batchSize = 240

// service is a key as kms.Service, kms.Rewrapper, kms.CiphertextForm and io.Closer.
type service struct {
	place
	client          *client
	acceptUnderived bool

	derivation derivation
	most       atomic.Int64 // items that the server takes at once, known after a refusal; 0: not known
	newest     atomic.Int64 // version of the key that has been seen; 0: none
}

func (s *service) Info() kms.Info {
	return kms.Info{
		KeyID:           s.id(),
		BatchSize:       batchSize,
		ContextEnforced: !s.acceptUnderived,
		Rewrap:          kms.RewrapSameContext,
	}
}

func (s *service) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return s.do(ctx, kms.OpEncrypt, items, nil)
}

func (s *service) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return s.do(ctx, kms.OpDecrypt, items, nil)
}

func (s *service) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	sources := make([]kms.Item, len(items))
	for i, it := range items {
		sources[i] = it.Item
	}
	return s.do(ctx, kms.OpRewrap, sources, func(i int) error {
		same, err := items[i].SameContext()
		if err == nil && !same {
			err = errors.New("vaultkms: rewrap keeps the context")
		}
		return invalid(err)
	})
}

// do carries out a call. refuse, which may be nil, tells what is wrong with an item.
func (s *service) do(ctx context.Context, op kms.Op, items []kms.Item, refuse func(i int) error) []kms.Result {
	c := &call{service: s, op: op, results: make([]kms.Result, len(items))}
	var with, without []entry // a context: a request has one for each item or for none
	for i, it := range items {
		c.results[i].Ref = it.Ref
		var err error
		if refuse != nil {
			err = refuse(i)
		}
		var e entry
		if err == nil {
			e, err = s.entry(op, it)
		}
		e.index = i
		switch {
		case err != nil:
			c.results[i].Err = err
		case e.Context != "":
			with = append(with, e)
		default:
			without = append(without, e)
		}
	}
	for _, batch := range [][]entry{with, without} {
		if len(batch) > 0 {
			c.start(ctx, batch)
		}
	}
	return c.results
}

// entry is an item as the server takes it.
func (s *service) entry(op kms.Op, it kms.Item) (entry, error) {
	mime, err := it.ContextMIME()
	if err != nil {
		return entry{}, invalid(err)
	}
	if it.Context == nil && !s.acceptUnderived {
		return entry{}, fmt.Errorf("vaultkms: a derived key does nothing without a context: %w", kms.ErrInvalidRequest)
	}
	e := entry{Context: mime, Reference: strconv.Itoa(it.Ref)}
	switch {
	case op == kms.OpEncrypt && it.Data == nil:
		e.Plaintext = []byte{}
	case op == kms.OpEncrypt:
		e.Plaintext = it.Data
	case versionOf(string(it.Data)) == 0:
		return entry{}, kms.ErrDecryptionFailed
	default:
		e.Ciphertext = string(it.Data)
	}
	return e, nil
}

// invalid makes sure that a mistake of the caller's matches a sentinel.
func invalid(err error) error {
	if err == nil || errors.Is(err, kms.ErrInvalidRequest) {
		return err
	}
	return fmt.Errorf("%w: %w", err, kms.ErrInvalidRequest)
}

// versionOf tells by which version of its key a ciphertext was made; 0: it is none. There is one way to write a ciphertext,
// although Vault's decoder would take others, so that an altered one is noticed here.
func versionOf(ciphertext string) int64 {
	rest, ok := strings.CutPrefix(ciphertext, "vault:v")
	digits, encoded, found := strings.Cut(rest, ":")
	version, err := strconv.ParseInt(digits, 10, 32)
	if !ok || !found || err != nil || version < 1 || strconv.FormatInt(version, 10) != digits {
		return 0
	}
	if encoded == "" || strings.ContainsAny(encoded, "\r\n") { // which the decoder would skip
		return 0
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(encoded); err != nil {
		return 0
	}
	return version
}

// madeUp returns a ciphertext of a version of the key that nobody made: a nonce, a data key and a tag, all random.
func madeUp(version int64) string {
	b := make([]byte, 12+32+16)
	rand.Read(b)
	return fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(b))
}

// MadeUpCiphertext is of the newest version that this service has seen: one below min_decryption_version tells nothing.
func (s *service) MadeUpCiphertext() []byte { return []byte(madeUp(max(s.newest.Load(), 1))) }

// sees remembers the newest version.
func (s *service) sees(version int64) {
	for {
		newest := s.newest.Load()
		if version <= newest || s.newest.CompareAndSwap(newest, version) {
			return
		}
	}
}

// Close closes idle connections, unless they are the caller's.
func (s *service) Close() error {
	s.client.close()
	return nil
}

// Format prints the key's id for every verb: what is below holds a token.
func (s *service) Format(f fmt.State, _ rune) { io.WriteString(f, "vaultkms.Service("+s.id()+")") }

// LogValue implements slog.LogValuer.
func (s *service) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (s *service) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }
