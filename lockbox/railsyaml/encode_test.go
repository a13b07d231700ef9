package railsyaml

import (
	"errors"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

var (
	_ lockbox.Value = Hash{}
	_ lockbox.Value = Array{}
	_ lockbox.Value = RubyHash{}
	_ lockbox.Value = RubyArray{}
)

type (
	name  string
	count uint64
	names []name
)

func TestGoValuesAreWrittenAsRubysLikeOnes(t *testing.T) {
	three := 3
	cet := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, ""},
		{(*int)(nil), ""},
		{(*big.Int)(nil), ""},
		{(*netip.Addr)(nil), ""},
		{&three, " 3"},
		{int8(-3), " -3"},
		{uint16(3), " 3"},
		{count(math.MaxUint64), " 18446744073709551615"},
		{new(big.Int).Lsh(big.NewInt(-1), 64), " -18446744073709551616"},
		{true, " true"},
		{float32(0.5), " 0.5"},
		{3.0, " 3.0"},
		{math.NaN(), " .nan"},
		{"", " ''"},
		{name("no"), " 'no'"},
		{"y", ` "y"`},
		{"a\nb", " |-\n  a\n  b"},
		{Symbol("a b"), " :a b"},
		{Symbol(""), " !ruby/symbol"},
		{Symbol("a: b"), " ! ':a: b'"},
		{[]byte{0xff, 0}, " !binary |-\n  /wA="},
		{[]byte("ab"), " !binary |-\n  YWI="},
		{[]byte{}, ` !binary ""`},
		{Date{2026, 1, 2}, " 2026-01-02"},
		{time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), " 2026-01-02 03:04:05.000000006 Z"},
		{time.Date(2026, 1, 2, 3, 4, 5, 0, cet), " 2026-01-02 03:04:05.000000000 +01:00"},
		{time.Date(1890, 1, 2, 3, 4, 5, 0, time.FixedZone("LMT", 1)), " 1890-01-02 03:04:04.000000000 Z"},
		{netip.MustParseAddr("::1"), ` "::1"`},
		{[]int{}, " []"},
		{[0]int{}, " []"},
		{[2]bool{true, false}, "\n- true\n- false"},
		{names{"a", "no"}, "\n- a\n- 'no'"},
		{[][]string{{"a"}, {}}, "\n- - a\n- []"},
		{map[string]int(nil), " {}"},
		{map[name]int{"b": 1, "a": 2, "no": 3}, "\n  a: 2\n  b: 1\n  'no': 3"},
		{map[Symbol]any{"b": nil, "a": Symbol("c")}, "\n  :a: :c\n  :b:"},
		{map[int]string{10: "b", -1: "c", 9: "a"}, "\n  -1: c\n  9: a\n  10: b"},
		{Hash{"a": Array{Hash{}}}, "\n  a:\n  - {}"},
		{RubyHash{Pairs: []Pair{{"b", 1}, {Symbol("a"), 2}}}, "\n  b: 1\n  :a: 2"},
		{RubyHash{Indifferent: true}, " !ruby/hash:ActiveSupport::HashWithIndifferentAccess {}"},
		{RubyHash{Pairs: []Pair{{[]int{1}, []int{2}}, {nil, 1}}}, "\n  ? - 1\n  : - 2\n  ! '': 1"},
	} {
		got, err := Hash{"k": c.value}.AppendSealed(nil)
		if want := "---\nk:" + c.want + "\n"; err != nil || string(got) != want {
			t.Errorf("%#v is written %q (%v), want %q", c.value, got, err, want)
		}
	}
}

type unwritable struct{}

func (unwritable) MarshalText() ([]byte, error) { return nil, errors.New(secret) }

func TestWhatRubyWouldReadAsSomethingElseIsRefused(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	inItself := map[string]any{}
	inItself["a"] = inItself
	for _, c := range []struct {
		value any
		want  string
	}{
		{secret + "\xff", "not UTF-8"},
		{map[string]int{secret + "\xff": 1}, "not UTF-8"},
		{Symbol(secret + "\xff"), "not UTF-8"},
		{Symbol(secret + "\nb"), "a symbol"},
		{Symbol(`"` + secret + `" `), "a symbol"},
		{Date{2026, 2, 30}, "a Date"},
		{Date{10000, 1, 1}, "a Date"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "a time"},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -1)), "a time"},
		{struct{ A string }{secret}, "a Go struct"},
		{make(chan int), "a Go chan int"},
		{complex(1, 2), "a Go complex128"},
		{map[float64]int{1: 2}, "a Go map[float64]int"},
		{unwritable{}, "a Go railsyaml.unwritable"},
		{inItself, "a value inside itself"},
		{RubyHash{Pairs: []Pair{{7, secret}, {int8(7), secret}}}, "the same key twice"},
		{RubyHash{Pairs: []Pair{{[]int{7}, secret}, {Array{7}, secret}}}, "the same key twice"},
		{RubyHash{Pairs: []Pair{{noon, secret}, {noon.In(time.FixedZone("", 3600)), secret}}}, "the same key twice"},
		{new(big.Int).Lsh(big.NewInt(1), 3*maxDigits), "too large"},
		{strings.Repeat(secret, 1+MaxSize/len(secret)), "too large"},
		{[]string{strings.Repeat("a", MaxSize), ""}, "too large"},
	} {
		got, err := Array{c.value}.AppendSealed([]byte("before"))
		if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "railsyaml: ") {
			t.Errorf("%.80v: error %v and %d bytes, want an error with %q", c.want, err, len(got), c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the value: %v", c.want, err)
		}
		if tooLarge := c.want == "too large" || c.want == "a value inside itself"; tooLarge != errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: error %v, is ErrTooLarge: %v", c.want, err, !tooLarge)
		}
	}
}

func TestARubyHashIsChangedInPlace(t *testing.T) {
	var h RubyHash
	if err := h.DecodeSealed([]byte("---\n:role: :admin\nrole: text\nsince: 2026-01-02\n7: x\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Pair{{Symbol("role"), Symbol("admin")}, {"role", "text"}, {7, "x"}, {"since", Date{2026, 1, 2}}} {
		if got, ok := h.Get(want.Key); !ok || got != want.Value {
			t.Errorf("%#v has %#v (%v), want %#v", want.Key, got, ok, want.Value)
		}
	}
	if got, ok := h.Get("none"); ok {
		t.Errorf("a key that there is not has %v", got)
	}
	h.Set(Symbol("role"), Symbol("guest"))
	h.Set("new", 1)
	h.Set(name("new"), 2)
	h.Set(9, 1)
	h.Set(int64(9), 2)
	got, err := h.AppendSealed(nil)
	if want := "---\n:role: :guest\nrole: text\nsince: 2026-01-02\n7: x\nnew: 2\n9: 2\n"; err != nil || string(got) != want {
		t.Errorf("written as %q (%v), want %q", got, err, want)
	}
}
