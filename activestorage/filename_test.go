package activestorage_test

import (
	"strings"
	"testing"

	"github.com/rowseal/rowseal/activestorage"
)

// The cases are those of Rails (activestorage test/models/filename_test.rb), and white space as Ruby's strip sees it.
func TestSafeFilenamesAreThoseOfRails(t *testing.T) {
	for name, want := range map[string]string{
		"racecar.jpg":          "racecar.jpg",
		"licence é0.bin":       "licence é0.bin",
		"evil\u202Efdp.exe":    "evil-fdp.exe",
		"../../etc/passwd":     "..-..-etc-passwd",
		"\xAD":                 "\uFFFD",
		"\xCF":                 "\uFFFD",
		"\x00":                 "",
		" \t\v\f\r\n a b \x00": "a b",
	} {
		if got := (activestorage.Blob{Filename: name}).SafeFilename(); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
	for _, unsafe := range strings.Split("% $ | : ; / < > ? * \" \t \r \n \\ \x00", " ") {
		if got := (activestorage.Blob{Filename: "foo" + unsafe + "bar.pdf"}).SafeFilename(); got != "foo-bar.pdf" {
			t.Errorf("%q becomes %q", "foo"+unsafe+"bar.pdf", got)
		}
	}
}
