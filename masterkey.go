package rowseal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// MasterKey is a key of 32 bytes that the application itself holds, with no KMS between: of blind indexes, and of the
// fields and attachments that Rails sealed under Lockbox.master_key. Each column gets its own key from it.
//
// Whoever holds the master key of an index can guess the indexed values; give it a KMS key of its own (OpenMasterKey),
// which sealers may open. Whoever holds that of fields reads them, so move such fields to data keys (Previous).
//
// It is safe for concurrent use, and does not show through fmt, log/slog or encoding/json.
type MasterKey struct {
	// A closure, because printers and test diffs follow fields.
	derive func(derivation, string, string) ([]byte, error)
}

// derivation is a way in which a gem makes a column's key of a master key and the names of table and column.
type derivation func(masterKey []byte, table, column string) ([]byte, error)

// NewMasterKey returns the MasterKey of 32 random bytes, which it copies.
func NewMasterKey(key []byte) (*MasterKey, error) {
	return newMasterKey(key, func(d derivation, own []byte, table, column string) ([]byte, error) { return d(own, table, column) })
}

// NewFixedKey returns a MasterKey of which nothing is derived: the key itself is that of the one field or index that
// uses it, the gems' option key.
func NewFixedKey(key []byte) (*MasterKey, error) {
	return newMasterKey(key, func(_ derivation, own []byte, _, _ string) ([]byte, error) { return own, nil })
}

func newMasterKey(key []byte, derive func(d derivation, key []byte, table, column string) ([]byte, error)) (*MasterKey, error) {
	if len(key) != lockbox.KeySize {
		return nil, fmt.Errorf("rowseal: a master key of %d bytes: want %d (64 hex digits go through ParseMasterKey): %w",
			len(key), lockbox.KeySize, kms.ErrInvalidRequest)
	}
	own := append([]byte(nil), key...)
	return &MasterKey{func(d derivation, table, column string) ([]byte, error) { return derive(d, own, table, column) }}, nil
}

// ParseMasterKey is NewMasterKey for 64 hex digits, as LOCKBOX_MASTER_KEY and BLIND_INDEX_MASTER_KEY hold them.
func ParseMasterKey(digits string) (*MasterKey, error) {
	key, err := lockbox.ParseKey(digits)
	if err != nil {
		got := fmt.Sprint(len(digits), " characters")
		if digits == "" {
			got = "none (is the variable set?)"
		}
		return nil, fmt.Errorf("rowseal: not a master key: want %d hex digits, and got %s: %w", 2*lockbox.KeySize, got, kms.ErrInvalidRequest)
	}
	return NewMasterKey(key)
}

// OpenMasterKey unwraps a master key that Keyring.Encrypt has wrapped under the context, so that configuration holds no
// secret and the KMS says who may have the key. Call it once, at start-up.
func OpenMasterKey(ctx context.Context, ring *Keyring, wrapped string, ec kms.Context) (*MasterKey, error) {
	key, err := ring.Decrypt(ctx, wrapped, ec)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return NewMasterKey(key)
}

// attributeKey is the key of a Lockbox field or attachment.
func (k *MasterKey) attributeKey(table, attribute string) ([]byte, error) {
	return k.keyOf(lockbox.AttributeKey, table, attribute)
}

// indexKey is the key of a blind index.
func (k *MasterKey) indexKey(table, column string) ([]byte, error) {
	return k.keyOf(blindindex.KeyOf, table, column)
}

func (k *MasterKey) keyOf(d derivation, table, column string) ([]byte, error) {
	if k == nil || k.derive == nil {
		return nil, errors.New("the zero MasterKey has no key: make it with NewMasterKey")
	}
	return k.derive(d, table, column)
}

// Format implements fmt.Formatter: every verb prints the type's name.
func (MasterKey) Format(f fmt.State, _ rune) { io.WriteString(f, "rowseal.MasterKey") }

// LogValue hides the key from log/slog.
func (MasterKey) LogValue() slog.Value { return slog.StringValue("rowseal.MasterKey") }
