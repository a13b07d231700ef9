package blindindex_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/rowseal/rowseal/blindindex"
)

// What a normalizer made is seen by a further one, chained behind it.
func FuzzNormalize(f *testing.F) {
	needSeeds(f)
	var made string
	see := map[string]func(string) (string, error){"see": func(s string) (string, error) { made = s; return s, nil }}
	chained := make(map[string]*blindindex.Indexer)
	for _, name := range blindindex.NormalizerNames() {
		chained[name] = newIndexer(f, &blindindex.Options{
			Algorithm: blindindex.HMACSHA256, Normalize: name + "+see", Normalizers: see,
		})
	}
	f.Fuzz(func(t *testing.T, value string) {
		for name, x := range chained {
			index, err := x.Compute(value)
			if utf8.ValidString(value) == errors.Is(err, blindindex.ErrNotUTF8) || (err != nil) != errors.Is(err, blindindex.ErrNotUTF8) {
				t.Fatalf("%s of %q: %v", name, value, err)
			}
			want, isNull := reference(name, value)
			switch {
			case err != nil:
			case (index == "") != isNull:
				t.Errorf("%s of %q has the index %q", name, value, index)
			case !isNull && made != want:
				t.Errorf("%s of %q is %q, want %q", name, value, made, want)
			}
		}
	})
}

// reference says in another way what a normalizer makes of UTF-8: rune by rune.
func reference(name, value string) (want string, isNull bool) {
	runes := []rune(value)
	var out []rune
	switch name {
	case "lower":
		for _, r := range runes {
			if r == 0x130 {
				out = append(out, 'i', 0x307)
			} else {
				out = append(out, unicode.ToLower(r))
			}
		}
	case "digits":
		for _, r := range runes {
			if r >= 0x30 && r <= 0x39 {
				out = append(out, r)
			}
		}
	case "strip":
		out = trimmed(runes)
	case "squish":
		for i, r := range runes {
			if !unicode.Is(unicode.White_Space, r) {
				out = append(out, r)
			} else if i == 0 || !unicode.Is(unicode.White_Space, runes[i-1]) {
				out = append(out, ' ')
			}
		}
		out = trimmed(out)
	case "presence":
		isNull = true
		for _, r := range runes {
			isNull = isNull && unicode.Is(unicode.White_Space, r)
		}
		out = runes
	}
	return string(out), isNull
}

func trimmed(runes []rune) []rune {
	isSpace := func(r rune) bool { return r == 0 || r == ' ' || r >= '\t' && r <= '\r' }
	for len(runes) > 0 && isSpace(runes[0]) {
		runes = runes[1:]
	}
	for len(runes) > 0 && isSpace(runes[len(runes)-1]) {
		runes = runes[:len(runes)-1]
	}
	return runes
}

func FuzzScan(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, content []byte, asText bool) {
		src := driver.Value(append([]byte{}, content...))
		if asText {
			src = string(content)
		}
		var i blindindex.Index
		if err := i.Scan(src); err != nil {
			t.Fatal(err)
		}
		if value, err := i.Value(); err != nil || !reflect.DeepEqual(value, src) {
			t.Errorf("%#v is written back as %#v, %v", src, value, err)
		}
		if i.IsNull() || !i.IsLoaded() || i.Text() != string(content) {
			t.Errorf("%#v: null %v, loaded %v, text %q", src, i.IsNull(), i.IsLoaded(), i.Text())
		}
		if printed := fmt.Sprintf("%v %#v %x", i, i, i); printed != strings.Repeat("[index] ", 2)+"[index]" {
			t.Errorf("it prints %s", printed)
		}
	})
}

// needSeeds fails where the committed corpus is missing: without seeds, go test would pass and try nothing.
func needSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
}
