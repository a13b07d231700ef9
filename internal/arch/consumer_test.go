package arch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clients are the modules whose packages only the provider that needs them may bring into a program.
var clients = map[string][]string{
	"kms/awskms":   {"github.com/aws/"},
	"kms/azurekms": {"github.com/Azure/", "github.com/AzureAD/"},
	"kms/gcpkms":   {"cloud.google.com/", "google.golang.org/", "github.com/googleapis/"},
	"kms/vaultkms": {"github.com/hashicorp/"},
}

const consumer = `package main

import (
	_ "github.com/rowseal/rowseal"
	_ "github.com/rowseal/rowseal/activestorage"
	_ "github.com/rowseal/rowseal/attrencrypted"
	_ "github.com/rowseal/rowseal/blindindex"
	_ "github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/kmstest"
	_ "github.com/rowseal/rowseal/kms/localkms"
	_ "github.com/rowseal/rowseal/kms/testkms"
	_ "github.com/rowseal/rowseal/lockbox"
	_ "github.com/rowseal/rowseal/sqlseal"
	_ "github.com/rowseal/rowseal/store"
	_ "github.com/rowseal/rowseal/vectors"
)

func main() {}
`

// A program that imports everything of the root module gets the standard library, rowseal, and golang.org/x/crypto with
// what that needs: not one module more to download, compile or watch for advisories.
func TestAProgramThatUsesTheCoreGetsNothingElse(t *testing.T) {
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mod := fmt.Sprintf("module consumer\n\ngo 1.26.0\n\nrequire %s v0.0.0\n\nreplace %[1]s => %s\n", rowseal, root)
	sums, err := os.ReadFile(filepath.Join(top, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": mod, "go.sum": string(sums), "main.go": consumer} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range standalone(t, dir, "list", "-mod=mod", "-m", "all") {
		name, _, _ := strings.Cut(m, " ")
		if name != "consumer" && name != rowseal && !strings.HasPrefix(name, "golang.org/x/") {
			t.Errorf("the program's modules hold %s", m)
		}
	}
	deps := standalone(t, dir, "list", "-mod=mod", "-deps", ".")
	if !slices.Contains(deps, rowseal+"/lockbox") {
		t.Fatalf("the list of dependencies lacks lockbox: %q", deps)
	}
	for _, p := range deps {
		needed := plain(p) || strings.HasPrefix(p, "golang.org/x/sys/") // by x/crypto, to know the processor
		if _, ours := ownName(p); !ours && !needed && !strings.HasPrefix(p, "vendor/golang.org/x/") && p != "consumer" {
			t.Errorf("the program is built with %s", p)
		}
	}
}

func TestAProviderBringsItsOwnClientAndNoOther(t *testing.T) {
	for provider, own := range clients {
		deps := standalone(t, filepath.Join(top, provider), "list", "-deps", ".")
		for other, prefixes := range clients {
			for _, prefix := range prefixes {
				has := slices.ContainsFunc(deps, func(p string) bool { return strings.HasPrefix(p, prefix) })
				if other != provider && has {
					t.Errorf("%s is built with packages of %s", provider, prefix)
				}
				if other == provider && prefix == own[0] && !has {
					t.Errorf("%s is built without %s, so this test looks for the wrong thing", provider, prefix)
				}
			}
		}
	}
}

// standalone runs the go command outside the workspace, as a user's module would, and returns the lines of its output.
func standalone(t *testing.T, dir string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
