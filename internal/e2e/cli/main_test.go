// Package cli tests the command line against key services: a real Vault, and the protocols of AWS KMS, Google Cloud KMS and
// Azure in this process.
//
// The tests build the program, which the go command's cache of test results does not see: use -count=1 after a change of it.
package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/e2etest"
)

var rowseal string // the program

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rowseal")
	if err == nil {
		rowseal = filepath.Join(dir, "rowseal")
		err = build(rowseal)
	}
	code := 1
	if err == nil {
		code = dbtest.Main(m)
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(to string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", to, ".")
	cmd.Dir = "../../../cmd/rowseal"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// shell is a place to run the program in, which has its own directory and environment.
type shell struct {
	dir     string
	env     []string
	secrets []string // no program may print them
}

// newShell returns one without anything of the machine's own environment but the PATH, on which the program is.
func newShell(t *testing.T, env ...string) shell {
	t.Helper()
	home := t.TempDir()
	path := filepath.Dir(rowseal) + string(os.PathListSeparator) + os.Getenv("PATH")
	return shell{dir: home, env: append([]string{"HOME=" + home, "PATH=" + path}, env...)}
}

// with adds variables, which win over those before.
func (s shell) with(env ...string) shell {
	s.env = append(slices.Clip(s.env), env...)
	return s
}

// hiding adds secrets.
func (s shell) hiding(secrets ...string) shell {
	s.secrets = append(slices.Clip(s.secrets), secrets...)
	return s
}

// service is a server of this process that answers for hosts of the internet.
type service interface {
	Address(host string) string
	Certificate() []byte
}

// behindProxy returns a shell for whose programs the server is the internet, by what every Go program honours: a proxy and
// the certificates to trust. A program that wants to go elsewhere fails the test.
func behindProxy(t *testing.T, s service) shell {
	t.Helper()
	proxy := e2etest.Proxy(t, s.Address)
	password, _ := proxy.User.Password()
	sh := newShell(t, "HTTPS_PROXY="+proxy.String()).hiding(password)
	return sh.with("SSL_CERT_FILE=" + sh.file(t, "ca.pem", s.Certificate()))
}

// file writes a file that only its owner reads, and returns its path.
func (s shell) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

func (s shell) rowseal(t *testing.T, args ...string) result {
	t.Helper()
	return s.run(t, rowseal, args...)
}

func (s shell) run(t *testing.T, program string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	for _, secret := range s.secrets {
		if strings.Contains(out.String()+errs.String(), secret) {
			t.Errorf("%q is in the output of %q:\n%s%s", secret, args, &out, &errs)
		}
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok fails the test unless the program did what it should.
func (r result) ok(t *testing.T) string {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	return r.stdout
}

// fails expects an exit code of 1, these words on standard error, and nothing on standard output.
func (r result) fails(t *testing.T, words ...string) {
	t.Helper()
	if r.code != 1 || r.stdout != "" {
		t.Errorf("exit code %d, %q", r.code, r.stdout)
	}
	contains(t, r.stderr, words...)
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// answers are the lines of keys check, by their names.
func (r result) answers() map[string]string {
	answers := make(map[string]string)
	for line := range strings.Lines(r.stdout) {
		name, answer, _ := strings.Cut(line, "  ")
		answers[name] = strings.TrimSpace(answer)
	}
	return answers
}

// expect compares the beginnings of what keys check answers, and its exit code.
func (r result) expect(t *testing.T, code int, seal, open, context string) {
	t.Helper()
	got := r.answers()
	for name, want := range map[string]string{"seal": seal, "open": open, "context enforced": context} {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s", r.code, code, r.stderr)
	}
}

// tried returns the commands at the end of the demo's page.
func tried(t *testing.T, page string) string {
	t.Helper()
	_, end, ok := strings.Cut(page, "10. Try it yourself\n")
	if !ok {
		t.Fatalf("no commands in\n%s", page)
	}
	var commands strings.Builder
	for line := range strings.Lines(end) {
		if command, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(command, "rm ") {
			commands.WriteString(command)
		}
	}
	return commands.String()
}

// works runs the commands of the demo's page: the key is fit, the first decrypt shows a data key, the second is refused.
func (s shell) works(t *testing.T, when, commands string) {
	t.Helper()
	r := s.run(t, "sh", "-c", commands)
	if !regexp.MustCompile(`(?m)^open +yes$`).MatchString(r.stdout) || !regexp.MustCompile(`\n[A-Za-z0-9+/]{43}=\n$`).MatchString(r.stdout) {
		t.Errorf("%s, the first decrypt shows no data key:\n%s%s", when, r.stdout, r.stderr)
	}
	if r.code != 1 || strings.Count(r.stderr, "error:") != 1 || !strings.Contains(r.stderr, "decryption failed") {
		t.Errorf("%s, the second decrypt is not refused: exit code %d, %s", when, r.code, r.stderr)
	}
}

// stopped runs them where nothing opens: both decrypts fail with these words.
func (s shell) stopped(t *testing.T, words, commands string) {
	t.Helper()
	r := s.run(t, "sh", "-c", commands)
	refusals := regexp.MustCompile(`(?m)^error: decrypt with .*`+words).FindAllString(r.stderr, -1)
	if len(refusals) != 2 || regexp.MustCompile(`(?m)^[A-Za-z0-9+/]{43}=$`).MatchString(r.stdout) {
		t.Errorf("switched off, it opens:\n%s%s", r.stdout, r.stderr)
	}
}

// expectSeparateRights encrypts with the right to seal alone, decrypts with that to open alone, and tries the other of each.
func expectSeparateRights(t *testing.T, id string, sealer, opener shell) {
	t.Helper()
	decrypt := func(sh shell, modelID, sealed string) result {
		return sh.rowseal(t, "decrypt", "--key-id", id, "--context", "model_name=User", "--context", "model_id="+modelID, sealed)
	}
	encrypt := []string{"encrypt", "--key-id", id, "--context", "model_name=User", "--context", "model_id=1", "hello"}
	sealed := strings.TrimSpace(sealer.rowseal(t, encrypt...).ok(t))
	if got := decrypt(opener, "1", sealed).ok(t); got != "hello" {
		t.Errorf("got %q", got)
	}
	decrypt(opener, "2", sealed).fails(t, "error: decrypt with "+id+": decryption failed; the key, the context and the ciphertext")
	decrypt(sealer, "1", sealed).fails(t, "error: decrypt with "+id+": ", "access denied")
	opener.rowseal(t, encrypt...).fails(t, "error: encrypt with "+id+": ", "access denied")
}

// checksByRights is what keys check says to callers with the given rights, where rotating takes the rights to seal and to open.
var checksByRights = []struct {
	rights              []string
	code                int
	seal, open, context string
}{
	{[]string{"seal", "open"}, 0, "yes", "yes", "yes"},
	{[]string{"seal"}, 0, "yes", "no: ", "unknown: not tried, as the key cannot open"},
	{[]string{"open"}, 0, "no: ", "yes: tried with a made-up ciphertext", "yes: not tried, but what the service says of itself"},
	{[]string{"rotate"}, 0, "yes", "yes", "yes"},
	{nil, 1, "no: ", "no: ", "unknown"},
}
