package rowseal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// tag is a struct field's `rowseal:"…"`: options with commas between them, each a name or name=value; Model lists them.
// The tag "-" alone hides the field from this package.
type tag struct {
	skip    bool
	options map[string]string
}

// kind is what a struct field is to this package.
type kind string

const (
	kindPlain kind = "column that is not sealed"
	kindKey   kind = "DataKey"
	kindField kind = "Sealed"
	kindFile  kind = "File"
	kindIndex kind = "blindindex.Index"
	kindPart  kind = "IV or Salt"
)

// tagOptions says which options there are, and what has them. Every column may be named.
var tagOptions = map[string][]kind{
	"column": {kindPlain, kindKey, kindField, kindFile, kindIndex, kindPart},

	"name": {kindKey}, "attachments": {kindKey}, "bytes": {kindKey},

	"key": {kindField, kindFile}, "padding": {kindField, kindFile}, "ad": {kindField, kindFile},
	"algorithm": {kindField, kindFile, kindIndex},
	"type":      {kindField}, "previous": {kindField},
	"raw": {kindField, kindIndex},

	"codec": {kindField}, "mode": {kindField}, "marshal": {kindField}, "allow": {kindField}, "empty": {kindField},
	"encode": {kindField}, "encode_iv": {kindField}, "encode_salt": {kindField},

	"of": {kindIndex, kindPart}, "normalize": {kindIndex}, "join": {kindIndex}, "size": {kindIndex}, "slow": {kindIndex},
	"master": {kindIndex},

	"key_table": {kindField, kindIndex}, "key_attribute": {kindField}, "key_column": {kindIndex},
}

// flags are the options without a value.
var flags = []string{"bytes", "raw", "empty", "slow"}

func parseTag(s string) (tag, error) {
	switch s {
	case "":
		return tag{}, nil
	case "-":
		return tag{skip: true}, nil
	}
	t := tag{options: map[string]string{}}
	for option := range strings.SplitSeq(s, ",") {
		name, value, hasValue := strings.Cut(option, "=")
		_, twice := t.options[name]
		flag := slices.Contains(flags, name)
		switch {
		case tagOptions[name] == nil:
			return tag{}, fmt.Errorf("unknown option %q; known are %s; several values of one option are joined by +", name, strings.Join(slices.Sorted(maps.Keys(tagOptions)), ", "))
		case twice:
			return tag{}, fmt.Errorf("option %q is there twice", name)
		case flag && hasValue:
			return tag{}, fmt.Errorf("option %s has no value", name)
		case !flag && value == "":
			return tag{}, fmt.Errorf("option %q needs a value", name)
		}
		t.options[name] = value
	}
	for _, name := range []string{"padding", "size"} {
		if n, err := strconv.Atoi(t.options[name]); t.has(name) && (err != nil || n < 1) {
			return tag{}, fmt.Errorf("%s=%s is no number of bytes from 1", name, t.options[name])
		}
	}
	return t, nil
}

func (t tag) has(option string) bool {
	_, ok := t.options[option]
	return ok
}

func (t tag) get(option string) string { return t.options[option] }

// number is the value of an option that parseTag has found to be a number; 0 if it is not there.
func (t tag) number(option string) int {
	n, _ := strconv.Atoi(t.options[option])
	return n
}

// list are the values of an option with + between them.
func (t tag) list(option string) []string {
	if !t.has(option) {
		return nil
	}
	return strings.Split(t.get(option), "+")
}

// check refuses options that a field of this kind does not have.
func (t tag) check(k kind) error {
	for _, name := range slices.Sorted(maps.Keys(t.options)) {
		switch {
		case slices.Contains(tagOptions[name], k):
			continue
		case name == "name" && k == kindField:
			return fmt.Errorf("is sealed, and name is for a DataKey; key=%s tells which key it is sealed under", t.get(name))
		default:
			return fmt.Errorf("is a %s, and the option %s is for %s", k, name, kinds(tagOptions[name]))
		}
	}
	return nil
}

func kinds(all []kind) string {
	words := make([]string, len(all))
	for i, k := range all {
		words[i] = string(k)
	}
	return strings.Join(words, " and ")
}

// String returns the tag's text; parseTag reads it back.
func (t tag) String() string {
	if t.skip {
		return "-"
	}
	var options []string
	for _, name := range slices.Sorted(maps.Keys(t.options)) {
		if slices.Contains(flags, name) {
			options = append(options, name)
		} else {
			options = append(options, name+"="+t.options[name])
		}
	}
	return strings.Join(options, ",")
}
