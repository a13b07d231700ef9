package kms_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/vectors"
)

// pair is a context entry of the vectors: the name, and a value that is a string or an integer.
type pair [2]any

func (p pair) name() string { return p[0].(string) }

func (p pair) value() string {
	if n, ok := p[1].(json.Number); ok {
		return n.String()
	}
	return p[1].(string)
}

func contextOf(pairs []pair) kms.Context {
	if pairs == nil {
		return nil
	}
	c := make(kms.Context)
	for _, p := range pairs {
		c[p.name()] = p.value()
	}
	return c
}

// inGivenOrder is the encoding of the two vectors that mix symbols and strings, which Ruby sorts in a way of its own.
func inGivenOrder(pairs []pair) kms.ContextEncoding {
	var fields []kms.JSONField
	for _, p := range pairs {
		fields = append(fields, kms.JSONField{Name: p.name()})
	}
	return kms.OrderedJSON(fields...)
}

func readVectors(t *testing.T, file string, into any) {
	t.Helper()
	f, err := vectors.FS.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestContextIsByteForByteWhatTheGemSends(t *testing.T) {
	var file struct {
		Rows []struct {
			Context []pair
			JSON    string
			MIME    string `json:"vault_base64"`
		} `json:"context_encoding"`
	}
	readVectors(t, "kms_box.json", &file)
	if len(file.Rows) != 8 {
		t.Fatalf("%d rows, want 8", len(file.Rows))
	}
	canonical := 0
	for _, row := range file.Rows {
		it := kms.Item{Context: contextOf(row.Context)}
		if mixed := it.Context["z"] != "" || it.Context["u2028"] != ""; mixed {
			it.Encoding = inGivenOrder(row.Context)
		} else {
			canonical++
			if got, err := it.Context.Canonical(); string(got) != row.JSON || err != nil {
				t.Errorf("Canonical() = %s, %v; want %s", got, err, row.JSON)
			}
		}
		if got, err := it.ContextBytes(); string(got) != row.JSON || err != nil {
			t.Errorf("ContextBytes() = %s, %v; want %s", got, err, row.JSON)
		}
		if got, err := it.ContextMIME(); got != row.MIME || err != nil {
			t.Errorf("ContextMIME() = %q, %v; want %q", got, err, row.MIME)
		}
	}
	if canonical != 6 {
		t.Errorf("%d rows in canonical form, want 6", canonical)
	}
}

func TestNoContextIsNoBytesAndAnEmptyOneIsTwo(t *testing.T) {
	never := func(kms.Context) ([]byte, error) { t.Error("an encoding was called with no context"); return nil, nil }
	for _, it := range []kms.Item{{}, {Encoding: never}} {
		if b, err := it.ContextBytes(); b != nil || err != nil {
			t.Errorf("no context: %q, %v", b, err)
		}
		if s, err := it.ContextMIME(); s != "" || err != nil {
			t.Errorf("no context: %q, %v", s, err)
		}
	}
	if b, err := kms.Context(nil).Canonical(); b != nil || err != nil {
		t.Errorf("no context: %q, %v", b, err)
	}
	if b, err := (kms.Context{}).Canonical(); string(b) != "{}" || err != nil {
		t.Errorf("empty context: %q, %v", b, err)
	}
}

// An encoding that returns nothing would make a context look like none.
func TestAnEncodingMustReturnBytes(t *testing.T) {
	silent := func(kms.Context) ([]byte, error) { return nil, nil }
	if b, err := (kms.Item{Context: kms.Context{}, Encoding: silent}).ContextBytes(); err == nil {
		t.Errorf("got %q and no error", b)
	}
}

func TestUnescapedJSON(t *testing.T) {
	for _, test := range []struct {
		context kms.Context
		want    string
	}{
		{kms.Context{}, `{}`},
		{kms.Context{"b": "2", "a": "1"}, `{"a":"1","b":"2"}`},
		{kms.Context{"<&>": "<b>&'"}, `{"<&>":"<b>&'"}`},
		{kms.Context{"l": "\u2028\u2029"}, "{\"l\":\"\u2028\u2029\"}"},
		{kms.Context{"l": `\u2028`}, `{"l":"\\u2028"}`},
		{kms.Context{"l": "\\\u2028"}, "{\"l\":\"\\\\\u2028\"}"},
		{kms.Context{"l": `\\u2029\`}, `{"l":"\\\\u2029\\"}`},
		{kms.Context{"c": "\x01\x1f\x7f\t\n\r\"\\/"}, "{\"c\":\"\\u0001\\u001f\x7f\\t\\n\\r\\\"\\\\/\"}"},
		{kms.Context{"u": "é𝔘"}, `{"u":"é𝔘"}`},
	} {
		got, err := kms.UnescapedJSON(test.context)
		if string(got) != test.want || err != nil {
			t.Errorf("got %s, %v; want %s", got, err, test.want)
		}
		var back kms.Context
		if err := json.Unmarshal(got, &back); err != nil || !maps.Equal(back, test.context) {
			t.Errorf("%s reads back as %q (%v), not %q", got, back, err, test.context)
		}
	}
}

func TestOrderedJSON(t *testing.T) {
	name, id := kms.JSONField{Name: "model_name"}, kms.JSONField{Name: "model_id", Integer: true}
	user7 := kms.Context{"model_name": "User", "model_id": "7"}
	for _, test := range []struct {
		what    string
		context kms.Context
		fields  []kms.JSONField
		want    string // "": refused
	}{
		{"in the order listed", user7, []kms.JSONField{name, id}, `{"model_name":"User","model_id":7}`},
		{"in another order", user7, []kms.JSONField{id, name}, `{"model_id":7,"model_name":"User"}`},
		{"escaped as Rails does", kms.Context{"a": "<x>\u2028"}, []kms.JSONField{{Name: "a"}}, `{"a":"\u003cx\u003e\u2028"}`},
		{"empty", kms.Context{}, nil, `{}`},
		{"negative integer", kms.Context{"model_id": "-1"}, []kms.JSONField{id}, `{"model_id":-1}`},
		{"an entry more", user7, []kms.JSONField{id}, ""},
		{"an entry less", kms.Context{"model_id": "7"}, []kms.JSONField{name, id}, ""},
		{"another name", kms.Context{"model_name": "User", "id": "7"}, []kms.JSONField{name, id}, ""},
		{"a name twice", user7, []kms.JSONField{name, name}, ""},
		{"a leading zero", kms.Context{"model_id": "07"}, []kms.JSONField{id}, ""},
		{"a plus", kms.Context{"model_id": "+7"}, []kms.JSONField{id}, ""},
		{"not an integer", kms.Context{"model_id": `7,"admin":true`}, []kms.JSONField{id}, ""},
		{"not UTF-8", kms.Context{"model_name": "\xff"}, []kms.JSONField{name}, ""},
	} {
		got, err := kms.OrderedJSON(test.fields...)(test.context)
		switch {
		case test.want == "" && !errors.Is(err, kms.ErrInvalidRequest):
			t.Errorf("%s: got %s, %v; want ErrInvalidRequest", test.what, got, err)
		case test.want != "" && (string(got) != test.want || err != nil):
			t.Errorf("%s: got %s, %v; want %s", test.what, got, err, test.want)
		}
	}
}

func TestInvalidUTF8IsRefusedAndItsValueIsNotPrinted(t *testing.T) {
	for what, c := range map[string]kms.Context{
		"value": {"email": "secret@example.org\xff"},
		"name":  {"email\xff": "secret@example.org"},
	} {
		for name, encode := range map[string]kms.ContextEncoding{
			"Canonical":     kms.Context.Canonical,
			"UnescapedJSON": kms.UnescapedJSON,
			"OrderedJSON":   kms.OrderedJSON(kms.JSONField{Name: "email"}),
		} {
			b, err := encode(c)
			if b != nil || !errors.Is(err, kms.ErrInvalidRequest) {
				t.Errorf("%s of an invalid %s: %q, %v; want ErrInvalidRequest", name, what, b, err)
				continue
			}
			if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "email") {
				t.Errorf("%s of an invalid %s: the error names the value, or not the entry: %v", name, what, err)
			}
		}
	}
}
