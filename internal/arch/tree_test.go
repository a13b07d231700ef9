package arch

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// top is the root module's folder, seen from this one.
const top = "../.."

// pkg is what the rules look at in a folder with Go files. Names of rowseal's own packages are relative to the root
// module: "kms/localkms"; the root package is ".".
type pkg struct {
	name     string
	module   string // the module it belongs to, named by its folder: "." is the root module
	doc      bool   // has a package comment
	code     bool   // declares functions outside of tests
	command  bool   // package main
	examples int    // that go test runs, because they state their output
	imports  []string
	tests    []string // imports of its tests
}

// module is a go.mod of the tree.
type module struct {
	dir  string // "." is the root module
	path string // as its module line says
}

// readTree reads every Go file, whatever its build constraints say: a rule that holds on one system only is none.
func readTree(t *testing.T) (pkgs []pkg, modules []module) {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name != top && holdsNoPackages(d.Name()) {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(top, name)
		dirs = append(dirs, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	for _, dir := range dirs {
		mod, err := os.ReadFile(filepath.Join(top, dir, "go.mod"))
		if err == nil {
			modules = append(modules, module{dir, modulePath(mod)})
		}
	}
	for _, dir := range dirs {
		if p, ok := readPackage(t, dir); ok {
			p.module = moduleOf(dir, modules)
			pkgs = append(pkgs, p)
		}
	}
	if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.name == "internal/arch" && p.module == "." }) {
		t.Fatalf("this package itself is not among the %d found", len(pkgs))
	}
	return pkgs, modules
}

// holdsNoPackages reports whether the go command passes such a folder by, too.
func holdsNoPackages(folder string) bool {
	return folder == "testdata" || strings.HasPrefix(folder, ".") || strings.HasPrefix(folder, "_")
}

func readPackage(t *testing.T, dir string) (p pkg, ok bool) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(top, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	p.name = dir
	var code, tests []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			tests = append(tests, file)
			p.tests = append(p.tests, imports(file)...)
			continue
		}
		code = append(code, file)
		p.imports = append(p.imports, imports(file)...)
		p.command = p.command || file.Name.Name == "main"
		p.code = p.code || slices.ContainsFunc(file.Decls, func(d ast.Decl) bool { _, is := d.(*ast.FuncDecl); return is })
	}
	for _, example := range doc.Examples(tests...) {
		if example.Output != "" || example.EmptyOutput {
			p.examples++
		}
	}
	documented := code
	if len(code) == 0 { // a package of tests alone
		documented = tests
	}
	p.doc = slices.ContainsFunc(documented, func(f *ast.File) bool { return f.Doc.Text() != "" })
	return p, len(names) > 0
}

func imports(file *ast.File) (paths []string) {
	for _, spec := range file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		paths = append(paths, p)
	}
	return paths
}

func modulePath(mod []byte) string {
	for line := range strings.Lines(string(mod)) {
		if p, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(p)
		}
	}
	return ""
}

// moduleOf names the module with the deepest folder that holds dir.
func moduleOf(dir string, modules []module) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if slices.ContainsFunc(modules, func(m module) bool { return m.dir == dir }) {
			return dir
		}
	}
	return "."
}

// workspace returns the folders that go.work uses.
func workspace(t *testing.T) (dirs []string) {
	t.Helper()
	var work struct{ Use []struct{ DiskPath string } }
	if err := json.Unmarshal(run(t, "go", "work", "edit", "-json", "go.work"), &work); err != nil {
		t.Fatal(err)
	}
	for _, use := range work.Use {
		dirs = append(dirs, path.Clean(use.DiskPath))
	}
	return dirs
}

// files returns the names of all files that are committed or would be with git add.
func files(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(top, ".git")); err != nil {
		t.Skip("not a git checkout: only git knows which files here belong to rowseal")
	}
	// The clone may belong to another user than the one who tests.
	list := run(t, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	return strings.FieldsFunc(string(list), func(r rune) bool { return r == 0 })
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = top
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.Bytes())
	}
	return out
}
