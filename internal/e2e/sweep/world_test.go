package sweep_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

func TestMain(m *testing.M) {
	if os.Getenv(killAt) != "" {
		if err := sweepAndDie(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(dbtest.Main(m))
}

// patient is a row with two data keys.
type patient struct {
	ID                   int64
	Ward                 string
	EncryptedKMSKey      rowseal.DataKey
	Email                rowseal.Sealed[string]
	BornOn               rowseal.Sealed[time.Time] `rowseal:"type=date"`
	EncryptedKMSKeyPhone rowseal.DataKey           `rowseal:"name=phone"`
	Phone                rowseal.Sealed[string]    `rowseal:"key=phone"`
}

const createPatients = `CREATE TABLE patients (id BIGINT PRIMARY KEY, ward VARCHAR(100) NOT NULL DEFAULT 'A', touched TIMESTAMP DEFAULT CURRENT_TIMESTAMP /*!  ON UPDATE CURRENT_TIMESTAMP */,
	encrypted_kms_key TEXT, email_ciphertext TEXT, born_on_ciphertext TEXT, encrypted_kms_key_phone TEXT, phone_ciphertext TEXT)`

// world is a table of patients and two KMS keys.
type world struct {
	*testing.T
	d        dbtest.Database
	dsn      string
	sql      *sql.DB
	db       *sqlseal.DB
	old, new *kmstest.Fake
	// first has the old key alone; both seals with the new one and opens with either.
	first, both *rowseal.Keyring
}

// dialects are the databases as sqlseal knows them.
var dialects = map[string]sqlseal.Dialect{"pgx": sqlseal.PostgreSQL, "mysql": sqlseal.MySQL, "sqlite": sqlseal.SQLite}

// onEach runs a test on each database.
func onEach(t *testing.T, test func(w *world)) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) { test(newWorld(t, d)) })
}

func newWorld(t *testing.T, d dbtest.Database) *world { return newWorldAt(t, d, d.New(t)) }

func newWorldAt(t *testing.T, d dbtest.Database, dsn string) *world {
	w := &world{T: t, d: d, dsn: dsn}
	var err error
	w.sql, err = sql.Open(d.Driver, dsn)
	w.must(err)
	t.Cleanup(func() { w.sql.Close() })
	w.db = sqlseal.SQL(dialects[d.Driver], w.sql)
	w.old = &kmstest.Fake{ID: "old", BatchSize: 10, Support: kms.RewrapAnyContext}
	w.new = &kmstest.Fake{ID: "new", BatchSize: 10, Support: kms.RewrapAnyContext}
	v1 := rowseal.Version{Number: 1, Key: kms.NewKey(w.old, nil)}
	v2 := rowseal.Version{Number: 2, Key: kms.NewKey(w.new, nil)}
	w.first, w.both = w.ring(v1), w.ring(v2, v1)
	w.exec(createPatients)
	return w
}

// connect is the database by another DSN.
func (w *world) connect(dsn string) *sqlseal.DB {
	w.Helper()
	db, err := sql.Open(w.d.Driver, dsn)
	w.must(err)
	w.Cleanup(func() { db.Close() })
	return sqlseal.SQL(w.db.Dialect, db)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) ring(versions ...rowseal.Version) *rowseal.Keyring {
	w.Helper()
	ring, err := rowseal.NewKeyring(versions...)
	w.must(err)
	return ring
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	_, err := w.sql.ExecContext(w.Context(), query, args...)
	w.must(err)
}

// one returns the single value of a query as text.
func (w *world) one(query string, args ...any) string {
	w.Helper()
	var v sql.NullString
	w.must(w.sql.QueryRowContext(w.Context(), query, args...).Scan(&v))
	return v.String
}

func (w *world) patients(ring *rowseal.Keyring) *rowseal.Model[patient] {
	w.Helper()
	m, err := rowseal.NewModel[patient]("patients", ring, nil)
	w.must(err)
	return m
}

// admit inserts patients with the ids 1 to n, under the keyring.
func (w *world) admit(ring *rowseal.Keyring, n int) {
	w.Helper()
	table := sqlseal.New(w.patients(ring), &sqlseal.Options{Columns: []string{"ward"}})
	var all []*patient
	for id := range n {
		p := &patient{ID: int64(id + 1), Ward: "A"}
		p.Email.Set(email(id + 1))
		p.BornOn.Set(time.Date(1990, 1, 2, 0, 0, 0, 0, time.UTC))
		p.Phone.Set(phone(id + 1))
		all = append(all, p)
	}
	w.must(table.Insert(w.Context(), w.db, all...))
}

func email(id int) string { return fmt.Sprintf("%d@example.org", id) }
func phone(id int) string { return fmt.Sprintf("+49 30 %d", id) }

const selectPatients = `SELECT id, ward, encrypted_kms_key, email_ciphertext, born_on_ciphertext, encrypted_kms_key_phone, phone_ciphertext FROM patients ORDER BY id`

// load reads the patients as they are.
func (w *world) load() (all []*patient) {
	w.Helper()
	rows, err := w.sql.QueryContext(w.Context(), selectPatients)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		p := &patient{}
		w.must(rows.Scan(&p.ID, &p.Ward, &p.EncryptedKMSKey, &p.Email, &p.BornOn, &p.EncryptedKMSKeyPhone, &p.Phone))
		all = append(all, p)
	}
	w.must(rows.Err())
	return all
}

// allOpen wants every patient to open to the values that admit gave them.
func (w *world) allOpen(ring *rowseal.Keyring, n int) {
	w.Helper()
	all := w.load()
	if len(all) != n {
		w.Fatalf("%d patients, want %d", len(all), n)
	}
	w.must(w.patients(ring).Open(w.Context(), all...))
	for _, p := range all {
		mail, err := p.Email.Get()
		w.must(err)
		tel, err := p.Phone.Get()
		w.must(err)
		if mail != email(int(p.ID)) || tel != phone(int(p.ID)) {
			w.Errorf("patient %d has %s and %s", p.ID, mail, tel)
		}
	}
}

// versions counts the key columns by the version of their wrapped keys.
func (w *world) versions() map[string]int {
	w.Helper()
	all := map[string]int{}
	for _, p := range w.load() {
		for _, k := range []rowseal.DataKey{p.EncryptedKMSKey, p.EncryptedKMSKeyPhone} {
			version, _, _ := strings.Cut(k.Wrapped(), ":")
			all[version]++
		}
	}
	return all
}

// wantError wants an error of a kind, whose text says something.
func wantError(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("the error is %v; want %v that says %q", err, kind, text)
	}
}
