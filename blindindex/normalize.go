package blindindex

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrNull is what a normalizer returns for a value that shall have no index: the column becomes NULL. Compute takes it for
// that and does not return it.
var ErrNull = errors.New("blindindex: the value has no index")

// ErrNotUTF8 is the answer of the package's normalizers to text that is not UTF-8, where Ruby raises an exception.
var ErrNotUTF8 = errors.New("blindindex: cannot normalize a value that is not UTF-8")

type normalizer = func(string) (string, error)

// normalizers do what Ruby's methods of like name do to a UTF-8 string.
var normalizers = map[string]normalizer{
	"lower":    utf8Only(lower),
	"strip":    utf8Only(strip),
	"squish":   utf8Only(squish),
	"digits":   utf8Only(digits),
	"presence": presence,
}

// newNormalizer returns the functions that chain names, in their order.
func newNormalizer(chain string, own map[string]normalizer) (normalizer, error) {
	known := maps.Clone(normalizers)
	for name, f := range own {
		if name == "" || strings.Contains(name, "+") || normalizers[name] != nil || f == nil {
			return nil, fmt.Errorf("blindindex: a normalizer %.40q: want a function, and a name that is not taken and has no +", name)
		}
		known[name] = discreet(name, f)
	}
	var steps []normalizer
	if chain != "" {
		for name := range strings.SplitSeq(chain, "+") {
			if known[name] == nil {
				names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
				return nil, fmt.Errorf("blindindex: unknown normalizer %.40q: want %s, or several joined by +", name, names)
			}
			steps = append(steps, known[name])
		}
	}
	return func(s string) (_ string, err error) {
		for _, step := range steps {
			if s, err = step(s); err != nil {
				return "", err
			}
		}
		return s, nil
	}, nil
}

func utf8Only(f func(string) string) normalizer {
	return func(s string) (string, error) {
		if !utf8.ValidString(s) {
			return "", ErrNotUTF8
		}
		return f(s), nil
	}
}

// lower is String#downcase: each code point's lower case by itself, so that every Σ becomes σ, the last of a word too.
// Only U+0130 becomes two code points (Unicode's SpecialCasing.txt; Ruby enc/unicode.c, onigenc_unicode_case_map).
func lower(s string) string { return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307")) }

// strip is String#strip: it removes ASCII white space and NUL at both ends.
func strip(s string) string { return strings.Trim(s, "\x00\t\n\v\f\r ") }

// squish is Active Support's String#squish: each run of Unicode's white space becomes one space, then strip.
func squish(s string) string { return strip(strings.Join(strings.Fields(s), " ")) }

// digits is gsub(/\D/, ""), which keeps 0 to 9 and no digits of other scripts.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// presence is Active Support's Object#presence: a value of nothing but Unicode's white space has no index.
func presence(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", ErrNotUTF8
	}
	if strings.TrimSpace(s) == "" {
		return "", ErrNull
	}
	return s, nil
}

// discreet keeps what a caller's normalizer says out of messages, because it may quote the value (strconv's do).
func discreet(name string, f normalizer) normalizer {
	return func(s string) (string, error) {
		s, err := f(s)
		if err != nil {
			return "", &refusal{name, func() error { return err }}
		}
		return s, nil
	}
}

// refusal hides its cause from printers, and not from errors.Is and errors.As.
type refusal struct {
	name  string
	cause func() error
}

func (r *refusal) Error() string {
	return fmt.Sprintf("blindindex: the normalizer %q refuses the value (the wrapped error, which may quote it, tells why)", r.name)
}

func (r *refusal) Unwrap() error { return r.cause() }
