package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// run carries out a command line, in which standard input never ends and stdout may do what it likes.
func run(t *testing.T, ctx context.Context, stdout io.Writer, args ...string) (code int, stderr string) {
	t.Helper()
	stdin, held := io.Pipe()
	defer held.Close()
	var errs bytes.Buffer
	code = Main(ctx, args, stdin, stdout, &errs)
	return code, errs.String()
}

// writerFunc is a standard output that reacts to what it is given.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestReadingStandardInputIsInterrupted(t *testing.T) {
	for _, command := range []string{"encrypt", "decrypt"} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		code, stderr := run(t, ctx, io.Discard, command, "--key-id", "local/demo")
		if want := "error: interrupted: standard input: context canceled\n"; code != exitFailed || stderr != want {
			t.Errorf("%s: exit code %d, %q", command, code, stderr)
		}
	}
}

func TestDemoIsInterruptedBetweenSteps(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var page bytes.Buffer
	code, stderr := run(t, ctx, writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("3. What is stored")) {
			cancel()
		}
		return page.Write(p)
	}), "demo", "--dir", filepath.Join(t.TempDir(), "demo"))
	if code != exitFailed || !strings.HasPrefix(stderr, "error: interrupted: demo, step 3 (What is stored): ") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if strings.Contains(page.String(), "4. Open") {
		t.Error("the demo went on")
	}
}

func TestDemoFailsWithItsStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	t.Setenv("ROWSEAL_LOCAL_KEYS", filepath.Join(dir, "keys"))
	code, stderr := run(t, context.Background(), writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("4. Open")) { // an operator at another terminal
			run(t, context.Background(), io.Discard, "keys", "disable", "demo")
		}
		return len(p), nil
	}), "demo", "--dir", dir)
	if code != exitFailed || !strings.HasPrefix(stderr, "error: demo, step 4 (Open): ") || !strings.Contains(stderr, "key disabled") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	full := errors.New("disk full")
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"--help"}, {"encrypt", "--key-id", "insecure-test-key", "x"}} {
		code, stderr := run(t, context.Background(), writerFunc(func([]byte) (int, error) { return 0, full }), args...)
		if code != exitFailed || !strings.HasSuffix(stderr, "error: disk full\n") {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tc := range []struct{ text, indent, want string }{
		{"", "  ", ""},
		{"one", "  ", "  one"},
		{"one\n\t two   three", "", "one two\nthree"},
		{"twelve chars", "", "twelve chars"},
		{"thirteen char", "", "thirteen\nchar"},
		{"a longer-than-the-line b", "  ", "  a\n  longer-than-the-line\n  b"},
		{"äöü äöü äöüß", "", "äöü äöü äöüß"},
	} {
		if got := wrap(tc.text, 12, tc.indent); got != tc.want {
			t.Errorf("wrap(%q, 12, %q) = %q, not %q", tc.text, tc.indent, got, tc.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, tc := range []struct {
		text string
		want bool
	}{
		{"", true},
		{"naïve 漢字 🔑", true},
		{"a\tb\nc\r\nd", true},
		{"over\rwritten", false},
		{"\x1b[2J", false},
		{"\u009b2J", false}, // the same in one character
		{"\x7f", false},
		{"a\x00", false},
		{"\u202egnp.exe", false}, // right to left from here
		{"\xff", false},
	} {
		if got := printable([]byte(tc.text)); got != tc.want {
			t.Errorf("printable(%q) = %v", tc.text, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{
		"rowseal-demo/keys": "rowseal-demo/keys",
		"my demo":           "'my demo'",
		"it's":              `'it'\''s'`,
		"$HOME":             "'$HOME'",
		"ä":                 "'ä'",
	} {
		if got := shellQuote(s); got != want {
			t.Errorf("shellQuote(%q) = %s, not %s", s, got, want)
		}
	}
}

// FuzzContextJSON: what is read has a canonical form, which reads as the same context.
func FuzzContextJSON(f *testing.F) {
	if seeds, err := filepath.Glob("testdata/fuzz/FuzzContextJSON/*"); err != nil || len(seeds) < 10 {
		f.Fatalf("the committed seeds are missing: %d (%v)", len(seeds), err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ec, err := parseContextJSON(text)
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("an error that is not UTF-8: %q", err)
			}
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("this is not JSON: %s", text)
		}
		canonical, err := ec.Canonical()
		if err != nil {
			return // what JSON can say and a context cannot, say an empty name
		}
		again, err := parseContextJSON(string(canonical))
		if err != nil {
			t.Fatalf("%s: %v", canonical, err)
		}
		if twice, _ := again.Canonical(); !bytes.Equal(twice, canonical) {
			t.Errorf("%s was read as %s", canonical, twice)
		}
	})
}
