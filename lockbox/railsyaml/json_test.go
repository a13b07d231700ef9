package railsyaml

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

type settings struct {
	Theme  string         `json:"theme"`
	Limit  *int           `json:"limit,omitempty"`
	Ratios []float64      `json:"ratios"`
	Nested map[string]any `json:"nested"`
}

func TestStructsGoThroughJSON(t *testing.T) {
	limit := 3
	want := settings{"dark", &limit, []float64{0.5, 2}, map[string]any{"a": "b"}}
	h, err := HashOf(want)
	if err != nil {
		t.Fatal(err)
	}
	text, err := h.AppendSealed(nil)
	if yaml := "---\nlimit: 3\nnested:\n  a: b\nratios:\n- 0.5\n- 2\ntheme: dark\n"; err != nil || string(text) != yaml {
		t.Errorf("written as %q (%v), want %q", text, err, yaml)
	}
	var read Hash
	if err := read.DecodeSealed(text); err != nil {
		t.Fatal(err)
	}
	var got settings
	if err := read.Into(&got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v (%v), want %+v", got, err, want)
	}
}

func TestSlicesGoThroughJSON(t *testing.T) {
	a, err := ArrayOf([]any{1, 18446744073709551615.0, uint64(math.MaxUint64), "x"})
	text, err2 := a.AppendSealed(nil)
	if want := "---\n- 1\n- 18446744073709552000\n- 18446744073709551615\n- x\n"; err != nil || err2 != nil || string(text) != want {
		t.Errorf("written as %q (%v, %v), want %q", text, err, err2, want)
	}
	var got []string
	if err := (Array{"a", "b"}).Into(&got); err != nil || !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("read as %v (%v)", got, err)
	}
}

func TestMisfitsThroughJSONDoNotShowTheValue(t *testing.T) {
	var small []int8
	var text struct{ A string }
	_, notHash := HashOf([]int{300})
	_, notArray := ArrayOf(math.NaN())
	for _, err := range []error{
		Array{int64(300)}.Into(&small), Hash{"a": int64(300)}.Into(&text), Hash{"a": math.NaN()}.Into(&text), notHash, notArray,
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "railsyaml: ") || strings.Contains(err.Error(), "300") {
			t.Errorf("error %v, want one without the value", err)
		}
	}
}
