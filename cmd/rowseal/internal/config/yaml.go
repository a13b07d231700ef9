package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is a value of the file with its place. The parser's own tree ends in this file, and so do its errors, which quote
// the lines around them, secrets included.
type node struct {
	line  int
	path  string // tables.users.keys
	kind  kind
	text  string  // of a scalar, as written
	pairs []pair  // of a mapping, in their order
	items []*node // of a sequence
}

type pair struct {
	name  string
	line  int
	value *node
}

type kind int

const (
	null kind = iota
	text
	integer
	boolean
	float
	mapping
	sequence
)

func (k kind) String() string {
	return [...]string{"nothing", "text", "an integer", "true or false", "a number with a point", "a mapping", "a list"}[k]
}

// What a configuration never needs, and what the parser takes long for.
const (
	maxSize     = 256 << 10 // bytes
	maxLine     = 4 << 10   // bytes
	maxBrackets = 5000
	maxDepth    = 16
)

// fault is an error with its line.
type fault struct {
	line int // 0: of the whole file
	text string
}

func faultf(line int, format string, args ...any) fault {
	return fault{line, fmt.Sprintf(format, args...)}
}

func (f fault) Error() string { return f.text }

// parse reads YAML of one document, without anchors, aliases and tags: what a file says is what stands there.
func parse(content []byte) (n *node, err error) {
	if err := checkSize(content); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // of the parser, on input that is not YAML
			n, err = nil, faultf(0, "this is not YAML")
		}
	}()
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, syntaxFault(err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return nil, faultf(lineOf(doc.Body), "a second document begins here, and the file has one")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, faultf(0, "the file is empty")
	}
	return convert(body, "", 0)
}

func checkSize(content []byte) error {
	if len(content) > maxSize {
		return faultf(0, "the file has more than %d bytes", maxSize)
	}
	if !utf8.Valid(content) {
		return faultf(0, "the file is not UTF-8")
	}
	line, brackets := 0, 0
	for one := range bytes.Lines(content) {
		line++
		brackets += bytes.Count(one, []byte("[")) + bytes.Count(one, []byte("{"))
		switch {
		case len(one) > maxLine:
			return faultf(line, "the line has more than %d bytes", maxLine)
		case brackets > maxBrackets:
			return faultf(line, "the file has more than %d brackets", maxBrackets)
		}
	}
	return nil
}

// syntaxFault keeps the parser's message and line, and leaves out the lines that it quotes.
func syntaxFault(err error) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		return faultf(0, "this is not YAML")
	}
	line := 0
	if at := syntax.GetToken(); at != nil && at.Position != nil {
		line = at.Position.Line
	}
	message := syntax.GetMessage()
	if before, _, cut := strings.Cut(message, " already defined at ["); cut {
		return faultf(line, "%s is there twice", strings.TrimPrefix(before, "mapping "))
	}
	return faultf(line, "this is not YAML: %s", message)
}

func lineOf(n ast.Node) int {
	if at := n.GetToken(); at != nil && at.Position != nil {
		return at.Position.Line
	}
	return 0
}

func convert(n ast.Node, path string, depth int) (*node, error) {
	own := &node{line: lineOf(n), path: path}
	if depth > maxDepth {
		return nil, faultf(own.line, "%s is nested too deep", path)
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		own.kind, own.text = text, n.Value
	case *ast.LiteralNode:
		own.kind, own.text = text, n.Value.Value
	case *ast.IntegerNode:
		own.kind, own.text = integer, scalarText(n.Token)
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		own.kind = float
	case *ast.BoolNode:
		own.kind, own.text = boolean, fmt.Sprint(n.Value)
	case *ast.MappingNode:
		own.kind = mapping
		return own, own.addPairs(n.Values, depth)
	case *ast.MappingValueNode:
		own.kind = mapping
		return own, own.addPairs([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		own.kind = sequence
		for i, value := range n.Values {
			item, err := convert(value, fmt.Sprintf("%s[%d]", path, i+1), depth+1)
			if err != nil {
				return nil, err
			}
			own.items = append(own.items, item)
		}
	default:
		return nil, faultf(own.line, "anchors, aliases and tags are not read here; write the value out, or in quotes if it begins with &, * or !")
	}
	return own, nil
}

func scalarText(t *token.Token) string {
	if t == nil {
		return ""
	}
	return t.Value
}

func (n *node) addPairs(values []*ast.MappingValueNode, depth int) error {
	for _, v := range values {
		var name string
		line := lineOf(v.Key)
		switch key := v.Key.(type) {
		case *ast.StringNode:
			name = key.Value
		case *ast.IntegerNode, *ast.BoolNode, *ast.NullNode:
			name = scalarText(key.GetToken())
		default:
			return faultf(line, "a key of a mapping must be plain text")
		}
		for _, other := range n.pairs {
			if other.name == name {
				return faultf(line, "key %q is there twice", name)
			}
		}
		value, err := convert(v.Value, join(n.path, name), depth+1)
		if err != nil {
			return err
		}
		n.pairs = append(n.pairs, pair{name, line, value})
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
