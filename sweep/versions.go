package sweep

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// VersionCount is how many wrapped keys of a key column are of one version of its keyring.
type VersionCount struct {
	Column  string
	Version int // 0: a form without a version
	Rows    int64
	// Journal is how many keys of this version the journal keeps, for repairs after a rekey.
	Journal int64
	// Key is the KMS key of the version, nil where the keyring does not have it, or a row chooses its keyring.
	Key     *kms.Key
	Current bool // it is the version that seals
}

// Versions is by which versions the data keys of a table are wrapped.
type Versions struct {
	Rows      int64          // of the table, or of those that where leaves
	Keyless   []int64        // rows whose key is NULL, in the order of Columns
	Columns   []string       // the key columns
	Counts    []VersionCount // by column, the version that seals first; versions of the keyring that no row has are there with 0
	Estimated bool           // of a sample
}

// CountVersions counts the wrapped keys of a table by their versions, in one look at its key columns: an index over them is enough, if
// there is one. where, a condition in SQL, narrows the rows. With sample PostgreSQL looks at some pages of a large table only, and the
// counts are estimates; the others always count. It makes no request to a KMS.
func CountVersions(ctx context.Context, db *sqlseal.DB, rows *rowseal.Rows, where string, sample bool) (Versions, error) {
	schema, rings := rows.Schema(), rows.Keyrings()
	v := Versions{}
	for _, k := range schema.Keys {
		if _, seen := rings[k.Column]; seen {
			v.Columns = append(v.Columns, k.Column)
		}
	}
	v.Keyless = make([]int64, len(v.Columns))
	if len(v.Columns) == 0 {
		return v, nil
	}
	from, scale, err := v.source(ctx, db, schema.Table, sample)
	if err != nil {
		return v, err
	}
	columns, err := db.TableColumns(ctx, schema.Table)
	if err != nil {
		return v, err
	}
	isBytes := func(name string) bool {
		return slices.ContainsFunc(columns, func(c rowseal.TableColumn) bool { return c.Name == name && c.Kind == rowseal.BytesColumn })
	}
	counts, err := v.group(ctx, db, from, where, isBytes)
	if err != nil {
		return v, err
	}
	journal, err := journalVersions(ctx, db, schema.Table)
	if err != nil {
		return v, err
	}
	for n, column := range v.Columns {
		v.Keyless[n] = int64(float64(v.Keyless[n]) * scale)
		v.Counts = append(v.Counts, inOrder(column, rings[column], counts[n], journal[column], scale)...)
	}
	v.Rows = int64(float64(v.Rows) * scale)
	return v, nil
}

// sampled is about how many rows a sample has.
const sampled = 100_000

// source is what to count in, and how many rows stand for one of it.
func (v *Versions) source(ctx context.Context, db *sqlseal.DB, table string, sample bool) (from string, scale float64, err error) {
	from, scale = db.Quote(table), 1
	if !sample || db.Dialect != sqlseal.PostgreSQL {
		return from, scale, nil
	}
	n, err := db.EstimateRows(ctx, table)
	if err != nil || n <= 2*sampled {
		return from, scale, err
	}
	v.Estimated = true
	share := sampled / float64(n)
	return fmt.Sprintf("%s TABLESAMPLE SYSTEM (%g)", from, share*100), 1 / share, nil
}

// prefix is the version that a wrapped key begins with, "null" or "none", in SQL.
func prefix(d sqlseal.Dialect, column string, bytes bool) string {
	column = d.Quote(column)
	text := "substr(" + column + ", 1, 12)"
	var cut string
	switch {
	case d == sqlseal.PostgreSQL && bytes:
		text = "encode(" + text + ", 'escape')"
		cut = "split_part(" + text + ", ':', 1)"
	case d == sqlseal.PostgreSQL:
		cut = "split_part(" + text + ", ':', 1)"
	case d == sqlseal.MySQL:
		text = "CAST(" + text + " AS CHAR)"
		cut = "SUBSTRING_INDEX(" + text + ", ':', 1)"
	default:
		text = "CAST(" + text + " AS TEXT)"
		cut = "substr(" + text + ", 1, instr(" + text + ", ':') - 1)"
	}
	return fmt.Sprintf("CASE WHEN %s IS NULL OR length(%[1]s) = 0 THEN 'null' WHEN %[2]s LIKE 'v%%:%%' THEN %[3]s ELSE 'none' END", column, text, cut)
}

// group counts by the versions of all key columns at once. It returns the counts by version, a map a column.
func (v *Versions) group(ctx context.Context, db *sqlseal.DB, from, where string, isBytes func(string) bool) ([]map[int]int64, error) {
	var groups, numbers []string
	for i, column := range v.Columns {
		groups = append(groups, prefix(db.Dialect, column, isBytes(column)))
		numbers = append(numbers, strconv.Itoa(i+1))
	}
	query := "SELECT " + strings.Join(groups, ", ") + ", count(*) FROM " + from
	if where != "" {
		query += " WHERE (" + where + "\n)"
	}
	query += " GROUP BY " + strings.Join(numbers, ", ")
	counts := make([]map[int]int64, len(v.Columns))
	for i := range counts {
		counts[i] = map[int]int64{}
	}
	err := db.Query(ctx, query, nil, func(scan func(...any) error) error {
		versions, dest, n := make([]string, len(v.Columns)), make([]any, 0, len(v.Columns)+1), int64(0)
		for i := range versions {
			dest = append(dest, &versions[i])
		}
		if err := scan(append(dest, &n)...); err != nil {
			return err
		}
		v.Rows += n
		for i, text := range versions {
			if text == "null" {
				v.Keyless[i] += n
				continue
			}
			counts[i][versionOf(text)] += n
		}
		return nil
	})
	return counts, err
}

// versionOf reads "v12"; anything else is 0.
func versionOf(text string) int {
	digits, ok := strings.CutPrefix(text, "v")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || strconv.Itoa(n) != digits {
		return 0
	}
	return n
}

// journalVersions counts the old keys in the journal, by column and version. Without a journal there are none.
func journalVersions(ctx context.Context, db *sqlseal.DB, table string) (map[string]map[int]int64, error) {
	s := store{db}
	all := map[string]map[int]int64{}
	if s.ready(ctx) != nil {
		return all, nil
	}
	query := "SELECT key_column, " + prefix(db.Dialect, "old_key", false) + ", count(*) FROM rowseal_journal WHERE table_name = ? GROUP BY 1, 2"
	err := s.query(ctx, query, []any{table}, func(scan func(...any) error) error {
		var column, version string
		var n int64
		if err := scan(&column, &version, &n); err != nil {
			return err
		}
		if all[column] == nil {
			all[column] = map[int]int64{}
		}
		all[column][versionOf(version)] += n
		return nil
	})
	return all, err
}

// inOrder lists the counts of a column: the keyring's versions in its order, then those that it does not have.
func inOrder(column string, ring *rowseal.Keyring, counts, journal map[int]int64, scale float64) (all []VersionCount) {
	add := func(version int, key *kms.Key, current bool) {
		all = append(all, VersionCount{column, version, int64(float64(counts[version]) * scale), journal[version], key, current})
		delete(counts, version)
	}
	var legacy *kms.Key
	if ring != nil {
		for i, version := range ring.Versions() {
			if version.Legacy != nil {
				legacy = version.Key
			}
			add(version.Number, version.Key, i == 0)
		}
	}
	var others []int
	for version := range counts {
		others = append(others, version)
	}
	slices.Sort(others)
	for _, version := range others {
		key := legacy
		if version != 0 {
			key = nil
		}
		add(version, key, false)
	}
	return all
}
