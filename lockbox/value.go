package lockbox

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"time"
)

// Value is a type of your own that says itself which bytes it seals, as the gem's custom types with serialize and
// deserialize do. Its pointer has DecodeSealed besides, which reads the bytes again:
//
//	func (Money) SealedType() lockbox.Type                        // the same for all values, the zero value too
//	func (m Money) AppendSealed(dst []byte) ([]byte, error)       // like Codec's Append
//	func (m *Money) DecodeSealed(b []byte) error                  // must copy what it keeps of b
//
// SealedType is one of this package's types where the bytes are of that type, or a name of your own. No other type fits.
// Errors are passed on as they are, so they must not contain the value.
type Value interface {
	SealedType() Type
	AppendSealed(dst []byte) ([]byte, error)
}

type sealedDecoder interface{ DecodeSealed(b []byte) error }

// sealedType returns the type that a Go type names itself, if it is a Value. As with isText, pointers are none.
func sealedType(goType reflect.Type) (Type, bool) {
	if !goType.Implements(reflect.TypeFor[Value]()) ||
		!reflect.PointerTo(goType).Implements(reflect.TypeFor[sealedDecoder]()) {
		return "", false
	}
	return reflect.Zero(goType).Interface().(Value).SealedType(), true
}

type valueCodec[T any] struct{}

func (valueCodec[T]) Append(dst []byte, v T) ([]byte, error) { return any(v).(Value).AppendSealed(dst) }

func (valueCodec[T]) Decode(b []byte) (T, error) {
	var v, zero T
	if err := any(&v).(sealedDecoder).DecodeSealed(b); err != nil {
		return zero, err
	}
	return v, nil
}

// textCodec seals a text type as its text. The errors of others may contain the value, so they are not passed on.
type textCodec[T any] struct{}

func (textCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	text, err := any(v).(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return nil, fmt.Errorf("lockbox: a Go %T refuses to be written as text", v)
	}
	return append(dst, text...), nil
}

func (textCodec[T]) Decode(b []byte) (T, error) {
	var v, zero T
	if err := any(&v).(encoding.TextUnmarshaler).UnmarshalText(b); err != nil {
		return zero, fmt.Errorf("lockbox: not the text of a Go %T", v)
	}
	return v, nil
}

// jsonCodec does not pass on errors of encoding/json either, which quote the value.
type jsonCodec[T any] struct{}

func (jsonCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	if goType := reflect.TypeOf(v); goType != nil && !isJSON(goType) { // T is any
		return nil, misfit(goType, JSON, typesFor(goType))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("lockbox: encoding/json refuses to write the Go %T", v)
	}
	return append(dst, text...), nil
}

func (jsonCodec[T]) Decode(b []byte) (T, error) {
	var v, zero T
	if err := json.Unmarshal(b, &v); err != nil {
		return zero, fmt.Errorf("lockbox: not the JSON of a Go %s", reflect.TypeFor[T]())
	}
	return v, nil
}

// anyCodec decodes to a B, the natural Go type of typ, and appends values of every Go type that typ fits.
type anyCodec[B any] struct {
	typ  Type
	base Codec[B]
}

func (c anyCodec[B]) Decode(b []byte) (any, error) {
	v, err := c.base.Decode(b)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (c anyCodec[B]) Append(dst []byte, v any) ([]byte, error) {
	if same, ok := v.(B); ok {
		return c.base.Append(dst, same)
	}
	if v == nil {
		return nil, errors.New("lockbox: nil is no value that can be sealed: leave the column NULL")
	}
	goType := reflect.TypeOf(v)
	if _, err := typeOf(goType, c.typ); err != nil {
		return nil, err
	}
	if _, ok := sealedType(goType); ok {
		return valueCodec[any]{}.Append(dst, v)
	}
	return appendAny(dst, v, c.typ)
}

// appendAny appends a value that is no Value and whose Go type fits t.
func appendAny(dst []byte, v any, t Type) ([]byte, error) {
	value := reflect.ValueOf(v)
	switch t {
	case Boolean:
		return boolCodec{}.Append(dst, value.Bool())
	case Integer:
		if value.CanUint() {
			return integerCodec[uint64]{}.Append(dst, value.Uint())
		}
		return integerCodec[int64]{}.Append(dst, value.Int())
	case Float:
		return floatCodec[float64]{}.Append(dst, value.Float())
	case Date:
		return dateCodec{}.Append(dst, value.Convert(timeType).Interface().(time.Time))
	case Datetime:
		return datetimeCodec{}.Append(dst, value.Convert(timeType).Interface().(time.Time))
	case Time:
		return timeCodec{}.Append(dst, value.Convert(timeType).Interface().(time.Time))
	case Decimal:
		return appendAnyDecimal(dst, v, value)
	case Inet:
		return appendAnyInet(dst, v)
	}
	switch {
	case t == String && isText(value.Type()):
		return textCodec[any]{}.Append(dst, v)
	case value.Kind() == reflect.String:
		return append(dst, value.String()...), nil
	}
	return append(dst, value.Bytes()...), nil
}

func appendAnyDecimal(dst []byte, v any, value reflect.Value) ([]byte, error) {
	if rat, ok := v.(*big.Rat); ok {
		return ratCodec{}.Append(dst, rat)
	}
	if isText(value.Type()) {
		return decimalTextCodec[any]{}.Append(dst, v)
	}
	return decimalCodec{}.Append(dst, value.String())
}

func appendAnyInet(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case netip.Addr:
		return addrCodec{}.Append(dst, v)
	case net.IPNet:
		return ipNetCodec{}.Append(dst, v)
	}
	return ipCodec{}.Append(dst, v.(net.IP))
}
