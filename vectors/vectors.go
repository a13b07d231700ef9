// Package vectors holds what the Ruby gems kms_encrypted, Lockbox, attr_encrypted and Blind Index really wrote, so that any
// implementation can be tested against their bytes. README.md in this folder says what each file holds and what must be
// true of it. The files are never edited.
package vectors

import "embed"

// FS holds the files of this folder, by their names here: "kms_box.json", "rails/insecure.sqlite3".
//
//go:embed README.md *.json activestorage rails
var FS embed.FS
