package lockbox

import (
	"net/netip"
	"reflect"
	"time"
)

// Codec turns values into the bytes that a box seals, and back. Its errors never contain the value. It is safe for
// concurrent use.
type Codec[T any] interface {
	// Append appends the bytes of v to dst and returns the extended slice.
	Append(dst []byte, v T) ([]byte, error)

	// Decode returns the value of b, and keeps no reference to b.
	Decode(b []byte) (T, error)
}

// CodecOf returns the codec that seals a T as t. "" means the natural type of T: string for a string and for text types,
// binary for []byte, boolean for bool, integer and float for numbers, datetime for time.Time, decimal for *big.Rat, inet for
// the types of package net/netip, and what a Value says. A type that does not fit T is an error.
//
// For T any, "" means string. The codec then takes values of every Go type that t fits, and decodes to string (also for
// decimal), []byte, bool, int64, float64, time.Time, netip.Prefix, and for json to what encoding/json puts in an any.
func CodecOf[T any](t Type) (Codec[T], error) {
	goType := reflect.TypeFor[T]()
	t, err := typeOf(goType, t)
	if err != nil {
		return nil, err
	}
	if goType == anyType {
		return adapt[T](newAnyCodec(t)), nil
	}
	if _, ok := sealedType(goType); ok {
		return valueCodec[T]{}, nil
	}
	return newCodec[T](goType, t), nil
}

// newCodec returns the codec of a T, which t fits.
func newCodec[T any](goType reflect.Type, t Type) Codec[T] {
	switch t {
	case Boolean:
		return adapt[T](boolCodec{})
	case Integer:
		return newIntegerCodec[T](goType.Kind())
	case Float:
		return newFloatCodec[T](goType.Kind())
	case Date:
		return adapt[T](dateCodec{})
	case Datetime:
		return adapt[T](datetimeCodec{})
	case Time:
		return adapt[T](timeCodec{})
	case Decimal:
		return newDecimalCodec[T](goType)
	case JSON:
		return jsonCodec[T]{}
	case Inet:
		return newInetCodec[T](goType)
	}
	return newBytesCodec[T](goType, t)
}

// newBytesCodec is for String and Binary.
func newBytesCodec[T any](goType reflect.Type, t Type) Codec[T] {
	switch {
	case t == String && isText(goType):
		return textCodec[T]{}
	case goType.Kind() == reflect.String:
		return adapt[T](stringCodec{})
	}
	return adapt[T](bytesCodec{})
}

func newIntegerCodec[T any](kind reflect.Kind) Codec[T] {
	switch kind {
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
	}
	return adapt[T](integerCodec[uint64]{})
}

func newFloatCodec[T any](kind reflect.Kind) Codec[T] {
	if kind == reflect.Float32 {
		return adapt[T](floatCodec[float32]{})
	}
	return adapt[T](floatCodec[float64]{})
}

func newDecimalCodec[T any](goType reflect.Type) Codec[T] {
	switch {
	case goType == ratType:
		return adapt[T](ratCodec{})
	case isText(goType):
		return decimalTextCodec[T]{}
	}
	return adapt[T](decimalCodec{})
}

func newInetCodec[T any](goType reflect.Type) Codec[T] {
	switch goType {
	case addrType:
		return adapt[T](addrCodec{})
	case ipNetType:
		return adapt[T](ipNetCodec{})
	case ipType:
		return adapt[T](ipCodec{})
	}
	return adapt[T](prefixCodec{})
}

// newAnyCodec returns the codec of t for values whose Go type shows only at run time.
func newAnyCodec(t Type) Codec[any] {
	switch t {
	case Binary:
		return anyCodec[[]byte]{t, bytesCodec{}}
	case Boolean:
		return anyCodec[bool]{t, boolCodec{}}
	case Integer:
		return anyCodec[int64]{t, integerCodec[int64]{}}
	case Float:
		return anyCodec[float64]{t, floatCodec[float64]{}}
	case Date:
		return anyCodec[time.Time]{t, dateCodec{}}
	case Datetime:
		return anyCodec[time.Time]{t, datetimeCodec{}}
	case Time:
		return anyCodec[time.Time]{t, timeCodec{}}
	case Decimal:
		return anyCodec[string]{t, decimalCodec{}}
	case JSON:
		return jsonCodec[any]{}
	case Inet:
		return anyCodec[netip.Prefix]{t, prefixCodec{}}
	}
	return anyCodec[string]{String, stringCodec{}}
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
