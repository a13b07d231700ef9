package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/integration"
)

// brokenEnv names the breakage in the process that runs the suite against it.
const brokenEnv = "INTEGRATION_BROKEN"

// breakage is an integration that does something wrong, and the case that must notice.
type breakage struct {
	notices string
	wrap    func(s *sqlSession, log io.Writer) integration.Session
}

var breakages = map[string]breakage{
	"it compares nothing": {"two seal a row for the first time", byHand(func(c *rowseal.Change) { c.Match = nil })},
	"it does not compare the key": {"two seal a row for the first time", byHand(func(c *rowseal.Change) {
		c.Match = slices.DeleteFunc(c.Match, func(m rowseal.Match) bool { return strings.HasPrefix(m.Column, "encrypted_kms_key") })
	})},
	"it does not compare the context": {"a column of the context has changed in the database", byHand(func(c *rowseal.Change) {
		c.Match = slices.DeleteFunc(c.Match, func(m rowseal.Match) bool { return m.Text })
	})},
	"it forgets the index": {"one field is written", byHand(func(c *rowseal.Change) {
		c.Set = slices.DeleteFunc(c.Set, func(a rowseal.Assignment) bool { return strings.HasSuffix(a.Column, "_bidx") })
	})},
	"it forgets the key": {"a row without a data key gets one", byHand(func(c *rowseal.Change) {
		c.Set = slices.DeleteFunc(c.Set, func(a rowseal.Assignment) bool { return strings.HasPrefix(a.Column, "encrypted_kms_key") })
	})},
	"it does not try again":           {"a writer against a rewrap", byHand(func(*rowseal.Change) {})},
	"it ignores undeclared columns":   {"refused: a new data key beside a sealed column that nobody declared", byHand(func(*rowseal.Change) {})},
	"it writes whole rows":            {"a writer against a writer of another field", wrap[wholeRows]},
	"it opens what it finds":          {"finding opens nothing", wrap[opensAll]},
	"it keeps what it has found":      {"loading again drops the data key", wrap[findsOnce]},
	"it seals row by row":             {"1000 rows are created and opened in a request each", wrap[rowByRow]},
	"it tells what it writes":         {"one field is written", func(s *sqlSession, log io.Writer) integration.Session { return talks{s, log} }},
	"it tells what is in the error":   {"refused: a KMS that answers with an error", wrap[tellsInErrors]},
	"it has no transactions":          {"a row that was written and rolled back is written again", wrap[noTransactions]},
	"it inserts what others have":     {"refused: a row that was loaded is inserted as another", wrap[copies]},
	"it takes any target of upserts":  {"refused: an upsert whose target does not name the row", wrap[anyTarget]},
	"it says that what is gone is ok": {"the row is not there any more", wrap[forgives]},
}

// The suite fails in a process of its own, where a failure is what is wanted.
func TestTheSuiteNoticesBrokenIntegrations(t *testing.T) {
	if name := os.Getenv(brokenEnv); name != "" {
		integration.Run(t, integration.Integration{Name: "broken", Databases: []dbtest.Database{dbtest.SQLite},
			Connect: func(t testing.TB, d dbtest.Database, dsn string, log io.Writer, tables ...integration.Table) integration.Session {
				return breakages[name].wrap(connectSQL(t, d, dsn, log, tables...).(*sqlSession), log)
			}})
		return
	}
	for _, name := range slices.Sorted(maps.Keys(breakages)) {
		t.Run(name, func(t *testing.T) {
			notices := strings.ReplaceAll(breakages[name].notices, " ", "_")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.timeout=2m",
				"-test.run=^TestTheSuiteNoticesBrokenIntegrations$/^broken_SQLite$/^"+regexp.QuoteMeta(notices)+"$")
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
				t.Fatalf("the suite passed (%v):\n%s", err, out)
			}
			if want := "--- FAIL: TestTheSuiteNoticesBrokenIntegrations/broken_SQLite/" + notices; !bytes.Contains(out, []byte(want)) {
				t.Errorf("the case %q passed:\n%s", breakages[name].notices, out)
			}
			if bytes.Contains(out, []byte("panic: ")) {
				t.Errorf("the suite panicked:\n%s", out)
			}
		})
	}
}

// wrap makes a Session that differs in one method.
func wrap[S interface {
	~struct{ *sqlSession }
	integration.Session
}](s *sqlSession, _ io.Writer) integration.Session {
	return S(struct{ *sqlSession }{s})
}

// handmade writes its UPDATEs by hand, once each, and alters what rowseal tells it to write and to compare.
type handmade struct {
	*sqlSession
	alter func(*rowseal.Change)
}

func byHand(alter func(*rowseal.Change)) func(*sqlSession, io.Writer) integration.Session {
	return func(s *sqlSession, _ io.Writer) integration.Session { return handmade{s, alter} }
}

func (s handmade) Update(ctx context.Context, all ...any) error {
	for _, row := range all {
		if err := s.updateOne(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (s handmade) updateOne(ctx context.Context, row any) error {
	rows := s.of(row).rows
	if err := rows.Seal(ctx, row); err != nil {
		return err
	}
	change, err := rows.Change(row, nil, nil)
	if err != nil || len(change.Set) == 0 {
		return err
	}
	s.alter(&change)
	var args []any
	value := func(arg any) string {
		args = append(args, arg)
		return s.Placeholder(len(args))
	}
	var set []string
	for _, a := range change.Set {
		set = append(set, a.Column+" = "+value(a.Value))
	}
	where := "id = " + value(idOf(row))
	for _, m := range change.Match {
		where += " AND " + s.Condition(m, value)
	}
	if err := s.exec(ctx, "UPDATE "+s.of(row).name+" SET "+strings.Join(set, ", ")+" WHERE "+where, args...); err != nil {
		return err
	}
	return rows.Committed(ctx, row)
}

type wholeRows struct{ *sqlSession }

func (s wholeRows) Update(ctx context.Context, all ...any) error {
	return s.Upsert(ctx, []string{"id"}, all...)
}

type opensAll struct{ *sqlSession }

func (s opensAll) Find(ctx context.Context, row, id any, columns ...string) error {
	return errors.Join(s.sqlSession.Find(ctx, row, id, columns...), s.Open(ctx, row))
}

type findsOnce struct{ *sqlSession }

func (s findsOnce) Find(ctx context.Context, row, id any, columns ...string) error {
	if a, ok := row.(*integration.Account); ok && a.ID != 0 {
		return nil
	}
	return s.sqlSession.Find(ctx, row, id, columns...)
}

type rowByRow struct{ *sqlSession }

func (s rowByRow) Create(ctx context.Context, all ...any) error {
	for _, row := range all {
		if err := s.sqlSession.Create(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

type talks struct {
	*sqlSession
	log io.Writer
}

func (s talks) Update(ctx context.Context, all ...any) error {
	if a, ok := all[0].(*integration.Account); ok {
		email, _ := a.Email.Get()
		fmt.Fprintf(s.log, "writing %x\n", email)
	}
	return s.sqlSession.Update(ctx, all...)
}

type tellsInErrors struct{ *sqlSession }

func (s tellsInErrors) Create(ctx context.Context, all ...any) error {
	err := s.sqlSession.Create(ctx, all...)
	if a, ok := all[0].(*integration.Account); ok && err != nil {
		email, _ := a.Email.Get()
		return fmt.Errorf("%q: %w", email, err)
	}
	return err
}

type noTransactions struct{ *sqlSession }

func (s noTransactions) Transaction(_ context.Context, do func(integration.Session) error) error {
	return do(s)
}

// copies inserts the columns as they are, whose row they may be of.
type copies struct{ *sqlSession }

func (s copies) Create(ctx context.Context, all ...any) error {
	a, ok := all[0].(*integration.Account)
	if !ok || a.EncryptedKMSKey.IsNull() {
		return s.sqlSession.Create(ctx, all...)
	}
	a.ID = 1000
	return s.exec(ctx, "INSERT INTO accounts (id, name, encrypted_kms_key, phone_ciphertext) VALUES (?, ?, ?, ?)", a.ID, a.Name, a.EncryptedKMSKey, a.Phone)
}

type anyTarget struct{ *sqlSession }

func (s anyTarget) Upsert(ctx context.Context, target []string, all ...any) error {
	if len(target) == 1 && target[0] == "room" {
		return s.exec(ctx, "UPDATE visits SET reason_ciphertext = 'another row''s'")
	}
	return s.sqlSession.Upsert(ctx, target, all...)
}

type forgives struct{ *sqlSession }

func (s forgives) Update(ctx context.Context, all ...any) error {
	if err := s.sqlSession.Update(ctx, all...); !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}
