package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
)

var yamlBlocks = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// documented returns the files that the documentation shows: the short one, and the one with every option.
func documented(t testing.TB) (short, whole []byte) {
	t.Helper()
	page, err := os.ReadFile("../../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlocks.FindAllSubmatch(page, -1)
	if len(blocks) != 2 {
		t.Fatalf("the page shows %d files, not 2", len(blocks))
	}
	return blocks[0][1], blocks[1][1]
}

func TestTheDocumentedFilesAreRight(t *testing.T) {
	short, whole := documented(t)
	for _, content := range [][]byte{short, whole} {
		f, err := config.Parse("rowseal.yaml", content, env)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range f.Tables {
			if err := table.Check(opener(t, nil)); err != nil {
				t.Error(err)
			}
		}
	}
}

// unsayable are the options that the file has no words for, and why.
var unsayable = map[string]string{
	"ContextRule.Func":                    "it is code",
	"ContextRule.Columns":                 "they are of Func",
	"blindindex.Options.Normalizers":      "they are code",
	"blindindex.Options.InsecureKey":      "a key here has 32 bytes",
	"attrencrypted.Options.AllowShortKey": "a key here has 32 bytes",
	"blindindex.Cost.Iterations":          "of PBKDF2, and the example has Argon2",
	"blindindex.Cost.N":                   "of scrypt",
	"blindindex.Cost.R":                   "of scrypt",
	"blindindex.Cost.P":                   "of scrypt",
	"blindindex.Options.Legacy":           "the example says false, so that its index fits",
}

// TestTheDocumentedFileSaysAllThatASchemaCan: each field of a Schema, and of what is in it, is set by the file that shows every
// option. So an option that the library gets must get into the file and onto the page.
func TestTheDocumentedFileSaysAllThatASchemaCan(t *testing.T) {
	_, whole := documented(t)
	f, err := config.Parse("rowseal.yaml", whole, env)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	visit(reflect.ValueOf(f.Tables[0].Schema), "Schema", set)
	for name, is := range set {
		if _, excused := unsayable[name]; excused == is {
			t.Errorf("%s: set %v, excused %v", name, is, excused)
		}
	}
	if len(set) < 60 {
		t.Errorf("only %d fields were visited", len(set))
	}
}

// visit notes for each field of a struct, by its type, whether it is set anywhere.
func visit(v reflect.Value, name string, set map[string]bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			place := strings.TrimPrefix(v.Type().String(), "rowseal.") + "." + v.Type().Field(i).Name
			set[place] = set[place] || !v.Field(i).IsZero()
			visit(v.Field(i), place, set)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			visit(v.Elem(), name, set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(v.Index(i), name, set)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			visit(v.MapIndex(key), name, set)
		}
	}
}
