package railsyaml

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestAHashIsOfGoTypes(t *testing.T) {
	cet := time.FixedZone("", 3600)
	for _, c := range []struct {
		yaml string
		want Hash
	}{
		{"", Hash{}},
		{"---\n", Hash{}},
		{"--- ~\n", Hash{}},
		{"--- {}\n", Hash{}},
		{"# nothing\n", Hash{}},
		{"\ufeff---\na: 1\n", Hash{"a": int64(1)}},
		{"--- {a: [], b: {}}\n...\n", Hash{"a": []any{}, "b": map[string]any{}}},
		{":a: :b\n:\"c d\": :'e f'\n", Hash{"a": "b", "c d": "e f"}},
		{"! ':a: b': ! ':c: d'\n':e': \":f\"\n", Hash{"a: b": "c: d", ":e": ":f"}},
		{"a: &2 ! ':a: b'\nb: *2\n", Hash{"a": "a: b", "b": "a: b"}},
		{"1: a\n0x10: b\n1.5: c\ntrue: d\n2026-01-02: e\n", Hash{"1": "a", "16": "b", "1.5": "c", "true": "d", "2026-01-02": "e"}},
		{"100000000000000000000: x\n", Hash{"100000000000000000000": "x"}},
		{"a: 100000000000000000000\n", Hash{"a": new(big.Int).Exp(big.NewInt(10), big.NewInt(20), nil)}},
		{"d: 2026-01-02\n", Hash{"d": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}},
		{"t: 2026-01-02 03:04:05.000000006 +01:00\n", Hash{"t": time.Date(2026, 1, 2, 3, 4, 5, 6, cet)}},
		{"a: &1\n  b: 1\nc: *1\n", Hash{"a": map[string]any{"b": int64(1)}, "c": map[string]any{"b": int64(1)}}},
		{"a: !binary |-\n  /wA=\nb: !!binary ''\n", Hash{"a": []byte{0xff, 0}, "b": []byte{}}},
		{"a: !!str 1\nb: !str yes\nc: !ruby/string no\nd: !!float 1\ne: !!int '1'\nf: ! '1'\n",
			Hash{"a": "1", "b": "yes", "c": "no", "d": 1.0, "e": int64(1), "f": int64(1)}},
		{"a: !ruby/symbol b\n!ruby/sym c: !ruby/symbol\n", Hash{"a": "b", "c": ""}},
		{"a: '1'\nb: \"yes\"\nc: |-\n  1\nd: >-\n  :x\n", Hash{"a": "1", "b": "yes", "c": "1", "d": ":x"}},
		{"--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\na: 1\n", Hash{"a": int64(1)}},
		{"--- !map:HashWithIndifferentAccess\na: !!map {}\nb: !!seq []\n", Hash{"a": map[string]any{}, "b": []any{}}},
		{"--- !ruby/hash-with-ivars:ActiveSupport::HashWithIndifferentAccess\nelements:\n  a: 1\nivars:\n  :@x: 2\n", Hash{"a": int64(1)}},
		{"!!str '<<': {a: 1}\n", Hash{"<<": map[string]any{"a": int64(1)}}},
		{"<<: 1\n", Hash{"<<": int64(1)}},
	} {
		var got Hash
		err := got.DecodeSealed([]byte(c.yaml))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q is %#v (%v), want %#v", c.yaml, got, err, c.want)
		}
	}
}

func TestAnArrayIsOfGoTypes(t *testing.T) {
	for yaml, want := range map[string]Array{
		"": {}, "--- []\n": {}, "---\n": {}, "---\n- 1\n-\n- - :a\n": {int64(1), nil, []any{"a"}},
	} {
		var got Array
		if err := got.DecodeSealed([]byte(yaml)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v (%v), want %#v", yaml, got, err, want)
		}
	}
}

// secret is in every document that is refused, and in no error.
const secret = "s3cret"

func TestARefusalNamesTheLineAndNeverTheValue(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"a: s3cret\nb: [s3cret\n", "not YAML"},
		{"a: *s3cret\n", "not YAML"},
		{"a: s3cret\n b: 1\n", "not YAML"},
		{"%s3cret\n--- a\n", "not YAML"},
		{"a: \"\\s3cret\"\n", "not YAML"},
		{"a: s3cret\xff\n", "not UTF-8"},
		{"- s3cret\n", "not a hash"},
		{"--- s3cret\n", "not a hash"},
		{"a: 1\n--- s3cret\n", "line 2: a second document"},
		{"s3cret: 1\n:s3cret: 2\n", "the same text"},
		{"s3cret: 1\n's3cret': 2\n", "line 2: a key that the hash has already"},
		{"? [s3cret]\n: 1\n? [s3cret]\n: 2\n", "line 3: a key that the hash has already"},
		{"2026-01-01 00:00:00 Z: 1\n2026-01-01 01:00:00 +01:00: s3cret\n", "line 2: a key that the hash has already"},
		{"a: s3cret\n<<: {b: 1}\n", "line 2: a merge key"},
		{"a: &a {b: s3cret}\nc:\n  <<: *a\n", "line 3: a merge key"},
		{"a: &a {b: s3cret}\nc:\n  <<: [*a]\n", "line 3: a merge key"},
		{"~: s3cret\n", "read the hash as a RubyHash"},
		{"2026-01-01 00:00:00: s3cret\n", "read the hash as a RubyHash"},
		{"[s3cret]: 1\n", "read the hash as a RubyHash"},
		{"a: !binary s3cret%\n", "line 1: a !binary that is not base64"},
		{"a: !float s3cret\n", "line 1: a !float"},
		{"a: !s3cret x\n", "line 1: an unknown tag"},
		{"a: !ruby/object:s3cret {}\n", "line 1: an unknown tag"},
		{"a: !<s3cret> x\n", "line 1: an unknown tag"},
		{"--- !ruby/object:Admin::User\npassword: s3cret\n", "line 1: !ruby/object:Admin::User"},
		{"a: !ruby/object:BigDecimal 18:0.1e1 # s3cret\n", "line 1: !ruby/object:BigDecimal"},
		{"a: !ruby/struct:Point\n  x: s3cret\n", "line 1: !ruby/struct:Point"},
		{"a: !ruby/regexp /s3cret/\n", "line 1: !ruby/regexp"},
		{"a: !ruby/class User # s3cret\n", "line 1: !ruby/class"},
		{"a: !ruby/array:List\n- s3cret\n", "line 1: !ruby/array:List"},
		{"a: !ruby/hash:ActionController::Parameters\n  b: s3cret\n", "line 1: !ruby/hash:ActionController::Parameters"},
		{"a: !ruby/hash-with-ivars:ActionController::Parameters\n  b: s3cret\n", "!ruby/hash-with-ivars:ActionController::Parameters"},
		{"a: !ruby/hash-with-ivars:ActiveSupport::HashWithIndifferentAccess\n  b: s3cret\n", "without elements"},
		{"a: !ruby/string:Name s3cret\n", "line 1: !ruby/string:Name"},
		{"a: !!set {s3cret: }\n", "line 1: an unknown tag"},
		{"a: !!omap [s3cret: 1]\n", "line 1: an unknown tag"},
		{"s3cret: " + strings.Repeat("7", maxDigits+1) + "\n", "line 1: too large"},
		{"s3cret: 0x" + strings.Repeat("7", maxDigits+1) + "\n", "line 1: too large"},
		{"s3cret: " + strings.Repeat("7", maxDigits) + ":30\n", "line 1: too large"},
	} {
		h := Hash{"before": 1}
		err := h.DecodeSealed([]byte(c.yaml))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "railsyaml: ") {
			t.Errorf("%.80q: error %v, want one with %q", c.yaml, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%.80q: the error shows the value: %v", c.yaml, err)
		}
		if !reflect.DeepEqual(h, Hash{"before": 1}) {
			t.Errorf("%.80q: the hash was changed", c.yaml)
		}
		if strings.Contains(c.want, "ruby/") && !errors.Is(err, ErrTag) {
			t.Errorf("%.80q: error %v, want ErrTag", c.yaml, err)
		}
		if strings.Contains(c.want, "too large") && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.80q: error %v, want ErrTooLarge", c.yaml, err)
		}
	}
}

// laughs is a document whose aliases stand for 10 to the power of n values.
func laughs(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return b.String()
}

func TestHostileTextIsTooLarge(t *testing.T) {
	for name, yaml := range map[string]string{
		"a byte too many":         "a: " + strings.Repeat("x", MaxSize-2),
		"arrays in arrays":        strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2),
		"hashes in hashes":        strings.Repeat("{a: ", MaxDepth+2) + strings.Repeat("}", MaxDepth+2),
		"an alias in itself":      "a: &a\n  b: *a\n",
		"an array in itself":      "a: &a [*a]\n",
		"a key in itself":         "&a [*a]: 1\n",
		"a billion laughs":        laughs(9),
		"many aliases":            "[&a x" + strings.Repeat(",*a", maxAliased+1) + "]",
		"laughs in a key":         laughs(9) + "? *a8\n: 1\n",
		"keys in keys":            strings.Repeat("? ", MaxDepth/2) + "\"" + strings.Repeat("x", MaxSize/100) + "\"\n",
		"keys in keys, in braces": strings.Repeat("{? ", MaxDepth/3) + strings.Repeat("x", MaxSize/100) + strings.Repeat("}", MaxDepth/3),
	} {
		for _, v := range []interface{ DecodeSealed([]byte) error }{new(Hash), new(RubyHash), new(Array), new(RubyArray)} {
			if err := v.DecodeSealed([]byte(yaml)); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%s, as %T: error %v, want ErrTooLarge", name, v, err)
			}
		}
	}
}

func TestTheLimitsThemselvesAreRead(t *testing.T) {
	for name, yaml := range map[string]string{
		"size":    "[" + strings.Repeat("x", MaxSize-2) + "]",
		"depth":   strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"aliases": "[&a x" + strings.Repeat(",*a", maxAliased) + "]",
	} {
		var a Array
		if err := a.DecodeSealed([]byte(yaml)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Memory grows with the text, whatever the text is: at most perByte bytes are allocated for one.
func TestMemoryIsBoundedByTheText(t *testing.T) {
	const size, perByte = 1 << 14, 1000
	for _, c := range []struct{ before, part, after string }{
		{"", "[", ""}, {"", "{", ""}, {"", "- ", ""}, {"", "? ", ""}, {"", ": ", ""}, {"", "-\n", ""}, {"", "- a\n", ""},
		{"", "-\n#x\n", ""}, {"", "\n", ""}, {"", "\t", ""}, {"", "- &a a\n", ""}, {"- &a a\n", "- *a\n", ""}, {"", "- ! ':x'\n", ""},
		{"", "%TAG ! !\n", ""}, {"", "---\n", ""}, {"", "- a\r", ""}, {"", "? a\n", ""}, {"", "- |\n  a\n", ""}, {"- ", "1", ""},
		{"- '", "'' ", "'"}, {"- \"", "\\n", "\""}, {"[", "[],", "]"}, {"[", "a,", "]"}, {"[", "! ':x',", "]"}, {"[", "&a ! ':x',", "]"},
		{"[&a ! ':x'", ",*a", "]"}, {"[&" + strings.Repeat("a", size/2) + " ! ':x'", ",b", "]"}, {"[", "{a: ':x'},", "]"},
	} {
		text := []byte(c.before + strings.Repeat(c.part, size/len(c.part)) + c.after)
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		_, _ = decodeExact(text)
		runtime.ReadMemStats(&m1)
		if got := (m1.TotalAlloc - m0.TotalAlloc) / uint64(len(text)); got > perByte {
			t.Errorf("%.20q and then %q: %d bytes allocated for a byte of text, want at most %d", c.before, c.part, got, perByte)
		}
	}
}
