package railsyaml

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// tagFinder gives nodes the tag ! back, which the parser drops. Psych puts it before quotes that shall have no effect:
// ! ':a: b' is a symbol, ':a: b' is not. The parser says where a node begins, so the tag is looked for in the text.
type tagFinder struct {
	lines []string
	line  int    // the number of the one in runes
	runes []rune // since columns are counted in characters
}

// lineBreaks makes one of all that libyaml counts as lines.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func newTagFinder(text []byte) *tagFinder {
	return &tagFinder{lines: strings.Split(lineBreaks.Replace(strings.TrimPrefix(string(text), "\ufeff")), "\n")}
}

// visit goes through the nodes in the order of the text, so that each line is looked at once.
func (f *tagFinder) visit(n *yaml.Node) {
	for _, child := range n.Content {
		f.visit(child)
	}
	if n.Kind == yaml.ScalarNode && n.Style != 0 && n.Style&yaml.TaggedStyle == 0 && f.hasTag(n) {
		n.Tag, n.Style = "!", n.Style|yaml.TaggedStyle
	}
}

func (f *tagFinder) hasTag(n *yaml.Node) bool {
	if n.Line > len(f.lines) {
		return false
	}
	if n.Line != f.line {
		f.line, f.runes = n.Line, []rune(f.lines[n.Line-1])
	}
	rest := f.runes[min(n.Column-1, len(f.runes)):]
	if len(rest) > 0 && rest[0] == '&' { // an anchor before the tag
		rest = rest[max(0, slices.IndexFunc(rest, func(r rune) bool { return r == ' ' || r == '\t' })):]
		for len(rest) > 0 && rest[0] == ' ' {
			rest = rest[1:]
		}
	}
	return len(rest) > 0 && rest[0] == '!'
}
