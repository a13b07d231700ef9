package cli

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	seal "github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/sqlseal"
)

// visitor is a row of the table that is rotated.
type visitor struct {
	ID              int64
	EncryptedKMSKey seal.DataKey
	Email           seal.Sealed[string]
}

const visitors = 3000

// newVisitors makes a table of visitors under the local key old, and a configuration by which rotate moves them to new.
func newVisitors(t *testing.T, d dbtest.Database) (shell, *sql.DB) {
	t.Helper()
	sh := newShell(t)
	keys := filepath.Join(sh.dir, "keys")
	sh = sh.with("ROWSEAL_LOCAL_KEYS=" + keys)
	for _, name := range []string{"old", "new"} {
		sh.rowseal(t, "keys", "create", name).ok(t)
	}
	t.Setenv("ROWSEAL_LOCAL_KEYS", keys)
	key, err := kms.Open(t.Context(), "local/old", nil)
	must(t, err)
	ring, err := seal.NewKeyring(seal.Version{Number: 1, Key: key})
	must(t, err)
	model, err := seal.NewModel[visitor]("visitors", ring, &seal.Options{Model: "Visitor"})
	must(t, err)

	address := "sqlite:" + filepath.Join(sh.dir, "visitors.sqlite3")
	dsn := "file:" + filepath.Join(sh.dir, "visitors.sqlite3") + "?_pragma=journal_mode(WAL)"
	if d.Name != "SQLite" {
		dsn = d.New(t)
		address = addressOf(t, d, dsn)
	}
	db, err := sql.Open(d.Driver, dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = db.ExecContext(t.Context(), `CREATE TABLE visitors (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT)`)
	must(t, err)
	all := make([]*visitor, visitors)
	for i := range all {
		all[i] = &visitor{ID: int64(i + 1)}
		all[i].Email.Set(fmt.Sprintf("%d@example.org", i+1))
	}
	dialect := map[string]sqlseal.Dialect{"pgx": sqlseal.PostgreSQL, "mysql": sqlseal.MySQL, "sqlite": sqlseal.SQLite}[d.Driver]
	must(t, sqlseal.New(model, nil).Insert(t.Context(), sqlseal.SQL(dialect, db), all...))

	must(t, os.WriteFile(filepath.Join(sh.dir, "rowseal.yaml"), fmt.Appendf(nil, `database: %q
tables:
  visitors:
    model: Visitor
    keys: {encrypted_kms_key: {versions: [{version: 2, key_id: local/new}, {version: 1, key_id: local/old}]}}
    fields: {email_ciphertext: {key: encrypted_kms_key}}
`, address), 0o600))
	return sh, db
}

// killed starts a command, sends it a signal after a while, and returns how it ended.
func (s shell) killed(t *testing.T, signal os.Signal, after time.Duration, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), rowseal, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	must(t, cmd.Start())
	time.Sleep(after)
	_ = cmd.Process.Signal(signal) // it may be done
	_ = cmd.Wait()
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// TestTheCommandMayBeKilledAtAnyMoment: after each kill every row opens, and in the end every row is done. A killed command leaves a lease, for
// which the next one waits; here the time passes at once, but for the last kill on SQLite.
func TestTheCommandMayBeKilledAtAnyMoment(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		sh, db := newVisitors(t, d)
		rotate := []string{"rotate", "--page", "50"}
		const kills = 4
		died := 0
		for n := range kills {
			r := sh.killed(t, syscall.SIGKILL, time.Duration(100+rand.IntN(700))*time.Millisecond, append(rotate, "--rate", "15")...)
			if r.code == -1 {
				died++
			}
			contains(t, sh.rowseal(t, "verify", "--stateless").ok(t), "3,000 rows, 0 changed, 3,000 unchanged")
			if n < kills-1 || d.Name != "SQLite" {
				_, _ = db.ExecContext(t.Context(), `UPDATE rowseal_sweeps SET lease_until = 0`) // there may be no table yet
			}
		}
		r := sh.rowseal(t, rotate...)
		contains(t, r.ok(t), "3,000 rows, ", "version 1 (local/old) may be retired") // those of a page that was cut short are found unchanged
		if died < kills-1 {
			t.Errorf("only %d of %d commands were killed", died, kills)
		}
		if d.Name == "SQLite" {
			contains(t, r.stderr, "visitors: waiting for ", ", which has not been heard of")
		}
		contains(t, sh.rowseal(t, append(rotate, "--rekey")...).ok(t), "3,000 rows, 3,000 changed")
		contains(t, sh.rowseal(t, "verify").ok(t), "3,000 rows, 0 changed, 3,000 unchanged")
	})
}

func TestAnInterruptFinishesThePageAndGoesOnLater(t *testing.T) {
	sh, _ := newVisitors(t, dbtest.SQLite)
	slow := []string{"rotate", "--page", "10", "--rate", "40"} // 2 requests a page
	r := sh.killed(t, os.Interrupt, 700*time.Millisecond, slow...)
	if r.code != 1 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, "finishing the page at hand; interrupt again to end at once", "error: ", "the rewrap of visitors is not done; the same command goes on after row ")
	contains(t, sh.rowseal(t, "status").ok(t), "rewrap: stopped after ", "the same command goes on from there")
	contains(t, sh.rowseal(t, "rotate", "--page", "10").ok(t), "visitors: rewrap done", "3,000 rows, 3,000 changed", "version 1 (local/old) may be retired")
}
