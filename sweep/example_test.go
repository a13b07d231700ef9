package sweep_test

import (
	"fmt"
	"strings"

	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// Where the user who sweeps may not make tables, somebody else makes them with these statements.
func ExampleStatements() {
	for _, statement := range sweep.Statements(sqlseal.PostgreSQL) {
		create, _, _ := strings.Cut(statement, " (")
		fmt.Println(create)
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS rowseal_sweeps
	// CREATE TABLE IF NOT EXISTS rowseal_quarantine
	// CREATE INDEX IF NOT EXISTS rowseal_quarantine_sweep ON rowseal_quarantine
	// CREATE TABLE IF NOT EXISTS rowseal_journal
	// CREATE INDEX IF NOT EXISTS rowseal_journal_row_hash ON rowseal_journal
}
