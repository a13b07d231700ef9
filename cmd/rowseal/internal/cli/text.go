package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wrap breaks a text between words, so that each line has at most width characters, if its words allow. Every line is indented.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// shorten leaves the beginning of a long ASCII text and says how long it is.
func shorten(s string) string {
	const most = 56
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d characters)", s[:most], len(s))
}

// count is "1 request" or "2 requests".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// printable tells whether a terminal shows b as it is: UTF-8 without control characters but tabs and line ends, and without
// those that hide or reorder text.
func printable(b []byte) bool {
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && !unicode.IsGraphic(r)
	})
}

func shellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// visible shows what a terminal would not: control characters, and those that hide or reorder text.
func visible(s string) string {
	if printable([]byte(s)) && !strings.ContainsAny(s, "\n\t") {
		return s
	}
	return strings.Trim(strconv.QuoteToGraphic(s), `"`)
}
