package lockbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

func TestValuesAreSealedAsTheGemSealsThem(t *testing.T) {
	tested, left := 0, map[lockbox.Type]int{}
	for i, row := range gemTypes.Values {
		if row.Serialized == nil { // nil stays NULL, which is the model's rule
			continue
		}
		serialized := *row.Serialized
		var err error
		switch row.Type {
		case lockbox.String:
			err = roundTrip(row.Type, serialized, fromJSON[string](row.Value), fromJSON[string](row.ReadBack))
		case lockbox.Binary:
			err = roundTrip(row.Type, serialized, fromJSON[[]byte](row.Value), fromJSON[[]byte](row.ReadBack))
		case lockbox.Boolean:
			err = roundTrip(row.Type, serialized, fromJSON[bool](row.Value), fromJSON[bool](row.ReadBack))
		case lockbox.Integer:
			err = roundTrip(row.Type, serialized, fromJSON[int64](row.Value), fromJSON[int64](row.ReadBack))
		case lockbox.Float: // in the JSON a string, for Infinity and -0.0
			value, readBack := fromJSON[string](row.Value), fromJSON[string](row.ReadBack)
			err = roundTrip(row.Type, serialized, must(strconv.ParseFloat(value, 64)), must(strconv.ParseFloat(readBack, 64)))
		case lockbox.Date:
			value, readBack := fromJSON[string](row.Value), fromJSON[string](row.ReadBack)
			err = roundTrip(row.Type, serialized, must(time.Parse(time.DateOnly, value)), must(time.Parse(time.DateOnly, readBack)))
		case lockbox.Datetime: // Ruby keeps microseconds, Go the nanoseconds that are there
			err = roundTrip(row.Type, serialized, fromJSON[time.Time](row.Value), fromJSON[time.Time](row.Value))
		case lockbox.Time:
			err = roundTrip(row.Type, serialized, fromJSON[time.Time](row.Value), fromJSON[time.Time](row.ReadBack))
		default:
			if _, err := lockbox.CodecOf[string](row.Type); err == nil || !strings.Contains(err.Error(), string(row.Type)) {
				t.Errorf("type %s: %v; want an error that names it", row.Type, err)
			}
			left[row.Type]++
			continue
		}
		if err != nil {
			t.Errorf("row %d: %v", i, err)
		}
		tested++

		if *row.Ciphertext == "" { // the model leaves "" as it is
			continue
		}
		got, err := newBox(t, gemTypes.Key, nil).Decrypt([]byte(*row.Ciphertext), nil)
		if err != nil || !bytes.Equal(got, serialized) {
			t.Errorf("row %d (%s) opens to %q, %v; want %q", i, row.Type, got, err, serialized)
		}
	}
	if fmt.Sprint(tested, left) != "26 map[array:2 decimal:3 hash:3 inet:4 json:4]" {
		t.Errorf("tested %d rows, left %v", tested, left)
	}
}

// roundTrip says what is wrong when value is not sealed as serialized, or serialized not read as readBack.
func roundTrip[T any](typ lockbox.Type, serialized []byte, value, readBack T) error {
	codec, err := lockbox.CodecOf[T](typ)
	if err != nil {
		return err
	}
	if got, err := codec.Append([]byte("before "), value); err != nil || string(got) != "before "+string(serialized) {
		return fmt.Errorf("%s: %v is appended as %q, %v; want %q", typ, value, got, err, serialized)
	}
	// %#v tells -0 from 0 and shows a time's zone.
	if got, err := codec.Decode(serialized); err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", readBack) {
		return fmt.Errorf("%s: %q decodes to %#v, %v; want %#v", typ, serialized, got, err, readBack)
	}
	return nil
}

func fromJSON[T any](text json.RawMessage) (v T) {
	if err := json.Unmarshal(text, &v); err != nil {
		panic(err)
	}
	return v
}

type (
	email     string
	digest    []byte
	consent   bool
	cents     int64
	age       uint8
	weight    float32
	birthday  time.Time
	namedByte byte
)

func TestGoTypesOfEveryKindHaveANaturalType(t *testing.T) {
	at := time.Date(2026, 2, 28, 1, 2, 3, 4, time.UTC)
	for _, err := range []error{
		roundTrip("", []byte("hi"), "hi", "hi"),
		roundTrip("", []byte("hi"), email("hi"), "hi"),
		roundTrip("", []byte("hi"), []byte("hi"), []byte("hi")),
		roundTrip("", []byte("hi"), digest("hi"), digest("hi")),
		roundTrip("", []byte("hi"), json.RawMessage("hi"), json.RawMessage("hi")),
		roundTrip("", []byte("t"), true, true),
		roundTrip("", []byte("f"), consent(false), false),
		roundTrip("", bigEndian(-2), int(-2), -2),
		roundTrip("", bigEndian(-2), int8(-2), -2),
		roundTrip("", bigEndian(-2), int16(-2), -2),
		roundTrip("", bigEndian(-2), int32(-2), -2),
		roundTrip("", bigEndian(-2), int64(-2), -2),
		roundTrip("", bigEndian(-2), cents(-2), -2),
		roundTrip("", bigEndian(200), uint(200), 200),
		roundTrip("", bigEndian(200), uint8(200), 200),
		roundTrip("", bigEndian(200), age(200), 200),
		roundTrip("", bigEndian(60_000), uint16(60_000), 60_000),
		roundTrip("", bigEndian(4e9), uint32(4e9), 4e9),
		roundTrip("", bigEndian(math.MaxInt64), uint64(math.MaxInt64), math.MaxInt64),
		roundTrip("", bigEndian(5), 5*time.Nanosecond, 5),
		roundTrip("", []byte("\x3f\xf8\x00\x00\x00\x00\x00\x00"), 1.5, 1.5),
		roundTrip("", []byte("\x3f\xf8\x00\x00\x00\x00\x00\x00"), weight(1.5), 1.5),
		roundTrip("", []byte("2026-02-28T01:02:03.000000004Z"), at, at),
		roundTrip("", []byte("2026-02-28T01:02:03.000000004Z"), birthday(at), birthday(at)),
		// A type that is not the natural one, but fits.
		roundTrip(lockbox.Binary, []byte("\xff"), email("\xff"), "\xff"),
		roundTrip(lockbox.String, []byte("hi"), digest("hi"), digest("hi")),
		roundTrip(lockbox.Date, []byte("2026-02-28"), birthday(at), birthday(at.Truncate(24*time.Hour))),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

func bigEndian(n int64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return b
}

func TestATypeThatDoesNotFitIsRefusedByName(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{refusal[string](lockbox.Date), []string{`"date"`, "string", "binary", "time.Time"}},
		{refusal[email](lockbox.Integer), []string{`"integer"`, "lockbox_test.email", "int or uint"}},
		{refusal[time.Time](lockbox.String), []string{`"string"`, "time.Time", "datetime, date, time"}},
		{refusal[int](lockbox.Float), []string{`"float"`, "int", "integer", "float64"}},
		{refusal[bool](lockbox.Integer), []string{`"integer"`, "bool", "boolean"}},
		{refusal[string]("datum"), []string{`unknown type "datum"`, "string, binary", "datetime"}},
		{refusal[[]int](""), []string{"[]int", "[]byte"}},
		{refusal[[]namedByte](""), []string{"[]lockbox_test.namedByte"}},
		{refusal[[16]byte](lockbox.Binary), []string{"[16]uint8"}},
		{refusal[*string](lockbox.String), []string{"*string"}},
		{refusal[any](""), []string{"interface {}"}},
		{refusal[struct{}](""), []string{"struct {}"}},
		{refusal[uintptr](""), []string{"uintptr"}},
		{refusal[error]("string"), []string{"error"}},
	} {
		if c.err == nil || !strings.HasPrefix(c.err.Error(), "lockbox: ") {
			t.Errorf("%v: %v; want a refusal", c.want, c.err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%q does not say %q", c.err, want)
			}
		}
	}
}

func refusal[T any](t lockbox.Type) error {
	codec, err := lockbox.CodecOf[T](t)
	if err == nil {
		return fmt.Errorf("accepted as %T", codec)
	}
	return err
}

func TestWhatAGoTypeCannotHoldIsAnErrorWithoutTheValue(t *testing.T) {
	huge := bigEndian(123456789012345)
	for name, err := range map[string]error{
		"uint64 above int64":    appendError("", uint64(12345678901234567890)),
		"uint above int64":      appendError("", uint(12345678901234567890)),
		"int8 overflow":         decodeError[int8]("", huge),
		"int16 overflow":        decodeError[int16]("", huge),
		"int32 overflow":        decodeError[int32]("", huge),
		"uint8 overflow":        decodeError[age]("", huge),
		"uint16 overflow":       decodeError[uint16]("", huge),
		"uint32 overflow":       decodeError[uint32]("", huge),
		"just above int8":       decodeError[int8]("", bigEndian(128)),
		"just below int8":       decodeError[int8]("", bigEndian(-129)),
		"negative uint8":        decodeError[uint8]("", bigEndian(-12345)),
		"negative uint64":       decodeError[uint64]("", bigEndian(-12345)),
		"negative uint":         decodeError[uint]("", bigEndian(-12345)),
		"float32 overflow":      decodeError[float32]("", []byte("\x7f\xef\xff\xff\xff\xff\xff\xff")),
		"short integer":         decodeError[int64]("", []byte("1234567")),
		"long integer":          decodeError[int64]("", []byte("123456789")),
		"short float":           decodeError[float64]("", []byte("12345")),
		"boolean in full":       decodeError[bool]("", []byte("true12345")),
		"empty boolean":         decodeError[bool]("", nil),
		"boolean in capitals":   decodeError[bool]("", []byte("T")),
		"date with time":        decodeError[time.Time](lockbox.Date, []byte("2026-02-28 12345")),
		"date that is none":     decodeError[time.Time](lockbox.Date, []byte("2026-02-30")),
		"datetime without zone": decodeError[time.Time]("", []byte("2026-02-28T01:02:03.12345")),
		"datetime year 10000":   decodeError[time.Time]("", []byte("9999-12-31T23:59:59.12345-01:00")),
		"datetime year -1":      decodeError[time.Time]("", []byte("0000-01-01T00:00:00.12345+01:00")),
		"time with date":        decodeError[time.Time](lockbox.Time, []byte("2000-01-01T12:34:51")),
		"time at 24":            decodeError[time.Time](lockbox.Time, []byte("24:00:00.123450000")),
		"a date far away":       appendError(lockbox.Date, time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)),
		"a date before 0":       appendError(lockbox.Date, time.Date(-12345, 1, 1, 0, 0, 0, 0, time.UTC)),
		"a datetime far away":   appendError(lockbox.Datetime, time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)),
		"far away only in UTC":  appendError(lockbox.Datetime, time.Date(9999, 12, 31, 23, 0, 0, 12345, time.FixedZone("", -7200))),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "lockbox: ") {
			t.Errorf("%s: %v; want an error", name, err)
		} else if strings.Contains(err.Error(), "12345") || strings.Contains(err.Error(), "-30") {
			t.Errorf("%s: the error shows the value: %q", name, err)
		}
	}
}

func appendError[T any](typ lockbox.Type, v T) error {
	_, err := must(lockbox.CodecOf[T](typ)).Append(nil, v)
	return err
}

func decodeError[T any](typ lockbox.Type, b []byte) error {
	v, err := must(lockbox.CodecOf[T](typ)).Decode(b)
	if zero := *new(T); err != nil && fmt.Sprint(v) != fmt.Sprint(zero) {
		return fmt.Errorf("value %v beside the error %w", v, err)
	}
	return err
}

func TestTimesAreWrittenInUTCAndDatesInTheirOwnZone(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		typ      lockbox.Type
		value    time.Time
		want     string
		readBack time.Time
	}{
		{lockbox.Date, time.Date(2026, 3, 1, 0, 30, 0, 0, berlin), "2026-03-01", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		{
			lockbox.Datetime, time.Date(2026, 3, 1, 0, 30, 0, 7, berlin),
			"2026-02-28T23:30:00.000000007Z", time.Date(2026, 2, 28, 23, 30, 0, 7, time.UTC),
		},
		{lockbox.Time, time.Date(2026, 3, 1, 0, 30, 0, 7, berlin), "23:30:00.000000007", time.Date(2000, 1, 1, 23, 30, 0, 7, time.UTC)},
		{lockbox.Date, time.Time{}, "0001-01-01", time.Time{}},
		{lockbox.Datetime, time.Time{}, "0001-01-01T00:00:00.000000000Z", time.Time{}},
		{lockbox.Date, time.Date(0, 2, 29, 0, 0, 0, 0, time.UTC), "0000-02-29", time.Date(0, 2, 29, 0, 0, 0, 0, time.UTC)},
	} {
		if err := roundTrip(c.typ, []byte(c.want), c.value, c.readBack); err != nil {
			t.Error(err)
		}
	}
}

// With a local default time zone, Rails writes datetimes with an offset; hands and older code write fewer decimals.
func TestOtherSpellingsOfATimeAreRead(t *testing.T) {
	want := time.Date(2026, 2, 28, 23, 30, 0, 5e8, time.UTC)
	codec := must(lockbox.CodecOf[time.Time](lockbox.Datetime))
	for _, text := range []string{"2026-02-28T23:30:00.5Z", "2026-03-01T00:30:00.500000000+01:00"} {
		if got, err := codec.Decode([]byte(text)); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s is read as %v, %v; want %v", text, got, err, want)
		}
	}
	clock := must(lockbox.CodecOf[time.Time](lockbox.Time))
	if got, err := clock.Decode([]byte("23:30:00")); err != nil || !got.Equal(time.Date(2000, 1, 1, 23, 30, 0, 0, time.UTC)) {
		t.Errorf("23:30:00 is read as %v, %v", got, err)
	}
}

func TestADecodedValueDoesNotShareMemoryWithItsInput(t *testing.T) {
	check := func(name string, decode func([]byte) ([]byte, error)) {
		input := []byte("input")
		got := must(decode(input))
		copy(input, "XXXXX")
		if string(got) != "input" {
			t.Errorf("%s: the decoded value changed with its input: %q", name, got)
		}
		if empty := must(decode(nil)); empty == nil {
			t.Errorf("%s: an empty value decodes to nil, which means NULL", name)
		}
	}
	check("[]byte", must(lockbox.CodecOf[[]byte]("")).Decode)
	named := must(lockbox.CodecOf[digest](""))
	check("a named type", func(b []byte) ([]byte, error) { return named.Decode(b) })
}
