package secondreader

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What the second reader agrees to is worth something only as long as it cannot repeat a mistake of rowseal's.
func TestTheSecondReaderSharesNoCodeWithRowseal(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) < 3 {
		t.Fatalf("only %d files, %v", len(names), err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(path, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(path, "golang.org/x/crypto/") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
