package lockbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

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
