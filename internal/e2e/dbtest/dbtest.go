// Package dbtest gives tests real databases: PostgreSQL and MariaDB from the installed programs, and SQLite.
//
// A test process starts a server when a test first needs it, as a program of its own with a folder of its own in /tmp, where
// it listens on a Unix socket and nowhere else. Each Open and New makes another database there. The servers and their folders
// go when the process ends, whatever ends it: a [Main] waits for that, and without one they go a moment later. Servers of a
// system or of other test processes are neither used nor disturbed. It needs a Unix; what root's tests start runs as nobody.
//
// No server is as fast or as careful as in production: they survive no crash. MariaDB has Debian's collation, which holds A
// for a; PostgreSQL has the locale C.
package dbtest

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// Database is a kind of database that tests can have: one of All. All methods may be called from many goroutines.
type Database struct {
	Name   string // "PostgreSQL", "MariaDB", "SQLite"
	Driver string // of database/sql: "pgx", "mysql", "sqlite"

	server *server // nil: it needs none
}

var (
	PostgreSQL = Database{"PostgreSQL", "pgx", &postgreSQL} // 13 or later
	MariaDB    = Database{"MariaDB", "mysql", &mariaDB}     // 10.6 or later
	SQLite     = Database{"SQLite", "sqlite", nil}
)

// All returns the databases that Run runs tests on.
func All() []Database { return []Database{PostgreSQL, MariaDB, SQLite} }

// Run runs a test on each database. On those that are not installed it is skipped, or fails if the environment has CI, as
// soon as it calls Open or New.
func Run(t *testing.T, test func(t *testing.T, d Database)) {
	t.Helper()
	for _, d := range All() {
		t.Run(d.Name, func(t *testing.T) { test(t, d) })
	}
}

// Main runs a package's tests, ends the servers that they started, and returns the exit code. A TestMain calls it.
func Main(m *testing.M) (code int) {
	code = m.Run()
	for _, d := range All() {
		if d.server != nil {
			d.server.stop()
		}
	}
	return code
}

// Open returns an empty database of t's own. It is closed and dropped when t ends.
func (d Database) Open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.Driver, d.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// New makes an empty database of t's own, which is dropped when t ends, and returns its name as the driver takes it:
//
//   - PostgreSQL: postgres://…?…, for pgx too; the user may do everything
//   - MariaDB: root@unix(…)/…?parseTime=true
//   - SQLite: file:…?…, with foreign keys, a write-ahead log and 10 s of patience with other writers
//
// Each has a query, to which more can be appended with &: clientFoundRows=true, _txlock=immediate.
func (d Database) New(t testing.TB) (dsn string) {
	t.Helper()
	if d.server != nil {
		return d.server.newDatabase(t)
	}
	const pragmas = "?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)&_pragma=synchronous(0)"
	file := url.URL{Path: filepath.Join(t.TempDir(), "test.sqlite3")} // with the # of a test's name, maybe
	return "file:" + file.EscapedPath() + pragmas
}
