package kms

import (
	"slices"
	"strings"
)

// WithoutEchoes is for services: it returns what a server has said without what that repeats of what was sent to it, so
// that no error shows a token or a data key. Whatever text and one of sent have in common, in 12 bytes in a row or more,
// becomes an ellipsis.
func WithoutEchoes(text string, sent ...string) string {
	const least = 12 // bytes that are no coincidence
	echo := func(s string) bool {
		return slices.ContainsFunc(sent, func(whole string) bool { return strings.Contains(whole, s) })
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		end := i + least
		if end > len(text) || !echo(text[i:end]) {
			out.WriteByte(text[i])
			i++
			continue
		}
		for end < len(text) && echo(text[i:end+1]) {
			end++
		}
		out.WriteString("…")
		i = end
	}
	return out.String()
}
