package railstest

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/lockbox"
)

// User is a row, as a Model has it; vectors/README.md describes its columns.
type User struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey
	KMSKeyPhone     rowseal.DataKey `rowseal:"name=phone"`
	KMSKeyStreet    rowseal.DataKey `rowseal:"name=street"`

	Email       rowseal.Sealed[string]
	EmailIndex  blindindex.Index          `rowseal:"of=Email,normalize=lower,column=email_bidx"`
	DateOfBirth rowseal.Sealed[time.Time] `rowseal:"type=date"`
	Balance     rowseal.Sealed[int64]
	Notes       rowseal.Sealed[string] `rowseal:"padding=16,ad=users.notes"`
	SSN         rowseal.Sealed[string] `rowseal:"column=encrypted_ssn,codec=attr_encrypted"`
	SSNIV       rowseal.IV             `rowseal:"column=encrypted_ssn_iv,of=SSN"`
	License     rowseal.Sealed[[]byte] `rowseal:"column=license,raw"`
	Phone       rowseal.Sealed[string] `rowseal:"key=phone"`
	Street      rowseal.Sealed[string] `rowseal:"key=street"`
}

// Schema says the same as the tags of User, and contexts do.
func Schema() rowseal.Schema {
	lower := blindindex.Options{Normalize: "lower"}
	return rowseal.Schema{
		Table: "users", Model: "User", PrimaryKey: "id", Binding: rowseal.BindNone,
		Keys: []rowseal.KeyColumn{
			{Column: "encrypted_kms_key"},
			{Column: "encrypted_kms_key_phone", Name: "phone", Context: phoneContext},
			{Column: "encrypted_kms_key_street", Name: "street", Context: streetContext, Versions: earlierStreetContexts},
		},
		Fields: []rowseal.Field{
			{Column: "email_ciphertext"},
			{Column: "date_of_birth_ciphertext", Type: lockbox.Date},
			{Column: "balance_ciphertext", Type: lockbox.Integer},
			{Column: "notes_ciphertext", Format: lockbox.Format{Padding: 16}, AssociatedData: "users.notes"},
			{Column: "encrypted_ssn", AttrEncrypted: &attrencrypted.Options{}, IV: "encrypted_ssn_iv"},
			{Column: "license", Type: lockbox.Binary, Format: lockbox.Format{Raw: true}},
			{Column: "phone_ciphertext", Key: "phone"},
			{Column: "street_ciphertext", Key: "street"},
		},
		Indexes: []rowseal.Index{{Column: "email_bidx", Of: []string{"email_ciphertext"}, Options: lower}},
	}
}

var (
	phoneContext          = rowseal.ContextRule{Names: map[string]string{"purpose": "phone", "name": "{name}"}}
	streetContext         = rowseal.ContextRule{Names: map[string]string{"model_name": "User", "model_id": "{id}", "v": "2"}}
	earlierStreetContexts = map[int]rowseal.ContextRule{1: {Names: map[string]string{"old": "context"}}}
)

// newUser is a User of columns as a driver gives them.
func newUser(columns map[string]any) (*User, error) {
	u := &User{}
	for column, v := range columns {
		if err := u.load(column, v); err != nil {
			return nil, fmt.Errorf("%s: %w", column, err)
		}
	}
	return u, nil
}

func (u *User) load(column string, v any) (err error) {
	switch column {
	case "id":
		u.ID = v.(int64)
	case "name":
		u.Name = v.(string)
	default:
		err = u.cells()[column].(sql.Scanner).Scan(v)
	}
	return err
}

// cells are the sealed columns.
func (u *User) cells() map[string]driver.Valuer {
	return map[string]driver.Valuer{
		"encrypted_kms_key":        &u.EncryptedKMSKey,
		"encrypted_kms_key_phone":  &u.KMSKeyPhone,
		"encrypted_kms_key_street": &u.KMSKeyStreet,
		"email_ciphertext":         &u.Email,
		"email_bidx":               &u.EmailIndex,
		"date_of_birth_ciphertext": &u.DateOfBirth,
		"balance_ciphertext":       &u.Balance,
		"notes_ciphertext":         &u.Notes,
		"encrypted_ssn":            &u.SSN,
		"encrypted_ssn_iv":         &u.SSNIV,
		"license":                  &u.License,
		"phone_ciphertext":         &u.Phone,
		"street_ciphertext":        &u.Street,
	}
}

// Get is the Get of a Record.
func (u *User) Get(column string) (any, error) {
	switch cell := u.cells()[column].(type) {
	case *rowseal.Sealed[string]:
		return get(cell)
	case *rowseal.Sealed[time.Time]:
		return get(cell)
	case *rowseal.Sealed[int64]:
		return get(cell)
	case *rowseal.Sealed[[]byte]:
		return get(cell)
	}
	return nil, fmt.Errorf("%s is no sealed column", column)
}

func get[T any](s *rowseal.Sealed[T]) (any, error) {
	v, err := s.Ptr()
	if v == nil {
		return nil, err
	}
	return *v, err
}

// Set is the Set of a Record.
func (u *User) Set(column string, v any) error {
	switch cell := u.cells()[column].(type) {
	case *rowseal.Sealed[string]:
		set(cell, v)
	case *rowseal.Sealed[time.Time]:
		set(cell, v)
	case *rowseal.Sealed[int64]:
		set(cell, v)
	case *rowseal.Sealed[[]byte]:
		set(cell, v)
	default:
		return fmt.Errorf("%s is no sealed column", column)
	}
	return nil
}

func set[T any](s *rowseal.Sealed[T], v any) {
	if v == nil {
		s.SetNull()
	} else {
		s.Set(v.(T))
	}
}

// SetColumn is the SetColumn of a Record.
func (u *User) SetColumn(column string, v any) error { return u.load(column, v) }

// Sealed is the Sealed of a Record.
func (u *User) Sealed() (map[string]driver.Value, error) {
	all := map[string]driver.Value{}
	for column, cell := range u.cells() {
		v, err := cell.Value()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", column, err)
		}
		all[column] = v
	}
	return all, nil
}

// Key is the Key of a Record.
func (u *User) Key(name string) (*rowseal.DataKey, error) {
	keys := map[string]*rowseal.DataKey{"": &u.EncryptedKMSKey, "phone": &u.KMSKeyPhone, "street": &u.KMSKeyStreet}
	return keys[name], nil
}
