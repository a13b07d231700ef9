package columns

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

func TestEveryWayWritesWhatItReads(t *testing.T) {
	eachWay(t, func(t *testing.T, w way, look *sql.DB) {
		m := newModel(t)
		written := []*sample{sealed(t, m, 1, someValues(1)), sealed(t, m, 2, values{}), sealed(t, m, 3, someValues(3))}
		must(t, w.insert(t.Context(), written...))
		m.Rows().Inserted(written[0], written[1], written[2])
		wantStored(t, look, written)
		loaded := load(t, w)
		must(t, m.Open(t.Context(), loaded...))
		for i, want := range []values{someValues(1), {}, someValues(3)} {
			if got := loaded[i].get(t); got != want {
				t.Errorf("row %d opens to %+v, want %+v", i+1, got, want)
			}
		}
		if w.update == nil {
			return
		}

		changed := []values{someValues(4), someValues(5), someValues(3)}
		for i, row := range loaded {
			row.set(changed[i])
		}
		must(t, m.Seal(t.Context(), loaded...))
		must(t, m.Rewrap(t.Context(), loaded[2]))
		for _, row := range loaded {
			if n, err := w.update(t.Context(), row); n != 1 || err != nil {
				t.Errorf("row %d: an UPDATE that compares the keys changes %d rows, %v", row.ID, n, err)
			}
			if n, err := w.update(t.Context(), row); n != 0 && row.ID != 1 || err != nil { // row 1 has the keys that it had
				t.Errorf("row %d: an UPDATE changes %d rows that have another key by now, %v", row.ID, n, err)
			}
		}
		wantStored(t, look, loaded)
		for i, row := range load(t, w) {
			must(t, m.Open(t.Context(), row))
			if got := row.get(t); got != changed[i] {
				t.Errorf("row %d opens after the UPDATE to %+v, want %+v", row.ID, got, changed[i])
			}
		}
	})
}

// What a way has refused has written nothing, not even the good row before it.
func TestNoWayWritesWhatIsNotSealed(t *testing.T) {
	spoils := map[string]func(*sample){
		"text":             func(s *sample) { s.Text.Set("sesame") },
		"number":           func(s *sample) { s.Number.Set(8_252_345_678) },
		"time":             func(s *sample) { s.Time.Set(someValues(1).time) },
		"attr_encrypted":   func(s *sample) { s.Old.Set("sesame") },
		"bytes":            func(s *sample) { s.Bytes.Set([]byte("sesame")) },
		"file":             func(s *sample) { s.File.Set(strings.NewReader("sesame"), rowseal.FileInfo{Name: "sesame"}) },
		"key never loaded": func(s *sample) { s.Key = rowseal.DataKey{} },
		"key of bytes":     func(s *sample) { s.BytesKey = rowseal.DataKey{} },
	}
	eachWay(t, func(t *testing.T, w way, look *sql.DB) {
		m := newModel(t)
		must(t, w.insert(t.Context(), sealed(t, m, 1, someValues(1))))
		before := load(t, w)
		for name, spoil := range spoils {
			spoilt := sealed(t, m, 3, someValues(3))
			spoil(spoilt)
			wantUnsealed(t, w, "INSERT, "+name, w.insert(t.Context(), sealed(t, m, 2, someValues(2)), spoilt))
			if w.update != nil {
				row := load(t, w)[0]
				spoil(row)
				_, err := w.update(t.Context(), row)
				wantUnsealed(t, w, "UPDATE, "+name, err)
			}
		}
		wantStored(t, look, before)
	})
}

// Of a struct that a SELECT has filled in part, the key that it left out is not NULL; a value that it left out is.
func TestWhatWasNotLoadedIsNotWrittenOverAKey(t *testing.T) {
	var s sample
	for i, arg := range s.args()[1:] {
		v, err := arg.(driver.Valuer).Value()
		switch arg.(type) {
		case rowseal.DataKey:
			if !errors.Is(err, rowseal.ErrUnsealed) || v == nil {
				t.Errorf("%s: %v, %v", columns[i+1], v, err)
			}
		default:
			if v != nil || err != nil {
				t.Errorf("%s: %v, %v", columns[i+1], v, err)
			}
		}
	}
}

// Nobody finds a row by a value that is not sealed, nor deletes the rows that are NULL.
func TestNoConditionTakesAValueThatIsNotSealed(t *testing.T) {
	eachExec(t, func(t *testing.T, d sqlseal.Dialect, look *sql.DB, exec execFunc) {
		m := newModel(t)
		kept := []*sample{sealed(t, m, 1, values{}), sealed(t, m, 2, someValues(2))}
		for _, row := range kept {
			var args []any
			must(t, exec(t.Context(), insertOf(row, positional(d, &args)), args...))
		}
		var set rowseal.Sealed[string]
		set.Set("sesame text 2")
		for column, arg := range map[string]any{"text_ciphertext": set, "encrypted_kms_key": rowseal.DataKey{}, "encrypted_kms_key_bytes": &rowseal.DataKey{}} {
			for _, equals := range []string{" = ", " IS NOT DISTINCT FROM "} {
				if equals != " = " && d != sqlseal.PostgreSQL {
					equals = map[sqlseal.Dialect]string{sqlseal.MySQL: " <=> ", sqlseal.SQLite: " IS "}[d]
				}
				err := exec(t.Context(), "DELETE FROM samples WHERE "+column+equals+d.Placeholder(1), arg)
				if !errors.Is(err, rowseal.ErrUnsealed) {
					t.Errorf("DELETE … WHERE %s%s%v: %v", column, equals, arg, err)
				}
			}
		}
		wantStored(t, look, kept)
	})
}

// A row is found by the keys and indexes of others, one or many at a time.
func TestALoadedValueIsAnArgument(t *testing.T) {
	eachExec(t, func(t *testing.T, d sqlseal.Dialect, look *sql.DB, exec execFunc) {
		m := newModel(t)
		rows := []*sample{sealed(t, m, 1, someValues(1)), sealed(t, m, 2, someValues(2)), sealed(t, m, 3, someValues(3))}
		for _, row := range rows {
			var args []any
			must(t, exec(t.Context(), insertOf(row, positional(d, &args)), args...))
		}
		for i, column := range []string{"encrypted_kms_key", "encrypted_kms_key_bytes"} {
			keys := []rowseal.DataKey{rows[i].Key, rows[i].BytesKey}
			must(t, exec(t.Context(), "DELETE FROM samples WHERE "+column+" = "+d.Placeholder(1), keys[i]))
			wantStored(t, look, rows[i+1:])
		}
		found, err := m.Lookup(t.Context(), "text_bidx", "sesame text 3")
		must(t, err)
		must(t, exec(t.Context(), "DELETE FROM samples WHERE text_bidx = "+d.Placeholder(1), found[0]))
		wantStored(t, look, nil)
	})
}

// pgx makes arrays where it knows the type of the parameter, which it does not in two of its modes: those take a []string.
func TestPgxTakesArrays(t *testing.T) {
	dsn := dbtest.PostgreSQL.New(t)
	o := newOverhearer(t, "INSERT INTO samples", "[data key: opened]", "[opened]")
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			pool := o.openPgx(t, dsn, mode)
			for _, statement := range []string{"DROP TABLE IF EXISTS samples", createTable(sqlseal.PostgreSQL)} {
				_, err := pool.Exec(t.Context(), statement)
				must(t, err)
			}
			m := newModel(t)
			rows := []*sample{sealed(t, m, 1, someValues(1)), sealed(t, m, 2, someValues(2)), sealed(t, m, 3, someValues(3))}
			for _, row := range rows {
				var args []any
				_, err := pool.Exec(t.Context(), insertOf(row, positional(sqlseal.PostgreSQL, &args)), args...)
				must(t, err)
			}
			lookedUp, err := m.Lookup(t.Context(), "text_bidx", "sesame text 1")
			must(t, err)
			lookedUp = append(lookedUp, rows[2].Index.Text())
			guesses := mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol
			for _, c := range []struct {
				column string
				array  any
			}{
				{"encrypted_kms_key", []rowseal.DataKey{rows[0].Key, rows[2].Key}},
				{"encrypted_kms_key_bytes", []rowseal.DataKey{rows[0].BytesKey, rows[2].BytesKey}},
				{"text_ciphertext", []rowseal.Sealed[string]{rows[0].Text, rows[2].Text}},
				{"text_bidx", []blindindex.Index{rows[0].Index, rows[2].Index}},
				{"bytes_bidx", []blindindex.Index{rows[0].RawIndex, rows[2].RawIndex}},
				{"text_bidx", lookedUp},
				{"text_bidx", []string{rows[0].Index.Text(), rows[2].Index.Text()}},
			} {
				found, _ := pool.Query(t.Context(), "SELECT id FROM samples WHERE "+c.column+" = ANY ($1) ORDER BY id", c.array)
				ids, err := pgx.CollectRows(found, pgx.RowTo[int64])
				_, strings := c.array.([]string)
				if refused := guesses && !strings; refused != (err != nil) || !refused && !slices.Equal(ids, []int64{1, 3}) {
					t.Errorf("%s: %T finds %v, %v", c.column, c.array, ids, err)
				}
			}
			set := rows[1].Text
			set.Set("sesame")
			_, err = pool.Exec(t.Context(), "DELETE FROM samples WHERE text_ciphertext = ANY ($1)", []rowseal.Sealed[string]{rows[0].Text, set})
			if err == nil || !guesses && !errors.Is(err, rowseal.ErrUnsealed) {
				t.Errorf("an array with a value that is not sealed: %v", err)
			}
		})
	}
}

// execFunc runs a statement without rows.
type execFunc func(ctx context.Context, statement string, args ...any) error

// eachExec runs a test with every connection, each with a table of its own.
func eachExec(t *testing.T, test func(t *testing.T, d sqlseal.Dialect, look *sql.DB, exec execFunc)) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		dsn := d.New(t)
		o := newOverhearer(t, "INSERT INTO samples", "[data key: opened]", "[opened]")
		look, db := openSQL(t, d.Driver, dsn), o.openSQL(t, d.Driver, dsn)
		execs := map[string]execFunc{"database/sql": func(ctx context.Context, statement string, args ...any) error {
			_, err := db.ExecContext(ctx, statement, args...)
			return err
		}}
		for _, mode := range modes {
			if d.Driver == "pgx" {
				pool := o.openPgx(t, dsn, mode)
				execs["pgx, "+mode.String()] = func(ctx context.Context, statement string, args ...any) error {
					_, err := pool.Exec(ctx, statement, args...)
					return err
				}
			}
		}
		for name, exec := range execs {
			_, err := look.Exec("DROP TABLE IF EXISTS samples")
			must(t, err)
			_, err = look.Exec(createTable(dialect(d)))
			must(t, err)
			t.Run(name, func(t *testing.T) { test(t, dialect(d), look, exec) })
		}
	})
}

func load(t *testing.T, w way) []*sample {
	t.Helper()
	all, err := w.load(t.Context())
	must(t, err)
	return all
}

func wantUnsealed(t *testing.T, w way, what string, err error) {
	t.Helper()
	said := err != nil && (strings.Contains(err.Error(), "seal it before it is saved, and look for it by its blind index: unsealed") ||
		strings.Contains(err.Error(), "call Model.Seal before saving: unsealed")) // values, and keys and files
	if !said || !errors.Is(err, rowseal.ErrUnsealed) && !w.vague {
		t.Errorf("%s: %v", what, err)
	}
}

// wantStored compares every byte in the database, which it is asked for in other words, with what was to be written.
func wantStored(t *testing.T, look *sql.DB, want []*sample) {
	t.Helper()
	rows, err := look.Query(selectAll)
	must(t, err)
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		got, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range got {
			targets[i] = &got[i]
		}
		must(t, rows.Scan(targets...))
		if n >= len(want) {
			t.Errorf("there is another row: %v", got[0])
			continue
		}
		for i, arg := range want[n].args()[1:] {
			written, err := arg.(driver.Valuer).Value()
			must(t, err)
			if stored := got[i+1]; !same(stored, written) {
				t.Errorf("row %d: %s holds %q, want %q", n+1, columns[i+1], stored, written)
			}
		}
	}
	must(t, rows.Err())
	if n < len(want) {
		t.Errorf("there are %d rows, want %d", n, len(want))
	}
}
