// Package secondreader opens the table users of vectors/rails without rowseal: it is written from docs/formats.md and the
// gems' own documentation, on the standard library and golang.org/x/crypto, and shares no code with what it checks. Where
// rowseal reads leniently, it is strict: what it reads has exactly the form in which it must be written.
package secondreader

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Reader holds what opens the table.
type Reader struct {
	// Unwrap is the KMS key. It takes the KMS's ciphertext, and the context as JSON.
	Unwrap func(ciphertext, context []byte) ([]byte, error)
	// MasterKey is Lockbox.master_key, of which the index's key is derived.
	MasterKey []byte
}

// Users opens every value of every row: by id and column nil, a string, an int64 or a []byte. A date is a string. It also
// computes every index, and one that is not in its column is an error.
func (r Reader) Users(ctx context.Context, db *sql.DB) (map[int64]map[string]any, error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM users")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	users := map[int64]map[string]any{}
	for rows.Next() {
		u, err := scan(rows)
		if err != nil {
			return nil, err
		}
		id := u["id"].(int64)
		if users[id], err = r.user(u); err != nil {
			return nil, fmt.Errorf("row %d: %w", id, err)
		}
	}
	return users, rows.Err()
}

// row is what the columns hold.
type row map[string]any

func scan(rows *sql.Rows) (row, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	u := row{}
	for i, name := range names {
		u[name] = values[i]
	}
	return u, nil
}

// fields are the sealed columns: under which key, and how.
var fields = []struct {
	column, key string
	open        func(key []byte, u row, column string) (any, error)
}{
	{"email_ciphertext", "encrypted_kms_key", text},
	{"date_of_birth_ciphertext", "encrypted_kms_key", date},
	{"balance_ciphertext", "encrypted_kms_key", integer},
	{"notes_ciphertext", "encrypted_kms_key", paddedNotes},
	{"encrypted_ssn", "encrypted_kms_key", attrEncrypted},
	{"license", "encrypted_kms_key", raw},
	{"phone_ciphertext", "encrypted_kms_key_phone", text},
	{"street_ciphertext", "encrypted_kms_key_street", text},
}

func (r Reader) user(u row) (map[string]any, error) {
	keys, values := map[string][]byte{}, map[string]any{}
	for _, column := range []string{"encrypted_kms_key", "encrypted_kms_key_phone", "encrypted_kms_key_street"} {
		key, err := r.dataKey(u, column)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", column, err)
		}
		keys[column] = key
	}
	for _, f := range fields {
		values[f.column] = nil
		if u[f.column] == nil {
			continue
		}
		v, err := f.open(keys[f.key], u, f.column)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.column, err)
		}
		values[f.column] = v
	}
	return values, r.checkIndex(u, values["email_ciphertext"])
}

// dataKey opens a key column; of NULL it is nil.
func (r Reader) dataKey(u row, column string) ([]byte, error) {
	if u[column] == nil {
		return nil, nil
	}
	version, ciphertext, err := keyColumn(u[column].(string))
	if err != nil {
		return nil, err
	}
	ec, err := json.Marshal(contextOf(u, column, version)) // sorted, and escaped as Rails does
	if err != nil {
		return nil, err
	}
	key, err := r.Unwrap(ciphertext, ec)
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("a data key of %d bytes", len(key))
	}
	return key, err
}

// contextOf is what vectors/README.md says of the key columns.
func contextOf(u row, column string, version int) map[string]string {
	id := strconv.FormatInt(u["id"].(int64), 10)
	switch {
	case column == "encrypted_kms_key_phone":
		return map[string]string{"purpose": "phone", "name": u["name"].(string)}
	case column == "encrypted_kms_key_street" && version == 1:
		return map[string]string{"old": "context"}
	case column == "encrypted_kms_key_street":
		return map[string]string{"model_name": "User", "model_id": id, "v": "2"}
	}
	return map[string]string{"model_name": "User", "model_id": id}
}

func text(key []byte, u row, column string) (any, error) {
	ciphertext := u[column].(string)
	if ciphertext == "" {
		return "", nil
	}
	plaintext, err := openText(key, ciphertext, nil)
	return string(plaintext), err
}

func date(key []byte, u row, column string) (any, error) {
	v, err := text(key, u, column)
	if err != nil {
		return nil, err
	}
	_, err = time.Parse(time.DateOnly, v.(string))
	return v, err
}

func integer(key []byte, u row, column string) (any, error) {
	plaintext, err := openText(key, u[column].(string), nil)
	if err != nil {
		return nil, err
	}
	return twosComplement(plaintext)
}

func paddedNotes(key []byte, u row, column string) (any, error) {
	padded, err := openText(key, u[column].(string), []byte("users.notes"))
	if err != nil {
		return nil, err
	}
	plaintext, err := unpad(padded, 16)
	return string(plaintext), err
}

func attrEncrypted(key []byte, u row, column string) (any, error) {
	ciphertext := u[column].(string)
	if ciphertext == "" {
		return "", nil
	}
	iv, ok := u[column+"_iv"].(string)
	if !ok {
		return nil, errors.New("there is no IV")
	}
	plaintext, err := openWithIV(key, ciphertext, iv)
	return string(plaintext), err
}

func raw(key []byte, u row, column string) (any, error) {
	return openGCM(key, u[column].([]byte), nil)
}

func (r Reader) checkIndex(u row, email any) error {
	want := any(nil)
	if email != nil {
		key, err := indexKey(r.MasterKey, "users", "email_bidx")
		if err != nil {
			return err
		}
		want = index(key, strings.ToLower(email.(string)))
	}
	if u["email_bidx"] != want {
		return fmt.Errorf("email_bidx is %v, and the index of the e-mail is %v", u["email_bidx"], want)
	}
	return nil
}
