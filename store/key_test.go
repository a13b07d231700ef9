package store

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewKeysAreThoseOfActiveStorage(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		key := NewKey()
		if len(key) != 28 || strings.Trim(key, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q is not 28 of 0-9 and a-z", key)
		}
		if err := CheckKey(key); err != nil {
			t.Error(err)
		}
		if seen[key] {
			t.Fatalf("%s twice among 1000 keys", key)
		}
		seen[key] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d keys", len(seen))
	}
}

func TestEveryCharacterOfAKeyIsAsLikely(t *testing.T) {
	count := make(map[byte]int)
	for b := range 256 {
		if c, ok := base36Of(byte(b)); ok {
			count[c]++
		}
	}
	if len(count) != 36 {
		t.Errorf("%d characters, want 36", len(count))
	}
	for c, n := range count {
		if n != 7 {
			t.Errorf("%q stands for %d of 256 bytes, want 7", c, n)
		}
	}
}

func TestErrorsSayWhatIsWrongWithAKeyAndWhere(t *testing.T) {
	for key, want := range map[string]string{
		"":                          `key "": 0 characters, where 4 to 255 may be: invalid key`,
		"abc":                       `key "abc": 3 characters, where 4 to 255 may be: invalid key`,
		strings.Repeat("k", 256):    `key "` + strings.Repeat("k", 40) + `…": 256 characters, where 4 to 255 may be: invalid key`,
		"../../etc/passwd":          `key "../../etc/passwd": '.' at byte 0, where only a-z, A-Z, 0-9, _ and - may be: invalid key`,
		"license.pdf":               `key "license.pdf": '.' at byte 7, where only a-z, A-Z, 0-9, _ and - may be: invalid key`,
		"aabb\x00":                  `key "aabb\x00": '\x00' at byte 4, where only a-z, A-Z, 0-9, _ and - may be: invalid key`,
		strings.Repeat("%PDF", 9e4): `key "` + strings.Repeat("%PDF", 10) + `…": '%' at byte 0, where only a-z, A-Z, 0-9, _ and - may be: invalid key`,
	} {
		err := CheckKey(key)
		if err == nil || err.Error() != want || !errors.Is(err, ErrInvalidKey) {
			t.Errorf("%v\nwant\n%s", err, want)
		}
	}
	for _, key := range []string{"aabb", "AZaz09_-", "----", strings.Repeat("k", 255)} {
		if err := CheckKey(key); err != nil {
			t.Error(err)
		}
	}
}

// What CheckKey takes is one path component wherever a store puts it, and cannot be a temporary file of Dir.
func FuzzCheckKey(f *testing.F) {
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if err := CheckKey(key); err != nil {
			if !errors.Is(err, ErrInvalidKey) || len(err.Error()) > 400 {
				t.Errorf("%d characters that match no sentinel or are too many: %v", len(err.Error()), err)
			}
			return
		}
		file := fileOf(key)
		parts := strings.Split(file, "/")
		if len(parts) != 3 || parts[0] != key[:2] || parts[1] != key[2:4] || parts[2] != key {
			t.Errorf("%q has the file %q", key, file)
		}
		if path.Clean(file) != file || !filepath.IsLocal(filepath.FromSlash(file)) || strings.ContainsAny(file, "\\:.%\x00") {
			t.Errorf("%q has the file %q", key, file)
		}
		if strings.HasPrefix(key, temporary) {
			t.Errorf("%q could be a temporary file", key)
		}
	})
}
