// Package testkms is the key for tests that the Ruby gem kms_encrypted calls insecure-test-key. IT PROTECTS NOTHING: a
// ciphertext is the plaintext in base64, and anyone can make one. Import it in tests alone; a program that imports it
// can be talked into it by a key id in its configuration.
//
//	import _ "github.com/rowseal/rowseal/kms/testkms" // kms.Open then knows the two ids
//
// It does compare the context, so that a test notices a row opened under another row's name, and it takes batches, so
// that a test notices rows opened one by one.
//
// # Format
//
// As lib/kms_encrypted/clients/test.rb of https://github.com/ankane/kms_encrypted, byte for byte, and deterministic:
//
//	base64-decoded "insecure+data+A" ‖ ":" ‖ strict base64 of the plaintext [ ‖ ":" ‖ context ]
//
// where the context is kms.Item.ContextMIME, and absent for no context. Plaintexts have any size. What is not exactly
// of this form, or has another context, is kms.ErrDecryptionFailed. Nothing is authenticated.
package testkms

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms"
)

const (
	// ID is the key that seals and opens.
	ID = "insecure-test-key"
	// EncryptOnlyID is the same key without the right to open: what it seals, ID opens.
	EncryptOnlyID = "insecure-test-key/encrypt"
)

const batchSize = 240 // that of rowseal's Vault, so that tests see the requests that production makes

func init() {
	kms.Register(kms.Provider{
		Name:  "test",
		Match: func(id string) bool { return id == ID || id == EncryptOnlyID },
		Open:  func(_ context.Context, id string) (kms.Service, error) { return New(id == EncryptOnlyID), nil },
	})
}

// New returns the key without the detour of kms.Open: that of EncryptOnlyID, or that of ID. It is safe for concurrent
// use.
func New(encryptOnly bool) kms.Service { return service{encryptOnly: encryptOnly} }

type service struct{ encryptOnly bool }

func (s service) Info() kms.Info {
	info := kms.Info{KeyID: ID, BatchSize: batchSize, ContextEnforced: true}
	if s.encryptOnly {
		info.KeyID = EncryptOnlyID
	}
	return info
}

func (s service) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(ctx, items, seal)
}

func (s service) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	if s.encryptOnly {
		return each(ctx, items, refuse)
	}
	return each(ctx, items, open)
}

func each(ctx context.Context, items []kms.Item, do func(kms.Item) ([]byte, error)) []kms.Result {
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i] = kms.Result{Ref: it.Ref, Err: ctx.Err()}
		if results[i].Err == nil {
			results[i].Data, results[i].Err = do(it)
		}
	}
	return results
}

// prefix is 11 bytes and the first separator; a key column, which is base64 of it all, so begins with "insecure+data+A".
var prefix = append(mime64.Decode("insecure+data+A"), ':')

func seal(it kms.Item) ([]byte, error) {
	mime, err := it.ContextMIME()
	if err != nil {
		return nil, err
	}
	out := base64.StdEncoding.AppendEncode(bytes.Clone(prefix), it.Data)
	if it.Context != nil {
		out = append(append(out, ':'), mime...)
	}
	return out, nil
}

func open(it kms.Item) ([]byte, error) {
	mime, err := it.ContextMIME()
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(it.Data, prefix)
	encoded, stored, bound := bytes.Cut(rest, []byte{':'})
	if !ok || bound != (it.Context != nil) || string(stored) != mime {
		return nil, kms.ErrDecryptionFailed
	}
	plaintext, err := base64.StdEncoding.AppendDecode(nil, encoded)
	if err != nil || base64.StdEncoding.EncodeToString(plaintext) != string(encoded) { // the decoder skips line breaks
		return nil, kms.ErrDecryptionFailed
	}
	return plaintext, nil
}

func refuse(kms.Item) ([]byte, error) {
	return nil, fmt.Errorf("%s is for encryption only: %w", EncryptOnlyID, kms.ErrAccessDenied)
}
