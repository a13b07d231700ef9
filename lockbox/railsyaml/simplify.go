package railsyaml

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
)

// simplify makes Go values of Ruby's: of a RubyHash a map, of a RubyArray a slice, of a Symbol its text, of a Date its
// midnight.
func simplify(v any) (any, error) {
	switch v := v.(type) {
	case Symbol:
		return string(v), nil
	case Date:
		return v.Time(), nil
	case RubyArray:
		return simplifyArray(v)
	case RubyHash:
		return simplifyHash(v)
	}
	return v, nil
}

func simplifyArray(a RubyArray) (any, error) {
	list := make([]any, len(a))
	for i, item := range a {
		v, err := simplify(item)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

func simplifyHash(h RubyHash) (any, error) {
	m := make(map[string]any, len(h.Pairs))
	for _, pair := range h.Pairs {
		key, err := keyText(pair.Key)
		if err != nil {
			return nil, err
		}
		if _, ok := m[key]; ok {
			return nil, errors.New("railsyaml: two keys of a hash become the same text: read it as a RubyHash")
		}
		if m[key], err = simplify(pair.Value); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// keyText returns the text that a key becomes in Go, as Ruby's to_s writes it.
func keyText(key any) (string, error) {
	switch key := key.(type) {
	case string:
		return key, nil
	case Symbol:
		return string(key), nil
	case int64:
		return strconv.FormatInt(key, 10), nil
	case *big.Int:
		return key.String(), nil
	case float64:
		return floatText(key), nil
	case bool:
		return strconv.FormatBool(key), nil
	case Date:
		return key.String(), nil
	}
	return "", fmt.Errorf("railsyaml: a key is a %T: read the hash as a RubyHash", key)
}
