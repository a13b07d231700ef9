package config

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// node is a value of the file with its place. The parser's own tree ends in this file, and so do its errors.
type node struct {
	line  int
	path  string // tables.users.keys
	kind  kind
	text  string  // of a scalar, as written; of a boolean, true or false
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

// What a configuration never needs. A path is as long as its node is deep.
const (
	maxSize  = 256 << 10 // bytes
	maxDepth = 16
)

// fault is a mistake with its line.
type fault struct {
	line int // 0: of the whole file
	text string
}

// parse reads YAML of one document, without anchors, aliases and tags: what a file says is what stands there. A tag that is
// ! alone passes, since the parser does not tell of it; it changes no text.
func (r *reader) parse(content []byte) *node {
	root, wrong := document(content)
	if wrong != nil {
		r.faults = append(r.faults, *wrong)
		return nil
	}
	return r.convert(root, "", 0)
}

func document(content []byte) (*yaml.Node, *fault) {
	switch {
	case len(content) > maxSize:
		return nil, &fault{0, fmt.Sprintf("the file has more than %d bytes", maxSize)}
	case !utf8.Valid(content):
		return nil, &fault{0, "the file is not UTF-8"}
	}
	var first, second yaml.Node
	given := &source{content: content}
	decoder := yaml.NewDecoder(given)
	switch err := decoder.Decode(&first); {
	case err == io.EOF:
		return nil, &fault{0, "the file is empty"}
	case err != nil:
		return nil, given.fault(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &fault{second.Line, "a second document begins here, and the file has one"}
	case err != io.EOF:
		return nil, given.fault(err)
	}
	return first.Content[0], nil
}

// source gives the parser one line after the other, and so knows how far it came.
type source struct {
	content []byte
	given   int // bytes
}

func (s *source) Read(p []byte) (int, error) {
	rest := s.content[s.given:]
	if len(rest) == 0 {
		return 0, io.EOF
	}
	if end := bytes.IndexByte(rest, '\n'); end >= 0 {
		rest = rest[:end+1]
	}
	n := copy(p, rest)
	s.given += n
	return n, nil
}

func (s *source) line(offset int) int {
	return 1 + bytes.Count(s.content[:max(offset, 0)], []byte("\n"))
}

func (s *source) text(line int) string {
	return string(bytes.Split(s.content, []byte("\n"))[line-1])
}

const refused = "anchors, aliases and tags are not read here; write the value out, or in quotes if it begins with &, * or !"

var (
	lineOfError  = regexp.MustCompile(`^line (\d+): `)
	bareVariable = regexp.MustCompile(`[:,\[{]\s*\$\{`)
	unknownAlias = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// fault keeps the parser's message, which repeats nothing of the file but the name of an alias: perhaps a secret that lacks
// its quotes. The line is the last that the parser was given, or one that it tells and that is nearer to the mistake.
func (s *source) fault(err error) *fault {
	line, message := s.line(s.given-1), strings.TrimPrefix(err.Error(), "yaml: ")
	if m := unknownAlias.FindStringSubmatch(message); m != nil {
		return &fault{s.line(bytes.LastIndex(s.content[:s.given], []byte("*"+m[1]))), refused}
	}
	if m := lineOfError.FindStringSubmatch(message); m != nil {
		told, _ := strconv.Atoi(m[1])
		message = message[len(m[0]):]
		switch {
		case strings.HasPrefix(message, "did not find expected ','"), message == "found undefined tag handle":
			line = min(line, told+1) // it is counted from 0, and is where the bracket opens
		case strings.HasPrefix(message, "did not find expected"): // it is where the mapping or list around it begins
		default:
			line = min(line, told)
		}
	}
	return &fault{line, "this is not YAML: " + message + remedy(message, s.text(line))}
}

// remedy is what to do about an error of the parser, whose words are for those who know its grammar.
func remedy(message, line string) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.HasPrefix(message, "did not find expected ','") && bareVariable.MatchString(line):
		return "; put ${NAME} in quotes"
	case message == "found character that cannot start any token" && strings.Contains(indent, "\t"):
		return "; indent with spaces, not with tabs"
	case message == "found character that cannot start any token":
		return "; put a value that begins with @, ` or % in quotes"
	case message == "found unexpected end of stream":
		return "; a quotation mark is missing"
	case message == "mapping values are not allowed in this context":
		return "; is there a space after each colon, and are this line and the one before indented as they should be?"
	case strings.HasPrefix(message, "did not find expected key"), strings.HasPrefix(message, "did not find expected '-'"):
		return "; is this line, or the one before, indented as those beside it?"
	}
	return ""
}

func (r *reader) convert(n *yaml.Node, path string, depth int) *node {
	own := &node{line: n.Line, path: path}
	switch {
	case depth > maxDepth:
		r.fault(own, "is nested too deep")
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Style&yaml.TaggedStyle != 0:
		r.fault(own, refused)
	case n.Kind == yaml.MappingNode:
		own.kind = mapping
		r.addPairs(own, n.Content, depth)
	case n.Kind == yaml.SequenceNode:
		own.kind = sequence
		for i, item := range n.Content {
			own.items = append(own.items, r.convert(item, fmt.Sprintf("%s[%d]", path, i+1), depth+1))
		}
	default:
		own.kind, own.text = kindOf(n), n.Value
		if own.kind == boolean {
			own.text = strings.ToLower(n.Value)
		}
	}
	return own
}

// kindOf leaves as text what is a number or a date to some readers of YAML only: 1e3, 2026-01-02, yes, an integer beyond
// 64 bits, or a key of 64 digits.
func kindOf(n *yaml.Node) kind {
	switch {
	case n.Tag == "!!null":
		return null
	case n.Tag == "!!bool":
		return boolean
	case n.Tag == "!!int":
		return integer
	case n.Tag == "!!float" && strings.Contains(n.Value, "."):
		return float
	}
	return text
}

func (r *reader) addPairs(own *node, content []*yaml.Node, depth int) {
	seen := map[string]bool{}
	for both := range slices.Chunk(content, 2) {
		key, name := r.convert(both[0], own.path, depth+1), both[0].Value
		switch {
		case key.kind >= float || both[0].Tag == "!!merge":
			r.fault(key, "a key of a mapping must be plain text")
			continue
		case seen[name]:
			r.fault(key, "key %q is there twice", name)
		}
		seen[name] = true
		own.pairs = append(own.pairs, pair{name, key.line, r.convert(both[1], join(own.path, name), depth+1)})
	}
}

func join(path, name string) string {
	if path == "" {
		return shown(name)
	}
	return path + "." + shown(name)
}
