package integration

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

// Integration is what the suite tests.
type Integration struct {
	Name      string // of the subtest
	Databases []dbtest.Database
	Logs      string // is in what it logs of a row that is created; "" if it logs nothing
	// Connect returns a connection pool to a database, for one application, which ends when t does. It logs whatever it can to
	// log, from any goroutine.
	Connect func(t testing.TB, d dbtest.Database, dsn string, log io.Writer, tables ...Table) Session
}

// Table is one of the suite's tables, whose rows are pointers to the Model's struct. The columns are those of its db tags.
type Table struct {
	Model              Model
	Order              sqlseal.Order // of events, for new rows
	NoKMSInTransaction bool
}

// Model is a *rowseal.Model[T] or a *rowseal.Sealer[T].
type Model interface {
	Rows() *rowseal.Rows
}

// Session reads and writes rows, in a database or in a transaction. The rows of a call are of one table.
type Session interface {
	// Create inserts new rows and sets the ids that the database makes.
	Create(ctx context.Context, rows ...any) error
	// Find loads the row with this id into a struct that may be filled: all columns, or those that are named.
	Find(ctx context.Context, row, id any, columns ...string) error
	// FindAll loads the whole table in the order of the ids. rows is a pointer to a slice of pointers to structs.
	FindAll(ctx context.Context, rows any) error
	// Open opens rows that were found.
	Open(ctx context.Context, rows ...any) error
	// Update writes what has changed in rows that were found or created.
	Update(ctx context.Context, rows ...any) error
	// Upsert inserts rows, or replaces what is sealed in those that have the same values in the target columns.
	Upsert(ctx context.Context, target []string, rows ...any) error
	// Delete deletes a row by its primary key.
	Delete(ctx context.Context, row any) error
	// Exec runs a statement of the application's own, which has the database's placeholders.
	Exec(ctx context.Context, statement string, args ...any) error
	// Transaction runs do in a transaction, or from a save point if there is one already, and takes back what it did if it
	// returns an error.
	Transaction(ctx context.Context, do func(tx Session) error) error
}

// Saver is a Session that can write whole rows too, those that were not found before included.
type Saver interface {
	Save(ctx context.Context, rows ...any) error
}

// Preloader is a Session that can load all Accounts together with their Notes.
type Preloader interface {
	FindWithNotes(ctx context.Context, accounts *[]*Account) error
}

// DialectOf is the dialect of a database.
func DialectOf(d dbtest.Database) sqlseal.Dialect {
	return map[string]sqlseal.Dialect{dbtest.PostgreSQL.Name: sqlseal.PostgreSQL, dbtest.MariaDB.Name: sqlseal.MySQL,
		dbtest.SQLite.Name: sqlseal.SQLite}[d.Name]
}

// testCase is one promise.
type testCase struct {
	name string
	test func(w *world)
}

// Run runs every case on every database of an integration, each with empty tables.
func Run(t *testing.T, in Integration) {
	t.Helper()
	for _, d := range in.Databases {
		t.Run(in.Name+" "+d.Name, func(t *testing.T) {
			dsn := d.New(t)
			for _, c := range slices.Concat(rowCases, orderCases, contextCases, conflictCases, transactionCases, refusalCases) {
				t.Run(c.name, func(t *testing.T) { c.test(newWorld(t, in, d, dsn)) })
			}
		})
	}
}
