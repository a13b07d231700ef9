package railsyaml

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxSize is how many bytes of YAML are read, and written: a mebibyte.
	MaxSize = 1 << 20

	// MaxDepth is how many hashes and arrays may be inside each other.
	MaxDepth = 1000

	// maxDigits is how long the text of an integer may be, since reading it takes time that grows with its square.
	maxDigits = 4096

	// maxAliased is how many values may be reached through aliases: each becomes a value of its own in Go.
	maxAliased = 100_000
)

var (
	// ErrTag is wrapped by the error for an object that only Ruby can make, or any other unknown tag. The error names
	// the class. Let Ruby write the value as a plain hash.
	ErrTag = errors.New("not a plain value")

	// ErrTooLarge is wrapped by the error for a value over MaxSize or MaxDepth, with too many values through aliases, or
	// with an integer of more than 4096 digits.
	ErrTooLarge = errors.New("too large")
)

// decodeRuby returns the value of a document as Ruby has it; nothing is nil.
func decodeRuby(b []byte) (any, error) {
	root, err := parse(b)
	if err != nil || root == nil {
		return nil, err
	}
	return new(reader).value(root, 0)
}

func decodePlain(b []byte) (any, error) {
	v, err := decodeRuby(b)
	if err != nil {
		return nil, err
	}
	return simplify(v)
}

// parse returns the root of the one document in b, or nil for none. The parser is libyaml's, in Go; libyaml is Psych's.
func parse(b []byte) (*yaml.Node, error) {
	switch {
	case len(b) > MaxSize:
		return nil, fmt.Errorf("railsyaml: %w: %d bytes, want at most %d", ErrTooLarge, len(b), MaxSize)
	case !utf8.Valid(b):
		return nil, errors.New("railsyaml: the text is not UTF-8")
	}
	var doc, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	switch err := decoder.Decode(&doc); {
	case err == io.EOF:
		return nil, nil
	case err != nil:
		return nil, syntaxError(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, at(second.Line, "a second document: want one")
	case err != io.EOF:
		return nil, syntaxError(err)
	}
	root := doc.Content[0]
	newTagFinder(b).visit(root)
	return root, nil
}

var lineOfError = regexp.MustCompile(`^yaml: line (\d+):`)

// syntaxError keeps of the parser's error the line alone: the rest can quote the text.
func syntaxError(err error) error {
	if m := lineOfError.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("railsyaml: line %s: not YAML", m[1])
	}
	return errors.New("railsyaml: not YAML")
}

func at(line int, problem string) error { return fmt.Errorf("railsyaml: line %d: %s", line, problem) }

func tooLarge(n *yaml.Node, what string, limit int) error {
	return fmt.Errorf("railsyaml: line %d: %w: more than %d %s", n.Line, ErrTooLarge, limit, what)
}

// reader makes values of the nodes of one document, as Ruby has them: a RubyHash, a RubyArray, and what resolve returns.
type reader struct {
	inAlias int // how many aliases the current value is in
	aliased int // how many values were in one
	keySize int // of the keys that are hashes or arrays, encoded at every level of keys in keys
}

func (r *reader) value(n *yaml.Node, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, tooLarge(n, "levels, or an alias inside itself", MaxDepth)
	}
	if r.inAlias > 0 {
		if r.aliased++; r.aliased > maxAliased {
			return nil, tooLarge(n, "values through aliases", maxAliased)
		}
	}
	switch n.Kind {
	case yaml.AliasNode:
		r.inAlias++
		defer func() { r.inAlias-- }()
		return r.value(n.Alias, depth+1)
	case yaml.SequenceNode:
		return r.sequence(n, depth)
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return scalarValue(n)
}

func (r *reader) sequence(n *yaml.Node, depth int) (any, error) {
	if tag := tagOf(n); tag != "" && tag != "!!seq" {
		return nil, tagError(n)
	}
	list := make(RubyArray, len(n.Content))
	for i, item := range n.Content {
		v, err := r.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

// hashTag matches the tags of an indifferent hash: of Psych with instance variables or without, of its predecessor Syck,
// and of Rails 2, whose class had no module.
var hashTag = regexp.MustCompile(`^!(?:ruby/hash|ruby/hash(-with-ivars)|map):(?:ActiveSupport::)?HashWithIndifferentAccess$`)

func (r *reader) mapping(n *yaml.Node, depth int) (any, error) {
	tag := tagOf(n)
	m := hashTag.FindStringSubmatch(tag)
	switch {
	case m == nil && tag != "" && tag != "!!map":
		return nil, tagError(n)
	case m != nil && m[1] != "":
		return r.elements(n, depth)
	}
	pairs, err := r.pairs(n, depth)
	return RubyHash{Pairs: pairs, Indifferent: m != nil}, err
}

// elements returns what is in an indifferent hash with instance variables: {elements: …, ivars: …}. These are lost.
func (r *reader) elements(n *yaml.Node, depth int) (any, error) {
	for i := 0; i < len(n.Content); i += 2 {
		if elements := n.Content[i+1]; n.Content[i].Value == "elements" && elements.Kind == yaml.MappingNode {
			pairs, err := r.pairs(elements, depth+1)
			return RubyHash{Pairs: pairs, Indifferent: true}, err
		}
	}
	return nil, at(n.Line, "a hash with instance variables, but without elements")
}

func (r *reader) pairs(n *yaml.Node, depth int) ([]Pair, error) {
	pairs := make([]Pair, 0, len(n.Content)/2)
	seen := make(map[any]bool, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		keyNode, valueNode := n.Content[i], n.Content[i+1]
		key, err := r.value(keyNode, depth+1)
		if err != nil {
			return nil, err
		}
		if key == "<<" && tagOf(keyNode) != "!!str" && valueNode.Kind != yaml.ScalarNode {
			return nil, at(keyNode.Line, "a merge key, which Psych does not write")
		}
		id, size, err := identity(key)
		if r.keySize += size; err != nil || r.keySize > MaxSize {
			return nil, cmp.Or(err, tooLarge(keyNode, "bytes of hashes and arrays in keys", MaxSize))
		}
		if seen[id] {
			return nil, at(keyNode.Line, "a key that the hash has already")
		}
		seen[id] = true
		v, err := r.value(valueNode, depth+1)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{key, v})
	}
	return pairs, nil
}

// identity returns what two keys have in common only if they are the same key to Ruby, and the size of what it had to
// encode for that.
func identity(key any) (id any, size int, err error) {
	switch key := key.(type) {
	case time.Time:
		return key.UTC(), 0, nil
	case *big.Int, []byte, RubyHash, RubyArray:
		type encoded string
		b, err := appendDocument(nil, RubyArray{key})
		return encoded(b), len(b), err
	}
	return key, 0, nil
}

func scalarValue(n *yaml.Node) (any, error) {
	switch tag := tagOf(n); tag {
	case "":
		if n.Style != 0 { // in quotes, or a block
			return n.Value, nil
		}
		return resolved(n)
	case "!":
		return resolved(n)
	case "!!str", "!str", "!ruby/string":
		return n.Value, nil
	case "!ruby/symbol", "!ruby/sym":
		return Symbol(n.Value), nil
	case "!!binary", "!binary":
		b, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil {
			return nil, at(n.Line, "a !binary that is not base64")
		}
		return b, nil
	case "!!float", "!float":
		switch v := resolve(n.Value).(type) {
		case float64:
			return v, nil
		case int64:
			return float64(v), nil
		}
		return nil, at(n.Line, "a !float that is none")
	case "!!int", "!!bool", "!!null", "!!timestamp":
		return resolved(n)
	}
	return nil, tagError(n)
}

func resolved(n *yaml.Node) (any, error) {
	v := resolve(n.Value)
	if err, ok := v.(error); ok {
		return nil, fmt.Errorf("railsyaml: line %d: %w", n.Line, err)
	}
	return v, nil
}

// tagOf returns the explicit tag of a node, with !! for tag:yaml.org,2002:.
func tagOf(n *yaml.Node) string {
	if n.Style&yaml.TaggedStyle == 0 {
		return ""
	}
	return n.Tag
}

// className is what a tag may be to be shown in an error: it is no user's text then.
var className = regexp.MustCompile(`^!ruby/[a-z-]+(?::[A-Z]\w*(?:::[A-Z]\w*)*)?$`)

func tagError(n *yaml.Node) error {
	tag := "an unknown tag"
	if className.MatchString(n.Tag) {
		tag = n.Tag
	}
	return fmt.Errorf("railsyaml: line %d: %s: %w: only plain hashes, arrays, text and numbers are read", n.Line, tag, ErrTag)
}
