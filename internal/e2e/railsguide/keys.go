package main

import (
	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Person is a row of users with three data keys.
type Person struct {
	ID              int64
	Name            string                 // not sealed; the context of the key phone has it
	EncryptedKMSKey rowseal.DataKey        // encrypted_kms_key
	PhoneKey        rowseal.DataKey        `rowseal:"name=phone"`  // encrypted_kms_key_phone
	StreetKey       rowseal.DataKey        `rowseal:"name=street"` // encrypted_kms_key_street
	Email           rowseal.Sealed[string] // email_ciphertext
	Phone           rowseal.Sealed[string] `rowseal:"key=phone"`  // phone_ciphertext
	Street          rowseal.Sealed[string] `rowseal:"key=street"` // street_ciphertext
}

func newPeople(key *kms.Key) (*rowseal.Model[Person], error) {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return nil, err
	}
	streetRing, err := rowseal.NewKeyring(rowseal.Version{Number: 2, Key: key}, rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return nil, err
	}
	return rowseal.NewModel[Person]("users", ring, &rowseal.Options{
		Model:   "User",
		Binding: rowseal.BindNone,
		Keys: map[string]rowseal.KeyOptions{
			"phone": {Context: rowseal.ContextRule{Names: map[string]string{"purpose": "phone", "name": "{name}"}}},
			"street": {
				Keyring: streetRing,
				Context: rowseal.ContextRule{Names: map[string]string{"model_name": "User", "model_id": "{id}", "v": "2"}},
				Versions: map[int]rowseal.ContextRule{
					1: {Names: map[string]string{"old": "context"}}, // of keys that begin with v1:
				},
			},
		},
	})
}
