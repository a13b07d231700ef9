package railsyaml

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

// psych holds what Psych wrote, and which values it read again: testdata/psych.json. The values are in the form of shape.
var psych = readData[struct {
	Documents []struct {
		YAML     string
		Value    any
		Rewrites bool // Psych writes the value that it read as the same bytes; it damages a few symbols and times
	}
}]("psych.json")

// scalars holds what Psych makes of plain text: testdata/scalars.json.
var scalars = readData[struct {
	Scalars []struct {
		Text  string
		Value any
	}
}]("scalars.json")

func readData[T any](name string) (v T) {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(err)
	}
	return v
}

// shape is a value in JSON, with its Ruby class.
func shape(v any) any {
	switch v := v.(type) {
	case RubyHash:
		list := []any{"h", map[bool]float64{true: 1}[v.Indifferent]}
		for _, pair := range v.Pairs {
			list = append(list, []any{shape(pair.Key), shape(pair.Value)})
		}
		return list
	case RubyArray:
		list := []any{"a"}
		for _, item := range v {
			list = append(list, shape(item))
		}
		return list
	case Symbol:
		return []any{"sym", string(v)}
	case string:
		return []any{"s", v}
	case []byte:
		return []any{"bin", base64.StdEncoding.EncodeToString(v)}
	case int64, *big.Int:
		return []any{"i", fmt.Sprint(v)}
	case float64:
		if math.IsNaN(v) {
			return []any{"f", "7ff8000000000000"}
		}
		return []any{"f", hex.EncodeToString(binaryFloat(v))}
	case time.Time:
		_, offset := v.Zone()
		return []any{"t", fmt.Sprintf("%d.%d", v.Unix(), v.Nanosecond()), float64(offset)}
	case Date:
		return []any{"d", v.String()}
	}
	return []any{"v", v}
}

func binaryFloat(f float64) []byte {
	return big.NewInt(0).SetUint64(math.Float64bits(f)).FillBytes(make([]byte, 8))
}

func TestPlainTextIsWhatItIsToPsych(t *testing.T) {
	for _, row := range scalars.Scalars {
		if got := shape(resolve(row.Text)); !reflect.DeepEqual(got, row.Value) {
			t.Errorf("%q is %v, want %v", row.Text, got, row.Value)
		}
	}
}

func TestDocumentsOfPsychAreReadAndWrittenAgain(t *testing.T) {
	for _, row := range psych.Documents {
		v, err := decodeExact([]byte(row.YAML))
		if err != nil {
			t.Errorf("%q: %v", row.YAML, err)
			continue
		}
		if got := shape(v); !reflect.DeepEqual(got, row.Value) {
			t.Errorf("%q is\n     %v\nwant %v", row.YAML, got, row.Value)
		}
		if !row.Rewrites {
			continue
		}
		if got, err := v.AppendSealed([]byte("before")); err != nil || string(got) != "before"+row.YAML {
			t.Errorf("written as %q (%v)\nwant       %q", got, err, row.YAML)
		}
	}
}

// decodeExact reads a document as a RubyHash or a RubyArray, whichever it is.
func decodeExact(b []byte) (lockbox.Value, error) {
	var hash RubyHash
	err := hash.DecodeSealed(b)
	if err == errNotHash {
		var array RubyArray
		err = array.DecodeSealed(b)
		return array, err
	}
	return hash, err
}

// Every float that has the shape of a boundary in Ruby's printing, and reads again as itself.
func TestFloatsAreReadAgain(t *testing.T) {
	for _, f := range []float64{
		0, math.Copysign(0, -1), 1e-5, 1e-4, 0.00099, 1, 1e14, 999999999999999.9, 1e15, 1e15 + 0.5, 1e16, math.MaxFloat64,
		math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1),
	} {
		text := floatText(f)
		if got, ok := resolve(text).(float64); !ok || math.Float64bits(got) != math.Float64bits(f) {
			t.Errorf("%v is written %s, which is read as %v", f, text, resolve(text))
		}
	}
	if got, ok := resolve(floatText(math.NaN())).(float64); !ok || !math.IsNaN(got) {
		t.Errorf("NaN is read as %v", got)
	}
}

func equalBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
