package rowseal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal/lockbox"
)

// tag is a struct field's `rowseal:"…"`: options with commas between them, each a name or name=value.
//
//	column=NAME     the column, where the name of the Go field does not give it
//	name=NAME       of a DataKey: the key's name
//	key=NAME        of a Sealed: the key that it is sealed under; without it the key without a name
//	type=TYPE       of a Sealed: a lockbox.Type, where the Go type has more than one (date, datetime, time)
//	padding=N       of a Sealed: pad to blocks of N bytes
//	raw             of a Sealed: bytes instead of base64 (Lockbox's encode: false)
//	ad=TEXT         of a Sealed: associated data instead of the binding's
//
// The tag "-" alone hides the field from this package.
type tag struct {
	skip    bool
	column  string
	name    string
	key     string
	typ     lockbox.Type
	padding int
	raw     bool
	ad      string
}

func parseTag(s string) (tag, error) {
	var t tag
	if s == "-" {
		return tag{skip: true}, nil
	}
	seen := map[string]bool{}
	for option := range strings.SplitSeq(s, ",") {
		if s == "" {
			break
		}
		name, value, hasValue := strings.Cut(option, "=")
		if seen[name] {
			return tag{}, fmt.Errorf("option %q is there twice", name)
		}
		seen[name] = true
		if name == "raw" && !hasValue {
			t.raw = true
			continue
		}
		if err := t.set(name, value); err != nil {
			return tag{}, err
		}
	}
	return t, nil
}

func (t *tag) set(name, value string) (err error) {
	switch name {
	case "raw":
		return fmt.Errorf("option raw has no value")
	case "column":
		t.column = value
	case "name":
		t.name = value
	case "key":
		t.key = value
	case "type":
		t.typ = lockbox.Type(value)
	case "ad":
		t.ad = value
	case "padding":
		if t.padding, err = strconv.Atoi(value); err != nil || t.padding < 1 {
			return fmt.Errorf("padding=%s is no number of bytes from 1", value)
		}
	default:
		return fmt.Errorf("unknown option %q; known are column, name, key, type, padding, raw and ad", name)
	}
	if value == "" {
		return fmt.Errorf("option %q needs a value", name)
	}
	return nil
}

// String returns the tag's text; parseTag reads it back.
func (t tag) String() string {
	if t.skip {
		return "-"
	}
	var options []string
	add := func(name, value string) {
		if value != "" {
			options = append(options, name+"="+value)
		}
	}
	add("column", t.column)
	add("name", t.name)
	add("key", t.key)
	add("type", string(t.typ))
	if t.padding > 0 {
		add("padding", strconv.Itoa(t.padding))
	}
	if t.raw {
		options = append(options, "raw")
	}
	add("ad", t.ad)
	return strings.Join(options, ",")
}

// withoutColumn is the text of the options other than column, which every field may have.
func (t tag) withoutColumn() string {
	t.column = ""
	return t.String()
}
