package lockbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Type names what a sealed value is, in the gem's words. It decides the bytes that are sealed (lockbox
// lib/lockbox/model.rb), so that Ruby and Go read the same value.
type Type string

// The types, the bytes that they seal, and the Go types that fit them. A named type (type Email string) fits as what it
// is made of. Years outside 0 to 9999 are refused; Active Record reads no dates of the year 0.
const (
	String   Type = "string"   // the bytes as they are; string or []byte
	Binary   Type = "binary"   // the bytes as they are; []byte or string
	Boolean  Type = "boolean"  // t or f; bool
	Integer  Type = "integer"  // 8 bytes, signed, big endian; every int and uint type, as long as the value fits
	Float    Type = "float"    // 8 bytes, IEEE 754 double, big endian; float64, or float32, which reading rounds to
	Date     Type = "date"     // 2006-01-02, the day in the value's own time zone, read as midnight UTC; time.Time
	Datetime Type = "datetime" // 2006-01-02T15:04:05.000000000Z; time.Time, written and read in UTC
	Time     Type = "time"     // 15:04:05.000000000, the time of day in UTC, read as one of 2000-01-01; time.Time
)

// takes says in words which Go types each Type takes.
var takes = map[Type]string{
	String: "string or []byte", Binary: "[]byte or string", Boolean: "bool", Integer: "an int or uint type",
	Float: "float64 or float32", Date: "time.Time", Datetime: "time.Time", Time: "time.Time",
}

// Codec turns values into the bytes that a box seals, and back. Its errors never contain the value. It is safe for
// concurrent use.
type Codec[T any] interface {
	// Append appends the bytes of v to dst and returns the extended slice.
	Append(dst []byte, v T) ([]byte, error)

	// Decode returns the value of b, and keeps no reference to b.
	Decode(b []byte) (T, error)
}

// CodecOf returns the codec that seals a T as t. "" means the natural type of T: string for a string, binary for []byte,
// boolean for bool, integer and float for numbers, datetime for time.Time. A type that does not fit T is an error.
func CodecOf[T any](t Type) (Codec[T], error) {
	goType := reflect.TypeFor[T]()
	fitting := typesFor(goType)
	switch {
	case t == "" && len(fitting) > 0:
		t = fitting[0]
	case !slices.Contains(fitting, t):
		return nil, misfit(goType, t, fitting)
	}
	return newCodec[T](goType.Kind(), t), nil
}

var (
	bytesType = reflect.TypeFor[[]byte]()
	timeType  = reflect.TypeFor[time.Time]()
)

// typesFor returns the types that fit a Go type, the natural one first.
func typesFor(goType reflect.Type) []Type {
	switch kind := goType.Kind(); {
	case kind == reflect.String:
		return []Type{String, Binary}
	case kind == reflect.Slice && goType.ConvertibleTo(bytesType):
		return []Type{Binary, String}
	case kind == reflect.Bool:
		return []Type{Boolean}
	case kind >= reflect.Int && kind <= reflect.Uint64:
		return []Type{Integer}
	case kind == reflect.Float32, kind == reflect.Float64:
		return []Type{Float}
	case goType.ConvertibleTo(timeType):
		return []Type{Datetime, Date, Time}
	}
	return nil
}

func misfit(goType reflect.Type, t Type, fitting []Type) error {
	known := slices.Sorted(maps.Keys(takes))
	switch _, ok := takes[t]; {
	case len(fitting) == 0:
		return fmt.Errorf("lockbox: no type seals a Go %s: want string, []byte, bool, a number or time.Time", goType)
	case !ok:
		return fmt.Errorf("lockbox: unknown type %q for a Go %s: use %s (known are %s)", string(t), goType, list(fitting), list(known))
	}
	return fmt.Errorf("lockbox: type %q does not fit a Go %s: use type %s, or Go's %s", string(t), goType, list(fitting), takes[t])
}

func list(types []Type) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}

// newCodec returns the codec of a T of that kind, which t fits.
func newCodec[T any](kind reflect.Kind, t Type) Codec[T] {
	switch kind {
	case reflect.String:
		return adapt[T](stringCodec{})
	case reflect.Slice:
		return adapt[T](bytesCodec{})
	case reflect.Bool:
		return adapt[T](boolCodec{})
	case reflect.Int:
		return adapt[T](integerCodec[int]{})
	case reflect.Int8:
		return adapt[T](integerCodec[int8]{})
	case reflect.Int16:
		return adapt[T](integerCodec[int16]{})
	case reflect.Int32:
		return adapt[T](integerCodec[int32]{})
	case reflect.Int64:
		return adapt[T](integerCodec[int64]{})
	case reflect.Uint:
		return adapt[T](integerCodec[uint]{})
	case reflect.Uint8:
		return adapt[T](integerCodec[uint8]{})
	case reflect.Uint16:
		return adapt[T](integerCodec[uint16]{})
	case reflect.Uint32:
		return adapt[T](integerCodec[uint32]{})
	case reflect.Uint64:
		return adapt[T](integerCodec[uint64]{})
	case reflect.Float32:
		return adapt[T](floatCodec[float32]{})
	case reflect.Float64:
		return adapt[T](floatCodec[float64]{})
	}
	switch t {
	case Date:
		return adapt[T](dateCodec{})
	case Time:
		return adapt[T](timeCodec{})
	}
	return adapt[T](datetimeCodec{})
}

// adapt makes a codec of B one of T, which is B or a named type made of it.
func adapt[T, B any](base Codec[B]) Codec[T] {
	if same, ok := base.(Codec[T]); ok {
		return same
	}
	return namedCodec[T, B]{base}
}

type namedCodec[T, B any] struct{ base Codec[B] }

func (c namedCodec[T, B]) Append(dst []byte, v T) ([]byte, error) {
	return c.base.Append(dst, convert[T, B](v))
}

func (c namedCodec[T, B]) Decode(b []byte) (T, error) {
	v, err := c.base.Decode(b)
	return convert[B, T](v), err
}

func convert[From, To any](v From) To {
	return reflect.ValueOf(v).Convert(reflect.TypeFor[To]()).Interface().(To)
}

type stringCodec struct{}

func (stringCodec) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (stringCodec) Decode(b []byte) (string, error)             { return string(b), nil }

type bytesCodec struct{}

func (bytesCodec) Append(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (bytesCodec) Decode(b []byte) ([]byte, error)      { return append([]byte{}, b...), nil }

type boolCodec struct{}

func (boolCodec) Append(dst []byte, v bool) ([]byte, error) {
	if v {
		return append(dst, 't'), nil
	}
	return append(dst, 'f'), nil
}

// Decode is stricter than the gem, for which everything but "t" is false: bytes that no boolean wrote are no answer.
func (boolCodec) Decode(b []byte) (bool, error) {
	switch string(b) {
	case "t":
		return true, nil
	case "f":
		return false, nil
	}
	return false, errors.New("lockbox: not a boolean: want t or f")
}

type integerCodec[I int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64] struct{}

func (integerCodec[I]) Append(dst []byte, v I) ([]byte, error) {
	n := int64(v)
	if (n < 0) != (v < 0) {
		return nil, fmt.Errorf("lockbox: a %T above the largest signed 64-bit integer cannot be sealed", v)
	}
	return binary.BigEndian.AppendUint64(dst, uint64(n)), nil
}

func (integerCodec[I]) Decode(b []byte) (I, error) {
	if len(b) != 8 {
		return 0, errors.New("lockbox: not an integer: want 8 bytes")
	}
	n := int64(binary.BigEndian.Uint64(b))
	v := I(n)
	if int64(v) != n || (n < 0) != (v < 0) {
		return 0, fmt.Errorf("lockbox: the integer does not fit a Go %T", v)
	}
	return v, nil
}

type floatCodec[F float32 | float64] struct{}

func (floatCodec[F]) Append(dst []byte, v F) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(float64(v))), nil
}

func (floatCodec[F]) Decode(b []byte) (F, error) {
	if len(b) != 8 {
		return 0, errors.New("lockbox: not a float: want 8 bytes")
	}
	f := math.Float64frombits(binary.BigEndian.Uint64(b))
	v := F(f)
	if math.IsInf(float64(v), 0) && !math.IsInf(f, 0) {
		return 0, fmt.Errorf("lockbox: the float does not fit a Go %T", v)
	}
	return v, nil
}

const (
	dateLayout     = "2006-01-02"
	datetimeLayout = "2006-01-02T15:04:05.000000000Z"
	timeLayout     = "15:04:05.000000000"
)

type dateCodec struct{}

func (dateCodec) Append(dst []byte, v time.Time) ([]byte, error) {
	if err := checkYear(v); err != nil {
		return nil, err
	}
	return v.AppendFormat(dst, dateLayout), nil
}

func (dateCodec) Decode(b []byte) (time.Time, error) {
	v, err := time.Parse(dateLayout, string(b))
	if err != nil {
		return time.Time{}, errors.New("lockbox: not a date: want the form of " + dateLayout)
	}
	return v, nil
}

type datetimeCodec struct{}

func (datetimeCodec) Append(dst []byte, v time.Time) ([]byte, error) {
	v = v.UTC()
	if err := checkYear(v); err != nil {
		return nil, err
	}
	return v.AppendFormat(dst, datetimeLayout), nil
}

// Decode takes any number of decimals, and offsets too: Rails writes them when its default time zone is local.
func (datetimeCodec) Decode(b []byte) (time.Time, error) {
	v, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return time.Time{}, errors.New("lockbox: not a datetime: want the form of " + datetimeLayout)
	}
	v = v.UTC() // an offset can lead out of the four-digit years
	if err := checkYear(v); err != nil {
		return time.Time{}, err
	}
	return v, nil
}

type timeCodec struct{}

func (timeCodec) Append(dst []byte, v time.Time) ([]byte, error) {
	return v.UTC().AppendFormat(dst, timeLayout), nil
}

func (timeCodec) Decode(b []byte) (time.Time, error) {
	v, err := time.Parse(time.TimeOnly, string(b))
	if err != nil {
		return time.Time{}, errors.New("lockbox: not a time: want the form of " + timeLayout)
	}
	return v.AddDate(2000, 0, 0), nil // Parse leaves the year 0, Active Record means 2000
}

func checkYear(v time.Time) error {
	if year := v.Year(); year < 0 || year > 9999 {
		return errors.New("lockbox: a date or datetime outside the years 0 to 9999 cannot be sealed")
	}
	return nil
}
