package blindindex_test

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/blindindex"
)

var (
	_ sql.Scanner            = (*blindindex.Index)(nil)
	_ driver.Valuer          = blindindex.Index{}
	_ encoding.TextMarshaler = blindindex.Index{}
)

func TestAnIndexIsWrittenAsItWasLoadedOrSet(t *testing.T) {
	const text = "5+DoS/c/fvkxI8TNfLCZgW93HKc77uuVirr8qm3yMmI="
	scan := func(src any) func(*blindindex.Index) {
		return func(i *blindindex.Index) { check(i.Scan(src)) }
	}
	for _, c := range []struct {
		what   string
		change func(*blindindex.Index)
		text   string
		value  driver.Value
		loaded bool
	}{
		{"zero", func(*blindindex.Index) {}, "", nil, false},
		{"scan NULL", scan(nil), "", nil, true},
		{"scan text", scan(text), text, text, true},
		{"scan bytes", scan([]byte(text)), text, []byte(text), true},
		{"scan raw", scan([]byte{0, 0xff}), "\x00\xff", []byte{0, 0xff}, true},
		{"scan empty text", scan(""), "", "", true},
		{"scan nil bytes", scan([]byte(nil)), "", []byte{}, true},
		{"set", func(i *blindindex.Index) { i.Set(text) }, text, text, true},
		{"set raw", func(i *blindindex.Index) { i.SetRaw("\x00\xff") }, "\x00\xff", []byte{0, 0xff}, true},
		{"set nothing", func(i *blindindex.Index) { i.Set("") }, "", nil, true},
		{"set raw nothing", func(i *blindindex.Index) { i.SetRaw("") }, "", nil, true},
		{"set null", (*blindindex.Index).SetNull, "", nil, true},
	} {
		for _, before := range []blindindex.Index{{}, setTo("before")} {
			if c.what == "zero" {
				before = blindindex.Index{}
			}
			i := before
			c.change(&i)
			value, err := i.Value()
			if err != nil || !reflect.DeepEqual(value, c.value) || !driver.IsValue(value) {
				t.Errorf("%s: written as %#v, %v", c.what, value, err)
			}
			if i.Text() != c.text || i.IsLoaded() != c.loaded || i.IsNull() != (c.value == nil) {
				t.Errorf("%s: text %q, loaded %v, null %v", c.what, i.Text(), i.IsLoaded(), i.IsNull())
			}
		}
	}
}

func setTo(text string) (i blindindex.Index) {
	i.Set(text)
	return i
}

func TestScanCopiesWhatTheDriverGives(t *testing.T) {
	var i blindindex.Index
	buffer := []byte("abc")
	check(i.Scan(buffer))
	buffer[0] = 'x'
	must(i.Value()).([]byte)[1] = 'y'
	if i.Text() != "abc" {
		t.Errorf("the buffer is shared: %q", i.Text())
	}
}

func TestScanRefusesOtherTypesAndKeepsTheIndex(t *testing.T) {
	for _, src := range []any{int64(7777), 7777.5, true, struct{}{}} {
		i := setTo("abc")
		err := i.Scan(src)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%T", src)) || strings.Contains(err.Error(), "7777") {
			t.Errorf("%T: %v", src, err)
		}
		if i != setTo("abc") {
			t.Errorf("%T: the index is another", src)
		}
	}
}

func TestIndexesCompare(t *testing.T) {
	a, again, b := setTo("a"), setTo("a"), setTo("b")
	if a != again || a == b {
		t.Error("== does not compare the text")
	}
}

func TestPrintingAnIndexTellsWhetherThereIsOne(t *testing.T) {
	for want, i := range map[string]blindindex.Index{"[null]": {}, "[index]": setTo("c2VjcmV0")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, i); got != want {
				t.Errorf("%s prints %s, want %s", verb, got, want)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "i", i)
		if !strings.Contains(log.String(), "i="+want) {
			t.Errorf("slog prints %s", log.String())
		}
		if got := string(must(json.Marshal(struct{ I blindindex.Index }{i}))); got != `{"I":"`+want+`"}` {
			t.Errorf("JSON is %s", got)
		}
		if i.String() != want {
			t.Errorf("String returns %s", i)
		}
		if err := json.Unmarshal([]byte(`"[index]"`), &i); err == nil {
			t.Error("an Index is read from JSON")
		}
	}
	if (blindindex.Index{}).GormDataType() != "text" {
		t.Error("GORM is not told that the column is text")
	}
}
