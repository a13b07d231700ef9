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
	"sync"
	"sync/atomic"

	"github.com/rowseal/rowseal/kms"
)

const (
	// batchSize is what Vault takes at once with room to spare, and OpenBao in two halves.
	batchSize = 240
	// maxPlaintext is the most bytes whose ciphertext Vault takes again, which takes JSON strings of 1 MiB: "vault:v" and up to 4 digits
	// and ":" before the base64 of 28 bytes more.
	maxPlaintext = 786_395
)

// service is a key as kms.Service, kms.Rewrapper, kms.KeyVersioner, kms.DecryptChecker and io.Closer.
type service struct {
	place
	client          *client
	acceptUnderived bool

	derivations sync.Map     // of *derivation by server: the caller's client may go to another
	most        atomic.Int64 // items that the server takes at once, known after a refusal; 0: not known
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
	case op == kms.OpEncrypt && len(it.Data) > maxPlaintext:
		return entry{}, fmt.Errorf("vaultkms: a plaintext of %d bytes, whose ciphertext Vault would not take again: it may have %d: %w",
			len(it.Data), maxPlaintext, kms.ErrInvalidRequest)
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

// KeyVersion implements kms.KeyVersioner.
func (s *service) KeyVersion(ciphertext []byte) string {
	if version := versionOf(string(ciphertext)); version > 0 {
		return strconv.FormatInt(version, 10)
	}
	return ""
}

// madeUp returns a ciphertext of a version of the key that nobody made: a nonce, a data key and a tag, all random.
func madeUp(version int64) string {
	b := make([]byte, 12+32+16)
	rand.Read(b)
	return fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(b))
}

// CheckDecrypt asks about a made-up ciphertext of version 1. Whether the key still has or takes that version does not matter: the
// server looks at the right first.
func (s *service) CheckDecrypt(ctx context.Context, it kms.Item) error {
	it.Data = []byte(madeUp(1))
	err := s.Decrypt(ctx, []kms.Item{it})[0].Err
	if errors.Is(err, kms.ErrDecryptionFailed) || errors.Is(err, errVersion) {
		return nil
	}
	return err
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
