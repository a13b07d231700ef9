package arch

import (
	"strings"
	"testing"
)

// The rules judged on made-up trees: what a rule cannot refuse here, it would not refuse in the real one.

var madeUpModules = []module{{".", rowseal}, {"cmd/tool", rowseal + "/cmd/tool"}}

var madeUpPlaces = []place{
	{"internal/low", nil},
	{"kms", []string{"internal/low"}},
	{".", []string{"kms", "internal/low"}},
	{"cmd/tool", []string{public, "cmd/tool/internal/..."}},
}

func TestImportRules(t *testing.T) {
	code := func(path ...string) pkg { return pkg{imports: path} }
	tests := func(path ...string) pkg { return pkg{tests: path} }
	const obeys = ""

	for _, tc := range []struct {
		what   string
		name   string
		module string
		pkg    pkg
		fault  string
	}{
		{"the standard library and x/crypto", "kms", ".", code("database/sql/driver", "golang.org/x/crypto/hkdf"), obeys},
		{"what its place allows", ".", ".", code(rowseal+"/kms", rowseal+"/internal/low"), obeys},
		{"against the arrow", "kms", ".", code(rowseal), "kms: may not import " + rowseal + ";"},
		{"a neighbour", ".", ".", code(rowseal + "/lockbox"), "may not import"},
		{"what only begins like an allowed one", ".", ".", code(rowseal + "/kmsx"), "may not import"},
		{"a driver", ".", ".", code("modernc.org/sqlite"), "golang.org/x/crypto, not modernc.org/sqlite"},
		{"another x module", ".", ".", code("golang.org/x/cryptobyte/x"), "only the standard library"},
		{"another project of like name", ".", ".", code(rowseal + "x/kms"), "only the standard library"},
		{"cgo", "kms", ".", code("C"), "only the standard library"},
		{"a package without a place", "blog", ".", code(), "blog: has no place"},

		{"tests: all of the root module", "kms", ".", tests(rowseal, rowseal+"/lockbox", rowseal+"/internal/low"), obeys},
		{"tests: a third party", "kms", ".", tests("example.org/assert"), "tests of the root module import only"},
		{"tests: a nested module", "kms", ".", tests(rowseal + "/cmd/tool"), "may not import a nested one"},

		{"nested: third parties, public and own packages", "cmd/tool", "cmd/tool",
			code("github.com/spf13/cobra", rowseal, rowseal+"/kms", rowseal+"/cmd/tool/internal/cli"), obeys},
		{"nested: the root module's internals", "cmd/tool", "cmd/tool", code(rowseal + "/internal/low"), "may not import"},
		{"nested: another's internals", "cmd/tool", "cmd/tool", code(rowseal + "/kms/internal/x"), "may not import"},
		{"nested tests: the root module's internals", "cmd/tool", "cmd/tool", tests(rowseal+"/internal/low", "x.org/y"), obeys},
	} {
		t.Run(tc.what, func(t *testing.T) {
			tc.pkg.name, tc.pkg.module = tc.name, tc.module
			check(t, importFaults(tc.pkg, madeUpPlaces, madeUpModules), tc.fault)
		})
	}
}

func TestDocumentationRules(t *testing.T) {
	for _, tc := range []struct {
		what  string
		pkg   pkg
		fault string
	}{
		{"documented, with an example", pkg{name: "kms", doc: true, code: true, examples: 1}, ""},
		{"no package comment", pkg{name: "kms", code: true, examples: 1}, "kms: has no package comment"},
		{"no example", pkg{name: "kms", doc: true, code: true}, "kms: has no Example"},
		{"data needs no example", pkg{name: "vectors", doc: true}, ""},
		{"a command needs no example", pkg{name: "cmd/rowseal", doc: true, code: true, command: true}, ""},
		{"what is internal needs no example", pkg{name: "kms/internal/x", doc: true, code: true}, ""},
		{"what is internal needs a package comment", pkg{name: "internal/x"}, "internal/x: has no package comment"},
	} {
		t.Run(tc.what, func(t *testing.T) { check(t, docFaults(tc.pkg), tc.fault) })
	}
}

func TestModuleRules(t *testing.T) {
	check(t, moduleFaults(madeUpModules, []string{".", "cmd/tool"}), "")
	check(t, moduleFaults(madeUpModules, []string{"."}), "cmd/tool: its go.mod is not in go.work")
	check(t, moduleFaults([]module{{"cmd/tool", rowseal + "/tool"}}, []string{"cmd/tool"}), "elsewhere")
	check(t, moduleFaults([]module{{"cmd/tool", "example.org/tool"}}, []string{"cmd/tool"}), "elsewhere")
}

func TestBuildMachineRules(t *testing.T) {
	for content, leak := range map[string]bool{
		"see docs/" + "work/plan and https://example.org/home/page": false,
		"$HOME/root/x, ${TOP}/" + "work/x, ../" + "work/x":          false,
		"pkg.go.dev/golang.org/x/crypto":                            false,
		"a path: /" + "work/main":                                   true,
		"\"/" + "root/go\"":                                         true,
		"file:///" + "home/someone/x":                               true,
		"GOPROXY=https://proxy." + "golang.org":                     true,
		"https://rubygems." + "org/gems/lockbox":                    true,
		"https://registry.npmjs." + "org/x":                         true,
	} {
		want := ""
		if leak {
			want = "page.md:2: names a build machine's path or a package registry"
		}
		check(t, leaks("page.md", "first line\n"+content+"\n"), want)
	}
}

func TestModuleOf(t *testing.T) {
	for name, want := range map[string]string{
		".": ".", "kms": ".", "cmd": ".", "cmd/tool": "cmd/tool", "cmd/tool/internal/cli": "cmd/tool", "cmd/toolbox": ".",
	} {
		if got := moduleOf(name, madeUpModules); got != want {
			t.Errorf("%s belongs to module %s, not %s", name, want, got)
		}
	}
}

// check wants one fault that contains want, or none when want is empty.
func check(t *testing.T, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("refused, and should not be: %q", faults)
	case want != "" && (len(faults) != 1 || !strings.Contains(faults[0], want)):
		t.Errorf("got %q, want one fault that says %q", faults, want)
	}
}
