package lockbox_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

func TestValuesAreSealedAsTheGemSealsThem(t *testing.T) {
	tested, yaml := 0, 0
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
		case lockbox.Decimal:
			err = roundTrip(row.Type, serialized, fromJSON[string](row.Value), fromJSON[string](row.ReadBack))
		case lockbox.JSON:
			err = roundTrip(row.Type, serialized, fromJSON[any](row.Value), fromJSON[any](row.ReadBack))
		case lockbox.Inet:
			err = roundTrip(row.Type, serialized, prefix(fromJSON[string](row.Value)), prefix(fromJSON[string](row.ReadBack)))
		case lockbox.Hash, lockbox.Array: // package railsyaml reads the YAML
			yaml++
		default:
			t.Errorf("row %d: type %s", i, row.Type)
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
	if tested != 42 || yaml != 5 {
		t.Errorf("tested %d rows, %d of them YAML; want 42 and 5", tested, yaml)
	}
}

// prefix reads an address with or without a prefix length.
func prefix(s string) netip.Prefix {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return netip.MustParsePrefix(s)
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
	uuid      [16]byte
	level     int
	percent   int64
	celsius   float64
)

func (u uuid) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), nil
}

func (u *uuid) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "-", ""))
	if err != nil || len(b) != 16 {
		return fmt.Errorf("%s is no UUID", text) // as many do, it quotes the value
	}
	*u = uuid(b)
	return nil
}

func (l level) MarshalText() ([]byte, error) {
	if l != 2 {
		return nil, fmt.Errorf("level %d", l)
	}
	return []byte("high"), nil
}

func (l *level) UnmarshalText(text []byte) error {
	if string(text) != "high" {
		return fmt.Errorf("level %s", text)
	}
	*l = 2
	return nil
}

func (p percent) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d.%02d", p/100, p%100), nil }

func (p *percent) UnmarshalText(text []byte) error {
	r, ok := new(big.Rat).SetString(string(text))
	if !ok || !r.Mul(r, big.NewRat(100, 1)).IsInt() || !r.Num().IsInt64() || r.Sign() < 0 {
		return errors.New("not percents")
	}
	*p = percent(r.Num().Int64())
	return nil
}

// celsius is a type of one's own.
func (celsius) SealedType() lockbox.Type { return "temperature" }

func (c celsius) AppendSealed(dst []byte) ([]byte, error) {
	if math.IsNaN(float64(c)) {
		return nil, errors.New("celsius: not a temperature")
	}
	return append(strconv.AppendFloat(dst, float64(c), 'g', -1, 64), " C"...), nil
}

func (c *celsius) DecodeSealed(b []byte) error {
	number, ok := strings.CutSuffix(string(b), " C")
	f, err := strconv.ParseFloat(number, 64)
	*c = celsius(f)
	if !ok || err != nil || math.IsNaN(f) {
		return errors.New("celsius: not a temperature")
	}
	return nil
}

const zeros12 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func ipNet(s string) net.IPNet {
	_, n, err := net.ParseCIDR(s)
	return *must(n, err)
}

func TestGoTypesOfEveryKindHaveANaturalType(t *testing.T) {
	id := uuid(fromHex("0102030405060708090a0b0c0d0e0f10"))
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
		roundTrip("", []byte("-0.25"), big.NewRat(-1, 4), big.NewRat(-1, 4)),
		roundTrip("", []byte("\x00\x08\x0a\x00\x00\x00"+zeros12), prefix("10.1.2.3/8"), prefix("10.0.0.0/8")),
		roundTrip("", []byte("\x00\x20\x0a\x01\x02\x03"+zeros12), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.3")),
		roundTrip("", []byte("\x00\x20\x0a\x01\x02\x03"+zeros12), net.ParseIP("10.1.2.3"), net.IP{10, 1, 2, 3}),
		roundTrip("", []byte("\x00\x08\x0a\x00\x00\x00"+zeros12), ipNet("10.0.0.0/8"), ipNet("10.0.0.0/8")),
		roundTrip("", []byte("01020304-0506-0708-090a-0b0c0d0e0f10"), id, id),
		roundTrip("", []byte("20.5 C"), celsius(20.5), celsius(20.5)),
		// A type that is not the natural one, but fits.
		roundTrip(lockbox.Binary, []byte("\xff"), email("\xff"), "\xff"),
		roundTrip(lockbox.String, []byte("hi"), digest("hi"), digest("hi")),
		roundTrip(lockbox.String, []byte("10.1.2.3"), net.ParseIP("10.1.2.3"), net.ParseIP("10.1.2.3")),
		roundTrip(lockbox.String, []byte("10.1.0.0/16"), prefix("10.1.0.0/16"), prefix("10.1.0.0/16")),
		roundTrip(lockbox.String, []byte("high"), level(2), 2),
		roundTrip(lockbox.Integer, bigEndian(2), level(2), 2),
		roundTrip(lockbox.Decimal, []byte("12.5"), email("+012.50"), "12.5"),
		roundTrip(lockbox.Decimal, []byte("0.02"), percent(2), 2),
		roundTrip("temperature", []byte("-3 C"), celsius(-3), -3),
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
	const railsyaml = "github.com/rowseal/rowseal/lockbox/railsyaml"
	for _, c := range []struct {
		err  error
		want []string
	}{
		{refusal[string](lockbox.Date), []string{`"date"`, "string, binary, decimal, json", "time.Time"}},
		{refusal[email](lockbox.Integer), []string{`"integer"`, "lockbox_test.email", "int or uint"}},
		{refusal[time.Time](lockbox.String), []string{`"string"`, "time.Time", "datetime, date, time"}},
		{refusal[int](lockbox.Float), []string{`"float"`, "int", "integer", "float64"}},
		{refusal[bool](lockbox.Integer), []string{`"integer"`, "bool", "boolean"}},
		{refusal[string]("datum"), []string{`unknown type "datum"`, "string, binary", "datetime"}},
		{refusal[error]("datum"), []string{`unknown type "datum"`, "error", "datetime"}},
		{refusal[[]int](""), []string{"[]int", "[]byte", "say type json"}},
		{refusal[[]namedByte](""), []string{"[]lockbox_test.namedByte", "say type json"}},
		{refusal[[16]byte](lockbox.Binary), []string{"[16]uint8"}},
		{refusal[*string](lockbox.String), []string{"*string"}},
		{refusal[struct{}](""), []string{"struct {}"}},
		{refusal[uintptr](""), []string{"uintptr"}},
		{refusal[error]("string"), []string{"error"}},
		{refusal[error](""), []string{"error"}},
		{refusal[error](lockbox.JSON), []string{"error"}},
		{refusal[func()](lockbox.JSON), []string{"func()"}},
		{refusal[chan int](""), []string{"chan int"}},
		{refusal[[]byte](lockbox.JSON), []string{`"json"`, "[]uint8", "json.RawMessage"}},
		{refusal[time.Time](lockbox.Decimal), []string{`"decimal"`, "big.Rat"}},
		{refusal[big.Rat](lockbox.Decimal), []string{`"decimal"`, "*big.Rat"}},
		{refusal[*big.Rat](lockbox.String), []string{`"string"`, "decimal"}},
		{refusal[string](lockbox.Inet), []string{`"inet"`, "netip.Prefix"}},
		{refusal[*netip.Addr](lockbox.Inet), []string{`"inet"`, "*netip.Addr"}},
		{refusal[map[string]any](lockbox.Hash), []string{`"hash"`, railsyaml}},
		{refusal[[]any](lockbox.Array), []string{`"array"`, railsyaml}},
		{refusal[string](lockbox.Hash), []string{`"hash"`, railsyaml}},
		{refusal[any](lockbox.Hash), []string{`"hash"`, railsyaml}},
		{refusal[any](lockbox.Array), []string{`"array"`, railsyaml}},
		{refusal[any]("datum"), []string{`unknown type "datum"`}},
		{refusal[*celsius]("temperature"), []string{`"temperature"`, "*lockbox_test.celsius"}},
		{refusal[*uuid](lockbox.String), []string{`"string"`, "*lockbox_test.uuid"}},
		{refusal[lockbox.Value]("temperature"), []string{"lockbox.Value"}},
		{refusal[celsius](lockbox.Float), []string{`"float"`, "lockbox_test.celsius", "temperature"}},
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
	if typ, typeErr := lockbox.TypeOf[T](t); typ != "" || fmt.Sprint(typeErr) != err.Error() {
		return fmt.Errorf("TypeOf says %q, %v", typ, typeErr)
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
		"empty decimal":         decodeError[string](lockbox.Decimal, nil),
		"a word as decimal":     decodeError[string](lockbox.Decimal, []byte("12345 euros")),
		"a decimal of no digit": decodeError[string](lockbox.Decimal, []byte("-.")),
		"two points":            decodeError[string](lockbox.Decimal, []byte("1.2.12345")),
		"two signs":             decodeError[string](lockbox.Decimal, []byte("--12345")),
		"an exponent":           decodeError[string](lockbox.Decimal, []byte("12345e1")),
		"a fraction":            decodeError[*big.Rat](lockbox.Decimal, []byte("12345/2")),
		"no finite rational":    decodeError[*big.Rat](lockbox.Decimal, []byte("NaN")),
		"infinite rational":     decodeError[*big.Rat](lockbox.Decimal, []byte("-Infinity")),
		"decimal of other type": decodeError[percent](lockbox.Decimal, []byte("1.12345")),
		"decimal appended":      appendError(lockbox.Decimal, "12345 euros"),
		"a third":               appendError(lockbox.Decimal, big.NewRat(12345, 9)),
		"a nil rational":        appendError[*big.Rat](lockbox.Decimal, nil),
		"JSON of another shape": decodeError[map[string]int](lockbox.JSON, []byte(`{"b": 1, "a": 12345.5}`)),
		"JSON cut off":          decodeError[any](lockbox.JSON, []byte(`{"a": 12345`)),
		"JSON and more":         decodeError[any](lockbox.JSON, []byte(`12345 12345`)),
		"empty JSON":            decodeError[any](lockbox.JSON, nil),
		"what JSON cannot say":  appendError(lockbox.JSON, map[string]float64{"12345": math.Inf(1)}),
		"bytes as any JSON":     appendError(lockbox.JSON, any([]byte("12345"))),
		"a function as JSON":    appendError(lockbox.JSON, any(func() {})),
		"short inet":            decodeError[netip.Prefix]("", []byte("\x00\x2012345")),
		"long inet":             decodeError[netip.Prefix]("", []byte("\x01\x8012345 12345 12345")),
		"inet of no family":     decodeError[netip.Prefix]("", []byte("\x02\x2012345 12345 12345")[:18]),
		"IPv4 and more":         decodeError[netip.Prefix]("", []byte("\x00\x2012345 12345 12345")[:18]),
		"IPv4 prefix of 33":     decodeError[netip.Prefix]("", []byte("\x00\x211234"+zeros12)),
		"IPv6 prefix of 129":    decodeError[netip.Prefix]("", []byte("\x01\x8112345 12345 12345")[:18]),
		"a network as address":  decodeError[netip.Addr]("", []byte("\x00\x181234"+zeros12)),
		"a network as net.IP":   decodeError[net.IP]("", []byte("\x00\x181234"+zeros12)),
		"an address with zone":  appendError("", netip.MustParseAddr("fe80::1%12345")),
		"no address":            appendError("", netip.Addr{}),
		"no prefix":             appendError("", netip.Prefix{}),
		"no net.IP":             appendError("", net.IP("12345")),
		"no net.IPNet":          appendError("", net.IPNet{}),
		"half a net.IPNet":      appendError("", net.IPNet{IP: net.ParseIP("::12345"[:6]), Mask: net.CIDRMask(8, 32)}),
		"a mask with holes":     appendError("", net.IPNet{IP: net.IP{1, 2, 3, 4}, Mask: net.IPMask{255, 0, 255, 0}}),
		"text of another type":  decodeError[uuid]("", []byte("12345")),
		"text refused":          appendError(lockbox.String, level(12345)),
		"a wrong any":           appendError(lockbox.Integer, any("12345")),
		"an any of nothing":     appendError[any](lockbox.String, nil),
		"a pointer in an any":   appendError(lockbox.String, any(new(string))),
		"an any above int64":    appendError(lockbox.Integer, any(uint64(12345678901234567890))),
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

func TestDecimalsAreSpelledAsRubySpellsThem(t *testing.T) {
	for given, want := range map[string]string{
		"5": "5.0", "5.": "5.0", ".5": "0.5", "+5": "5.0", "-5": "-5.0", "005.500": "5.5", "0": "0.0", "-0": "-0.0", "000": "0.0",
		"100": "100.0", "0.010": "0.01", "NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity",
		"123456789012345678901234567890.123456789": "123456789012345678901234567890.123456789",
	} {
		if err := roundTrip(lockbox.Decimal, []byte(want), given, want); err != nil {
			t.Error(err)
		}
		if got, err := must(lockbox.CodecOf[string](lockbox.Decimal)).Decode([]byte(given)); err != nil || got != want {
			t.Errorf("%q is read as %q, %v; want %q", given, got, err, want)
		}
	}
	for text, rat := range map[string]*big.Rat{
		"5.0": big.NewRat(5, 1), "0.0": new(big.Rat), "-0.000125": big.NewRat(-1, 8000), "100.0": big.NewRat(100, 1),
	} {
		got, err := must(lockbox.CodecOf[*big.Rat]("")).Append(nil, rat)
		if err != nil || string(got) != text {
			t.Errorf("%v is appended as %q, %v; want %q", rat, got, err, text)
		}
		back, err := must(lockbox.CodecOf[*big.Rat]("")).Decode([]byte(text))
		if err != nil || back.Cmp(rat) != 0 {
			t.Errorf("%q is read as %v, %v; want %v", text, back, err, rat)
		}
	}
}

func TestJSONIsEscapedAsActiveSupportEscapesIt(t *testing.T) {
	id := uuid(fromHex("0102030405060708090a0b0c0d0e0f10"))
	type settings struct {
		Theme string         `json:"theme"`
		Sizes map[string]int `json:"sizes"`
	}
	for _, err := range []error{
		roundTrip(lockbox.JSON, []byte(`"\u003cb\u003e \u0026 \u2028é"`), "<b> & \u2028é", "<b> & \u2028é"),
		roundTrip(lockbox.JSON, []byte(`{"theme":"dark","sizes":{"a":1,"b":2}}`),
			settings{"dark", map[string]int{"b": 2, "a": 1}}, settings{"dark", map[string]int{"b": 2, "a": 1}}),
		roundTrip(lockbox.JSON, []byte(`[1,2]`), []int{1, 2}, []int{1, 2}),
		roundTrip(lockbox.JSON, []byte(`{"a":1}`), json.RawMessage(` {"a": 1} `), json.RawMessage(`{"a":1}`)),
		roundTrip(lockbox.JSON, []byte(`null`), any(nil), any(nil)),
		roundTrip(lockbox.JSON, []byte(`7`), 7, 7),
		roundTrip(lockbox.JSON, []byte(`"01020304-0506-0708-090a-0b0c0d0e0f10"`), id, id),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAnAnyTakesWhateverFitsItsType(t *testing.T) {
	at := time.Date(2026, 2, 28, 1, 2, 3, 4, time.UTC)
	day := time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)
	clock := time.Date(2000, 1, 1, 1, 2, 3, 4, time.UTC)
	for _, c := range []struct {
		typ    lockbox.Type
		values []any
		want   string
		back   any
	}{
		{"", []any{"hi", email("hi"), []byte("hi"), digest("hi"), json.RawMessage("hi")}, "hi", "hi"},
		{lockbox.String, []any{netip.MustParseAddr("::1"), net.ParseIP("::1"), "::1"}, "::1", "::1"},
		{lockbox.String, []any{level(2)}, "high", "high"},
		{lockbox.Binary, []any{"hi", email("hi"), []byte("hi"), digest("hi")}, "hi", []byte("hi")},
		{lockbox.Boolean, []any{true, consent(true)}, "t", true},
		{
			lockbox.Integer,
			[]any{7, int8(7), int16(7), int32(7), int64(7), uint(7), uint8(7), uint16(7), uint32(7), uint64(7), cents(7), age(7)},
			string(bigEndian(7)), int64(7),
		},
		{lockbox.Float, []any{1.5, float32(1.5), weight(1.5)}, "\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5},
		{lockbox.Date, []any{at, birthday(at)}, "2026-02-28", day},
		{lockbox.Datetime, []any{at, birthday(at)}, "2026-02-28T01:02:03.000000004Z", at},
		{lockbox.Time, []any{at, birthday(at)}, "01:02:03.000000004", clock},
		{lockbox.Decimal, []any{"7", email("7.00"), big.NewRat(7, 1), percent(700)}, "7.0", "7.0"},
		{lockbox.JSON, []any{[]int{1}, []any{1.0}, json.RawMessage("[1]")}, "[1]", []any{1.0}},
		{
			lockbox.Inet,
			[]any{
				prefix("10.1.2.3"), netip.MustParseAddr("10.1.2.3"), net.ParseIP("10.1.2.3"), ipNet("10.1.2.3/32"),
				net.IPNet{IP: net.ParseIP("10.1.2.3"), Mask: net.CIDRMask(32, 32)}, // 16 bytes and 4
			},
			"\x00\x20\x0a\x01\x02\x03" + zeros12, prefix("10.1.2.3/32"),
		},
	} {
		for _, v := range c.values {
			if err := roundTrip(c.typ, []byte(c.want), v, c.back); err != nil {
				t.Errorf("%T: %v", v, err)
			}
		}
	}
}

func TestTypeOfAnswersWhatTheCodecSeals(t *testing.T) {
	typeOf := func(typ lockbox.Type, err error) lockbox.Type { return must(typ, err) }
	for want, got := range map[lockbox.Type]lockbox.Type{
		lockbox.String:   typeOf(lockbox.TypeOf[any]("")),
		lockbox.Binary:   typeOf(lockbox.TypeOf[json.RawMessage]("")),
		lockbox.Integer:  typeOf(lockbox.TypeOf[level]("")),
		lockbox.Datetime: typeOf(lockbox.TypeOf[birthday]("")),
		lockbox.Date:     typeOf(lockbox.TypeOf[birthday]("date")),
		lockbox.JSON:     typeOf(lockbox.TypeOf[[]int]("json")),
		lockbox.Inet:     typeOf(lockbox.TypeOf[net.IP]("")),
		lockbox.Decimal:  typeOf(lockbox.TypeOf[*big.Rat]("")),
		"temperature":    typeOf(lockbox.TypeOf[celsius]("")),
	} {
		if got != want {
			t.Errorf("TypeOf says %q, want %q", got, want)
		}
	}
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
