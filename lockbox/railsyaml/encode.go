package railsyaml

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"time"
)

// rubyOf returns v as what Ruby has: a RubyHash, a RubyArray, or nil, bool, int64, *big.Int, float64, string, []byte,
// Symbol, Date, time.Time. What is inside the first two is made so when it is written.
func rubyOf(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string, []byte, Symbol, Date, time.Time, RubyHash, RubyArray:
		return v, nil
	case int:
		return int64(v), nil
	case map[string]any:
		return sortedHash(v), nil
	case Hash:
		return sortedHash(v), nil
	case []any:
		return RubyArray(v), nil
	case Array:
		return RubyArray(v), nil
	}
	return reflected(reflect.ValueOf(v))
}

func sortedHash(m map[string]any) RubyHash {
	pairs := make([]Pair, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, Pair{key, m[key]})
	}
	return RubyHash{Pairs: pairs}
}

var bytesType = reflect.TypeFor[[]byte]()

// reflected is rubyOf for the types that are made of those it names.
func reflected(v reflect.Value) (any, error) {
	kind := v.Kind()
	if kind == reflect.Pointer && v.IsNil() {
		return nil, nil
	}
	switch v := v.Interface().(type) {
	case *big.Int:
		return v, nil
	case encoding.TextMarshaler:
		return marshalText(v)
	}
	switch {
	case kind == reflect.Pointer:
		return rubyOf(v.Elem().Interface())
	case kind == reflect.Bool:
		return v.Bool(), nil
	case kind == reflect.String:
		return v.String(), nil
	case v.CanInt():
		return v.Int(), nil
	case v.CanUint():
		return fit(new(big.Int).SetUint64(v.Uint())), nil
	case v.CanFloat():
		return v.Float(), nil
	case kind == reflect.Slice && v.CanConvert(bytesType):
		return v.Bytes(), nil
	case kind == reflect.Slice, kind == reflect.Array:
		return reflectedArray(v), nil
	case kind == reflect.Map:
		return reflectedMap(v)
	}
	return nil, fmt.Errorf("railsyaml: a Go %s cannot be written", v.Type())
}

func marshalText(v encoding.TextMarshaler) (any, error) {
	text, err := v.MarshalText()
	if err != nil { // which may show the value
		return nil, fmt.Errorf("railsyaml: a Go %T refuses to be written as text", v)
	}
	return string(text), nil
}

func reflectedArray(v reflect.Value) RubyArray {
	list := make(RubyArray, v.Len())
	for i := range list {
		list[i] = v.Index(i).Interface()
	}
	return list
}

// reflectedMap takes keys that are strings, symbols or signed integers, and sorts them.
func reflectedMap(v reflect.Value) (any, error) {
	keys := v.MapKeys()
	switch kind := v.Type().Key().Kind(); {
	case kind == reflect.String:
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	case kind >= reflect.Int && kind <= reflect.Int64:
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.Int(), b.Int()) })
	default:
		return nil, fmt.Errorf("railsyaml: a Go %s cannot be written: want keys of string, Symbol or an int type", v.Type())
	}
	pairs := make([]Pair, len(keys))
	for i, key := range keys {
		pairs[i] = Pair{key.Interface(), v.MapIndex(key).Interface()}
	}
	return RubyHash{Pairs: pairs}, nil
}

// appendDocument appends a hash or an array as a document.
func appendDocument(dst []byte, root any) ([]byte, error) {
	e := emitter{buf: dst, start: len(dst), whitespace: true, indention: true}
	e.indicator("---", true, false, false)
	if err := e.value(root, context{indent: -1}); err != nil {
		return nil, err
	}
	e.indentTo(0)
	if e.openEnded { // libyaml marks the end after text that ends in several line breaks
		e.write("...")
		e.newline()
	}
	if e.size() > MaxSize {
		return nil, errWriteSize
	}
	return e.buf, nil
}

// context is where a value is written.
type context struct {
	indent    int  // of the collection that it is in; -1 for the root
	depth     int  // of that collection
	ofMapping bool // it is a key or a value of a mapping
	simpleKey bool // it is a key that fits its line: key: value
}

func (c context) inside(indent int) context { return context{indent: indent, depth: c.depth + 1} }

func (c context) next() int {
	if c.indent < 0 {
		return 0
	}
	return c.indent + 2
}

var (
	errWriteSize  = fmt.Errorf("railsyaml: %w to write: more than %d bytes", ErrTooLarge, MaxSize)
	errWriteDepth = fmt.Errorf("railsyaml: %w to write: more than %d levels, or a value inside itself", ErrTooLarge, MaxDepth)
)

func (e *emitter) value(v any, c context) error {
	v, err := rubyOf(v)
	switch {
	case err != nil:
		return err
	case c.depth > MaxDepth:
		return errWriteDepth
	case e.size() > MaxSize:
		return errWriteSize
	}
	switch v := v.(type) {
	case RubyHash:
		return e.hash(v, c)
	case RubyArray:
		return e.array(v, c)
	}
	s, err := scalarOf(v)
	if err != nil {
		return err
	}
	e.scalar(s, c)
	return nil
}

func (e *emitter) array(a RubyArray, c context) error {
	if len(a) == 0 {
		e.indicator("[]", true, false, false)
		return nil
	}
	in := c.inside(c.next())
	if c.ofMapping && !e.indention { // after "key:", libyaml does not indent the dashes
		in.indent = c.indent
	}
	for _, item := range a {
		e.indentTo(in.indent)
		e.indicator("-", true, false, true)
		if err := e.value(item, in); err != nil {
			return err
		}
	}
	return nil
}

func (e *emitter) hash(h RubyHash, c context) error {
	if h.Indifferent {
		e.tag("!ruby/hash:ActiveSupport::HashWithIndifferentAccess")
	}
	if len(h.Pairs) == 0 {
		e.indicator("{}", true, false, false)
		return nil
	}
	in := c.inside(c.next())
	in.ofMapping = true
	seen := make(map[any]bool, len(h.Pairs))
	for _, pair := range h.Pairs {
		id, err := e.key(pair.Key, in)
		switch {
		case err != nil:
			return err
		case seen[id]:
			return errors.New("railsyaml: a hash with the same key twice cannot be written")
		}
		seen[id] = true
		if err := e.value(pair.Value, in); err != nil {
			return err
		}
	}
	return nil
}

// key writes a key up to and with its colon, and returns what two keys have in common only if they are the same one: its
// text, or for a time, which can be written at several offsets, the time.
func (e *emitter) key(key any, c context) (id any, err error) {
	key, err = rubyOf(key)
	if err != nil {
		return nil, err
	}
	simple, err := isSimpleKey(key)
	if err != nil {
		return nil, err
	}
	e.indentTo(c.indent)
	start := len(e.buf)
	if !simple {
		e.indicator("?", true, false, true)
	}
	keyContext := c
	keyContext.simpleKey = simple
	if err := e.value(key, keyContext); err != nil {
		return nil, err
	}
	id = string(e.buf[start:])
	if t, ok := key.(time.Time); ok {
		id = t.UTC()
	}
	if simple {
		e.indicator(":", false, false, false)
		return id, nil
	}
	e.indentTo(c.indent)
	e.indicator(":", true, false, true)
	return id, nil
}

// isSimpleKey is whether libyaml writes the key and a colon on one line: up to 128 bytes, tag included, and no line break.
func isSimpleKey(key any) (bool, error) {
	switch key := key.(type) {
	case RubyHash:
		return len(key.Pairs) == 0, nil
	case RubyArray:
		return len(key) == 0, nil
	}
	s, err := scalarOf(key)
	if err != nil {
		return false, err
	}
	return len(s.tag)+len(s.text) <= 128 && !analyze(s.text).breaks, nil
}

var errNotUTF8 = errors.New("railsyaml: a string that is not UTF-8 cannot be written: use []byte")
