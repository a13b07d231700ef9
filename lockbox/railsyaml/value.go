package railsyaml

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

// Hash is a Lockbox attribute of the type hash, read for use in Go: keys are strings, symbols are strings, dates are
// times. Values that were read are of the types in the package's documentation; those to be written may be of others.
type Hash map[string]any

// Array is a Lockbox attribute of the type array, read for use in Go.
type Array []any

// RubyHash is a Lockbox attribute of the type hash as Ruby has it: in order, and with its symbols and dates. Read, it is
// written again as the same bytes, unless these had anchors.
type RubyHash struct {
	Pairs []Pair

	// Indifferent is whether it is an ActiveSupport::HashWithIndifferentAccess.
	Indifferent bool
}

// RubyArray is a Lockbox attribute of the type array as Ruby has it.
type RubyArray []any

// Pair is a key of a [RubyHash] with its value. Symbol("a") and "a" are different keys.
type Pair struct{ Key, Value any }

// Symbol is a Ruby symbol, without its colon.
type Symbol string

// Date is a Ruby Date, a day without a time.
type Date struct {
	Year  int // 0 to 9999
	Month time.Month
	Day   int
}

// String returns the date in the form of 2026-01-02.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// Time returns midnight UTC of the day.
func (d Date) Time() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

func (d Date) valid() bool {
	return d.Year >= 0 && d.Year <= 9999 && DateOf(d.Time()) == d
}

// DateOf returns the day of t in its own time zone.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date{year, month, day}
}

// Get returns the value of a key, and whether there is one.
func (h RubyHash) Get(key any) (any, bool) {
	if i := h.find(key); i >= 0 {
		return h.Pairs[i].Value, true
	}
	return nil, false
}

// Set changes the value of a key, or adds the pair at the end.
func (h *RubyHash) Set(key, value any) {
	if i := h.find(key); i >= 0 {
		h.Pairs[i].Value = value
		return
	}
	h.Pairs = append(h.Pairs, Pair{key, value})
}

func (h RubyHash) find(key any) int {
	for i, pair := range h.Pairs {
		if sameKey(pair.Key, key) {
			return i
		}
	}
	return -1
}

// sameKey is whether two keys are the same to Ruby, for which 7 is 7 whatever Go's type is.
func sameKey(a, b any) bool {
	a, errA := rubyOf(a)
	b, errB := rubyOf(b)
	return errA == nil && errB == nil && reflect.DeepEqual(a, b)
}

// SealedType is hash.
func (Hash) SealedType() lockbox.Type { return lockbox.Hash }

// SealedType is hash.
func (RubyHash) SealedType() lockbox.Type { return lockbox.Hash }

// SealedType is array.
func (Array) SealedType() lockbox.Type { return lockbox.Array }

// SealedType is array.
func (RubyArray) SealedType() lockbox.Type { return lockbox.Array }

// AppendSealed appends the YAML of h to dst, with the keys in the order of their bytes.
func (h Hash) AppendSealed(dst []byte) ([]byte, error) { return appendDocument(dst, h) }

// AppendSealed appends the YAML of h to dst.
func (h RubyHash) AppendSealed(dst []byte) ([]byte, error) { return appendDocument(dst, h) }

// AppendSealed appends the YAML of a to dst.
func (a Array) AppendSealed(dst []byte) ([]byte, error) { return appendDocument(dst, a) }

// AppendSealed appends the YAML of a to dst.
func (a RubyArray) AppendSealed(dst []byte) ([]byte, error) { return appendDocument(dst, a) }

// DecodeSealed reads the YAML of a hash. It replaces what h was, and leaves it as it was where it returns an error.
func (h *Hash) DecodeSealed(b []byte) error {
	v, err := decodePlain(b)
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	switch {
	case v == nil:
		m = map[string]any{}
	case !ok:
		return errNotHash
	}
	*h = m
	return nil
}

// DecodeSealed reads the YAML of a hash. It replaces what h was, and leaves it as it was where it returns an error.
func (h *RubyHash) DecodeSealed(b []byte) error {
	v, err := decodeRuby(b)
	if err != nil {
		return err
	}
	hash, ok := v.(RubyHash)
	if !ok && v != nil {
		return errNotHash
	}
	*h = hash
	return nil
}

// DecodeSealed reads the YAML of an array. It replaces what a was, and leaves it as it was where it returns an error.
func (a *Array) DecodeSealed(b []byte) error {
	v, err := decodePlain(b)
	if err != nil {
		return err
	}
	list, ok := v.([]any)
	switch {
	case v == nil:
		list = []any{}
	case !ok:
		return errNotArray
	}
	*a = list
	return nil
}

// DecodeSealed reads the YAML of an array. It replaces what a was, and leaves it as it was where it returns an error.
func (a *RubyArray) DecodeSealed(b []byte) error {
	v, err := decodeRuby(b)
	if err != nil {
		return err
	}
	list, ok := v.(RubyArray)
	switch {
	case v == nil:
		list = RubyArray{}
	case !ok:
		return errNotArray
	}
	*a = list
	return nil
}

var (
	errNotHash  = errors.New("railsyaml: the value is not a hash")
	errNotArray = errors.New("railsyaml: the value is not an array")
)
