package audit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible returns text for a page or a terminal: what would not show, or would change how the rest shows, is written as Go writes it in
// a string ("\u202e", "\x1b", "\n"). Logs hold what attackers chose: user agents, session names, ids of rows.
func visible(text string) string {
	if !strings.ContainsFunc(text, hidden) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !hidden(r):
			b.WriteRune(r)
		case strconv.IsPrint(r): // yet with nothing to see
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// hidden tells of a rune that it does not show: control and format characters, lines' ends, spaces that are not U+0020, letters without
// a shape (https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point, and Braille without dots).
func hidden(r rune) bool {
	return !unicode.IsPrint(r) || r == '\u2800' || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// number writes 12345 as 12,345.
func number(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0 && s[at-1] != '-'; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// many writes "1 open" and "2,000 opens".
func many(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "y"):
		return number(n) + " " + strings.TrimSuffix(one, "y") + "ies"
	case strings.HasSuffix(one, "s"):
		return number(n) + " " + one + "es"
	}
	return number(n) + " " + one + "s"
}

// counted writes the count of an access, as a range where it is not sure.
func counted(a Access) string {
	if a.Over == 0 {
		return number(a.Count)
	}
	return number(a.Count-a.Over) + "–" + number(a.Count)
}

// moment writes a time in UTC to the second, which a log is as a rule no more precise than.
func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format(time.DateTime)
}
