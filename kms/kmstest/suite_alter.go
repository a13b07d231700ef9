package kmstest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// alteredErrors is what an altered ciphertext may be answered with. Where its bytes name the version of the key, they may
// now name one that is not there.
var alteredErrors = []error{kms.ErrDecryptionFailed, kms.ErrKeyNotFound}

func (s *suite) flippedBits(t *testing.T) {
	s.alter(t, func(ciphertext []byte) (altered [][]byte) {
		for bit := 0; bit < 8*len(ciphertext); bit += s.Step {
			b := bytes.Clone(ciphertext)
			b[bit/8] ^= 1 << (bit % 8)
			altered = append(altered, b)
		}
		return altered
	})
}

func (s *suite) truncations(t *testing.T) {
	s.alter(t, func(ciphertext []byte) (altered [][]byte) {
		for n := 0; n < len(ciphertext); n += s.Step {
			altered = append(altered, bytes.Clone(ciphertext[:n]), bytes.Clone(ciphertext[n+1:]))
		}
		return append(altered, append(bytes.Clone(ciphertext), 0), nil)
	})
}

// alter opens what forms makes of a ciphertext: under its context, and where that may work, also under another.
func (s *suite) alter(t *testing.T, forms func(ciphertext []byte) [][]byte) {
	key := s.key(t)
	want := s.dataKey()
	ciphertext := encryptAll(t, key, []kms.Item{{Data: want, Context: user("1")}})[0].Data
	var items, elsewhere []kms.Item
	for _, altered := range forms(ciphertext) {
		items = append(items, kms.Item{Data: altered, Context: user("1")})
		elsewhere = append(elsewhere, kms.Item{Data: altered, Context: user("2")})
	}
	for i, r := range key.DecryptBatch(t.Context(), items) {
		allowed := s.Insecure || s.Malleable && string(r.Data) == string(want)
		if r.Err == nil && allowed {
			continue
		}
		expectError(t, fmt.Sprintf("alteration %d of %d", i, len(items)), r, alteredErrors...)
	}
	if !s.enforcesContext(t) || !s.Insecure && !s.Malleable {
		return
	}
	for i, r := range key.DecryptBatch(t.Context(), elsewhere) {
		expectError(t, fmt.Sprintf("alteration %d of %d, under another context", i, len(items)), r, alteredErrors...)
	}
}

func (s *suite) otherKey(t *testing.T) {
	mine, other := s.service(t), s.watched(s.Other(t))
	want := s.dataKey()
	a, b := s.seal(t, mine, want, user("1")), s.seal(t, other, want, user("1"))
	expectError(t, "the other key's ciphertext", open(t.Context(), mine, b, user("1")), alteredErrors...)
	expectError(t, "this key's ciphertext, by the other key", open(t.Context(), other, a, user("1")), alteredErrors...)
}

func (s *suite) equalPlaintexts(t *testing.T) {
	service := s.service(t)
	want := s.dataKey()
	if bytes.Equal(s.seal(t, service, want, user("1")), s.seal(t, service, want, user("1"))) {
		t.Error("the same plaintext gave the same ciphertext twice")
	}
}

func (s *suite) itemsAreTheCallers(t *testing.T) {
	service := s.service(t)
	want := s.dataKey()

	item := kms.Item{Data: bytes.Clone(want), Context: user("1")}
	sealed := one(service.Encrypt(t.Context(), []kms.Item{item}))
	if sealed.Err != nil {
		t.Fatal(sealed.Err)
	}
	if !bytes.Equal(item.Data, want) {
		t.Error("Encrypt changed the plaintext that it was given")
	}
	ciphertext := bytes.Clone(sealed.Data)
	scribble(item.Data)
	if !bytes.Equal(sealed.Data, ciphertext) {
		t.Error("Encrypt's ciphertext changes with the plaintext that it was given")
	}
	scribble(sealed.Data)
	expectPlaintext(t, 0, open(t.Context(), service, ciphertext, user("1")), want)

	item.Data = bytes.Clone(ciphertext)
	opened := one(service.Decrypt(t.Context(), []kms.Item{item}))
	if !bytes.Equal(item.Data, ciphertext) {
		t.Error("Decrypt changed the ciphertext that it was given")
	}
	scribble(item.Data)
	expectPlaintext(t, 0, opened, want)
	scribble(opened.Data)
	expectPlaintext(t, 0, open(t.Context(), service, ciphertext, user("1")), want)
	if c := user("1"); len(item.Context) != len(c) || item.Context["model_id"] != c["model_id"] {
		t.Error("the context that the service was given has changed")
	}
}

func scribble(b []byte) {
	for i := range b {
		b[i] ^= 0xA5
	}
}
