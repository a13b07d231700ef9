package lockbox

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Type names what a sealed value is, in the gem's words. It decides the bytes that are sealed (lockbox
// lib/lockbox/model.rb), so that Ruby and Go read the same value.
type Type string

// The types, the bytes that they seal, and the Go types that fit them. A named type (type Email string) fits as what it
// is made of. A text type is one that has MarshalText, and UnmarshalText on its pointer, such as most types of UUIDs.
// Years outside 0 to 9999 are refused; Active Record reads no dates of the year 0.
const (
	String   Type = "string"   // the bytes as they are; string or []byte, or the text of a text type
	Binary   Type = "binary"   // the bytes as they are; []byte or string
	Boolean  Type = "boolean"  // t or f; bool
	Integer  Type = "integer"  // 8 bytes, signed, big endian; every int and uint type, as long as the value fits
	Float    Type = "float"    // 8 bytes, IEEE 754 double, big endian; float64, or float32, which reading rounds to
	Date     Type = "date"     // 2006-01-02, the day in the value's own time zone, read as midnight UTC; time.Time
	Datetime Type = "datetime" // 2006-01-02T15:04:05.000000000Z; time.Time, written and read in UTC
	Time     Type = "time"     // 15:04:05.000000000, the time of day in UTC, read as one of 2000-01-01; time.Time

	// Decimal is a decimal number of any length, written as Ruby's BigDecimal#to_s("F") does: digits on both sides of a
	// point, none that is superfluous, "-" where negative (5.0, -0.25). It fits a string, which may come as "5", "+05.00" or
	// ".5" and is read as 5.0; also "NaN", "Infinity" and "-Infinity", which Ruby can seal; a *big.Rat, as long as it has a
	// finite decimal form; and text types of that form. Exponents are refused.
	Decimal Type = "decimal"

	// JSON is what encoding/json makes of any Go type, and takes any JSON that encoding/json reads into it. <, > and & are
	// escaped, as Active Support does. It must be asked for. A []byte is refused, which encoding/json would turn into
	// base64: JSON that is there as text is a json.RawMessage.
	JSON Type = "json"

	// Inet is an IP address or network in 18 bytes: 0 for IPv4 or 1 for IPv6, the length of the prefix in bits, and the
	// address in 16 bytes, where IPv4 has 12 zeros after it. Bits beyond the prefix are cleared when writing and when reading,
	// as Ruby's IPAddr does: 10.1.2.3/8 is 10.0.0.0/8. It fits netip.Prefix and net.IPNet, and netip.Addr and net.IP, which
	// read only what has a full prefix. Zones are refused.
	Inet Type = "inet"

	// Hash and Array are YAML as Rails writes it. The package github.com/rowseal/rowseal/lockbox/railsyaml, a module of its
	// own, has the Go types for them.
	Hash  Type = "hash"
	Array Type = "array"
)

// takes says in words which Go types each Type takes.
var takes = map[Type]string{
	String:   "string, []byte or a type with MarshalText and UnmarshalText",
	Binary:   "[]byte or string",
	Boolean:  "bool",
	Integer:  "an int or uint type",
	Float:    "float64 or float32",
	Date:     "time.Time",
	Datetime: "time.Time",
	Time:     "time.Time",
	Decimal:  "string, *big.Rat or a type with MarshalText and UnmarshalText",
	JSON:     "json.RawMessage, or what else encoding/json writes and reads",
	Inet:     "netip.Prefix, netip.Addr, net.IPNet or net.IP",
	Hash:     "type Hash of github.com/rowseal/rowseal/lockbox/railsyaml",
	Array:    "type Array of github.com/rowseal/rowseal/lockbox/railsyaml",
}

// TypeOf returns the Type as which CodecOf seals a T: t, and where that is "", the natural type of T. Where CodecOf fails,
// it fails likewise.
func TypeOf[T any](t Type) (Type, error) { return typeOf(reflect.TypeFor[T](), t) }

func typeOf(goType reflect.Type, t Type) (Type, error) {
	if goType == anyType {
		return typeOfAny(t)
	}
	fitting := typesFor(goType)
	switch {
	case t == "" && len(fitting) > 0 && fitting[0] != JSON:
		return fitting[0], nil
	case !slices.Contains(fitting, t):
		return "", misfit(goType, t, fitting)
	}
	return t, nil
}

func typeOfAny(t Type) (Type, error) {
	switch _, known := takes[t]; {
	case t == "":
		return String, nil
	case !known || t == Hash || t == Array:
		return "", misfit(anyType, t, nil)
	}
	return t, nil
}

var (
	anyType    = reflect.TypeFor[any]()
	bytesType  = reflect.TypeFor[[]byte]()
	timeType   = reflect.TypeFor[time.Time]()
	ratType    = reflect.TypeFor[*big.Rat]()
	prefixType = reflect.TypeFor[netip.Prefix]()
	addrType   = reflect.TypeFor[netip.Addr]()
	ipNetType  = reflect.TypeFor[net.IPNet]()
	ipType     = reflect.TypeFor[net.IP]()
)

// typesFor returns the types that fit a Go type, the natural one first. JSON is never natural.
func typesFor(goType reflect.Type) []Type {
	if own, ok := sealedType(goType); ok {
		return []Type{own}
	}
	types := madeOf(goType)
	if isText(goType) && !slices.Contains(types, String) && !slices.Contains(types, Datetime) {
		types = append(types, String, Decimal)
	}
	if isJSON(goType) {
		types = append(types, JSON)
	}
	return types
}

// madeOf returns the types that fit what a Go type is made of.
func madeOf(goType reflect.Type) []Type {
	switch goType {
	case prefixType, addrType, ipNetType, ipType:
		return []Type{Inet}
	case ratType:
		return []Type{Decimal}
	}
	switch kind := goType.Kind(); {
	case kind == reflect.String:
		return []Type{String, Binary, Decimal}
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

// isText reports whether a Go type is a text type. Pointers and interfaces are not: a pointer to one has no methods.
func isText(goType reflect.Type) bool {
	return goType.Implements(reflect.TypeFor[encoding.TextMarshaler]()) &&
		reflect.PointerTo(goType).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isJSON reports whether encoding/json can read and write a Go type, as far as its outside shows.
func isJSON(goType reflect.Type) bool {
	if goType.Implements(reflect.TypeFor[json.Marshaler]()) {
		return true
	}
	switch goType.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Interface:
		return goType.NumMethod() == 0
	case reflect.Slice:
		return !goType.ConvertibleTo(bytesType) || isText(goType)
	}
	return true
}

func misfit(goType reflect.Type, t Type, fitting []Type) error {
	known := slices.Sorted(maps.Keys(takes))
	needs, ok := takes[t]
	switch {
	case t == "" && slices.Contains(fitting, JSON):
		return fmt.Errorf("lockbox: a Go %s has no type of its own: say type json, or use string, []byte, bool, a number, "+
			"time.Time or a type with MarshalText and UnmarshalText", goType)
	case t == "":
		return fmt.Errorf("lockbox: no type seals a Go %s: want string, []byte, bool, a number or time.Time", goType)
	case !ok && len(fitting) == 0:
		return fmt.Errorf("lockbox: unknown type %q for a Go %s (known are %s)", string(t), goType, list(known))
	case !ok:
		return fmt.Errorf("lockbox: unknown type %q for a Go %s: use %s (known are %s)",
			string(t), goType, list(fitting), list(known))
	case len(fitting) == 0:
		return fmt.Errorf("lockbox: type %q does not fit a Go %s: use Go's %s", string(t), goType, needs)
	}
	return fmt.Errorf("lockbox: type %q does not fit a Go %s: use type %s, or Go's %s",
		string(t), goType, list(fitting), needs)
}

func list(types []Type) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}
