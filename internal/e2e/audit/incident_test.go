package audit_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// TestMain is the program vault too, for shells that find it under that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "vault" {
		if err := vaultCommand(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "vault:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(dbtest.Main(m))
}

// vaultCommand does what the command of the same name does, of all that it can what docs/incident.md asks for.
func vaultCommand(args []string) error {
	client, err := api.NewClient(api.DefaultConfig()) // of the environment
	if err != nil {
		return err
	}
	line := strings.Join(args, " ")
	switch {
	case len(args) == 3 && strings.HasPrefix(line, "policy delete "):
		return client.Sys().DeletePolicy(args[2])
	case len(args) == 4 && strings.HasPrefix(line, "policy write ") && args[3] == "-":
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		return client.Sys().PutPolicy(args[2], string(text))
	case len(args) == 4 && strings.HasPrefix(line, "token revoke -accessor "):
		return client.Auth().Token().RevokeAccessor(args[3])
	case len(args) == 3 && strings.HasPrefix(line, "write -f "):
		_, err := client.Logical().Write(args[2], nil)
		return err
	case strings.HasPrefix(line, "token create "):
		req := &api.TokenCreateRequest{}
		for _, flag := range args[2:] {
			name, value, _ := strings.Cut(flag, "=")
			switch name {
			case "-orphan":
				req.NoParent = true
			case "-policy":
				req.Policies = append(req.Policies, value)
			case "-period":
				req.Period = value
			case "-field":
			default:
				return errors.New("no " + flag)
			}
		}
		made, err := client.Auth().Token().Create(req)
		if err == nil {
			fmt.Println(made.Auth.ClientToken)
		}
		return err
	}
	return errors.New("no " + line)
}

type incidentUser struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// incident is a service whose rows somebody opens who should not.
type incident struct {
	server           *vaulttest.Server
	dir              string
	env              []string
	db               *sql.DB
	users            *rowseal.Model[incidentUser]
	service, thief   string // tokens
	log              *vaulttest.AuditLog
	ledger, database string
}

const incidentRows = 7

func newIncident(t *testing.T) *incident {
	t.Helper()
	s := vaulttest.Start(t)
	dir := t.TempDir()
	x := &incident{server: s, dir: dir, log: s.Audit(t), ledger: filepath.Join(dir, "ledger.jsonl"), database: filepath.Join(dir, "users.sqlite3")}
	s.Key(t, "users", true)
	bin := filepath.Join(dir, "bin")
	must(t, os.Mkdir(bin, 0o700))
	self, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(self, filepath.Join(bin, "vault")))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "rowseal"), ".")
	cmd.Dir = "../../../cmd/rowseal"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	x.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + dir, "VAULT_ADDR=" + s.Address, "VAULT_TOKEN=" + s.Root.Token()}
	x.script(t, "rowseal policy --key-id vault/users --seal | vault policy write users-seal -\nrowseal policy --key-id vault/users --open | vault policy write users-open -\n")

	x.service = s.Write(t, "auth/token/create", map[string]any{"policies": []string{"users-seal", "users-open"}, "display_name": "app"}).Auth.ClientToken
	thief := s.Write(t, "auth/token/create", map[string]any{"policies": []string{"users-open"}, "display_name": "thief"}).Auth
	x.thief = thief.ClientToken
	x.env = append(x.env, "SERVICE_TOKEN="+x.service, "ACCESSOR="+thief.Accessor)

	x.fill(t)
	x.files(t)
	return x
}

// fill has the service seal rows, and open some.
func (x *incident) fill(t *testing.T) {
	t.Helper()
	ledger, err := audit.OpenLedger(x.ledger, nil)
	must(t, err)
	t.Cleanup(func() { ledger.Close() })
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: newKey(t, x.server, x.service, ledger)})
	must(t, err)
	x.users, err = rowseal.NewModel[incidentUser]("users", ring, &rowseal.Options{Model: "User"})
	must(t, err)
	x.db, err = sql.Open("sqlite", "file:"+x.database+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	must(t, err)
	t.Cleanup(func() { x.db.Close() })
	_, err = x.db.Exec(`CREATE TABLE users (id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT)`)
	must(t, err)
	table := sqlseal.New(x.users, nil)
	for i := range incidentRows {
		var u incidentUser
		u.Email.Set(fmt.Sprintf("user%d@example.org", i+1))
		must(t, table.Insert(t.Context(), sqlseal.SQL(sqlseal.SQLite, x.db), &u))
	}
	must(t, x.open(t, 1, 2, 3))
}

// open has the service open rows, and wants them to be as they were sealed.
func (x *incident) open(t *testing.T, ids ...int) error {
	t.Helper()
	for _, id := range ids {
		var u incidentUser
		row := x.db.QueryRow(`SELECT id, encrypted_kms_key, email_ciphertext FROM users WHERE id = ?`, id)
		must(t, row.Scan(&u.ID, &u.EncryptedKMSKey, &u.Email))
		if err := x.users.Open(t.Context(), &u); err != nil {
			return err
		}
		if email, err := u.Email.Get(); err != nil || email != fmt.Sprintf("user%d@example.org", id) {
			return fmt.Errorf("row %d is %q, %w", id, email, err)
		}
	}
	return nil
}

// steal opens a row with the other token, and returns its data key.
func (x *incident) steal(t *testing.T, id int) ([]byte, error) {
	t.Helper()
	var wrapped string
	must(t, x.db.QueryRow(`SELECT encrypted_kms_key FROM users WHERE id = ?`, id).Scan(&wrapped))
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: newKey(t, x.server, x.thief)})
	must(t, err)
	return ring.Decrypt(t.Context(), wrapped, kms.Context{"model_name": "User", "model_id": fmt.Sprint(id)})
}

func (x *incident) files(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(x.dir, "rowseal.yaml"), []byte(`database: sqlite:users.sqlite3
tables:
  users:
    model: User
    primary_key: id
    keys:
      encrypted_kms_key: {versions: [{version: 1, key_id: vault/users}]}
    fields:
      email_ciphertext: {key: encrypted_kms_key}
`), 0o600))
	must(t, os.WriteFile(filepath.Join(x.dir, "rules.yaml"), []byte("rules: [{name: past the application, unexplained: true}]\n"), 0o600))
}

// script runs lines in a shell, and returns what they print.
func (x *incident) script(t *testing.T, text string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -o pipefail\n"+text)
	cmd.Dir, cmd.Env = x.dir, x.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return out.String()
}

var (
	consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")
	section      = regexp.MustCompile(`(?m)^## \d\. `)
)

// TestTheIncidentPageIsTrue carries out every command of docs/incident.md, in its order and in one shell, against the real Vault.
func TestTheIncidentPageIsTrue(t *testing.T) {
	page, err := os.ReadFile("../../../docs/incident.md")
	must(t, err)
	x := newIncident(t)
	stolen := map[int][]byte{}
	for _, id := range []int{5, 6} {
		stolen[id], err = x.steal(t, id)
		must(t, err)
	}
	sections := section.Split(string(page), -1)[1:]
	if len(sections) != 7 {
		t.Fatalf("the page has %d steps", len(sections))
	}
	said := make([]string, len(sections))
	var before string // what the shell knows
	step := func(n int) {
		t.Helper()
		text := before
		for _, block := range consoleBlock.FindAllStringSubmatch(sections[n-1], -1) {
			for line := range strings.Lines(block[1]) {
				command, ok := strings.CutPrefix(line, "$ ")
				if !ok {
					t.Fatalf("step %d: %q is no command", n, line)
				}
				command = strings.ReplaceAll(strings.TrimSpace(command), "/var/log/vault/audit.log", x.log.Path)
				text += command + "\necho \"[exit $?]\"\n"
			}
		}
		if text == before {
			t.Fatalf("step %d has no command", n)
		}
		said[n-1] = x.script(t, text)
	}
	wants := func(n int, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(said[n-1], w) {
				t.Errorf("step %d does not say %q:\n%s", n, w, said[n-1])
			}
		}
	}

	step(1)
	if err := x.open(t, 1); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("after step 1 the service opens: %v", err)
	}
	if _, err := x.steal(t, 1); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("after step 1 the other token opens: %v", err)
	}
	var u incidentUser
	u.ID = 99
	u.Email.Set("x")
	if err := x.users.Seal(t.Context(), &u); err != nil {
		t.Errorf("after step 1 the service does not seal: %v", err)
	}
	wants(1, "access denied", "[exit 0]")

	step(2)
	wants(2, "head ")

	step(3)
	wants(3, "2 opens that no application event explains", "User 5", "User 6", "token-thief")
	opened, err := os.ReadFile(filepath.Join(x.dir, "opened.csv"))
	must(t, err)
	if n := strings.Count(string(opened), ",decrypt,transit/decrypt/users,ok,"); n != 2 || strings.Contains(string(opened), "token-app") {
		t.Errorf("opened.csv has %d opens\n%s", n, opened)
	}
	html, err := os.ReadFile(filepath.Join(x.dir, "incident.html"))
	must(t, err)
	if !bytes.Contains(html, []byte("User 5")) {
		t.Error("the page does not name what was opened")
	}

	step(4)
	if _, err := x.server.Client(t, x.thief).Auth().Token().LookupSelf(); err == nil {
		t.Error("after step 4 the other token is still good")
	}
	step(5)
	wants(5, fmt.Sprintf("%d", incidentRows))
	step(6)
	must(t, x.open(t, 1, 2, 3, 4, 5, 6, 7))
	for id, key := range stolen {
		var wrapped string
		must(t, x.db.QueryRow(`SELECT encrypted_kms_key FROM users WHERE id = ?`, id).Scan(&wrapped))
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: newKey(t, x.server, x.service)})
		must(t, err)
		now, err := ring.Decrypt(t.Context(), wrapped, kms.Context{"model_name": "User", "model_id": fmt.Sprint(id)})
		must(t, err)
		if bytes.Equal(now, key) {
			t.Errorf("row %d still has the data key that was stolen", id)
		}
	}
	step(7)
	wants(7, "past the application", "User 5", "User 6", "[exit 3]")
	for n, text := range said {
		if n < 6 && regexp.MustCompile(`\[exit [^0]`).MatchString(text) {
			t.Errorf("step %d: a command failed:\n%s", n+1, text)
		}
	}
}
