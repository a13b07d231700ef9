package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/policy"
)

const permissions = "../../../../docs/permissions.md"

// pages is the folder, whatever the working directory is.
var pages, _ = filepath.Abs("../../../../docs")

func permissionsPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(permissions)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var policyBlocks = regexp.MustCompile("(?ms)^```console\n\\$ rowseal (policy [^\n]*)\n(.*?)^```$")

// TestPermissionsShowWhatPolicyPrints: -update writes the page's blocks anew.
func TestPermissionsShowWhatPolicyPrints(t *testing.T) {
	page := permissionsPage(t)
	shown := 0
	got := policyBlocks.ReplaceAllStringFunc(page, func(block string) string {
		shown++
		args := policyBlocks.FindStringSubmatch(block)[1]
		var out, errs bytes.Buffer
		if code := Main(context.Background(), strings.Fields(args), strings.NewReader(""), &out, &errs); code != exitOK {
			t.Fatalf("rowseal %s: exit code %d, %s", args, code, &errs)
		}
		return "```console\n$ rowseal " + args + "\n" + out.String() + "```"
	})
	if shown < 4 {
		t.Errorf("it shows %d policies, not one a service", shown)
	}
	golden(t, permissions, got)
}

func TestPermissionsTellHowToStop(t *testing.T) {
	page := strings.ReplaceAll(permissionsPage(t), `\|`, "|") // as it stands in a table
	for _, id := range []string{
		"vault/users",
		"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"projects/my-project/locations/europe-west1/keyRings/my-ring/cryptoKeys/users",
		"https://my-vault.vault.azure.net/keys/users",
	} {
		keeper, ok := policy.KeeperOf(id)
		if !ok || !strings.Contains(page, "`"+keeper.Stop+"`") {
			t.Errorf("%s: the page has no `%s`", id, keeper.Stop)
		}
	}
	if keeper, _ := policy.KeeperOf("vault/users"); !strings.Contains(page, "`"+keeper.Resume+"`") {
		t.Errorf("the page has no `%s`", keeper.Resume)
	}
}

var shownCommand = regexp.MustCompile(`(?m)(?:^\$ |[|] |\$\()(?:VAULT_TOKEN=\S+ |ROWSEAL_LEDGER=\S+ )?rowseal ((?:[^|>\n)"]|"[^"\n]*")+)`)

// TestCommandsOfThePagesAreUnderstood: those about auditing are not carried out, for want of logs, but none is a wrong command line.
func TestCommandsOfThePagesAreUnderstood(t *testing.T) {
	stands := strings.NewReplacer(`"$HEAD_OF_YESTERDAY"`, "1:"+strings.Repeat("0", 64), "WEB_ROLE_ARN", "arn:aws:iam::111122223333:role/web",
		"JOBS_ROLE_ARN", "arn:aws:iam::111122223333:role/jobs", "KEY_ARN", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", `"`, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Chdir(t.TempDir())
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	for page, least := range map[string]int{"auditing": 16, "incident": 13} {
		text, err := os.ReadFile(filepath.Join(pages, page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		commands := shownCommand.FindAllStringSubmatch(string(text), -1)
		if len(commands) < least {
			t.Errorf("%s shows %d commands", page, len(commands))
		}
		for _, c := range commands {
			var out, errs bytes.Buffer
			args := strings.Fields(stands.Replace(c[1]))
			if code := Main(ctx, args, strings.NewReader(""), &out, &errs); code == exitUsage {
				t.Errorf("%s: rowseal %s: %s", page, c[1], &errs)
			}
		}
	}
}
