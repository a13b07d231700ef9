package sqlseal

import (
	"context"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Pages reads a table in the order of its primary key, a page at a time, so that neither side ever holds more than a page:
// keyset pagination, which costs the same at every page. It is safe for concurrent use.
type Pages struct {
	// Key are the columns of the primary key, in its order.
	Key []string

	w       *Writer
	db      *DB
	q       PageQuery
	load    []string // columns of the rows
	columns []rowseal.TableColumn
}

// PageQuery says what Pages reads.
type PageQuery struct {
	// Sealed are the sealed columns to load. nil: all. The columns that the encryption context uses are always loaded.
	Sealed []string
	// Plain are further columns, whose values PageRow.Plain has.
	Plain []string
	// Where narrows the rows: a condition in SQL, which must be the program's own or the operator's.
	Where string
	// Part and Of narrow the rows to one of several parts, from 1 to Of, that together are all rows. 0: all.
	Part, Of int
}

// PageRow is a row of a page.
type PageRow struct {
	Row   any   // a *T or *rowseal.Record
	Key   []any // the primary key, as the driver gives and takes it
	Plain map[string]Plain
}

// Plain is a column that is not sealed.
type Plain struct {
	// Value is as the driver gave it; text is a string.
	Value any
	// Match compares the column with what was read, in an UPDATE.
	Match rowseal.Match
}

// Pages looks at the table and returns its pages.
func (w *Writer) Pages(ctx context.Context, db *DB, q PageQuery) (*Pages, error) {
	if err := db.check(); err != nil {
		return nil, err
	}
	p := &Pages{w: w, db: db, q: q}
	var err error
	if p.columns, err = db.TableColumns(ctx, w.schema.Table); err != nil {
		return nil, err
	}
	if len(p.columns) == 0 {
		return nil, fmt.Errorf("sqlseal: there is no table %s: %w", w.schema.Table, kms.ErrInvalidRequest)
	}
	if p.Key, err = db.PrimaryKey(ctx, w.schema.Table); err != nil {
		return nil, err
	}
	if len(p.Key) == 0 {
		return nil, fmt.Errorf("sqlseal: the table %s has no primary key, by which its rows could be told apart; give it one: %w",
			w.schema.Table, kms.ErrInvalidRequest)
	}
	sealed := q.Sealed
	if sealed == nil {
		sealed = w.rows.SealedColumns()
	}
	p.load = slices.Concat(sealed, w.rows.ContextColumns())
	if !slices.Contains(p.load, w.schema.PrimaryKey) { // errors name the row by it
		p.load = append(p.load, w.schema.PrimaryKey)
	}
	for _, name := range slices.Concat(p.load, q.Plain) {
		if p.column(name) == nil {
			return nil, fmt.Errorf("sqlseal: the table %s has no column %s: %w", w.schema.Table, name, kms.ErrInvalidRequest)
		}
	}
	return p, p.checkNulls(ctx)
}

// checkNulls refuses rows that have no place in the order of the primary key: SQLite allows NULL in one
// (https://www.sqlite.org/lang_createtable.html#the_primary_key).
func (p *Pages) checkNulls(ctx context.Context) error {
	if p.db.Dialect != SQLite {
		return nil
	}
	b := &builder{Dialect: SQLite}
	b.write("SELECT count(*) FROM ", b.Quote(p.w.schema.Table), " WHERE ")
	for i, name := range p.Key {
		if i > 0 {
			b.write(" OR ")
		}
		b.write(b.Quote(name), " IS NULL")
	}
	n := 0
	if _, err := p.db.one(ctx, b.statement(), &n); err != nil || n == 0 {
		return err
	}
	return fmt.Errorf("sqlseal: %d rows of %s have NULL in the primary key %s, by which they cannot be told apart; give them values, or delete them: %w",
		n, p.w.schema.Table, strings.Join(p.Key, ", "), kms.ErrInvalidRequest)
}

func (p *Pages) column(name string) *rowseal.TableColumn {
	i := slices.IndexFunc(p.columns, func(c rowseal.TableColumn) bool {
		return c.Name == name || c.AnyCase && strings.EqualFold(c.Name, name)
	})
	if i < 0 {
		return nil
	}
	return &p.columns[i]
}

// After reads the next rows, at most limit, that follow a primary key; nil: the first.
func (p *Pages) After(ctx context.Context, key []any, limit int) ([]PageRow, error) {
	b := p.query()
	if key != nil {
		if len(key) != len(p.Key) {
			return nil, fmt.Errorf("sqlseal: %d values for the %d columns of the primary key of %s: %w", len(key), len(p.Key), p.w.schema.Table, kms.ErrInvalidRequest)
		}
		b.write(" AND ", p.after(b, key, 0))
	}
	b.write(" ORDER BY ", b.names(p.Key), " LIMIT ", strconv.Itoa(limit))
	return p.read(ctx, b)
}

// Again reads rows anew, by their primary keys; those that are gone, or that Where leaves out now, are not among them.
func (p *Pages) Again(ctx context.Context, keys ...[]any) ([]PageRow, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	b := p.query()
	b.write(" AND (")
	for i, key := range keys {
		if i > 0 {
			b.write(" OR ")
		}
		b.write("(", p.is(b, key), ")")
	}
	b.write(") ORDER BY ", b.names(p.Key))
	return p.read(ctx, b)
}

// is is the condition that a row has a key.
func (p *Pages) is(b *builder, key []any) string {
	all := make([]string, len(p.Key))
	for i := range p.Key {
		column, value := p.comparable(b, i)
		all[i] = column + " = " + value(key[i])
	}
	return strings.Join(all, " AND ")
}

// comparable is a column of the key, and what it is compared with. MySQL would compare a DECIMAL with text as floating-point numbers, so
// that different ones are equal, and the words of an ENUM in another order than it sorts them.
func (p *Pages) comparable(b *builder, i int) (column string, value func(v any) string) {
	column, value = b.Quote(p.Key[i]), b.value
	if b.Dialect != MySQL {
		return column, value
	}
	typ := strings.ToLower(p.column(p.Key[i]).Type)
	switch {
	case isEnum(typ):
		column = "(" + column + " + 0)"
	case strings.HasPrefix(typ, "decimal"):
		exact, _, _ := strings.Cut(typ, " ") // without unsigned
		value = func(v any) string { return "CAST(" + b.value(v) + " AS " + exact + ")" }
	}
	return column, value
}

func isEnum(typ string) bool {
	return strings.HasPrefix(strings.ToLower(typ), "enum(") || strings.HasPrefix(strings.ToLower(typ), "set(")
}

// after is the condition that a row follows a key, of which the columns before i are equal. Row values, as in (a, b) > (1, 2), would not use the index in MariaDB and MySQL.
func (p *Pages) after(b *builder, key []any, i int) string {
	column, value := p.comparable(b, i)
	if i == len(p.Key)-1 {
		return column + " > " + value(key[i])
	}
	condition := column + " >= " + value(key[i]) + " AND (" + column + " > " + value(key[i]) // the arguments in their order
	return condition + " OR " + p.after(b, key, i+1) + ")"
}

func (p *Pages) query() *builder {
	b := &builder{Dialect: p.db.Dialect}
	b.write("SELECT ")
	for _, c := range p.Key {
		if b.Dialect == MySQL && isEnum(p.column(c).Type) {
			b.write("CAST(", b.Quote(c), " AS SIGNED), ")
			continue
		}
		b.write(b.raw(c), ", ")
	}
	for _, c := range p.q.Plain {
		b.write(b.raw(c), ", ", b.text(b.Quote(c)), ", ")
	}
	b.write(b.names(p.load), " FROM ", b.Quote(p.w.schema.Table), " WHERE ")
	if p.q.Where == "" {
		b.write("1 = 1")
	} else {
		b.write("(", p.q.Where, "\n)") // the line's end, because a comment may stand before it
	}
	if p.q.Of > 1 {
		b.write(" AND ", p.part(b))
	}
	return b
}

// raw is a column as the database has it: SQLite's driver makes times of text in columns that are declared so, but not of what is
// an expression.
func (b *builder) raw(column string) string {
	if b.Dialect == SQLite {
		return "+" + b.Quote(column)
	}
	return b.Quote(column)
}

// part chooses the rows of a part by a number that is made of the first column of the primary key.
func (p *Pages) part(b *builder) string {
	of, want := strconv.Itoa(p.q.Of), strconv.Itoa(p.q.Part-1)
	column, text := b.Quote(p.Key[0]), b.text(b.Quote(p.Key[0]))
	number := column
	switch c := p.column(p.Key[0]); {
	case isInteger(c.Type):
	case b.Dialect == PostgreSQL:
		number = "hashtextextended(" + text + ", 0)"
	case b.Dialect == MySQL:
		number = "CAST(CRC32(" + text + ") AS SIGNED)"
	default:
		number = hashOfSQLite(text)
	}
	return fmt.Sprintf("((%[1]s %% %[2]s) + %[2]s) %% %[2]s = %[3]s", number, of, want)
}

// hashOfSQLite makes a number of the last characters of a text, which differ most: SQLite has no hash function.
func hashOfSQLite(text string) string {
	terms := make([]string, 20)
	for i, weight := 0, 1; i < len(terms); i, weight = i+1, (31*weight+7)%997 {
		terms[i] = fmt.Sprintf("%d * coalesce(unicode(substr(%s, %d, 1)), 0)", weight, text, -1-i)
	}
	return "(" + strings.Join(terms, " + ") + ")"
}

var integer = regexp.MustCompile(`(?i)\b(tiny|small|medium|big)?int(eger|2|4|8)?\b`)

// isInteger knows the names of the integer types of all dialects.
func isInteger(typ string) bool { return integer.MatchString(typ) }

func (p *Pages) read(ctx context.Context, b *builder) (all []PageRow, err error) {
	keys, plain := len(p.Key), len(p.q.Plain)
	values := make([]any, keys+2*plain)
	err = p.db.conn.query(ctx, b.statement(), func(scan func(...any) error) error {
		row := PageRow{Row: p.w.rows.New(), Key: make([]any, keys), Plain: make(map[string]Plain, plain)}
		dest := make([]any, 0, len(values)+len(p.load))
		for i := range values {
			values[i] = nil
			dest = append(dest, &values[i])
		}
		for _, name := range p.load {
			pointer, err := p.pointer(row.Row, name)
			if err != nil {
				return err
			}
			dest = append(dest, pointer)
		}
		if err := scan(dest...); err != nil {
			return err
		}
		for i, name := range p.Key {
			row.Key[i] = p.plain(name, values[i])
		}
		for i, name := range p.q.Plain {
			row.Plain[name] = p.plainOf(name, values[keys+2*i], values[keys+2*i+1])
		}
		all = append(all, row)
		return nil
	})
	return all, err
}

// pointer is where a column is scanned. A Record takes values as they are, and needs text as strings.
func (p *Pages) pointer(row any, name string) (any, error) {
	record, ok := row.(*rowseal.Record)
	if !ok || slices.Contains(p.w.rows.SealedColumns(), name) {
		return p.w.rows.Pointer(row, name)
	}
	return recordText{p, record, name}, nil
}

// recordText is a column of a Record that is not sealed, as a sql.Scanner.
type recordText struct {
	p    *Pages
	row  *rowseal.Record
	name string
}

// Scan implements sql.Scanner.
func (r recordText) Scan(src any) error { return r.row.SetColumn(r.name, r.p.plain(r.name, src)) }

func (p *Pages) plain(name string, value any) any { return Value(*p.column(name), value) }

// Value is what a driver gave for a column, as database/sql has it with all databases: MySQL's driver gives text, and integers that are
// no int64, as bytes; pgx without database/sql has small integers, UUIDs, and types of its own. Bytes are copied.
func Value(c rowseal.TableColumn, value any) any {
	switch v := value.(type) {
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case float32:
		return float64(v)
	case [16]byte:
		return KeyText([]any{v})
	case driver.Valuer:
		if plain, err := v.Value(); err == nil {
			return plain
		}
	}
	bytes, ok := value.([]byte)
	if !ok {
		return value
	}
	if c.Kind == rowseal.BytesColumn || c.Kind == rowseal.AnyColumn {
		return slices.Clone(bytes)
	}
	if isInteger(c.Type) {
		if n, err := strconv.ParseInt(string(bytes), 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(string(bytes), 10, 64); err == nil {
			return n
		}
	}
	return string(bytes)
}

func (p *Pages) plainOf(name string, value, text any) Plain {
	v := Plain{Value: p.plain(name, value), Match: rowseal.Match{Column: name, Text: true}}
	if bytes, ok := v.Value.([]byte); ok { // as text it may be nothing that the database can write
		v.Match.Value, v.Match.Text = bytes, false
		return v
	}
	switch text := text.(type) {
	case []byte:
		v.Match.Value = string(text)
	case string:
		v.Match.Value = text
	}
	return v
}

// PrimaryKey lists the columns of a table's primary key in their order, none if it has none.
func (db *DB) PrimaryKey(ctx context.Context, table string) (columns []string, err error) {
	schema, name := splitTable(table)
	query := map[Dialect]statement{
		PostgreSQL: {`SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(attnum, n)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
			WHERE i.indrelid = to_regclass($1::text) AND i.indisprimary ORDER BY k.n`, []any{PostgreSQL.Quote(table)}},
		MySQL: {`SELECT column_name FROM information_schema.statistics
			WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND index_name = 'PRIMARY' ORDER BY seq_in_index`, []any{schema, name}},
		SQLite: {`SELECT name FROM pragma_table_xinfo(?, ?) WHERE pk > 0 ORDER BY pk`, []any{name, schema}},
	}[db.Dialect]
	err = db.conn.query(ctx, query, func(scan func(...any) error) error {
		var column string
		err := scan(&column)
		columns = append(columns, column)
		return err
	})
	return columns, err
}

// EstimateRows is how many rows a table has, as far as the database knows without looking at all of them; SQLite does look.
func (db *DB) EstimateRows(ctx context.Context, table string) (n int64, err error) {
	schema, name := splitTable(table)
	known := map[Dialect]statement{
		PostgreSQL: {`SELECT CAST(reltuples AS bigint) FROM pg_class WHERE oid = to_regclass($1::text)`, []any{PostgreSQL.Quote(table)}},
		MySQL:      {`SELECT COALESCE(table_rows, 0) FROM information_schema.tables WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ?`, []any{schema, name}},
	}
	if query, ok := known[db.Dialect]; ok {
		if _, err := db.one(ctx, query, &n); err != nil || n > 0 {
			return n, err
		}
	}
	_, err = db.one(ctx, statement{SQL: "SELECT count(*) FROM " + db.Quote(table)}, &n)
	return n, err
}

// KeyText is a primary key as text, for messages: its values, joined by commas.
func KeyText(key []any) string {
	parts := make([]string, len(key))
	for i, v := range key {
		switch v := v.(type) {
		case []byte:
			parts[i] = fmt.Sprintf("%x", v)
		case [16]byte:
			parts[i] = fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
		case time.Time:
			parts[i] = v.Format(time.RFC3339Nano)
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(parts, ",")
}
