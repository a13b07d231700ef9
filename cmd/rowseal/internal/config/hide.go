package config

import (
	"regexp"
	"unicode/utf8"
)

// hexRun is a key in hex, or much of one.
var hexRun = regexp.MustCompile(`[0-9A-Fa-f]{32,}`)

// longWord is what base64 of a key looks like, in messages of package rowseal.
var longWord = regexp.MustCompile(`[\w+/=-]{41,}`)

// shown is a value or a name as errors repeat it: not if it may be a key that stands in the wrong place.
func shown(text string) string {
	if hexRun.MatchString(text) || utf8.RuneCountInString(text) > 40 {
		return "…"
	}
	return text
}

// prose is what errors say besides values and names. They pass any other text through shown.
type prose string

// misplaced is the remedy for a key, or a variable that may have one, where a name belongs.
const misplaced prose = `this looks like a key itself; put it under master_keys as NAME: {key: "${LOCKBOX_MASTER_KEY}"}`
