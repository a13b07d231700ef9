package policy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/policy"
	"github.com/rowseal/rowseal/kms"
)

var update = flag.Bool("update", false, "write testdata anew: go test ./internal/policy -update")

const (
	awsKeyID = "1234abcd-12ab-34cd-56ef-1234567890ab"
	google   = "projects/my-project/locations/europe-west1/keyRings/my-ring/cryptoKeys/my-key"
)

var documents = []struct {
	file string
	id   string
	opts *policy.Options
}{
	{"aws_arn", "arn:aws:kms:eu-central-1:111122223333:key/" + awsKeyID, nil},
	{"aws_id", awsKeyID, nil},
	{"aws_mrk_narrowed", "mrk-1234abcd12ab34cd56ef1234567890ab", &policy.Options{Account: "111122223333", Region: "us-gov-west-1"}},
	{"aws_alias", "alias/my-key", &policy.Options{Account: "111122223333"}},
	{"aws_alias_arn", "arn:aws-cn:kms:cn-north-1:111122223333:alias/team/my-key", nil},
	{"aws_context", "arn:aws:kms:eu-central-1:111122223333:key/" + awsKeyID,
		&policy.Options{Context: kms.Context{"model_name": "User", "tenant": `a"b<c>${aws:username}*`}}},
	{"vault", "vault/my-key", nil},
	{"vault_mount", "vault/team/Transit.eu/my-key", nil},
	{"google", google, nil},
	{"google_domain", "projects/example.org:my-project/locations/global/keyRings/r/cryptoKeys/k_1", nil},
	{"azure_vault", "https://my-vault.vault.azure.net/keys/my-key", nil},
	{"azure_hsm", "https://my-hsm.managedhsm.azure.net/keys/my-key", nil},
}

var rights = []policy.Right{policy.Seal, policy.Open, policy.Rotate}

// extensions tell how a service's document is read.
var extensions = map[string]string{"aws": ".json", "vault": ".hcl", "google": ".sh", "azure": ".sh"}

func extension(file string) string {
	service, _, _ := strings.Cut(file, "_")
	return extensions[service]
}

// TestDocuments compares whole documents and their notes with testdata.
func TestDocuments(t *testing.T) {
	for _, tc := range documents {
		t.Run(tc.file, func(t *testing.T) {
			var got txtar.Archive
			for _, right := range rights {
				doc, err := policy.For(tc.id, right, tc.opts)
				if err != nil {
					t.Fatal(err)
				}
				got.Files = append(got.Files, txtar.File{Name: string(right) + extension(tc.file), Data: []byte(doc.Text)})
				if len(doc.Notes) > 0 {
					notes := strings.Join(doc.Notes, "\n") + "\n"
					got.Files = append(got.Files, txtar.File{Name: string(right) + ".notes", Data: []byte(notes)})
				}
			}
			keeper, ok := policy.KeeperOf(tc.id)
			if !ok {
				t.Fatal("nobody keeps this key")
			}
			commands := strings.Join([]string{keeper.Rotate, keeper.Stop, keeper.Resume}, "\n") + "\n"
			got.Files = append(got.Files, txtar.File{Name: "keeper.sh", Data: []byte(commands)})
			golden(t, filepath.Join("testdata", tc.file+".txtar"), string(txtar.Format(&got)))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (write it anew with -update):\n%s", file, got)
	}
}

func eachDocument(t *testing.T, ext string, check func(t *testing.T, text string, right policy.Right)) {
	t.Helper()
	checked := 0
	for _, tc := range documents {
		if extension(tc.file) != ext {
			continue
		}
		for _, right := range rights {
			doc, err := policy.For(tc.id, right, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(tc.file+"_"+string(right), func(t *testing.T) { check(t, doc.Text, right) })
			checked++
		}
	}
	if checked == 0 {
		t.Fatalf("no document ends in %s", ext)
	}
}

func TestPoliciesOfAWSAreJSON(t *testing.T) {
	actions := map[policy.Right]string{
		policy.Seal: "kms:Encrypt", policy.Open: "kms:Decrypt", policy.Rotate: "kms:ReEncryptFrom kms:ReEncryptTo",
	}
	eachDocument(t, ".json", func(t *testing.T, text string, right policy.Right) {
		var doc struct {
			Version   string
			Statement []struct {
				Effect, Resource string
				Action           []string
			}
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Version != "2012-10-17" || len(doc.Statement) != 1 || doc.Statement[0].Effect != "Allow" {
			t.Errorf("not one statement that allows: %s", text)
		}
		if got := strings.Join(doc.Statement[0].Action, " "); got != actions[right] {
			t.Errorf("allows %s, not %s", got, actions[right])
		}
	})
}

// TestScriptsAreForTheShell runs nothing: sh reads the scripts, and the JSON in them is what az would get.
func TestScriptsAreForTheShell(t *testing.T) {
	eachDocument(t, ".sh", func(t *testing.T, text string, _ policy.Right) {
		for _, shell := range []string{"sh", "bash"} {
			if path, err := exec.LookPath(shell); err == nil {
				cmd := exec.Command(path, "-n")
				cmd.Stdin = strings.NewReader(text)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s -n: %v: %s", shell, err, out)
				}
			}
		}
		if _, rest, ok := strings.Cut(text, "<<EOF\n"); ok {
			role, _, _ := strings.Cut(rest, "\nEOF\n")
			if !json.Valid([]byte(role)) {
				t.Errorf("the role is not JSON: %s", role)
			}
		}
	})
}

func TestCommandsOfKeepersAreForTheShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("the commands are for a shell, and there is none")
	}
	for _, tc := range documents {
		keeper, _ := policy.KeeperOf(tc.id)
		for _, command := range []string{keeper.Rotate, keeper.Stop, keeper.Resume} {
			cmd := exec.Command(sh, "-n")
			cmd.Stdin = strings.NewReader(command)
			if out, err := cmd.CombinedOutput(); err != nil || command == "" || strings.Contains(command, "\n") {
				t.Errorf("%q: %v: %s", command, err, out)
			}
		}
	}
}

// TestScriptsCallTheServicesTools runs the scripts with gcloud and az replaced by a program that prints its arguments.
func TestScriptsCallTheServicesTools(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("the scripts are for a shell, and there is none")
	}
	tools := t.TempDir()
	for name, script := range map[string]string{
		"gcloud": "#!/bin/sh\nprintf '<%s>' gcloud \"$@\"; echo\n",
		"az": "#!/bin/sh\ncase \"$*\" in\n" +
			"*' show '*) echo /subscriptions/S/resourceGroups/G/providers/Microsoft.KeyVault/vaults/V ;;\n" +
			"*'definition list '*) ;;\n" +
			"*) printf '<%s>' az \"$@\" | tr -d '\\n'; echo ;;\nesac\n",
	} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	const who = `who "is" $this`
	for _, tc := range []struct {
		id   string
		want []string
	}{
		{google, []string{"<gcloud><kms><keys><add-iam-policy-binding><my-key><--project=my-project><--location=europe-west1>" +
			"<--keyring=my-ring><--member=" + who + "><--role=roles/cloudkms.cryptoKeyEncrypter><--condition=None>"}},
		{"https://my-vault.vault.azure.net/keys/my-key", []string{
			`"Name": "rowseal seal: my-vault"`,
			`"DataActions": [    "Microsoft.KeyVault/vaults/keys/wrap/action"  ]`,
			`"AssignableScopes": [    "/subscriptions/S/resourceGroups/G"  ]`,
			"<az><role><assignment><create><--assignee><" + who + "><--role><rowseal seal: my-vault>" +
				"<--scope></subscriptions/S/resourceGroups/G/providers/Microsoft.KeyVault/vaults/V/keys/my-key>"}},
		{"https://my-hsm.managedhsm.azure.net/keys/my-key", []string{
			`"roleName": "rowseal seal"`,
			`"dataActions": [    "Microsoft.KeyVault/managedHsm/keys/encrypt/action"  ]`,
			"<az><keyvault><role><assignment><create><--hsm-name><my-hsm><--assignee><" + who + "><--role><rowseal seal>" +
				"<--scope></keys/my-key>"}},
	} {
		t.Run(tc.id, func(t *testing.T) {
			doc, err := policy.For(tc.id, policy.Seal, nil)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := runScript(doc.Text); err == nil || !strings.Contains(out, "set it to who gets the right") {
				t.Errorf("without a name, it went on: %s", out)
			}
			out, err := runScript(doc.Text, "MEMBER="+who, "ASSIGNEE="+who)
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("got\n%swithout\n%s", out, want)
				}
			}
		})
	}
}

func runScript(text string, env ...string) (string, error) {
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(text)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPoliciesOfVaultOnlyUpdateOnePath(t *testing.T) {
	eachDocument(t, ".hcl", func(t *testing.T, text string, _ policy.Right) {
		var code []string
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				code = append(code, line)
			}
		}
		if len(code) != 3 || !strings.HasPrefix(code[0], `path "`) || code[1] != `capabilities = ["update"]` || code[2] != "}" {
			t.Errorf("got %q", code)
		}
	})
}

func TestUnsafeIDsAreRefused(t *testing.T) {
	unknown := []string{
		"", "users", "vault", "VAULT/x", "alias/", "alias/a b", "alias/a*", "alias/a\n", "alias/aws\"}",
		"arn:aws:kms:eu-central-1:111122223333:key/*", "arn:aws:kms:*:111122223333:key/" + awsKeyID,
		"arn:aws:s3:::bucket", "mrk-", awsKeyID + "\n", strings.ToUpper(awsKeyID),
		"https://user:pw@my-vault.vault.azure.net/keys/k", "https://my-vault.vault.azure.net/secrets/k",
		"http://my-vault.vault.azure.net/keys/k",
	}
	malformed := []string{
		"vault/", "vault//k", "vault/*", "vault/a+b", "vault/+/k", "vault/a+/k", "vault/a+/b/k", "vault/a/b*/k", "vault/my key", `vault/a"b`, "vault/a\nb", "vault/{{x}}", "vault/${x}", "vault/a/",
		"vault/-k", "vault/-m/k", "vault/m/-m/k", "vault/../sys", "vault/a/../b", "vault/./b", "vault/k\\",
		"projects/p", google + "/cryptoKeyVersions/1", google + ";id", google + "$(id)", google + "\n", "projects/-p/locations/l/keyRings/r/cryptoKeys/k",
		"projects/p/locations/l/keyRings/'/cryptoKeys/k", "projects/p/locations/l/keyRings/r/cryptoKeys/--help",
		"projects/p/locations/l/keyRings/-r/cryptoKeys/k", "projects/p/locations/-l/keyRings/r/cryptoKeys/k",
		"https://my-vault.vault.azure.net/keys/--help", "https://-my-vault.vault.azure.net/keys/k",
		"https://my-vault.vault.azure.net/keys/$(id)", "https://my-vault.vault.azure.net/keys/k?",
		"https://my-vault.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef",
		"https://my'vault.vault.azure.net/keys/k", "https://localhost:8443/keys/k",
		"local/users", "insecure-test-key", "insecure-test-key/encrypt",
	}
	for _, id := range slices.Concat(unknown, malformed) {
		for _, right := range rights {
			doc, err := policy.For(id, right, nil)
			if err == nil {
				t.Errorf("%q: got %s", id, doc.Text)
			}
			if _, ok := policy.KeeperOf(id); ok {
				t.Errorf("%q has a keeper", id)
			}
			if is, want := errors.Is(err, policy.ErrUnknownID), slices.Contains(unknown, id); err != nil && is != want {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
}

func TestOptionsThatDoNotFitAreRefused(t *testing.T) {
	arn := "arn:aws:kms:eu-central-1:111122223333:key/" + awsKeyID
	for _, tc := range []struct {
		id   string
		opts policy.Options
		want string
	}{
		{"vault/k", policy.Options{Context: kms.Context{"a": "b"}}, "only AWS"},
		{google, policy.Options{Region: "eu-central-1"}, "only AWS"},
		{"local/k", policy.Options{Account: "111122223333"}, "only AWS"},
		{arn, policy.Options{Account: "111122223333"}, "says account and region already"},
		{arn, policy.Options{Region: "eu-central-1"}, "says account and region already"},
		{awsKeyID, policy.Options{Account: "1234"}, "12 digits"},
		{awsKeyID, policy.Options{Account: "*"}, "12 digits"},
		{awsKeyID, policy.Options{Region: "*"}, "region's name"},
		{awsKeyID, policy.Options{Region: "eu-central-1:1"}, "region's name"},
		{awsKeyID, policy.Options{Context: kms.Context{"model_name": "漢"}}, "Latin-1"},
		{awsKeyID, policy.Options{Context: kms.Context{"a\x00": "b"}}, "Latin-1"},
	} {
		if doc, err := policy.For(tc.id, policy.Seal, &tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s with %+v: %v, not %q: %s", tc.id, tc.opts, err, tc.want, doc.Text)
		}
	}
}

// TestAnAliasNeedsAnAccount: an outsider can make any alias in an account of his own, and give the right to its key to anybody.
func TestAnAliasNeedsAnAccount(t *testing.T) {
	for _, right := range rights {
		for _, opts := range []*policy.Options{nil, {Region: "eu-central-1"}, {Context: kms.Context{"model_name": "User"}}} {
			doc, err := policy.For("alias/my-key", right, opts)
			if err == nil || errors.Is(err, policy.ErrUnknownID) || !strings.Contains(err.Error(), "--account") {
				t.Errorf("to %s with %+v: %v, %s", right, opts, err, doc.Text)
			}
		}
	}
	for id, want := range map[string]string{
		"alias/my-key": "rowseal policy --key-id alias/my-key --account ACCOUNT",
		awsKeyID:       "rowseal policy --key-id " + awsKeyID,
		"arn:aws:kms:eu-central-1:111122223333:alias/my-key": "rowseal policy --key-id arn:aws:kms:eu-central-1:111122223333:alias/my-key",
		"vault/my-key": "rowseal policy --key-id vault/my-key",
	} {
		if got := policy.Command(id); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestNotesAskOnlyForWhatIsMissing(t *testing.T) {
	const account, region = "111122223333", "eu-central-1"
	for _, tc := range []struct {
		id   string
		opts policy.Options
		want string
	}{
		{awsKeyID, policy.Options{}, "does not say the account and the region, so that the policy takes any: narrow it with --account and --region"},
		{awsKeyID, policy.Options{Account: account}, "does not say the region, so that the policy takes any: narrow it with --region"},
		{awsKeyID, policy.Options{Region: region}, "does not say the account, so that the policy takes any: narrow it with --account"},
		{"alias/my-key", policy.Options{Account: account}, "does not say the region, so that the policy takes any: narrow it with --region"},
		{awsKeyID, policy.Options{Account: account, Region: region}, ""},
	} {
		doc, err := policy.For(tc.id, policy.Open, &tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(doc.Notes, func(note string) bool { return strings.Contains(note, "narrow") })
		if (i < 0) != (tc.want == "") || i >= 0 && !strings.HasSuffix(doc.Notes[i], tc.want) {
			t.Errorf("%s with %+v: %q", tc.id, tc.opts, doc.Notes)
		}
	}
}

// TestEachKeyHasPoliciesOfItsOwn: a policy that is written under the name of another takes its place.
func TestEachKeyHasPoliciesOfItsOwn(t *testing.T) {
	const (
		arn   = "arn:aws:kms:eu-central-1:111122223333:"
		other = "arn:aws:kms:us-east-1:111122223333:"
		mrk   = "mrk-1234abcd12ab34cd56ef1234567890ab"
	)
	long := strings.Repeat("a", 200)
	named := regexp.MustCompile(`vault policy write (\S+)|--policy-name (\S+)`)
	seen := map[string]string{}
	for _, id := range []string{
		"vault/users", "vault/Users", "vault/users-open", "vault/team-transit-users",
		"vault/team/transit/users", "vault/team/transit-users", "vault/team-transit/users", "vault/Team/transit/users", "vault/kv/users",
		arn + "key/" + awsKeyID, arn + "key/" + strings.Replace(awsKeyID, "1", "2", 1), arn + "key/" + mrk, other + "key/" + mrk,
		arn + "alias/users", other + "alias/users", arn + "alias/team/users", arn + "alias/team-users", arn + "alias/Users",
		arn + "alias/" + long, arn + "alias/" + long + "b",
	} {
		for _, right := range rights {
			doc, err := policy.For(id, right, nil)
			if err != nil {
				t.Fatal(err)
			}
			found := named.FindStringSubmatch(doc.Text + strings.Join(doc.Notes, "\n"))
			if found == nil {
				t.Fatalf("%s: the policy has no name: %s", id, doc.Text)
			}
			name := strings.ToLower(found[1] + found[2]) // as Vault and IAM compare names
			if whose, taken := seen[name]; taken {
				t.Errorf("%s --%s and %s have the name %s", id, right, whose, name)
			}
			if len(name) > 128 { // IAM's limit
				t.Errorf("%s --%s has a name of %d characters", id, right, len(name))
			}
			seen[name] = id + " --" + string(right)
		}
	}
	if seen["users-seal"] != "vault/users --seal" {
		t.Errorf("the plain name is not that of vault/users but of %q", seen["users-seal"])
	}
}

// harmless is what means nothing in JSON, HCL or a shell.
var harmless = regexp.MustCompile(`^[a-zA-Z0-9/_.:-]+$`)

// FuzzFor: an id that is accepted means nothing where it is written, and a context's value comes through as it is.
func FuzzFor(f *testing.F) {
	if seeds, err := filepath.Glob("testdata/fuzz/FuzzFor/*"); err != nil || len(seeds) < 6 {
		f.Fatalf("the committed seeds are missing: %d (%v)", len(seeds), err)
	}
	f.Fuzz(func(t *testing.T, id, name, value string) {
		for _, opts := range []*policy.Options{nil, {Context: kms.Context{name: value}}} {
			doc, err := policy.For(id, policy.Open, opts)
			if err != nil {
				continue
			}
			if !harmless.MatchString(id) {
				t.Errorf("accepts %q", id)
			}
			if opts == nil {
				continue
			}
			var p struct {
				Statement []struct {
					Condition map[string]map[string]string
				}
			}
			if err := json.Unmarshal([]byte(doc.Text), &p); err != nil {
				t.Fatalf("%v: %s", err, doc.Text)
			}
			if got := p.Statement[0].Condition["StringEquals"]["kms:EncryptionContext:"+name]; asIAMReads(got) != value {
				t.Errorf("%q became %q", value, got)
			}
		}
	})
}

// asIAMReads replaces the policy variable that stands for a dollar sign. Any other would not come back as it was.
func asIAMReads(text string) string {
	return regexp.MustCompile(`\$\{[^}]*\}?`).ReplaceAllStringFunc(text, func(variable string) string {
		if variable == "${$}" {
			return "$"
		}
		return "(a variable)"
	})
}
