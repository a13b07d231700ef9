package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/rowseal/rowseal/kms"
)

// encryptionContext is nil where no flag gives one, which is not the empty context of --context-json '{}'.
func (f *boxFlags) encryptionContext(fromJSON bool) (kms.Context, error) {
	var ec kms.Context
	if fromJSON {
		var err error
		if ec, err = parseContextJSON(f.contextJSON); err != nil {
			return nil, usagef("--context-json: %w", err)
		}
	}
	return withEntries(ec, f.context)
}

// withEntries adds NAME=VALUE entries to a context, which may be nil.
func withEntries(ec kms.Context, entries []string) (kms.Context, error) {
	for _, entry := range entries {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			return nil, usagef("--context %q: must be NAME=VALUE, as in model_id=123", entry)
		}
		if _, twice := ec[name]; twice {
			return nil, usagef("--context: %q is there twice", name)
		}
		if ec == nil {
			ec = kms.Context{}
		}
		ec[name] = value
	}
	if _, err := ec.Canonical(); err != nil {
		return nil, usageError{err}
	}
	return ec, nil
}

var errNotObject = errors.New(`must be one JSON object, as in {"model_name": "User", "model_id": 123}`)

// parseContextJSON reads by token, because json.Unmarshal lets the last of several equal names win.
func parseContextJSON(text string) (kms.Context, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("must be valid UTF-8")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errNotObject
	}
	ec := kms.Context{}
	for dec.More() {
		if err := parseEntry(dec, ec); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil { // the "}"
		return nil, errNotObject
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errNotObject
	}
	return ec, nil
}

func parseEntry(dec *json.Decoder, ec kms.Context) error {
	key, err := dec.Token()
	if err != nil {
		return errNotObject
	}
	name := key.(string) // Token allows nothing else there
	value, err := dec.Token()
	if err != nil {
		return errNotObject
	}
	if _, twice := ec[name]; twice {
		return fmt.Errorf("%q is there twice", name)
	}
	text, ok := contextText(value)
	if !ok {
		return fmt.Errorf("the value of %q is neither a string nor an integer", name)
	}
	if strings.ContainsRune(name+text, utf8.RuneError) { // what Token makes of half a surrogate pair
		return fmt.Errorf("%q or its value is not valid Unicode", name)
	}
	ec[name] = text
	return nil
}

// contextText writes integers as a row's integer columns are written: in decimal, of any size.
func contextText(value json.Token) (text string, ok bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case json.Number:
		if n, ok := new(big.Int).SetString(value.String(), 10); ok {
			return n.String(), true
		}
	}
	return "", false
}
