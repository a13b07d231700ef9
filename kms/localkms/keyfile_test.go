package localkms

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

func mustParse(t testing.TB, data []byte, name string) *keyFile {
	t.Helper()
	f, err := parseKeyFile(data, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func encode(t testing.TB, f *keyFile) []byte {
	t.Helper()
	data, err := f.encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// alterations returns the file truncated at every length and with every bit flipped, one at a time.
func alterations(data []byte) map[string][]byte {
	trimmed := bytes.TrimRight(data, "\n") // the last line break is white space
	all := map[string][]byte{}
	for n := range trimmed {
		all[fmt.Sprintf("truncated to %d bytes", n)] = data[:n]
	}
	for i := range trimmed {
		for bit := range 8 {
			b := bytes.Clone(data)
			b[i] ^= 1 << bit
			all[fmt.Sprintf("bit %d of byte %d flipped", bit, i)] = b
		}
	}
	return all
}

func TestEveryTruncationAndEveryBitFlipIsNoticed(t *testing.T) {
	data := readFile(t, "testdata/known.json")
	texts := map[string]bool{}
	for what, altered := range alterations(data) {
		got, err := parseKeyFile(altered, "known")
		if err == nil || got != nil {
			t.Errorf("%s: accepted (%v)", what, err)
			continue
		}
		texts[err.Error()] = true
	}
	for _, v := range mustParse(t, data, "known").Versions {
		for text := range texts {
			if shows(text, v.Key.bytes()) {
				t.Errorf("an error shows key material: %s", text)
			}
		}
	}
}

func TestWhiteSpaceMayChange(t *testing.T) {
	data := readFile(t, "testdata/known.json")
	for name, variant := range map[string][]byte{
		"no last line break": bytes.TrimSpace(data),
		"CRLF":               bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")),
		"compact":            compact(t, data),
	} {
		if _, err := parseKeyFile(variant, "known"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEncodeWritesWhatWasRead(t *testing.T) {
	data := readFile(t, "testdata/known.json")
	if got := encode(t, mustParse(t, data, "known")); !bytes.Equal(got, data) {
		t.Errorf("encoded as\n%s\nwant\n%s", got, data)
	}
}

type badFile struct {
	data   []byte
	says   string
	remedy string
}

// badFiles are contents of users.json that no method may use or change.
func badFiles(t *testing.T, good []byte) map[string]badFile {
	key := base64.StdEncoding.EncodeToString(mustParse(t, good, "users").Versions[0].Key.bytes())
	with := func(change func(f *keyFile)) []byte {
		f := mustParse(t, good, "users")
		change(f)
		return encode(t, f)
	}
	replace := func(old, new string) []byte {
		b := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("nothing to replace: %q", old)
		}
		return b
	}
	const (
		restore = "restore it from your backup: key file" // and nothing else
		orMove  = "restore it from your backup, or if it is no key, move it away"
		orUndo  = "restore it from your backup, or undo the change"
	)
	return map[string]badFile{
		"empty":               {nil, "truncated", restore},
		"half":                {good[:len(good)/2], "truncated", restore},
		"not JSON":            {[]byte("users"), "not JSON", restore},
		"no object":           {[]byte("[]"), "no key file", orMove},
		"another JSON":        {[]byte("{}"), "no key file", orMove},
		"two objects":         {append(bytes.Clone(good), good...), "not JSON", restore},
		"flipped key":         {replace(`"key": "`, `"key": "A`), "does not know", restore},
		"edited by hand":      {replace(`"disabled": false`, `"disabled": true`), "checksum", orUndo},
		"newer format":        {with(func(f *keyFile) { f.Format = "rowseal local key 2" }), "newer", "update rowseal"},
		"unknown field":       {replace(`"disabled"`, `"owner": "ops", "disabled"`), "does not know", restore},
		"field in other case": {replace(`"disabled"`, `"Disabled"`), "checksum", orUndo},
		"field twice":         {replace(`"current"`, `"disabled": false, "current"`), "checksum", orUndo},
		"another name":        {with(func(f *keyFile) { f.Name = "other" }), `holds the key "other"`, "rename it to other.json"},
		"no versions":         {with(func(f *keyFile) { f.Versions = nil }), "lacks the version 1", restore},
		"version 0":           {with(func(f *keyFile) { f.Versions[0].Number = 0 }), "ascending", restore},
		"a version twice":     {with(func(f *keyFile) { f.Versions = append(f.Versions, f.Versions[0]) }), "ascending", restore},
		"no current version":  {with(func(f *keyFile) { f.Current = 9 }), "lacks the version 9", restore},
		"missing key":         {replace(`"key"`, `"kex"`), "does not know", restore},
		"null key":            {replace(`"`+key+`"`, `null`), "checksum", orUndo},
		"too large":           {append(bytes.Clone(good), bytes.Repeat([]byte(" "), maxFileSize)...), "more than", restore},
	}
}

func TestABadFileIsNamedAndNeverOverwritten(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	good := readFile(t, key.path)
	for name, bad := range badFiles(t, good) {
		writeFile(t, key.path, bad.data)
		for method, call := range everyMethod(s, "users") {
			err := call()
			if !errors.Is(err, ErrKeyFile) || !errors.Is(err, kms.ErrInvalidRequest) {
				t.Errorf("%s: %s: %v", name, method, err)
				continue
			}
			for _, want := range []string{key.path, bad.says, bad.remedy} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %s: %q does not say %q", name, method, err, want)
				}
			}
		}
		if !bytes.Equal(readFile(t, key.path), bad.data) {
			t.Errorf("%s: the file changed", name)
		}
	}
	if entries, _ := os.ReadDir(s.Dir); len(entries) != 2 { // the key and the lock
		t.Errorf("left in the directory: %v", entries)
	}
}
