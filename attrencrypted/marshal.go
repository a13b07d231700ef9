package attrencrypted

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// Marshal says what the plaintext is.
type Marshal string

const (
	// MarshalNone is a string, or what else the app has turned into one: the gem's marshal: false. What Ruby's Marshal
	// wrote is refused, both ways.
	MarshalNone Marshal = ""

	// MarshalJSON is JSON: the gem's marshal: true with marshaler: JSON. Anything else is refused, both ways.
	MarshalJSON Marshal = "json"

	// MarshalBytes is any bytes, and nothing looks at them: for binary values, and for who reads Ruby's Marshal himself.
	MarshalBytes Marshal = "bytes"
)

var (
	// ErrRubyMarshal says that a value opened, and that Ruby's Marshal wrote it: the gem's marshal: true.
	ErrRubyMarshal = errors.New("written by Ruby's Marshal")

	// ErrNotJSON says that a plaintext is not JSON, though the Options say so.
	ErrNotJSON = errors.New("not JSON")
)

// check refuses a plaintext that is not what m says. The error may name a Ruby class, and nothing else of the plaintext.
func (m Marshal) check(plaintext []byte) error {
	if m == MarshalBytes {
		return nil
	}
	if name, ok := rubyType(plaintext); ok {
		return fmt.Errorf("attrencrypted: the value is of the Ruby type %s, %w, which Go does not read: let the app write it "+
			"anew with marshaler: JSON, or set Marshal to MarshalBytes to handle the bytes yourself", name, ErrRubyMarshal)
	}
	if m == MarshalJSON && !json.Valid(plaintext) {
		return fmt.Errorf("attrencrypted: the plaintext is %w, as Marshal says: set MarshalNone if the app does not marshal it",
			ErrNotJSON)
	}
	return nil
}

// rubyTypes names what the third byte of a dump says. Its source is Ruby's marshal.c
// (https://docs.ruby-lang.org/en/master/marshal_rdoc.html).
var rubyTypes = map[byte]string{
	'"': "String", ':': "Symbol", '/': "Regexp", 'i': "Integer", 'l': "Integer", 'f': "Float", '0': "nil", 'T': "true",
	'F': "false", '[': "Array", '{': "Hash", '}': "Hash", 'c': "Class", 'm': "Module", 'M': "Module",
	'o': "object", 'S': "Struct", 'u': "object", 'U': "object", 'C': "object", 'e': "object", 'd': "object",
}

var rubyClass = regexp.MustCompile(`^[A-Z]\w*(::[A-Z]\w*)*$`)

// rubyType tells whether b begins as a dump of Ruby's Marshal 4.8, and of what type.
func rubyType(b []byte) (name string, ok bool) {
	if len(b) < 3 || b[0] != 4 || b[1] != 8 {
		return "", false
	}
	b = b[2:]
	if b[0] == 'I' && len(b) > 1 { // instance variables follow: a string's encoding
		b = b[1:]
	}
	name, ok = rubyTypes[b[0]]
	if !ok || name != "object" && name != "Struct" {
		return name, ok
	}
	if class := rubySymbol(b[1:]); rubyClass.MatchString(class) {
		name += " of class " + class
	}
	return name, true
}

// rubySymbol reads a short symbol: ':', its length plus five, its bytes. It is "" where there is none.
func rubySymbol(b []byte) string {
	if len(b) < 2 || b[0] != ':' || b[1] < 6 || b[1] > 127 || int(b[1])-5 > len(b)-2 {
		return ""
	}
	return string(b[2 : 2+int(b[1])-5])
}
