package railsyaml

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

// The seeds are documents of Psych, of Rails, and hostile ones.
func FuzzDecode(f *testing.F) {
	needSeeds(f)
	for _, row := range psych.Documents {
		f.Add([]byte(row.YAML))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		stable[Hash](t, b)
		stable[Array](t, b)
		stable[RubyHash](t, b)
		stable[RubyArray](t, b)
	})
}

// stable checks that what b decodes to encodes, and decodes again to the same value, which encodes to the same bytes.
func stable[T lockbox.Value](t *testing.T, b []byte) {
	codec, err := lockbox.CodecOf[T]("")
	if err != nil {
		t.Fatal(err)
	}
	v, err := codec.Decode(b)
	if err != nil {
		return
	}
	again, err := codec.Append(nil, v)
	switch {
	case errors.Is(err, errSymbol), errors.Is(err, ErrTooLarge):
		return // Psych damages these symbols; a value through aliases is written in full
	case err != nil:
		t.Fatalf("%T: %q decodes to what does not encode: %v", v, b, err)
	}
	v2, err := codec.Decode(again)
	if err != nil {
		t.Fatalf("%T: %q encodes to %q, which does not decode: %v", v, b, again, err)
	}
	if !reflect.DeepEqual(plainly(v), plainly(v2)) {
		t.Fatalf("%T: %q is %#v, and through %q it is %#v", v, b, v, again, v2)
	}
	if last, err := codec.Append(nil, v2); err != nil || string(last) != string(again) {
		t.Fatalf("%T: %q encodes to %q, then to %q (%v)", v, b, again, last, err)
	}
}

// plainly returns a value with NaN and times made so that equal ones are deeply equal.
func plainly(v any) any {
	switch v := v.(type) {
	case float64, time.Time:
		return shape(v)
	case Hash:
		return plainly(map[string]any(v))
	case Array:
		return plainly([]any(v))
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			m[key] = plainly(item)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plainly(item)
		}
		return list
	}
	return shape(v)
}

// needSeeds fails where the committed corpus is missing: without seeds, go test would pass and try little.
func needSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
}
