package kmstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

func (s *suite) everyContextRoundTrips(t *testing.T) {
	contexts := []kms.Context{
		{},
		user("1"),
		{"model_name": "Admin::User", "model_id": "9007199254740993"},
		{"quote\"": "back\\slash", "tab": "a\tb\n"},
		{"Name": "Tëst <b>&' 𝔘 日本"},
		{"u2028": "\u2028\u2029", "ctl": "\x01\x1f\x7f"},
		{"empty": ""},
		{"long": valueMark + strings.Repeat("x", 1024)},
	}
	if !s.NeedsContext {
		contexts = append(contexts, nil)
	}
	var items []kms.Item
	for _, c := range contexts {
		items = append(items, kms.Item{Data: s.dataKey(), Context: c})
	}
	s.roundTrip(t, s.key(t), items)
}

func (s *suite) nilAndEmptyContext(t *testing.T) {
	service := s.service(t)
	want := s.dataKey()
	if s.NeedsContext {
		r := one(service.Encrypt(t.Context(), []kms.Item{{Data: want}}))
		expectError(t, "encrypting without a context", r, kms.ErrInvalidRequest)
		return
	}
	none, empty := s.seal(t, service, want, nil), s.seal(t, service, want, kms.Context{})
	underEmpty, underNone := open(t.Context(), service, none, kms.Context{}), open(t.Context(), service, empty, nil)
	switch {
	case s.ContextIsMap:
		expectPlaintext(t, 0, underEmpty, want)
		expectPlaintext(t, 0, underNone, want)
	case s.enforcesContext(t):
		expectError(t, "sealed under none, opened under an empty context", underEmpty, kms.ErrDecryptionFailed)
		expectError(t, "sealed under an empty context, opened under none", underNone, kms.ErrDecryptionFailed)
	}
}

// contextOrder relies on Go's random order of maps: six names have 720 orders, and each round makes new maps.
func (s *suite) contextOrder(t *testing.T) {
	service := s.service(t)
	names := []string{"a", "b", "c", "model_id", "model_name", "Z"}
	want := s.dataKey()
	context := func(reverse bool) kms.Context {
		c := make(kms.Context)
		for i := range names {
			if reverse {
				i = len(names) - 1 - i
			}
			c[names[i]] = valueMark + names[i]
		}
		return c
	}
	for i := range 8 {
		ciphertext := s.seal(t, service, want, context(false))
		expectPlaintext(t, i, open(t.Context(), service, ciphertext, context(true)), want)
	}
}

func (s *suite) wrongContext(t *testing.T) {
	service := s.service(t)
	right := user("1")
	ciphertext := s.seal(t, service, s.dataKey(), right)
	id, name := right["model_id"], right["model_name"]
	for what, wrong := range map[string]kms.Context{
		"another value":         {"model_name": name, "model_id": valueMark + "2"},
		"another name":          {"model_name": name, "model_idx": id},
		"a name's case":         {"model_name": name, "Model_id": id},
		"a value's case":        {"model_name": strings.ToUpper(name), "model_id": id},
		"a space more":          {"model_name": name, "model_id": id + " "},
		"an entry more":         {"model_name": name, "model_id": id, "key_name": valueMark},
		"an entry less":         {"model_name": name},
		"values swapped":        {"model_name": id, "model_id": name},
		"one moved byte":        {"model_name": name + "\",\"x", "model_id": id},
		"an empty context":      {},
		"the names of a prefix": {"model": name, "_name": "", "model_id": id},
	} {
		expectError(t, "opened under "+what, open(t.Context(), service, ciphertext, wrong), kms.ErrDecryptionFailed)
	}
	none := []error{kms.ErrDecryptionFailed}
	if s.NeedsContext {
		none = append(none, kms.ErrInvalidRequest)
	}
	expectError(t, "opened under no context", open(t.Context(), service, ciphertext, nil), none...)
}

func (s *suite) swappedCiphertexts(t *testing.T) {
	key := s.key(t)
	items := []kms.Item{
		{Data: s.dataKey(), Context: user("1")},
		{Data: s.dataKey(), Context: user("2")},
		{Data: s.dataKey(), Context: user("3")},
	}
	want := items[2].Data
	sealed := encryptAll(t, key, items)
	sealed[0].Data, sealed[1].Data = sealed[1].Data, sealed[0].Data
	results := key.DecryptBatch(t.Context(), sealed)
	expectError(t, "row 1 with row 2's ciphertext", results[0], kms.ErrDecryptionFailed)
	expectError(t, "row 2 with row 1's ciphertext", results[1], kms.ErrDecryptionFailed)
	expectPlaintext(t, 2, results[2], want)
}

func (s *suite) contextEncoding(t *testing.T) {
	key := s.key(t)
	broken := func(kms.Context) ([]byte, error) {
		return nil, fmt.Errorf("broken encoding: %w", kms.ErrInvalidRequest)
	}
	item := kms.Item{Data: s.dataKey(), Context: kms.Context{"name": valueMark + "<b>"}, Encoding: kms.UnescapedJSON}
	sealed := s.roundTrip(t, key, []kms.Item{item})[0]
	if s.ContextIsMap {
		return
	}
	canonical, failing := sealed, sealed
	canonical.Encoding, failing.Encoding = nil, broken
	results := key.DecryptBatch(t.Context(), []kms.Item{canonical, sealed, failing})
	expectError(t, "opened under another encoding", results[0], kms.ErrDecryptionFailed)
	expectPlaintext(t, 1, results[1], item.Data)
	expectError(t, "opened under an encoding that fails", results[2], kms.ErrInvalidRequest)
}
