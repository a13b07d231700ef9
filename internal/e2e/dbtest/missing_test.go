package dbtest

import (
	"fmt"
	"strings"
	"testing"
)

// verdict is a test that only remembers how it ended.
type verdict struct {
	testing.TB
	how string
}

func (v *verdict) Helper()        {}
func (v *verdict) Skip(a ...any)  { v.end("skipped: ", a) }
func (v *verdict) Fatal(a ...any) { v.end("failed: ", a) }
func (v *verdict) end(how string, a []any) {
	v.how = how + fmt.Sprint(a...)
	panic(v)
}

func verdictOf(test func(t testing.TB)) (how string) {
	v := &verdict{}
	defer func() {
		if recover() != any(v) {
			how = "neither"
			return
		}
		how = v.how
	}()
	test(v)
	return ""
}

func TestWithoutTheProgramsATestSaysWhatToInstall(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped: ", "true": "failed: "} {
		t.Setenv("CI", ci)
		for _, missing := range []*server{
			{install: "postgresql", prepare: program{name: "rowseal-no-initdb"}, serve: program{name: "sh"}},
			{install: "postgresql", prepare: program{name: "sh"}, serve: program{name: "rowseal-no-postgres"}},
		} {
			how := verdictOf(func(t testing.TB) { Database{server: missing}.Open(t) })
			if !strings.HasPrefix(how, want) || !strings.Contains(how, "install postgresql") || !strings.Contains(how, "rowseal-no-") {
				t.Errorf("with CI=%s: %s", ci, how)
			}
		}
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	nothing := func(string) []string { return nil }
	script := func(script string) func(string) []string {
		return func(string) []string { return []string{"-c", script} }
	}
	dsn := func(dir, database string) string { return postgreSQL.dsn(dir, database) }
	for _, c := range []struct {
		name           string
		prepare, serve func(dir string) []string
	}{
		{"preparing", script("echo the disk is full; exit 3"), nothing},
		{"serving", script("exit 0"), script("echo the disk is full >&2; exit 3")},
	} {
		s := &server{name: "It", driver: "pgx", dsn: dsn, end: "KILL", prepare: program{"sh", c.prepare}, serve: program{"sh", c.serve}}
		how := verdictOf(func(t testing.TB) { Database{server: s}.Open(t) })
		s.stop()
		if !strings.HasPrefix(how, "failed: It does not start") || !strings.Contains(how, "the disk is full") {
			t.Errorf("%s: %s", c.name, how)
		}
		if (&held{Dir: s.dir}).exists() {
			t.Errorf("%s: it leaves its folder", c.name)
		}
	}
}
