package railsyaml

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// emitter writes text as libyaml 0.2.5 does (src/emitter.c), in blocks two columns deep and, where spaces allow it, at
// most about 80 columns wide. Only empty collections are in braces.
type emitter struct {
	buf    []byte
	start  int // of the document in buf
	column int // of the current line, in characters

	whitespace bool // the last thing written needs no space after it
	indention  bool // there is nothing but spaces and indicators on the line
	openEnded  bool // the last block of text ended in several line breaks
}

const width = 80

func (e *emitter) size() int { return len(e.buf) - e.start }

func (e *emitter) write(s string) {
	e.buf = append(e.buf, s...)
	e.column += utf8.RuneCountInString(s)
}

func (e *emitter) newline() {
	e.buf = append(e.buf, '\n')
	e.column = 0
}

// indentTo goes to a column, on a new line unless this one has nothing before it.
func (e *emitter) indentTo(column int) {
	if !e.indention || e.column > column || e.column == column && !e.whitespace {
		e.newline()
	}
	for e.column < column {
		e.write(" ")
	}
	e.whitespace, e.indention = true, true
}

func (e *emitter) indicator(s string, needsSpace, isSpace, isIndention bool) {
	if needsSpace && !e.whitespace {
		e.write(" ")
	}
	e.write(s)
	e.whitespace, e.indention = isSpace, e.indention && isIndention
}

func (e *emitter) tag(tag string) { e.indicator(tag, true, false, false) }

func (e *emitter) scalar(s scalar, c context) {
	chosen := choose(s, c)
	tag := s.tag
	if tag == "" && s.unquoted && chosen != plainStyle {
		tag = "!"
	}
	if tag != "" {
		e.tag(tag)
	}
	indent := c.indent + 2
	switch chosen {
	case plainStyle:
		e.plain(s.text, indent, !c.simpleKey)
	case singleQuoted:
		e.singleQuoted(s.text, indent, !c.simpleKey)
	case doubleQuoted:
		e.doubleQuoted(s.text, indent, !c.simpleKey)
	case literal:
		e.literal(s.text, indent)
	}
}

// choose returns the style that can hold the text, which is the wished one or one with more quotes.
func choose(s scalar, c context) style {
	chosen, can := s.style, analyze(s.text)
	if chosen == plainStyle && (!can.plain || s.text == "" && c.simpleKey) {
		chosen = singleQuoted
	}
	if chosen == singleQuoted && !can.single || chosen == literal && (!can.block || c.simpleKey) {
		return doubleQuoted
	}
	return chosen
}

// analysis is what libyaml finds out about text before it chooses a style.
type analysis struct{ breaks, plain, single, block bool }

func analyze(s string) analysis {
	a := analysis{plain: true, single: true, block: true}
	if s == "" {
		a.block = false
		return a
	}
	if strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") || strings.ContainsRune("#,[]{}&*!|>'\"%@`", firstRune(s)) {
		a.plain = false
	}
	previous := ' '
	for i, r := range s {
		next, size := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		last := size == 0
		blankNext := last || isBlank(next) || isBreak(next)
		switch {
		case r == ':' && blankNext, (r == '?' || r == '-') && i == 0 && blankNext:
			a.plain = false
		case r == '#' && (isBlank(previous) || isBreak(previous)):
			a.plain = false
		}
		switch {
		case !isPrintable(r):
			a.plain, a.single, a.block = false, false, false
		case r == ' ' && last:
			a.plain, a.block = false, false
		case r == ' ' && i == 0:
			a.plain = false
		}
		switch {
		case r == ' ' && i > 0 && isBreak(previous):
			a.plain, a.single = false, false
		case isBreak(r) && i > 0 && previous == ' ':
			a.plain, a.single, a.block = false, false, false
		}
		if isBreak(r) {
			a.breaks, a.plain = true, false
		}
		previous = r
	}
	return a
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// isBlank takes NUL for the end of the text, as libyaml does.
func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == 0 }

func isBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029
}

// isPrintable is libyaml's, for which a tab is not printable, nor anything beyond U+FFFF.
func isPrintable(r rune) bool {
	switch {
	case r == '\n', r >= 0x20 && r <= 0x7e, r >= 0xa0 && r <= 0xd7ff, r >= 0xe000 && r <= 0xfffd && r != 0xfeff:
		return true
	}
	return false
}

func (e *emitter) plain(s string, indent int, fold bool) {
	if s == "" {
		return
	}
	if !e.whitespace {
		e.write(" ")
	}
	e.folded(s, indent, fold, false)
	e.whitespace, e.indention = false, false
}

func (e *emitter) singleQuoted(s string, indent int, fold bool) {
	e.indicator("'", true, false, false)
	e.folded(strings.ReplaceAll(s, "'", "''"), indent, fold, true)
	e.indicator("'", false, false, false)
}

// folded writes text whose line breaks are doubled, and which gets a line break for a single space beyond the width. In
// quotes, the first and the last character stay where they are.
func (e *emitter) folded(s string, indent int, fold, quoted bool) {
	spaces, breaks := false, false
	for i, r := range s {
		rest := s[i+utf8.RuneLen(r):]
		switch {
		case r == ' ':
			atEdge := quoted && (i == 0 || rest == "")
			if fold && !spaces && e.column > width && !atEdge && !strings.HasPrefix(rest, " ") {
				e.indentTo(indent)
			} else {
				e.write(" ")
			}
			spaces = true
		case isBreak(r):
			if !breaks && r == '\n' {
				e.newline()
			}
			e.writeBreak(r)
			e.indention, breaks = true, true
		default:
			if breaks {
				e.indentTo(indent)
			}
			e.write(string(r))
			e.indention, spaces, breaks = false, false, false
		}
	}
	if breaks {
		e.indentTo(indent)
	}
}

func (e *emitter) writeBreak(r rune) {
	e.buf = utf8.AppendRune(e.buf, r)
	e.column = 0
}

var escapes = map[rune]string{
	0: `\0`, 7: `\a`, 8: `\b`, '\t': `\t`, '\n': `\n`, 0xb: `\v`, 0xc: `\f`, '\r': `\r`, 0x1b: `\e`, '"': `\"`, '\\': `\\`,
	0x85: `\N`, 0x2028: `\L`, 0x2029: `\P`,
}

func (e *emitter) doubleQuoted(s string, indent int, fold bool) {
	e.indicator(`"`, true, false, false)
	spaces := false
	for i, r := range s {
		rest := s[i+utf8.RuneLen(r):]
		switch {
		case r == ' ' && fold && !spaces && e.column > width && i > 0 && rest != "":
			e.indentTo(indent)
			if strings.HasPrefix(rest, " ") {
				e.write(`\`)
			}
		case !isPrintable(r) || isBreak(r) || r == '"' || r == '\\':
			e.write(escape(r))
		default:
			e.write(string(r))
		}
		spaces = r == ' '
	}
	e.indicator(`"`, false, false, false)
}

func escape(r rune) string {
	switch short, ok := escapes[r]; {
	case ok:
		return short
	case r <= 0xff:
		return fmt.Sprintf(`\x%02X`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04X`, r)
	}
	return fmt.Sprintf(`\U%08X`, r)
}

func (e *emitter) literal(s string, indent int) {
	e.indicator("|"+e.hints(s), true, false, false)
	e.newline()
	e.whitespace, e.indention = true, true
	breaks := true
	for _, r := range s {
		if isBreak(r) {
			e.writeBreak(r)
			e.indention, breaks = true, true
			continue
		}
		if breaks {
			e.indentTo(indent)
		}
		e.write(string(r))
		e.indention, breaks = false, false
	}
}

// hints returns the depth of a block whose first line cannot show it, and what to do with its line breaks at the end.
func (e *emitter) hints(s string) (hints string) {
	if r := firstRune(s); r == ' ' || isBreak(r) {
		hints = "2"
	}
	last, size := utf8.DecodeLastRuneInString(s)
	before, _ := utf8.DecodeLastRuneInString(s[:len(s)-size])
	e.openEnded = isBreak(last) && isBreak(before)
	switch {
	case !isBreak(last):
		return hints + "-"
	case e.openEnded:
		return hints + "+"
	}
	return hints
}
