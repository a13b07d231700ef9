package kms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/rowseal/rowseal/internal/mime64"
)

// Context is the encryption context: names and values that tell the KMS which record a ciphertext belongs to. It is
// authenticated with the ciphertext and not stored in it, so that the same context must be given to open it. A nil
// Context (none) and an empty one are different, except at AWS.
//
// AWS logs it in clear in CloudTrail: put no personal data into it.
type Context map[string]string

// Canonical returns the bytes that Vault, OpenBao, Google Cloud KMS, local keys and the test key authenticate: a JSON
// object with sorted keys, no spaces, and <, >, &, U+2028 and U+2029 escaped as \u, byte for byte what the Ruby gem
// kms_encrypted makes under Rails from string (or symbol) keys. A nil Context gives nil, an empty one "{}". Text that
// is not valid UTF-8 is refused: JSON cannot hold it, and a silent replacement would let two records share a context.
func (c Context) Canonical() ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string(c))
}

// validate names the entry that is not valid UTF-8 by its key, and never prints a value.
func (c Context) validate() error {
	for name, value := range c {
		if !utf8.ValidString(name) {
			return fmt.Errorf("context name %q is not valid UTF-8: %w", name, ErrInvalidRequest)
		}
		if !utf8.ValidString(value) {
			return fmt.Errorf("context value of %q is not valid UTF-8: %w", name, ErrInvalidRequest)
		}
	}
	return nil
}

// ContextEncoding turns a context into the bytes that a service authenticates. A nil ContextEncoding is
// Context.Canonical. Others are needed only for what old or unusual programs wrote; services that take a map (AWS)
// ignore it. It is never called with a nil Context.
type ContextEncoding func(Context) ([]byte, error)

// UnescapedJSON is the encoding of kms_encrypted in a Ruby program without Rails: as Context.Canonical, but <, >, & and
// U+2028/9 stand as they are.
func UnescapedJSON(c Context) ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(c)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(unescapedString(name))
		b.WriteByte(':')
		b.Write(unescapedString(c[name]))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// unescapedString is a JSON string with only what JSON itself demands escaped. encoding/json escapes U+2028/9 even with
// SetEscapeHTML(false), so those two are put back.
func unescapedString(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("kms: a string must encode as JSON: " + err.Error())
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return restoreLineSeparators(out)
}

// restoreLineSeparators replaces the escapes \u2028 and \u2029, and leaves an escaped backslash before "u2028" alone.
func restoreLineSeparators(quoted []byte) []byte {
	var out []byte
	for i := 0; i < len(quoted); i++ {
		switch {
		case bytes.HasPrefix(quoted[i:], []byte(`\u2028`)):
			out = append(out, "\u2028"...)
			i += 5
		case bytes.HasPrefix(quoted[i:], []byte(`\u2029`)):
			out = append(out, "\u2029"...)
			i += 5
		case quoted[i] == '\\':
			out = append(out, quoted[i], quoted[i+1])
			i++
		default:
			out = append(out, quoted[i])
		}
	}
	return out
}

// JSONField is one entry of OrderedJSON.
type JSONField struct {
	Name string
	// Integer writes the value as a JSON number, as Ruby's to_json did with an integer id. The value must be a decimal
	// integer.
	Integer bool
}

// OrderedJSON is the encoding of versions of kms_encrypted before 1.0, which sent the context's to_json: the entries in
// the order in which the program listed them, integers as numbers, escaped as Rails does. The context must have exactly
// these names.
func OrderedJSON(fields ...JSONField) ContextEncoding {
	return func(c Context) ([]byte, error) {
		if err := c.validate(); err != nil {
			return nil, err
		}
		if len(c) != len(fields) {
			return nil, fmt.Errorf("context has %d entries and its encoding %d: %w", len(c), len(fields), ErrInvalidRequest)
		}
		var b bytes.Buffer
		b.WriteByte('{')
		for i, f := range fields {
			if slices.ContainsFunc(fields[:i], func(other JSONField) bool { return other.Name == f.Name }) {
				return nil, fmt.Errorf("context encoding lists %q twice: %w", f.Name, ErrInvalidRequest)
			}
			if i > 0 {
				b.WriteByte(',')
			}
			if err := f.append(&b, c); err != nil {
				return nil, err
			}
		}
		b.WriteByte('}')
		return b.Bytes(), nil
	}
}

func (f JSONField) append(b *bytes.Buffer, c Context) error {
	value, ok := c[f.Name]
	if !ok {
		return fmt.Errorf("context has no %q, which its encoding lists: %w", f.Name, ErrInvalidRequest)
	}
	name, err := json.Marshal(f.Name)
	if err != nil {
		return err
	}
	b.Write(name)
	b.WriteByte(':')
	if f.Integer {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != value {
			return fmt.Errorf("context value of %q is not a decimal integer, as its encoding says: %w", f.Name, ErrInvalidRequest)
		}
		b.WriteString(value)
		return nil
	}
	quoted, err := json.Marshal(value)
	if err != nil {
		return err
	}
	b.Write(quoted)
	return nil
}

// ContextBytes returns the bytes of the item's context that a service authenticates; nil for no context.
func (it Item) ContextBytes() ([]byte, error) {
	return encodeContext(it.Context, it.Encoding)
}

// ContextMIME returns the context as Vault, OpenBao and the test key take it: ContextBytes in base64 with lines of 60
// columns and a trailing newline, because the gem sends it so and Vault's audit log hashes the text as sent. "" for no
// context.
func (it Item) ContextMIME() (string, error) {
	b, err := it.ContextBytes()
	return mime64.Encode(b), err
}

func encodeContext(c Context, encode ContextEncoding) ([]byte, error) {
	if c == nil {
		return nil, nil
	}
	if encode == nil {
		return c.Canonical()
	}
	b, err := encode(c)
	if err == nil && len(b) == 0 {
		return nil, errors.New("a context encoding returned no bytes, which would mean: no context")
	}
	return b, err
}
