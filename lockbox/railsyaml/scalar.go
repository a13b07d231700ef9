package railsyaml

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// scalar is text to be written, as Psych hands it to libyaml.
type scalar struct {
	text  string
	tag   string // explicit
	style style  // that Psych wishes; libyaml takes another one where this one cannot hold the text

	// unquoted is whether Psych reads the text as resolve does, so that quotes need the tag ! to be without effect.
	unquoted bool
}

type style int

const (
	plainStyle style = iota
	singleQuoted
	doubleQuoted
	literal
)

// scalarOf returns what Psych writes for a value (psych lib/psych/visitors/yaml_tree.rb).
func scalarOf(v any) (scalar, error) {
	switch v := v.(type) {
	case nil:
		return unquoted("")
	case bool:
		return unquoted(strconv.FormatBool(v))
	case int64:
		return unquoted(strconv.FormatInt(v, 10))
	case *big.Int:
		return bigScalar(v)
	case float64:
		return unquoted(floatText(v))
	case string:
		return stringScalar(v)
	case Symbol:
		return symbolScalar(v)
	case []byte:
		return scalar{text: base64.StdEncoding.EncodeToString(v), tag: "!binary", style: literal}, nil
	case Date:
		if !v.valid() {
			return scalar{}, errors.New("railsyaml: a Date that no calendar has cannot be written")
		}
		return unquoted(v.String())
	case time.Time:
		return timeScalar(v)
	}
	return scalar{}, fmt.Errorf("railsyaml: a Go %T cannot be written", v)
}

// bigScalar refuses what would not be read again. A bit is less than a third of a digit.
func bigScalar(n *big.Int) (scalar, error) {
	if n.BitLen() > 3*maxDigits {
		return scalar{}, errWriteDigits
	}
	return unquoted(n.String())
}

var errWriteDigits = fmt.Errorf("railsyaml: %w to write: an integer of more than %d bits", ErrTooLarge, 3*maxDigits)

func unquoted(text string) (scalar, error) { return scalar{text: text, unquoted: true}, nil }

func stringScalar(s string) (scalar, error) {
	switch {
	case !utf8.ValidString(s):
		return scalar{}, errNotUTF8
	case hasInnerBreak(s):
		return scalar{text: s, style: literal}, nil
	case s == "<<":
		return scalar{text: s, style: singleQuoted, tag: "!!str"}, nil
	case s == "y", s == "Y", s == "n", s == "N", beginsOddly(s):
		return scalar{text: s, style: doubleQuoted}, nil
	case s == "", resolve(s) != any(s), looksOctal(s):
		return scalar{text: s, style: singleQuoted}, nil
	}
	return scalar{text: s}, nil
}

// hasInnerBreak is whether s has a line break that does not end it; one more at the very end does not count.
func hasInnerBreak(s string) bool {
	i := strings.IndexByte(s, '\n')
	return i >= 0 && s[i+1:] != "" && s[i+1:] != "\n"
}

// beginsOddly is whether a line of s begins with what no word has, and has no double quote after that.
func beginsOddly(s string) bool {
	for line := 0; line < len(s); {
		r, size := utf8.DecodeRuneInString(s[line:])
		rest, _, _ := strings.Cut(s[line+size:], "\n")
		if !isWord(r) && !strings.Contains(rest, `"`) {
			return true
		}
		i := strings.IndexByte(s[line:], '\n')
		if i < 0 {
			return false
		}
		line += i + 1
	}
	return false
}

// isWord is Ruby's [[:word:]].
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic)
}

// looksOctal is whether other readers of YAML could take s for a number: 08, 0129.
func looksOctal(s string) bool {
	if !strings.HasPrefix(s, "0") {
		return false
	}
	rest := strings.TrimLeft(s, "01234567")
	return rest != "" && (rest[0] == '8' || rest[0] == '9')
}

var errSymbol = errors.New("railsyaml: a symbol that Ruby would read as another value cannot be written")

func symbolScalar(sym Symbol) (scalar, error) {
	if sym == "" {
		return scalar{tag: "!ruby/symbol"}, nil
	}
	text := ":" + string(sym)
	switch {
	case !utf8.ValidString(text):
		return scalar{}, errNotUTF8
	case resolve(text) != any(sym):
		return scalar{}, errSymbol
	}
	return scalar{text: text, unquoted: true}, nil
}

// floatText returns a float as Ruby prints it: the fewest digits that read as the same float, with an exponent below
// 0.0001, and from 1e15 on unless there are digits after the point.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	size, text := math.Abs(f), strconv.FormatFloat(f, 'f', -1, 64)
	if size != 0 && size < 1e-4 || size >= 1e15 && !strings.Contains(text, ".") {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		return withPoint(mantissa) + "e" + exponent
	}
	return withPoint(text)
}

func withPoint(digits string) string {
	if strings.Contains(digits, ".") {
		return digits
	}
	return digits + ".0"
}

// timeScalar writes an offset of whole minutes, as Ruby can, and other times in UTC.
func timeScalar(t time.Time) (scalar, error) {
	_, offset := t.Zone()
	layout := "-01-02 15:04:05.000000000 -07:00"
	if t.Location() == time.UTC || offset%60 != 0 {
		t, layout = t.UTC(), "-01-02 15:04:05.000000000 Z"
	}
	year := t.Year()
	if year < -9999 || year > 9999 {
		return scalar{}, errors.New("railsyaml: a time outside the years -9999 to 9999 cannot be written")
	}
	text := fmt.Sprintf("%04d", year)
	if year < 0 {
		text = fmt.Sprintf("-%04d", -year)
	}
	s, _ := unquoted(text + t.Format(layout))
	return s, nil
}
