package blindindex_test

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/blindindex"
)

// normalized wants that x, which normalizes, gives value the index that want has without.
func normalized(t *testing.T, x *blindindex.Indexer, value, want string) {
	t.Helper()
	got, err := x.Compute(value)
	if err != nil || got != must(newHMAC(t, "").Compute(want)) {
		t.Errorf("%q is not normalized to %q: %v", value, want, err)
	}
}

// The sources are docs.ruby-lang.org (String#downcase, String#strip and "Case Mapping"), ruby/spec core/string, and Active
// Support's core_ext/string/filters.rb and core_ext/object/blank.rb.
func TestNormalizersDoWhatRubyDoes(t *testing.T) {
	for _, c := range []struct{ chain, value, want string }{
		{"", " A\xff ", " A\xff "},

		{"lower", "", ""},
		{"lower", "hELLO", "hello"},
		{"lower", "ÄÖÜẞ", "äöüß"},
		{"lower", "\u212AING", "king"},
		{"lower", "İS", "i\u0307s"},
		{"lower", "ISI ıŞ", "isi ış"},
		{"lower", "ΣΑΣ", "σασ"},
		{"lower", "ΌΣΟΣ ς", "όσοσ ς"},
		{"lower", "ǅ ᾈ Ა Ꭰ \U00010400", "ǆ ᾀ ა ꭰ \U00010428"},
		{"lower", "ﬀ ß ſ ¡", "ﬀ ß ſ ¡"},
		{"lower", " A\u0301 ", " a\u0301 "},

		{"strip", "   hello world   ", "hello world"},
		{"strip", "\tgoodbye\r\v\f\n", "goodbye"},
		{"strip", "\x00 \x00hello\x00 \x00", "hello"},
		{"strip", "\u00a0a\u3000", "\u00a0a\u3000"},
		{"strip", "\u0085a\u0085", "\u0085a\u0085"},

		{"squish", " foo   bar    \n   \t   boo", "foo bar boo"},
		{"squish", "\u00a0a\u2003\u0085b\u3000", "a b"},
		{"squish", "a\u200bb", "a\u200bb"},
		{"squish", "\x00 a \x00 b \x00", "a \x00 b"},

		{"digits", "+49 (0)30-123", "49030123"},
		{"digits", "٣ ３ ² 4", "4"},

		{"presence", " a ", " a "},

		{"strip+lower", " A@B.C\n", "a@b.c"},
		{"lower+strip", " A@B.C\n", "a@b.c"},
		{"squish+presence+lower", " A \t B ", "a b"},
		{"digits+presence", "1-2", "12"},
	} {
		normalized(t, newHMAC(t, c.chain), c.value, c.want)
	}
}

func TestWithoutPresenceAnEmptyValueHasAnIndexAndWithItNone(t *testing.T) {
	if must(newHMAC(t, "lower+strip").Compute("")) == "" {
		t.Error("\"\" has no index")
	}
	for _, c := range [][2]string{
		{"presence", ""}, {"presence", " \t\n\v\f\r\u0085\u00a0\u2003\u3000"}, {"strip+presence+lower", " "}, {"digits+presence", "x"},
	} {
		x := newHMAC(t, c[0])
		if index, err := x.Compute(c[1]); index != "" || err != nil {
			t.Errorf("%s of %q: %q, %v", c[0], c[1], index, err)
		}
		all, err := x.ComputeAll(t.Context(), []string{c[1], "1", c[1]})
		if err != nil || all[0] != "" || all[1] != must(x.Compute("1")) || all[2] != "" {
			t.Errorf("%s of %q among others: %q, %v", c[0], c[1], all, err)
		}
	}
}

func TestNormalizersRefuseWhatIsNotUTF8(t *testing.T) {
	names := blindindex.NormalizerNames()
	for _, name := range names {
		for _, value := range []string{"\xff", "A\xc3", "\xed\xa0\x80", "1\xdf  "} {
			if index, err := newHMAC(t, name).Compute(value); !errors.Is(err, blindindex.ErrNotUTF8) || index != "" {
				t.Errorf("%s of %q: %q, %v", name, value, index, err)
			}
		}
	}
	if len(names) != 5 {
		t.Errorf("%d names, want 5", len(names))
	}
}

func TestNormalizersOfYourOwn(t *testing.T) {
	errShort := errors.New("too short")
	own := map[string]func(string) (string, error){
		"last4": func(s string) (string, error) {
			if len(s) < 4 {
				return "", fmt.Errorf("%w: %s", errShort, s)
			}
			return s[len(s)-4:], nil
		},
		"number": func(s string) (string, error) {
			n, err := strconv.Atoi(s)
			return strconv.Itoa(n), err
		},
		"unlisted": func(s string) (string, error) {
			if s == "ex-directory" {
				return "", fmt.Errorf("no index for it: %w", blindindex.ErrNull)
			}
			return s, nil
		},
	}
	use := func(chain string) *blindindex.Indexer {
		t.Helper()
		return newIndexer(t, &blindindex.Options{Algorithm: blindindex.HMACSHA256, Normalize: chain, Normalizers: own})
	}
	normalized(t, use("digits+last4"), "555-1234", "1234")
	normalized(t, use("number"), "007", "7")
	normalized(t, use("lower"), "A", "a")
	if index, err := use("unlisted+last4").Compute("ex-directory"); index != "" || err != nil {
		t.Errorf("ErrNull: %q, %v", index, err)
	}

	for chain, value := range map[string]string{"digits+last4": "1-2-3", "number": "123x"} {
		_, one := use(chain).Compute(value)
		_, all := use(chain).ComputeAll(t.Context(), []string{"5551234", value})
		for _, err := range []error{one, all} {
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "123") {
				t.Errorf("%s: %v shows the value", chain, err)
			}
		}
		if chain == "number" && !errors.Is(one, strconv.ErrSyntax) || chain != "number" && !errors.Is(all, errShort) {
			t.Errorf("%s: the cause is not found in %v", chain, one)
		}
		if !strings.Contains(all.Error(), "value 1 of 2") {
			t.Errorf("%s: %v does not tell the position", chain, all)
		}
	}
}

func TestUnknownNormalizersAreRefusedWithTheNamesThatThereAre(t *testing.T) {
	unchanged := func(s string) (string, error) { return s, nil }
	own := map[string]func(string) (string, error){"last4": unchanged}
	const known = "want digits, last4, lower, presence, squish, strip, or several"
	for _, chain := range []string{"upper", "Lower", "lower+", "+lower", "lower++strip", "lower, strip", "lower +strip", "+"} {
		x, err := blindindex.New(testKey, &blindindex.Options{Algorithm: blindindex.HMACSHA256, Normalize: chain, Normalizers: own})
		wantRefused(t, x, err, "unknown normalizer", known)
	}
	for name, f := range map[string]func(string) (string, error){"lower": unchanged, "a+b": unchanged, "": unchanged, "nil": nil} {
		own := maps.Clone(own)
		own[name] = f
		x, err := blindindex.New(testKey, &blindindex.Options{Algorithm: blindindex.HMACSHA256, Normalizers: own})
		wantRefused(t, x, err, fmt.Sprintf("a normalizer %q: want a function, and a name that is not taken", name))
	}
}
