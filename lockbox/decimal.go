package lockbox

import (
	"errors"
	"math/big"
	"strings"
)

var errDecimal = errors.New("lockbox: not a decimal: want digits with at most one point and a sign, and no exponent")

// normalDecimal returns s as Ruby's BigDecimal#to_s("F") writes it.
func normalDecimal(s string) (string, error) {
	switch s {
	case "NaN", "Infinity", "-Infinity":
		return s, nil
	}
	sign, digits := "", s
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, digits = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole+fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return "", errDecimal
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	return sign + orZero(whole) + "." + orZero(fraction), nil
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func orZero(digits string) string {
	if digits == "" {
		return "0"
	}
	return digits
}

type decimalCodec struct{}

func (decimalCodec) Append(dst []byte, v string) ([]byte, error) {
	text, err := normalDecimal(v)
	if err != nil {
		return nil, err
	}
	return append(dst, text...), nil
}

// Decode is stricter than the gem, for which whatever does not begin with a number is 0.
func (decimalCodec) Decode(b []byte) (string, error) { return normalDecimal(string(b)) }

type ratCodec struct{}

func (ratCodec) Append(dst []byte, v *big.Rat) ([]byte, error) {
	if v == nil {
		return nil, errors.New("lockbox: a nil *big.Rat is no value that can be sealed: leave the column NULL")
	}
	places, exact := v.FloatPrec()
	if !exact {
		return nil, errors.New("lockbox: a *big.Rat without a finite decimal form cannot be sealed: round it first")
	}
	return decimalCodec{}.Append(dst, v.FloatString(places))
}

func (ratCodec) Decode(b []byte) (*big.Rat, error) {
	text, err := normalDecimal(string(b))
	if err != nil {
		return nil, err
	}
	v, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, errors.New("lockbox: the decimal is NaN or infinite, which no *big.Rat can be")
	}
	return v, nil
}

// decimalTextCodec seals a text type whose text is a decimal.
type decimalTextCodec[T any] struct{}

func (decimalTextCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	text, err := textCodec[T]{}.Append(nil, v)
	if err != nil {
		return nil, err
	}
	return decimalCodec{}.Append(dst, string(text))
}

func (decimalTextCodec[T]) Decode(b []byte) (v T, err error) {
	text, err := normalDecimal(string(b))
	if err != nil {
		return v, err
	}
	return textCodec[T]{}.Decode([]byte(text))
}
