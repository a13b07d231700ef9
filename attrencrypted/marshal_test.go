package attrencrypted_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/attrencrypted"
)

// Dumps of Ruby's Marshal, and how they are named.
var rubyDumps = []struct{ dump, name string }{
	{"\x04\bI\"\vsecret\x06:\x06ET", "String"},
	{"\x04\b\"\vsecret", "String"},
	{"\x04\b:\vsecret", "Symbol"},
	{"\x04\bI:\vsecret\x06:\x06ET", "Symbol"},
	{"\x04\bI/\vsecret\x00\x06:\x06EF", "Regexp"},
	{"\x04\bi\x02\x39\x30", "Integer"},
	{"\x04\bl+\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00", "Integer"},
	{"\x04\bf\x081.5", "Float"},
	{"\x04\b0", "nil"},
	{"\x04\bT", "true"},
	{"\x04\bF", "false"},
	{"\x04\b[\x06i\x06", "Array"},
	{"\x04\b{\x06:\x06ai\x06", "Hash"},
	{"\x04\b}\x00i\x06", "Hash"},
	{"\x04\bU:\tDate[\vi\x00i\x03\xd6\x81%i\x00i\x00i\x00f\f2299161", "object of class Date"},
	{"\x04\bIu:\tTime\r \x80\x1b\xc0\x00\x00\x00\x00\x06:\tzoneI\"\bUTC\x06:\x06EF", "object of class Time"},
	{"\x04\bu:\x0fBigDecimal\x0b18:0.1e1", "object of class BigDecimal"},
	{"\x04\bo:\x10Admin::User\x06:\n@nameI\"\vsecret\x06:\x06ET", "object of class Admin::User"},
	{"\x04\bS:\x0aPoint\x06:\x06xi\x06", "Struct of class Point"},
	{"\x04\bC:\x1eHashWithIndifferentAccess{\x00", "object of class HashWithIndifferentAccess"},
	{"\x04\bc\x0bString", "Class"},
	{"\x04\bm\x0fEnumerable", "Module"},
	{"\x04\bo:\x0bsecret\x00", "object"},    // no class has such a name, so it is not shown
	{"\x04\bo:\x0bse\x00ret\x00", "object"}, //
	{"\x04\bo:\x7fSecret", "object"},        // cut short
	{"\x04\bo:\xffSecret", "object"},        //
	{"\x04\bo:\x01\x06Secret", "object"},    // no class has a name of 6 bytes in this spelling
	{"\x04\bo", "object"},                   //
	{"\x04\bo:\x0cSecret\n", "object"},      //
}

func TestWhatRubysMarshalWroteIsRefusedWithItsTypeNamed(t *testing.T) {
	bytes := newBox(t, testKey, attrencrypted.Options{Marshal: attrencrypted.MarshalBytes})
	for _, marshal := range []attrencrypted.Marshal{attrencrypted.MarshalNone, attrencrypted.MarshalJSON} {
		box := newBox(t, testKey, attrencrypted.Options{Marshal: marshal})
		for _, d := range rubyDumps {
			v := must(bytes.Encrypt([]byte(d.dump)))
			wantOpens(t, bytes, v, d.dump, attrencrypted.GCM)
			got, form, err := box.Decrypt(v)
			wantRubyMarshal(t, d.name, got, err)
			if form != attrencrypted.GCM {
				t.Errorf("%q: the form is %v", d.dump, form)
			}
			if form, err := box.Detect(v); form != attrencrypted.GCM || err != nil {
				t.Errorf("%q: Box.Detect: %v, %v", d.dump, form, err)
			}
			_, err = box.Encrypt([]byte(d.dump)) // it would not be read again
			wantRubyMarshal(t, d.name, nil, err)
		}
	}
}

func TestWhatOnlyLooksLikeADumpIsText(t *testing.T) {
	box := newBox(t, testKey, attrencrypted.Options{})
	for _, text := range []string{
		"\x04", "\x04\b", "\x04\b ", "\x04\bI", "\x04\bI ", "\x04\b@\x06", "\x04\ti\x06", "I\"\x06a", "\b\x04i\x06",
	} {
		wantOpens(t, box, must(box.Encrypt([]byte(text))), text, attrencrypted.GCM)
	}
}

func TestMarshalJSONTakesJSONOnly(t *testing.T) {
	plain := newBox(t, testKey, attrencrypted.Options{AllowEmpty: true})
	box := newBox(t, testKey, attrencrypted.Options{Marshal: attrencrypted.MarshalJSON, AllowEmpty: true})
	for _, text := range []string{`""`, `"secret"`, `{"v":"näive"}`, "null", " [1, 2] ", "1e3"} {
		wantOpens(t, box, must(box.Encrypt([]byte(text))), text, attrencrypted.GCM)
	}
	for _, text := range []string{"", "secret", `{"secret":`, "'secret'", "1 2", "\xff"} {
		for _, err := range []error{
			second(box.Encrypt([]byte(text))),
			third(box.Decrypt(must(plain.Encrypt([]byte(text))))),
		} {
			if !errors.Is(err, attrencrypted.ErrNotJSON) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v; want %v", text, err, attrencrypted.ErrNotJSON)
			}
		}
	}
}

// Under CBC, garbage says no more about the key than that it did not open.
func TestUnderCBCNoJSONIsADecryptionThatFailed(t *testing.T) {
	opts := attrencrypted.Options{Algorithm: "aes-256-cbc", AllowCBC: true}
	v := must(newBox(t, testKey, opts).Encrypt([]byte("secret")))
	opts.Marshal = attrencrypted.MarshalJSON
	got, form, err := newBox(t, testKey, opts).Decrypt(v)
	if err != attrencrypted.ErrDecryptionFailed || got != nil || form != 0 {
		t.Errorf("opens to %q as %v, %v", got, form, err)
	}
}

func wantRubyMarshal(t *testing.T, name string, got []byte, err error) {
	t.Helper()
	if got != nil || !errors.Is(err, attrencrypted.ErrRubyMarshal) || errors.Is(err, attrencrypted.ErrDecryptionFailed) ||
		!strings.Contains(err.Error(), " type "+name+", ") || strings.Contains(strings.ToLower(err.Error()), "secret") {
		t.Errorf("%q, %v; want %v, of the type %s", got, err, attrencrypted.ErrRubyMarshal, name)
	}
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }
