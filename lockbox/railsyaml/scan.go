package railsyaml

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The forms of plain text that are more than a string (psych 5.4 lib/psych/scalar_scanner.rb; yaml.org/type/int.html,
// float.html and timestamp.html, with what Psych keeps from older days: commas in numbers).
var (
	timeForm = regexp.MustCompile(`^(-?\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt]|[ \t\r\f\v]+)(\d{1,2}):(\d\d):(\d\d)` +
		`(?:\.(\d*))?(?:[ \t\r\f\v]*(Z|[-+]\d{1,2}:?(?:\d\d)?))?$`)
	dateForm   = regexp.MustCompile(`^\d{4}-(?:1[012]|0?\d)-(?:[12]\d|3[01]|0?\d)$`)
	base60Form = regexp.MustCompile(`^[-+]?\d[\d_]*(?::[0-5]?\d){1,2}(\.[\d_]*)?$`)
	floatForm  = regexp.MustCompile(`^[-+]?(?:\d[\d_,]*)?\.\d*(?:[eE][-+]\d+)?$`)
	intForms   = []struct {
		base int
		form *regexp.Regexp
	}{
		{2, regexp.MustCompile(`^[-+]?0b[_,]*[01][01_,]*$`)},
		{16, regexp.MustCompile(`^[-+]?0x[_,]*[\da-fA-F][\da-fA-F_,]*$`)},
		{8, regexp.MustCompile(`^[-+]?0[_,]*[0-7][0-7_,]*$`)},
		{10, regexp.MustCompile(`^[-+]?(?:0|[1-9](?:[,_]?\d)*)$`)},
	}
	quotedSymbol = regexp.MustCompile(`^:(?:"(.*)"|'(.*)')`)
	fillers      = strings.NewReplacer(",", "", "_", "")
)

// resolve returns what Psych makes of plain text: nil, a bool, an int64, a *big.Int, a float64, a time.Time, a Date, a
// Symbol, or the string that it is; an error for an integer that is too long to be read.
func resolve(s string) any {
	if s == "" {
		return nil
	}
	if strings.Contains(s, "\n") {
		return resolveLines(s)
	}
	switch c := s[0]; {
	case c == ':' && len(s) > 1:
		return resolveSymbol(s)
	case c == '.' && strings.EqualFold(s, ".nan"):
		return math.NaN()
	case strings.EqualFold(s, ".inf"), strings.EqualFold(s, "+.inf"):
		return math.Inf(1)
	case strings.EqualFold(s, "-.inf"):
		return math.Inf(-1)
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		return resolveNumber(s)
	}
	if v, ok := word(s); ok {
		return v
	}
	return s
}

// word returns the value of a word that is not a string. Letters fold as Unicode folds them, in Ruby too.
func word(s string) (v any, ok bool) {
	if len(s) > len("false")+1 { // a folded letter can have a second byte
		return nil, false
	}
	for _, w := range []struct {
		text  string
		value any
	}{
		{"~", nil}, {"null", nil}, {"true", true}, {"yes", true}, {"on", true}, {"false", false}, {"no", false}, {"off", false},
	} {
		if strings.EqualFold(s, w.text) {
			return w.value, true
		}
	}
	return nil, false
}

// resolveLines resolves text with line breaks, which only quotes under the tag ! can hold. Psych looks for a word on any
// line of a short text, so that "no\n" is false.
func resolveLines(s string) any {
	if utf8.RuneCountInString(s) > len("false") {
		return s
	}
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for _, line := range lines {
		if line == "" || !strings.ContainsRune("ytonfYTONF~", rune(line[0])) {
			return s
		}
	}
	for _, want := range []any{nil, true, false} {
		for _, line := range lines {
			if v, ok := word(line); ok && v == want && line != "~" {
				return v
			}
		}
	}
	return s
}

func resolveSymbol(s string) any {
	if m := quotedSymbol.FindStringSubmatch(s); m != nil {
		return Symbol(strings.TrimPrefix(m[1]+m[2], ":"))
	}
	return Symbol(s[1:])
}

var errDigits = fmt.Errorf("%w: an integer of more than %d digits", ErrTooLarge, maxDigits)

// resolveNumber resolves what begins with a digit, a sign or a dot.
func resolveNumber(s string) any {
	if m := timeForm.FindStringSubmatch(s); m != nil {
		if t, ok := parseTime(m); ok {
			return t
		}
		return s
	}
	if dateForm.MatchString(s) {
		parts := strings.Split(s, "-")
		if d := (Date{atoi(parts[0]), time.Month(atoi(parts[1])), atoi(parts[2])}); d.valid() {
			return d
		}
		return s
	}
	if m := base60Form.FindStringSubmatch(s); m != nil {
		if len(s) > maxDigits {
			return errDigits
		}
		return parseBase60(s, m[1] != "")
	}
	if floatForm.MatchString(s) {
		mantissa, _, _ := strings.Cut(strings.ToLower(s), "e")
		if strings.ContainsAny(mantissa, "0123456789") {
			return parseFloat(fillers.Replace(s))
		}
		return s // a dot alone; Psych fails at .e+5
	}
	for _, f := range intForms {
		switch {
		case !f.form.MatchString(s):
		case len(s) > maxDigits:
			return errDigits
		default:
			return parseInt(fillers.Replace(s), f.base)
		}
	}
	return s
}

// parseTime makes a time of the parts that timeForm found. Ruby takes the days and seconds that a calendar has at most,
// and goes on into the next month or minute where this one has fewer.
func parseTime(m []string) (t time.Time, ok bool) {
	month, day, hour, minute, second := atoi(m[2]), atoi(m[3]), atoi(m[4]), atoi(m[5]), atoi(m[6])
	switch {
	case month < 1 || month > 12, day < 1 || day > 31, hour > 24, minute > 59, second > 60:
		return t, false
	case hour == 24 && (minute > 0 || second > 0):
		return t, false
	}
	offset := parseOffset(m[8])
	if offset <= -86400 || offset >= 86400 {
		return t, false
	}
	zone := time.UTC
	if m[8] != "" && m[8] != "Z" {
		zone = time.FixedZone("", offset)
	}
	nanos := atoi((m[7] + "000000000")[:9])
	return time.Date(atoi(m[1]), time.Month(month), day, hour, minute, second, nanos, zone), true
}

// parseOffset returns the seconds of an offset. Like Psych's, its -00:30 is half an hour east of UTC.
func parseOffset(s string) int {
	if s == "" || s == "Z" {
		return 0
	}
	hours, minutes, colon := strings.Cut(s, ":")
	if !colon && len(s) > 3 { // +130 is 13 hours
		hours, minutes = s[:3], s[3:]
	}
	h := atoi(hours) * 3600
	if h < 0 {
		return h - atoi(minutes)*60
	}
	return h + atoi(minutes)*60
}

// parseBase60 reads 1:30:00. Like Psych's, its 1:30 is an hour and a half, and the sign is that of the first part alone.
func parseBase60(s string, fraction bool) any {
	sum, weight := new(big.Int), int64(3600)
	var floatSum float64
	for part := range strings.SplitSeq(s, ":") {
		if fraction {
			floatSum += leadingFloat(part) * float64(weight)
		} else {
			n, _ := new(big.Int).SetString(leadingDigits(part), 10)
			sum.Add(sum, n.Mul(n, big.NewInt(weight)))
		}
		weight /= 60
	}
	if fraction {
		return floatSum
	}
	return fit(sum)
}

// leadingDigits returns the number that s begins with, whose digits may have single underscores between them, as Ruby's
// String#to_i reads it.
func leadingDigits(s string) string {
	end := len(s)
	if i := strings.Index(s, "__"); i >= 0 {
		end = i
	}
	return strings.ReplaceAll(s[:end], "_", "")
}

// leadingFloat reads a part of the base60Form as String#to_f does. A part with a dot has no underscore before it.
func leadingFloat(s string) float64 {
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.HasPrefix(fraction, "_") {
		fraction = ""
	}
	return parseFloat(leadingDigits(whole) + "." + leadingDigits(fraction))
}

// parseFloat reads what floatForm let through: beyond the largest float there is only infinity.
func parseFloat(s string) float64 {
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

func parseInt(s string, base int) any {
	negative := s[0] == '-'
	digits := strings.TrimLeft(s, "+-")
	if base == 2 || base == 16 {
		digits = digits[2:]
	}
	n, _ := new(big.Int).SetString(digits, base)
	if negative {
		n.Neg(n)
	}
	return fit(n)
}

func fit(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// atoi reads digits that a regular expression has checked.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
