package activestorage

import (
	"encoding/json"
	"errors"
	"strings"
)

// Metadata is a blob's metadata as the column has it: a JSON object, or "" for none. It is not authenticated.
type Metadata string

// sealedMetadata is what Rails stores for a file that Lockbox has encrypted, and for one written here.
const sealedMetadata Metadata = `{"analyzed":true,"encrypted":true,"identified":true}`

// Map returns the object's entries; a column that is empty or null has none.
func (m Metadata) Map() (map[string]any, error) { return decode[any](m) }

// Encrypted reports whether Lockbox has marked the file as encrypted. Versions before 0.6.0 did not.
func (m Metadata) Encrypted() (bool, error) {
	entries, err := m.Map()
	if err != nil {
		return false, err
	}
	mark, ok := entries["encrypted"]
	return ok && mark != nil && mark != false, nil // what is true in Ruby
}

// sealed returns the metadata of the same file once it is encrypted: unchanged if it was. Of what the metadata of a
// plain file had, only the app's own stays (Rails' custom_metadata): the rest tells what the file looks like, and
// Lockbox drops it too.
func (m Metadata) sealed() (Metadata, error) {
	marked, err := m.Encrypted()
	if marked || err != nil {
		return m, err
	}
	entries, err := decode[json.RawMessage](m)
	if err != nil {
		return m, err
	}
	custom, ok := entries["custom"]
	if !ok {
		return sealedMetadata, nil
	}
	return `{"custom":` + Metadata(custom) + "," + sealedMetadata[1:], nil
}

func decode[T any](m Metadata) (map[string]T, error) {
	if strings.TrimSpace(string(m)) == "" {
		return nil, nil
	}
	var entries map[string]T
	if err := json.Unmarshal([]byte(m), &entries); err != nil {
		return nil, errors.New("the blob's metadata is no JSON object") // and may be personal, so it is not quoted
	}
	return entries, nil
}
