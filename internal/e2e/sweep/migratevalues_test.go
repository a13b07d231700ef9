package sweep_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// moved is a value of a plain column, in SQL, on its way into a field.
type moved struct {
	column string // the column's type
	field  lockbox.Type
	value  string
}

// newThing makes a table with one row, and one column that is to be moved. Each has a name of its own, because PostgreSQL's drivers
// remember what a statement returns.
func (w *world) newThing(m moved) (table string, rows *rowseal.Rows) {
	w.Helper()
	table = fmt.Sprintf("things_%d", things.Add(1))
	w.exec(`CREATE TABLE ` + table + ` (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, plain ` + m.column + `, sealed_ciphertext TEXT)`)
	loose := ""
	if w.d.Name == "MariaDB" { // dates without a day are written by applications that do not ask for strictness
		loose = `SET STATEMENT sql_mode = '' FOR `
	}
	w.exec(loose + `INSERT INTO ` + table + ` (id, plain) VALUES (1, ` + m.value + `)`)
	t, err := rowseal.NewTable(rowseal.Schema{
		Table: table, Model: "Thing", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}},
		Fields: []rowseal.Field{{Column: "sealed_ciphertext", Type: m.field}},
	}, w.first, nil)
	w.must(err)
	return table, t.Rows()
}

var things atomic.Int64

// shown is the plain column as the database itself shows it.
func (w *world) shown(table string) string {
	w.Helper()
	return w.one(map[string]string{
		"PostgreSQL": `SELECT CAST(plain AS text) FROM `, "MariaDB": `SELECT HEX(CAST(plain AS CHAR)) FROM `, "SQLite": `SELECT typeof(plain) || ' ' || hex(plain) FROM `,
	}[w.d.Name] + table)
}

// connections are the database by other drivers and settings.
func (w *world) connections() map[string]*sqlseal.DB {
	w.Helper()
	all := map[string]*sqlseal.DB{"database/sql": w.db}
	switch w.d.Name {
	case "PostgreSQL":
		pool, err := pgxpool.New(w.Context(), w.dsn)
		w.must(err)
		w.Cleanup(pool.Close)
		all["pgx"] = sqlseal.Pgx(pool)
	case "MariaDB":
		all["no parseTime"] = w.connect(strings.ReplaceAll(w.dsn, "parseTime=true", "parseTime=false"))
		all["loc"] = w.connect(w.dsn + "&loc=Asia%2FTokyo")
	}
	return all
}

func TestAValueComesBackAsItWas(t *testing.T) {
	onEach(t, func(w *world) {
		for name, db := range w.connections() {
			for _, m := range map[string][]moved{
				"PostgreSQL": {
					{"real", lockbox.Float, "0.1"},
					{"real", lockbox.Float, "16777217"},
					{"double precision", lockbox.Float, "1e300"},
					{"smallint", lockbox.Integer, "-7"},
					{"integer", lockbox.Integer, "7"},
					{"text", lockbox.Integer, "'42'"},
					{"text", lockbox.Float, "'0.5'"},
					{"text", lockbox.Date, "'1990-01-02'"},
					{"numeric(10,2)", lockbox.Float, "12.50"},
					{"numeric", lockbox.Decimal, "'NaN'"},
					{"char(5)", lockbox.String, "'ab'"},
					{"uuid", lockbox.String, "'9bffd02c-ad5f-4bc0-9354-52d23c26d4e4'"},
					{"bytea", lockbox.String, `convert_to('a\x41\\b', 'UTF8')`},
					{"text", lockbox.Binary, "'ä'"},
					{"json", lockbox.JSON, `'{"b":[1,1.0,9007199254740993],"a":null}'`},
					{"json", lockbox.JSON, `'null'`},
					{"jsonb", lockbox.String, `'{"b": 1}'`},
					{"inet", lockbox.Inet, "'10.0.0.7'"},
					{"cidr", lockbox.Inet, "'2001:db8::/32'"},
					{"timestamptz", lockbox.Datetime, "'1990-01-02 03:04:05.123456+05'"},
					{"timestamp", lockbox.Datetime, "'1990-01-02'"},
					{"date", lockbox.Datetime, "'1990-01-02'"},
					{"text", lockbox.Datetime, "'1990-01-02 03:04:05.120000'"},
					{"time", lockbox.Time, "'00:00'"},
				},
				"MariaDB": {
					{"bigint unsigned", lockbox.Integer, "5"},
					{"bigint unsigned", lockbox.Decimal, "18446744073709551615"},
					{"smallint", lockbox.Integer, "-7"},
					{"year", lockbox.Integer, "1999"},
					{"varchar(10)", lockbox.Integer, "'42'"},
					{"varchar(30)", lockbox.Datetime, "'1990-01-02 03:04:05.120000'"},
					{"double", lockbox.Float, "0.1"},
					{"decimal(10,2)", lockbox.Float, "12.50"},
					{"blob", lockbox.String, "'ä'"},
					{"varbinary(10)", lockbox.Binary, "x'00ff'"},
					{"varchar(10) CHARACTER SET latin1", lockbox.String, "'ä '"},
					{"varchar(10) CHARACTER SET latin1", lockbox.Binary, "'ä'"},
					{"varchar(50)", lockbox.Inet, "'10.0.0.7'"},
					{"datetime", lockbox.Datetime, "'1990-01-02 03:04:05'"},
					{"datetime(6)", lockbox.Datetime, "'1990-01-02 03:04:05.120000'"},
					{"timestamp(3)", lockbox.Datetime, "'1990-01-02 03:04:05.123'"},
					{"date", lockbox.Date, "'1990-01-02'"},
					{"json", lockbox.JSON, `'{"b":[1,1.0,9007199254740993],"a":null}'`},
				},
				"SQLite": {
					{"text", lockbox.Integer, "'42'"},
					{"integer", lockbox.Integer, "42"},
					{"real", lockbox.Float, "0.1"},
					{"decimal", lockbox.Decimal, "12.5"},
					{"blob", lockbox.String, "x'c3a4'"},
					{"text", lockbox.Binary, "'ä'"},
					{"", lockbox.Binary, "x'c3a4'"},
					{"datetime", lockbox.Datetime, "'1990-01-02 03:04:05'"},
					{"datetime", lockbox.Datetime, "'1990-01-02 03:04:05.120000'"},
					{"datetime", lockbox.Datetime, "'1990-01-02 03:04:05.123456789'"},
					{"varchar", lockbox.Inet, "'10.0.0.7'"},
					{"boolean", lockbox.Boolean, "0"},
				},
			}[w.d.Name] {
				table, rows := w.newThing(m)
				before := w.shown(table)
				for _, step := range []sweep.MigrateStep{{}, {Clear: true}, {Back: true}, {Back: true, Clear: true}} {
					step.Moves = []sweep.Move{{From: "plain", To: "sealed_ciphertext"}}
					status, err := sweep.Run(w.Context(), db, rows, &step, nil)
					if err != nil || status.Changed != 1 {
						w.Errorf("%s: %+v: back %t, clear %t: %v, %v", name, m, step.Back, step.Clear, status.Failures, err)
						break
					}
				}
				if after := w.shown(table); after != before {
					w.Errorf("%s: %+v: it was %s and is %s", name, m, before, after)
				}
			}
		}
	})
}

// TestAValueThatWouldNotComeBackIsLeftAlone: what another type cannot hold goes into quarantine, and is neither sealed nor cleared.
func TestAValueThatWouldNotComeBackIsLeftAlone(t *testing.T) {
	onEach(t, func(w *world) {
		wide := map[string]string{"PostgreSQL": "numeric", "MariaDB": "decimal(40,10)", "SQLite": "text"}[w.d.Name]
		datetime := map[string]string{"PostgreSQL": "timestamp", "MariaDB": "datetime", "SQLite": "datetime"}[w.d.Name]
		inet := map[string]string{"PostgreSQL": "inet", "MariaDB": "varchar(50)", "SQLite": "text"}[w.d.Name]
		bytes := map[string][2]string{"PostgreSQL": {"bytea", `'\xff'`}, "MariaDB": {"blob", "x'ff'"}, "SQLite": {"text", "CAST(x'ff' AS text)"}}[w.d.Name]
		all := append(map[string][]moved{
			"PostgreSQL": {{"timestamp", lockbox.Datetime, "'infinity'"}, {"timestamp", lockbox.Datetime, "'0044-03-15 BC'"}, {"time", lockbox.Time, "'24:00'"}},
			"MariaDB": {
				{"date", lockbox.Date, "'0000-00-00'"}, {"date", lockbox.Date, "'1990-00-00'"}, {"datetime", lockbox.Datetime, "'0000-00-00 00:00:00'"},
				{"datetime", lockbox.Datetime, "'1990-01-00 03:04:05'"}, {"time", lockbox.Time, "'-01:00:00'"}, {"tinyint", lockbox.Boolean, "2"},
				{"bigint unsigned", lockbox.Integer, "18446744073709551615"},
			},
			"SQLite": {{"boolean", lockbox.Boolean, "2"}, {"datetime", lockbox.Datetime, "1234567890"}, {"integer", lockbox.Integer, "1.5"}},
		}[w.d.Name],
			moved{"varchar(10)", lockbox.Integer, "'007'"},
			moved{wide, lockbox.Float, "'123456789012345678.01'"},
			moved{datetime, lockbox.Date, "'1990-01-02 03:04:05'"},
			moved{datetime, lockbox.Time, "'1990-01-02 03:04:05'"},
			moved{inet, lockbox.Inet, "'10.0.0.7/24'"},
			moved{"varchar(10)", lockbox.JSON, "'{'"},
			moved{bytes[0], lockbox.String, bytes[1]},
		)
		for name, db := range w.connections() {
			for _, m := range all {
				table, rows := w.newThing(m)
				before := w.shown(table)
				for _, step := range []sweep.MigrateStep{{}, {Compare: true}, {Clear: true}} {
					step.Moves = []sweep.Move{{From: "plain", To: "sealed_ciphertext"}}
					status, err := sweep.Run(w.Context(), db, rows, &step, nil)
					if err != nil || status.Quarantined != 1 {
						w.Errorf("%s: %+v: %+v, %v", name, m, status, err)
					}
				}
				if after := w.shown(table) + w.one(`SELECT sealed_ciphertext FROM `+table); after != before {
					w.Errorf("%s: %+v: it was %s and is %s", name, m, before, after)
				}
			}
		}
	})
}

// TestJSONIsComparedAsJSON: the application writes it with its own spaces and order, and numbers are compared to their last digit.
func TestJSONIsComparedAsJSON(t *testing.T) {
	onEach(t, func(w *world) {
		table, rows := w.newThing(moved{map[string]string{"PostgreSQL": "jsonb", "MariaDB": "json", "SQLite": "json"}[w.d.Name], lockbox.JSON, `'{"b": 9007199254740993, "aa": "<"}'`})
		run := func(step sweep.MigrateStep) sweep.Status {
			step.Moves = []sweep.Move{{From: "plain", To: "sealed_ciphertext"}}
			status, err := sweep.Run(w.Context(), w.db, rows, &step, nil)
			w.must(err)
			return status
		}
		run(sweep.MigrateStep{})
		w.exec(`UPDATE ` + table + ` SET plain = '{"aa":"<","b":9007199254740993}'`)
		if status := run(sweep.MigrateStep{Compare: true}); status.Changed != 0 || status.Quarantined != 0 {
			w.Errorf("another order: %+v", status)
		}
		w.exec(`UPDATE ` + table + ` SET plain = '{"aa":"<","b":9007199254740992}'`) // the same float64
		if status := run(sweep.MigrateStep{Clear: true}); status.Changed != 0 || status.Quarantined != 1 || strings.Contains(fmt.Sprint(status), "900719") {
			w.Errorf("another number: %+v", status)
		}
		if status := run(sweep.MigrateStep{Compare: true}); status.Changed != 1 {
			w.Errorf("compare: %+v", status)
		}
		if status := run(sweep.MigrateStep{Clear: true}); status.Changed != 1 {
			w.Errorf("clear: %+v", status)
		}
	})
}
