package activestorage

import "strings"

// SafeFilename returns the filename as Rails shows it (ActiveStorage::Filename#sanitized, activestorage
// app/models/active_storage/filename.rb): without white space and NULs around it, and with - for each of the characters
// that are not safe in paths, shells and headers, or that hide what a name ends with. Bytes that are not UTF-8 become
// U+FFFD.
func (b Blob) SafeFilename() string {
	name := strings.ToValidUTF8(b.Filename, "\uFFFD")
	return strings.Map(dashed, strings.Trim(name, "\x00\t\n\v\f\r "))
}

func dashed(r rune) rune {
	if strings.ContainsRune("\u202E\x00%$|:;/<>?*\"\t\r\n\\", r) {
		return '-'
	}
	return r
}
