package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/sqlseal"
)

// MigrateStep moves values into sealed columns and back, while the application goes on: what Lockbox.migrate does for the gem's
// `migrating: true`. The rows are Records, of a rowseal.Table.
//
// Until it is done the application writes both columns. Forward, every row gets the value of From sealed in To, where that is NULL; From
// stays. Then the application reads To, and writes NULL into From; and a second pass with Clear sets From to NULL, in rows where To opens
// to the same value. A row is written only if From, To and the data key still are what was read. No other data keys are opened than those
// of the columns that are moved.
type MigrateStep struct {
	Moves []Move
	// Back moves from To into From, where From is NULL. To stays; with Clear it becomes NULL where From has the same value.
	Back bool
	// Clear sets to NULL what was moved. A row whose two columns differ fails, and is left as it is.
	Clear bool
	// Compare looks also at rows that have both values, and moves again where they differ: after a process that wrote only the one that is
	// moved. What the other one had is lost; so no process may write that one alone yet.
	Compare bool

	rows    *rowseal.Rows // of the keys that are needed
	schema  rowseal.Schema
	dialect sqlseal.Dialect
	columns []rowseal.TableColumn
	moves   []move
}

// Move is a pair of columns. From is a column of the table that is not sealed, or a field of the Schema, as one in attr_encrypted's
// format or under a Lockbox master key. To is a field of the Schema.
type Move struct{ From, To string }

// move is a Move with what is known of its columns.
type move struct {
	Move
	sealed  bool // From is a field too
	typ     lockbox.Type
	codec   lockbox.Codec[any]
	column  rowseal.TableColumn // From
	dialect sqlseal.Dialect
}

// Name implements Step.
func (s *MigrateStep) Name() string { return "migrate" }

// Plan implements Step.
func (s *MigrateStep) Plan(ctx context.Context, t Table) (Plan, error) {
	s.rows, s.schema, s.dialect, s.moves = t.Rows, t.Rows.Schema(), t.DB.Dialect, nil
	var keys []string
	refuse := func(format string, args ...any) (Plan, error) {
		return Plan{}, fmt.Errorf("sweep: "+format+": %w", append(args, kms.ErrInvalidRequest)...)
	}
	if t.Rows.Type() != reflect.TypeFor[*rowseal.Record]() {
		return refuse("a MigrateStep takes the Records of a rowseal.Table, and not %s", t.Rows.Type())
	}
	if len(s.Moves) == 0 {
		return refuse("nothing is to be moved in %s", s.schema.Table)
	}
	if s.Compare && s.Clear {
		return refuse("compare and clear are two passes: what differs must be looked at before anything is cleared")
	}
	var err error
	if s.columns, err = t.DB.TableColumns(ctx, s.schema.Table); err != nil {
		return Plan{}, err
	}
	plan := Plan{Settings: fmt.Sprintf("%v back=%t clear=%t compare=%t", s.Moves, s.Back, s.Clear, s.Compare)}
	for _, m := range s.Moves {
		ready, err := s.look(m)
		if err != nil {
			return Plan{}, err
		}
		if !ready.sealed {
			plan.Plain = append(plan.Plain, m.From)
		}
		keys = append(keys, s.keysOf(m.From, m.To)...)
		s.moves = append(s.moves, ready)
	}
	s.rows = t.Rows.Only(keys...)
	return plan, nil
}

// keysOf names the keys of fields, and of those with which they share an index.
func (s *MigrateStep) keysOf(columns ...string) (keys []string) {
	for _, x := range s.schema.Indexes {
		if slices.ContainsFunc(x.Of, func(c string) bool { return slices.Contains(columns, c) }) {
			columns = slices.Concat(columns, x.Of)
		}
	}
	for _, f := range s.schema.Fields {
		if slices.Contains(columns, f.Column) {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// look finds out about the columns of a Move.
func (s *MigrateStep) look(m Move) (move, error) {
	refuse := func(format string, args ...any) (move, error) {
		return move{}, fmt.Errorf("sweep: from %s to %s of %s: "+format+": %w", append(append([]any{m.From, m.To, s.schema.Table}, args...), kms.ErrInvalidRequest)...)
	}
	from, to, column := s.field(m.From), s.field(m.To), s.column(m.From)
	switch {
	case to == nil:
		return refuse("%s is no sealed column", m.To)
	case column == nil:
		return refuse("the table has no column %s", m.From)
	case s.isSame(m.From, m.To) || slices.ContainsFunc(s.moves, func(o move) bool { return s.share(o.Move, m) }):
		return refuse("a column can be in one move only, and only once")
	case from != nil && from.Type != to.Type:
		return refuse("the one has the type %s and the other %s", from.Type, to.Type)
	}
	if from == nil {
		if why := s.unfit(*column); why != "" {
			return refuse("%s %s", m.From, why)
		}
	}
	if s.Clear {
		for _, name := range s.cleared(m) {
			if c := s.column(name); c != nil && !c.Nullable {
				return refuse("%s is NOT NULL; let it be NULL first, or drop the column instead of clearing it", name)
			}
		}
	}
	codec, err := lockbox.CodecOf[any](to.Type)
	if err != nil {
		return refuse("%v", err)
	}
	return move{Move: m, sealed: from != nil, typ: to.Type, codec: codec, column: *column, dialect: s.dialect}, nil
}

// unfit says why a column that is not sealed cannot be moved.
func (s *MigrateStep) unfit(c rowseal.TableColumn) string {
	is := func(name string) bool { return s.isSame(name, c.Name) }
	switch {
	case slices.ContainsFunc(s.rows.SealedColumns(), is):
		return "belongs to a sealed column"
	case slices.ContainsFunc(s.rows.ContextColumns(), is), is(s.schema.PrimaryKey):
		return "is in the encryption context, which must be readable"
	case c.PrimaryKey:
		return "is in the primary key"
	case c.Generated && s.Back != s.Clear:
		return "is made by the database, and cannot be written"
	case s.dialect == sqlseal.MySQL && strings.HasPrefix(strings.ToLower(c.Type), "float"):
		return "is a FLOAT, of which MariaDB and MySQL show six digits only; make it a DOUBLE first"
	}
	return ""
}

// cleared are the columns that a Move sets to NULL in the end.
func (s *MigrateStep) cleared(m Move) []string {
	name := m.From
	if s.Back {
		name = m.To
	}
	all := []string{name}
	if f := s.field(name); f != nil {
		all = append(all, f.IV, f.Salt)
	}
	return all
}

func (s *MigrateStep) column(name string) *rowseal.TableColumn {
	i := slices.IndexFunc(s.columns, func(c rowseal.TableColumn) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &s.columns[i]
}

// isSame tells whether two names are those of one column.
func (s *MigrateStep) isSame(a, b string) bool {
	return a == b || strings.EqualFold(a, b) && s.columns[0].AnyCase
}

// share tells whether two Moves have a column in common.
func (s *MigrateStep) share(a, b Move) bool {
	return s.isSame(a.From, b.From) || s.isSame(a.From, b.To) || s.isSame(a.To, b.From) || s.isSame(a.To, b.To)
}

func (s *MigrateStep) field(column string) *rowseal.Field {
	i := slices.IndexFunc(s.schema.Fields, func(f rowseal.Field) bool { return f.Column == column })
	if i < 0 {
		return nil
	}
	return &s.schema.Fields[i]
}

// Do implements Step.
func (s *MigrateStep) Do(ctx context.Context, rows []*Row) error {
	var busy []*Row
	for _, row := range rows {
		if row.Unchanged = !slices.ContainsFunc(s.moves, func(m move) bool { return s.concerns(row, m) }); !row.Unchanged {
			busy = append(busy, row)
		}
	}
	opened := slices.DeleteFunc(slices.Clone(busy), func(row *Row) bool {
		return !slices.ContainsFunc(s.moves, func(m move) bool { return s.mustOpen(row, m) })
	})
	if len(opened) > 0 {
		if err := Spread(s.rows.Open(ctx, rowsOf(opened)...), opened); err != nil {
			return err
		}
	}
	var changed []*Row
	for _, row := range busy {
		if row.Err != nil {
			continue
		}
		moved := false
		for _, m := range s.moves {
			if !s.concerns(row, m) {
				continue
			}
			did, err := s.move(row, m)
			if moved = moved || did; err != nil {
				row.Err = err
				break
			}
		}
		if row.Unchanged = !moved; moved && row.Err == nil {
			changed = append(changed, row)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return Spread(s.rows.Seal(ctx, rowsOf(changed)...), changed)
}

// concerns tells whether a row has something to move, or to compare.
func (s *MigrateStep) concerns(row *Row, m move) bool {
	source, target := s.hasFrom(row, m), hasValue(row, m.To)
	if s.Back {
		source, target = target, source
	}
	return source && (s.Clear || s.Compare || !target)
}

// mustOpen tells whether a data key of the row is needed to see what is to be moved or compared.
func (s *MigrateStep) mustOpen(row *Row, m move) bool {
	return s.concerns(row, m) && (m.sealed || hasValue(row, m.To))
}

func (s *MigrateStep) hasFrom(row *Row, m move) bool {
	if m.sealed {
		return hasValue(row, m.From)
	}
	return row.Plain[m.From].Match.Value != nil
}

func hasValue(row *Row, column string) bool {
	f, err := row.Row.(*rowseal.Record).Field(column)
	return err == nil && !f.IsNull()
}

// move does one Move of a row. It is false where nothing is to be done.
func (s *MigrateStep) move(row *Row, m move) (bool, error) {
	from, err := s.from(row, m)
	if err != nil {
		return false, s.at(row, m.From, err)
	}
	to, err := s.value(row, m, m.To)
	if err != nil {
		return false, err
	}
	same, err := m.same(from, to)
	if err != nil {
		return false, s.at(row, m.From, err)
	}
	source, target, name, other := from, to, m.From, m.To
	if s.Back {
		source, target, name, other = to, from, m.To, m.From
	}
	switch {
	case s.Clear && !same && target == nil:
		return false, s.at(row, name, fmt.Errorf("its value was not moved into %s yet; migrate without clearing first: %w", other, rowseal.ErrConflict))
	case s.Clear && !same:
		return false, s.at(row, name, fmt.Errorf("it has another value than %s, so that nothing is cleared; see which one is right: %w", other, rowseal.ErrConflict))
	case s.Clear:
		source = nil // which is written instead
	case same, target != nil && !s.Compare:
		return false, nil
	}
	if err := s.compare(row, m); err != nil {
		return false, err
	}
	return true, s.write(row, m, source)
}

// write puts a value where it is moved to; nil where something is cleared.
func (s *MigrateStep) write(row *Row, m move, value any) error {
	record := row.Row.(*rowseal.Record)
	intoTo := s.Back == s.Clear // forward moves write To, and clearing after them From
	switch {
	case intoTo:
		return record.Set(m.To, value)
	case m.sealed:
		return record.Set(m.From, value)
	}
	plain, err := m.plainOf(value)
	if err != nil {
		return s.at(row, m.From, err)
	}
	row.Also.Set = append(row.Also.Set, rowseal.Assignment{Column: m.From, Value: plain})
	return nil
}

// compare lets the UPDATE compare both columns, and the key that opens To, with what was read.
func (s *MigrateStep) compare(row *Row, m move) error {
	record := row.Row.(*rowseal.Record)
	columns := []string{m.To}
	if m.sealed {
		columns = append(columns, m.From)
	} else {
		row.Also.Match = append(row.Also.Match, row.Plain[m.From].Match)
	}
	for _, column := range columns {
		f, err := record.Field(column)
		if err != nil {
			return err
		}
		value, err := f.Value()
		if err != nil {
			return err
		}
		row.Also.Match = append(row.Also.Match, rowseal.Match{Column: column, Value: value})
	}
	name := s.field(m.To).Key
	key, err := record.Key(name)
	if err != nil {
		return nil // a master key, which is in no column
	}
	for _, k := range s.schema.Keys {
		if stored, loaded := key.Stored(); k.Name == name && loaded {
			row.Also.Match = append(row.Also.Match, rowseal.Match{Column: k.Column, Value: stored})
		}
	}
	return nil
}

// from is the value of From, as To takes it.
func (s *MigrateStep) from(row *Row, m move) (any, error) {
	if m.sealed {
		return s.value(row, m, m.From)
	}
	return m.valueOf(row.Plain[m.From])
}

// value is what a field holds: JSON as the text that it is, which has numbers that no float64 holds.
func (s *MigrateStep) value(row *Row, m move, column string) (any, error) {
	if m.typ != lockbox.JSON || !hasValue(row, column) {
		return row.Row.(*rowseal.Record).Get(column)
	}
	text, err := s.rows.Plaintext(row.Row, column)
	return json.RawMessage(text), err
}

// same tells whether two values are one: whether they would be sealed as the same bytes. Of JSON the order of the names does not matter,
// which databases change.
func (m move) same(a, b any) (bool, error) {
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	x, err := m.bytes(a)
	if err != nil {
		return false, fmt.Errorf("it holds no value of the type %s: %w", m.typ, kms.ErrInvalidRequest)
	}
	y, err := m.bytes(b)
	return err == nil && bytes.Equal(x, y), err
}

func (m move) bytes(v any) ([]byte, error) {
	switch v := v.(type) {
	case json.RawMessage:
		var all any
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		if err := d.Decode(&all); err != nil {
			return nil, fmt.Errorf("it holds no JSON: %w", kms.ErrInvalidRequest) // without the value, which err quotes
		}
		return json.Marshal(all)
	case float64:
		if m.isSingle() {
			return m.codec.Append(nil, float64(float32(v)))
		}
	}
	return m.codec.Append(nil, v)
}

// at says where something went wrong, without the value.
func (s *MigrateStep) at(row *Row, column string, err error) error {
	return &rowseal.Error{Table: s.schema.Table, ID: sqlseal.KeyText(row.Key), Column: column, Err: err}
}
