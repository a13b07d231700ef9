package railsyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// Into fills what v points to, a struct or a map, as encoding/json fills it from an object with the same values: by the
// field tags `json:"name"`. Times are text to JSON, infinity and NaN are errors.
func (h Hash) Into(v any) error { return into(h, v) }

// Into fills what v points to, a slice or an array, as encoding/json fills it from an array of the same values.
func (a Array) Into(v any) error { return into(a, v) }

func into(from, v any) error {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil { // which may show the value
		return fmt.Errorf("railsyaml: the value does not fit a Go %T", v)
	}
	return nil
}

// HashOf returns the hash that encoding/json makes of a struct or a map. Its times are text, and its floats without a
// fraction are integers, as in JSON.
func HashOf(v any) (Hash, error) { return of[Hash](v) }

// ArrayOf returns the array that encoding/json makes of a slice or an array, like [HashOf].
func ArrayOf(v any) (Array, error) { return of[Array](v) }

func of[T Hash | Array](v any) (T, error) {
	var to T
	b, err := json.Marshal(v)
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(b))
		decoder.UseNumber()
		err = decoder.Decode(&to)
	}
	if err != nil {
		return nil, fmt.Errorf("railsyaml: a Go %T is no %T to encoding/json", v, to)
	}
	switch to := any(to).(type) {
	case Hash:
		numbers(map[string]any(to))
	case Array:
		numbers([]any(to))
	}
	return to, nil
}

// numbers makes numbers of JSON's numbers, in place and all the way down.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			v[key] = numbers(item)
		}
	case []any:
		for i, item := range v {
			v[i] = numbers(item)
		}
	case json.Number:
		if text := v.String(); strings.ContainsAny(text, ".eE") {
			return parseFloat(text)
		}
		n, _ := new(big.Int).SetString(v.String(), 10)
		return fit(n)
	}
	return v
}
