package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rowseal = "github.com/rowseal/rowseal"

// public stands for every package of rowseal that its users can import.
const public = "public"

// place says which of rowseal's packages a package's code may import; "x/..." is x and all below it.
type place struct {
	pkg       string
	mayImport []string
}

// places has a line for every package, lowest first: arrows point upwards only.
//
// Beyond this table, the root module's code and tests import the standard library and golang.org/x/crypto only, so no
// driver, no ORM and no service's client. Its tests may import all of the root module, and nothing of a nested one.
// What a nested module takes from outside is its own affair; so is what its tests take from rowseal.
var places = []place{
	{"internal/errs", nil},
	{"internal/mime64", nil},
	{"internal/arch", nil},
	{"vectors", nil},

	{"kms", []string{"internal/errs", "internal/mime64"}},
	{"kms/kmstest", []string{"kms", "internal/errs", "internal/mime64"}},
	{"kms/localkms", []string{"kms", "internal/errs", "internal/mime64"}},
	{"kms/testkms", []string{"kms", "internal/errs", "internal/mime64"}},

	{"kms/awskms", []string{"kms"}},
	{"kms/azurekms", []string{"kms"}},
	{"kms/gcpkms", []string{"kms"}},
	{"kms/vaultkms", []string{"kms"}},

	{"lockbox", []string{"internal/errs", "internal/mime64"}},
	{"lockbox/railsyaml", []string{"lockbox"}},
	{"attrencrypted", []string{"internal/errs", "internal/mime64"}},
	{"blindindex", []string{"internal/errs"}},
	{"store", []string{"internal/errs"}},
	{"store/storetest", []string{"store"}},
	{"store/s3store", []string{"store"}},

	{"audit", []string{"kms"}},
	{"otelseal", []string{"audit", "kms"}},

	{".", []string{"kms", "lockbox", "attrencrypted", "blindindex", "store", "internal/errs", "internal/mime64"}},
	{"activestorage", []string{"store", "internal/errs"}},
	{"sqlseal", []string{".", "kms"}},
	{"sweep", []string{".", "kms", "lockbox", "sqlseal"}},
	{"sweep/riversweep", []string{public}},
	{"gormseal", []string{".", "attrencrypted", "blindindex", "kms", "sqlseal"}},

	{"cmd/rowseal", []string{"cmd/rowseal/internal/cli"}},
	{"cmd/rowseal/internal/...", []string{public, "cmd/rowseal/internal/..."}},

	{"examples/...", []string{public, "examples/..."}}, // not published, nor is what follows
	{"internal/e2e/...", []string{public, "internal/e2e/..."}},
}

// outside lists the modules that go.work leaves out.
var outside = []string{
	"internal/e2e/vaultserver", // Vault is pinned to old versions, which all other modules would get
}

func TestImportsPointOneWay(t *testing.T) {
	pkgs, modules := readTree(t)
	for _, p := range pkgs {
		report(t, importFaults(p, places, modules))
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	pkgs, _ := readTree(t)
	for _, p := range pkgs {
		report(t, docFaults(p))
	}
}

func TestModulesAreInTheWorkspace(t *testing.T) {
	_, modules := readTree(t)
	report(t, moduleFaults(modules, append(workspace(t), outside...)))
}

func TestFilesNameNoBuildMachine(t *testing.T) {
	for _, name := range files(t) {
		content, err := os.ReadFile(filepath.Join(top, name))
		if os.IsNotExist(err) {
			continue // deleted, and git has not been told yet
		}
		if err != nil {
			t.Fatal(err)
		}
		report(t, leaks(name, string(content)))
	}
}

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}

func importFaults(p pkg, places []place, modules []module) (faults []string) {
	at := slices.IndexFunc(places, func(pl place) bool { return covers(pl.pkg, p.name) })
	if at < 0 {
		return []string{p.name + ": has no place: add it to the table in internal/arch/arch_test.go"}
	}
	fault := func(format string, args ...any) {
		faults = append(faults, p.name+": "+fmt.Sprintf(format, args...))
	}
	for _, path := range p.imports {
		name, ours := ownName(path)
		if ours && !slices.ContainsFunc(places[at].mayImport, func(pattern string) bool { return covers(pattern, name) }) {
			fault("may not import %s; see the table in internal/arch/arch_test.go", path)
		}
		if !ours && p.module == "." && !plain(path) {
			fault("the root module imports only the standard library and golang.org/x/crypto, not %s", path)
		}
	}
	if p.module != "." {
		return faults
	}
	for _, path := range p.tests {
		name, ours := ownName(path)
		if ours && moduleOf(name, modules) != "." {
			fault("tests of the root module may not import a nested one: %s", path)
		}
		if !ours && !plain(path) {
			fault("tests of the root module import only the standard library and golang.org/x/crypto, not %s", path)
		}
	}
	return faults
}

// covers reports whether a pattern of the table means the package.
func covers(pattern, name string) bool {
	if pattern == public {
		return isPublic(name)
	}
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == above || strings.HasPrefix(name, above+"/")
	}
	return name == pattern
}

func isPublic(name string) bool { return !slices.Contains(strings.Split(name, "/"), "internal") }

// ownName returns the name of a package of rowseal, relative to the root module.
func ownName(path string) (name string, ours bool) {
	if path == rowseal {
		return ".", true
	}
	return strings.CutPrefix(path, rowseal+"/")
}

// plain reports whether a path is of the standard library or golang.org/x/crypto. "C" is not: rowseal builds without cgo.
func plain(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return path != "C" && !strings.Contains(first, ".") || strings.HasPrefix(path, "golang.org/x/crypto/")
}

func docFaults(p pkg) (faults []string) {
	if !p.doc {
		faults = append(faults, p.name+": has no package comment")
	}
	if p.code && !p.command && isPublic(p.name) && p.examples == 0 {
		faults = append(faults, p.name+": has no Example function that states its output, so none that runs")
	}
	return faults
}

func moduleFaults(modules []module, workspace []string) (faults []string) {
	for _, m := range modules {
		if !slices.Contains(workspace, m.dir) {
			faults = append(faults, m.dir+": its go.mod is not in go.work, so make test would pass it by")
		}
		if name, ours := ownName(m.path); !ours || name != m.dir {
			faults = append(faults, fmt.Sprintf("%s: its go.mod says %q, which Go would look for elsewhere", m.dir, m.path))
		}
	}
	return faults
}

// buildMachine matches absolute paths of homes and workspaces, and hosts that serve packages.
var buildMachine = regexp.MustCompile(`(?:^|[^\w.$}-])/(?:work|root|home)/` +
	`|\b(?:proxy|sum)\.golang\.org|\bgoproxy\.\w+|\brubygems\.org|\b(?:registry\.npmjs|pypi|crates|deb\.debian)\.(?:io|org)`)

func leaks(name, content string) (faults []string) {
	line := 0
	for text := range strings.Lines(content) {
		line++
		if found := buildMachine.FindString(text); found != "" {
			fault := fmt.Sprintf("%s:%d: names a build machine's path or a package registry: %q", name, line, found)
			faults = append(faults, fault)
		}
	}
	return faults
}
