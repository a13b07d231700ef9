package sweep_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// marking is a step of a program's own: it adds one to a number in every row.
type marking struct{}

func (marking) Name() string { return "mark" }

func (marking) Plan(context.Context, sweep.Table) (sweep.Plan, error) {
	return sweep.Plan{Sealed: []string{}, Plain: []string{"seen"}}, nil
}

func (marking) Do(_ context.Context, rows []*sweep.Row) error {
	for _, row := range rows {
		seen := row.Plain["seen"]
		row.Also.Set = []rowseal.Assignment{{Column: "seen", Value: seen.Value.(int64) + 1}}
		row.Also.Match = []rowseal.Match{seen.Match}
	}
	return nil
}

// pageRows are in a table of things.
const pageRows = 41

// keyed is a table by its primary key: its columns, its clause, and the values of a row.
type keyed struct {
	name, columns, key string
	values             func(i int) string
}

// quoted makes text literals.
func quoted(format string) func(int) string {
	return func(i int) string { return "'" + fmt.Sprintf(format, i) + "'" }
}

func uuidOf(i int) string {
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", i*2654435761%(1<<32), i%7, i)
}

// letters are words of which some sort in one way by their bytes and in another one by their letters.
func letters(i int) string {
	return "'" + []string{"ä", "a", "B", "b ", "Zoë", "_", "ß", "ss-", "10", "9"}[i%10] + strconv.Itoa(i/10) + "'"
}

// words are different ones whatever the collation is.
func words(i int) string {
	return "'" + []string{"c", "a", "B", "d e", "Zoë", "_"}[i%6] + strconv.Itoa(i) + "'"
}

var keysOf = map[string][]keyed{
	"": {
		{"integers", "id BIGINT", "id", func(i int) string { return strconv.Itoa((i - 20) * 1000003) }},
		{"small integers", "id SMALLINT", "id", func(i int) string { return strconv.Itoa(i - 20) }},
		{"words", "id VARCHAR(40)", "id", words},
		{"numbers larger than an integer", "id DECIMAL(40,3)", "id", func(i int) string { return fmt.Sprintf("%d123456789012345678901234567.%03d", i-20, i) }},
		{"two columns", "tenant VARCHAR(40), n INTEGER", "tenant, n", func(i int) string { return fmt.Sprintf("'%c', %d", 'a'+i%3, i-20) }},
		{"three columns, in another order", "a INTEGER, b VARCHAR(40), c INTEGER", "c, a, b", func(i int) string { return fmt.Sprintf("%d, '%d', %d", i%2, i%5, i%9-4) }},
	},
	"PostgreSQL": {
		{"UUIDs", "id uuid", "id", func(i int) string { return "'" + uuidOf(i) + "'" }},
		{"moments", "id timestamptz", "id", quoted("2026-10-25 00:%02d:00.123456+02")},
		{"moments without a zone, and days", "at timestamp, d date", "d, at", func(i int) string { return fmt.Sprintf("'2026-10-25 02:%02d:00.5', '2026-10-%02d'", i, i%3+1) }},
		{"bytes", "id bytea", "id", func(i int) string { return fmt.Sprintf(`'\x%02x00ff'`, 255-i) }},
		{"words in a language's order", `id text COLLATE "und-x-icu"`, "id", letters},
		{"fractions", "id double precision", "id", func(i int) string { return fmt.Sprintf("%d / 3.0", i-20) }},
		{"a type of its own", "kind mood, n int", "kind, n", func(i int) string { return fmt.Sprintf("'%s', %d", []string{"sad", "ok", "happy"}[i%3], i) }},
	},
	"MariaDB": {
		{"integers beyond 2^63", "id BIGINT UNSIGNED", "id", func(i int) string { return strconv.FormatUint(1<<63-20+uint64(i), 10) }},
		{"UUIDs", "id UUID", "id", func(i int) string { return "'" + uuidOf(i) + "'" }},
		{"UUIDs as bytes", "id BINARY(16)", "id", func(i int) string { return "0x" + strings.ReplaceAll(uuidOf(i), "-", "") }},
		{"moments", "id DATETIME(6)", "id", quoted("2026-10-25 02:%02d:00.123456")},
		{"moments in UTC, and days", "at TIMESTAMP(3) DEFAULT 0, d DATE", "d, at", func(i int) string { return fmt.Sprintf("'2026-06-25 02:%02d:00.5', '2026-10-%02d'", i, i%3+1) }},
		{"words in their bytes' order", "id VARCHAR(40) COLLATE utf8mb4_bin", "id", letters},
		{"words of a list", "kind ENUM('sad', 'ok', 'happy'), n INT", "kind, n", func(i int) string { return fmt.Sprintf("'%s', %d", []string{"sad", "ok", "happy"}[i%3], i) }},
		{"fractions", "id DOUBLE", "id", func(i int) string { return fmt.Sprintf("%d / 3.0", i-20) }},
	},
	"SQLite": {
		{"rowids", "id INTEGER", "id", func(i int) string { return strconv.Itoa((i - 20) * 1000003) }},
		{"no declared type", "id", "id", func(i int) string {
			return []string{strconv.Itoa(i), "'" + strconv.Itoa(i) + "'", fmt.Sprintf("x'%02xff'", i)}[i%3]
		}},
		{"moments", "id DATETIME", "id", quoted("2026-10-25 02:%02d:00")},
		{"moments as numbers", "id TIMESTAMP", "id", func(i int) string { return strconv.Itoa(1790000000 + i) }},
		{"words without case", "id TEXT COLLATE NOCASE", "id", words},
		{"fractions", "id REAL", "id", func(i int) string { return fmt.Sprintf("%d / 3.0", i-20) }},
	},
}

// things makes the table of a case and returns it.
func (w *world) things(k keyed) *rowseal.Table {
	w.Helper()
	if strings.Contains(k.columns, "mood") {
		w.exec(`CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')`)
	}
	w.exec("CREATE TABLE things (" + k.columns + ", seen INTEGER NOT NULL DEFAULT 0, encrypted_kms_key TEXT, note_ciphertext TEXT, PRIMARY KEY (" + k.key + "))")
	var names []string
	for _, c := range strings.Split(k.columns, ", ") {
		if name, _, _ := strings.Cut(c, " "); !strings.HasPrefix(c, "'") { // as the words of an ENUM are
			names = append(names, name)
		}
	}
	var rows []string
	for i := range pageRows {
		rows = append(rows, "("+k.values(i)+")")
	}
	w.exec("INSERT INTO things (" + strings.Join(names, ", ") + ") VALUES " + strings.Join(rows, ", "))
	t, err := rowseal.NewTable(rowseal.Schema{
		Table: "things", Model: "thing", PrimaryKey: strings.Split(k.key, ", ")[0],
		Keys:   []rowseal.KeyColumn{{Column: "encrypted_kms_key"}},
		Fields: []rowseal.Field{{Column: "note_ciphertext"}},
	}, w.both, nil)
	w.must(err)
	return t
}

// marked wants every row to have been seen so many times.
func (w *world) marked(times int) {
	w.Helper()
	if n := w.one(fmt.Sprintf(`SELECT count(*) FROM things WHERE seen = %d`, times)); n != strconv.Itoa(pageRows) {
		w.Errorf("%s of %d rows were seen %d times", n, pageRows, times)
	}
}

func TestEachRowIsVisitedOnceWhateverItsKeyIs(t *testing.T) {
	onEach(t, func(w *world) {
		for _, k := range slices.Concat(keysOf[""], keysOf[w.d.Name]) {
			w.Run(k.name, func(t *testing.T) {
				w := newWorld(t, w.d)
				w.visitsAll(k, w.db)
			})
		}
	})
}

func TestEachRowIsVisitedOnceThroughPgx(t *testing.T) {
	onEach(t, func(w *world) {
		if w.d.Name != "PostgreSQL" {
			return
		}
		for _, k := range slices.Concat(keysOf[""], keysOf[w.d.Name]) {
			w.Run(k.name, func(t *testing.T) {
				w := newWorld(t, w.d)
				pool, err := pgxpool.New(t.Context(), w.dsn)
				w.must(err)
				t.Cleanup(pool.Close)
				w.visitsAll(k, sqlseal.Pgx(pool))
			})
		}
	})
}

// visitsAll sweeps a table with pages of several sizes, in parts, and with stops.
func (w *world) visitsAll(k keyed, db *sqlseal.DB) {
	w.Helper()
	things := w.things(k)
	times := 0
	for _, page := range []int{1, 7, pageRows, 1000} {
		status, err := sweep.Run(w.Context(), db, things.Rows(), marking{}, &sweep.Options{Page: page})
		w.must(err)
		if status.Changed != pageRows || status.Conflicts != 0 {
			w.Errorf("pages of %d: %+v", page, status)
		}
		times++
		w.marked(times)
	}
	visited := 0
	for part := 1; part <= 3; part++ {
		status, err := sweep.Run(w.Context(), db, things.Rows(), marking{}, &sweep.Options{Page: 5, Part: part, Parts: 3})
		w.must(err)
		visited += int(status.Changed)
		if status.Changed > pageRows*3/4 {
			w.Errorf("part %d of 3 has %d of %d rows", part, status.Changed, pageRows)
		}
	}
	times++
	w.marked(times)
	if visited != pageRows {
		w.Errorf("the parts have %d rows", visited)
	}
	for range 100 { // go on from a position that the database remembers
		status, err := sweep.Run(w.Context(), db, things.Rows(), marking{}, &sweep.Options{Page: 3, Limit: 6})
		w.must(err)
		if status.State == sweep.Done {
			break
		}
	}
	times++
	w.marked(times)
}

func TestRowsWithoutAPrimaryKeyAreRefused(t *testing.T) {
	onEach(t, func(w *world) {
		w.exec(`CREATE TABLE things (id BIGINT, seen INTEGER, encrypted_kms_key TEXT, note_ciphertext TEXT)`)
		schema := rowseal.Schema{Table: "things", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}},
			Fields: []rowseal.Field{{Column: "note_ciphertext"}}, Model: "thing"}
		refused := func(want string) {
			w.Helper()
			things, err := rowseal.NewTable(schema, w.both, nil)
			w.must(err)
			_, err = sweep.Run(w.Context(), w.db, things.Rows(), marking{}, nil)
			wantError(w.T, err, kms.ErrInvalidRequest, want)
		}
		refused("the table things has no primary key")
		schema.Table = "nothings"
		refused("there is no table nothings")
		schema.Table = "things"
		w.exec(`DROP TABLE things`)
		w.exec(`CREATE TABLE things (id VARCHAR(40) PRIMARY KEY, seen INTEGER, encrypted_kms_key TEXT)`)
		schema.Fields[0].Column = "nothing"
		things, err := rowseal.NewTable(schema, w.both, nil)
		w.must(err)
		_, err = sweep.Rewrap(w.Context(), w.db, things, nil) // which does not need the field
		w.must(err)
		_, err = sweep.Rekey(w.Context(), w.db, things, nil)
		wantError(w.T, err, kms.ErrInvalidRequest, "the table things has no column nothing")
		if w.d.Name != "SQLite" {
			return
		}
		w.exec(`INSERT INTO things (id, seen) VALUES (NULL, 0), ('a', 0), ('b', 0), (NULL, 0)`)
		schema.Fields[0].Column = "encrypted_kms_key_note"
		refused("rows of things have NULL in the primary key id")
	})
}

// TestRowsMayComeAndGoBetweenPages: those that stay are each visited once.
func TestRowsMayComeAndGoBetweenPages(t *testing.T) {
	onEach(t, func(w *world) {
		things := w.things(keysOf[""][0])
		s := &coming{w: w}
		status, err := sweep.Run(w.Context(), w.db, things.Rows(), s, &sweep.Options{Page: 5})
		w.must(err)
		if status.Quarantined != 0 || s.page < 8 {
			w.Errorf("%d pages: %+v", s.page, status)
		}
		if n := w.one(`SELECT count(*) FROM things WHERE seen <> 1 AND id NOT IN (SELECT n FROM late)`); n != "0" {
			w.Errorf("%s rows that stayed were not visited once", n)
		}
		if n := w.one(`SELECT count(*) FROM things WHERE seen > 1`); n != "0" {
			w.Errorf("%s rows were visited more than once", n)
		}
	})
}

// coming deletes and inserts rows of the page at hand, before and after it.
type coming struct {
	marking
	w    *world
	page int
}

func (c *coming) Do(ctx context.Context, rows []*sweep.Row) error {
	if c.page++; c.page == 1 {
		c.w.exec(`CREATE TABLE late (n BIGINT)`)
	}
	for i, row := range rows {
		id := row.Key[0].(int64)
		switch i {
		case 0:
			c.w.exec(fmt.Sprintf(`DELETE FROM things WHERE id = %d`, id))
		case 1:
			c.w.exec(fmt.Sprintf(`INSERT INTO things (id) VALUES (%d)`, id+1))
			c.w.exec(fmt.Sprintf(`INSERT INTO late (n) VALUES (%d)`, id+1))
		}
	}
	return c.marking.Do(ctx, rows)
}
