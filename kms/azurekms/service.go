package azurekms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rowseal/rowseal/kms"
)

// form is what a sort of key makes of plaintexts. ec is nil for no context.
type form interface {
	seal(ctx context.Context, plaintext, ec []byte) ([]byte, error)
	open(ctx context.Context, ciphertext, ec []byte) ([]byte, error)
	madeUp() []byte
}

// service is a key as kms.Service, kms.KeyVersioner, kms.DecryptChecker and io.Closer.
type service struct {
	key
	form form
}

func (s service) Info() kms.Info {
	return kms.Info{KeyID: s.id, BatchSize: 1, ContextEnforced: true, Quota: quota, Price: price}
}

func (s service) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(ctx, items, s.form.seal)
}

func (s service) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(ctx, items, s.form.open)
}

// KeyVersion implements kms.KeyVersioner.
func (s service) KeyVersion(ciphertext []byte) string {
	for _, magic := range []string{rsaMagic, aesMagic} {
		if version, _, ok := parseHeader(ciphertext, magic); ok {
			return version
		}
	}
	return ""
}

// CheckDecrypt asks about a made-up ciphertext with an empty version, for which Azure takes the newest: so no version has to be
// known. Nothing opens that has one.
func (s service) CheckDecrypt(ctx context.Context, it kms.Item) error {
	it.Data = s.form.madeUp()
	err := s.Decrypt(ctx, []kms.Item{it})[0].Err
	if errors.Is(err, kms.ErrDecryptionFailed) {
		return nil
	}
	return err
}

func (s service) Close() error {
	s.close()
	return nil
}

// Format prints the key's id alone, for every verb: the client has credentials.
func (s service) Format(f fmt.State, _ rune) { io.WriteString(f, "azurekms.Service("+s.id+")") }

// LogValue implements slog.LogValuer.
func (s service) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (s service) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

func each(ctx context.Context, items []kms.Item, do func(ctx context.Context, data, ec []byte) ([]byte, error)) []kms.Result {
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i].Ref = it.Ref
		if i > 0 {
			if results[i].Err = kms.CountRequest(ctx); results[i].Err != nil {
				continue
			}
		}
		ec, err := contextBytes(it)
		if err != nil {
			results[i].Err = err
			continue
		}
		results[i].Data, results[i].Err = do(ctx, it.Data, ec)
	}
	return results
}

func contextBytes(it kms.Item) ([]byte, error) {
	b, err := it.ContextBytes()
	switch {
	case errors.Is(err, kms.ErrInvalidRequest):
		return nil, fmt.Errorf("azurekms: %w", err)
	case err != nil: // of a caller's own encoding
		return nil, fmt.Errorf("azurekms: %w: %w", err, kms.ErrInvalidRequest)
	}
	return b, nil
}

func checkSize(plaintext []byte, least, most int) error {
	if n := len(plaintext); n < least || n > most {
		return fmt.Errorf("azurekms: plaintext of %d bytes, and it may have %d to %d: %w", n, least, most, kms.ErrInvalidRequest)
	}
	return nil
}
