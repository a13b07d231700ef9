package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// Redaction says which values of encryption contexts are written down. The others are hashed: the first 8 bytes of their
// HMAC-SHA-256, as "hmac:" and 16 hex digits. The zero value shows model_name, model_id and key_name.
type Redaction struct {
	// Show lists the context names whose values are shown. nil: model_name, model_id and key_name.
	Show []string
	// ShowAll shows every value.
	ShowAll bool
	// HashKey keys the hashes, so that the same value has the same hash in every process that has it: 32 random bytes
	// (FIPS-only mode panics at fewer than 14). Empty: a random key, which each sink makes for itself. A hash without a key would
	// not hide an e-mail address: addresses can be guessed.
	HashKey []byte
}

const hashPrefix = "hmac:"

// redactor is a Redaction whose key is there.
type redactor struct{ Redaction }

// newRedactor takes nil for the zero value.
func newRedactor(r *Redaction) redactor {
	own := redactor{}
	if r != nil {
		own.ShowAll = r.ShowAll
		own.Show, own.HashKey = slices.Clone(r.Show), slices.Clone(r.HashKey)
	}
	if own.Show == nil {
		own.Show = []string{"model_name", "model_id", "key_name"}
	}
	if len(own.HashKey) == 0 {
		own.HashKey = make([]byte, 32)
		rand.Read(own.HashKey) // never fails: crypto/rand ends the program instead
	}
	return own
}

// Redactor returns what applies r, for observers that write contexts down elsewhere: it returns what may be written of a context, and nil
// for nil. r may be nil, the zero value. Each Redactor without a HashKey has a random key of its own. It is safe for concurrent use.
func (r *Redaction) Redactor() func(kms.Context) kms.Context { return newRedactor(r).context }

// context returns what is written of c; nil for nil.
func (r redactor) context(c kms.Context) kms.Context {
	if c == nil {
		return nil
	}
	shown := make(kms.Context, len(c))
	for name, value := range c {
		shown[name] = r.value(name, value)
	}
	return shown
}

func (r redactor) value(name, value string) string {
	if r.ShowAll || slices.Contains(r.Show, name) {
		return value
	}
	mac := hmac.New(sha256.New, r.HashKey)
	fmt.Fprintf(mac, "%d:%s%s", len(name), name, value) // the name too: equal values of two names need not show as equal
	return hashPrefix + hex.EncodeToString(mac.Sum(nil)[:8])
}
