package activestorage

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestMetadataSaysWhetherLockboxMarkedTheFile(t *testing.T) {
	for m, want := range map[Metadata]bool{
		`{"analyzed":true,"encrypted":true,"identified":true}`: true,
		`{"encrypted":1}`:                      true, // what is true in Ruby
		`{"encrypted":""}`:                     true,
		`{"identified":true,"analyzed":true}`:  false,
		`{"encrypted":false}`:                  false,
		`{"encrypted":null}`:                   false,
		`{"Encrypted":true}`:                   false,
		`{"custom":{"encrypted":true}}`:        false,
		`{"encrypted":true,"encrypted":false}`: false, // Ruby takes the last, too
		"":                                     false,
		" \n":                                  false,
		"null":                                 false,
		"{}":                                   false,
	} {
		if got, err := m.Encrypted(); err != nil || got != want {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	for _, m := range []Metadata{`{`, `[]`, `"secret"`, `true`, `{"encrypted":true} x`, `{"encrypted":tru}`} {
		_, err := m.Encrypted()
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", m, err)
		}
		if _, err := m.Map(); err == nil {
			t.Errorf("%s is taken for an object", m)
		}
	}
}

func TestMetadataOfAnEncryptedFileTellsNothingOfItsContent(t *testing.T) {
	for m, want := range map[Metadata]Metadata{
		`{"identified":true,"width":100,"height":50,"analyzed":true}`: sealedMetadata,
		`{"custom":{"a":"<b>"},"width":100}`:                          `{"custom":{"a":"<b>"},` + sealedMetadata[1:],
		"":                                                            sealedMetadata,
		`{"encrypted":true,"width":100}`:                              `{"encrypted":true,"width":100}`, // left alone
	} {
		if got, err := m.sealed(); err != nil || got != want {
			t.Errorf("%s becomes %s, %v; want %s", m, got, err, want)
		}
	}
	if _, err := Metadata(`[]`).sealed(); err == nil {
		t.Error("what is no object was replaced")
	}
}

// The seeds are what Rails and Lockbox wrote, and what no app should.
func FuzzMetadata(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		m := Metadata(text)
		before, mapErr := m.Map()
		marked, err := m.Encrypted()
		if (err == nil) != (mapErr == nil) || marked && mapErr != nil {
			t.Fatalf("%q: Encrypted says %v, %v; Map says %v", text, marked, err, mapErr)
		}
		sealed, err := m.sealed()
		if (err == nil) != (mapErr == nil) {
			t.Fatalf("%q: sealed says %v, Map says %v", text, err, mapErr)
		}
		if err != nil {
			return
		}
		if marked && sealed != m {
			t.Errorf("%q was marked and becomes %q", text, sealed)
		}
		if now, err := sealed.Encrypted(); !now || err != nil || !json.Valid([]byte(sealed)) {
			t.Errorf("%q becomes %q, which is not marked: %v", text, sealed, err)
		}
		after, err := sealed.Map()
		if err != nil || !reflect.DeepEqual(after["custom"], before["custom"]) {
			t.Errorf("%q loses what is custom: %q, %v", text, sealed, err)
		}
	})
}

func needSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
}
