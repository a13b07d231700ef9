package gormseal

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// tableOf is the table whose struct a statement writes, nil if that has nothing sealed.
func (in *installed) tableOf(stmt *gorm.Statement) (*table, error) {
	if stmt.Schema == nil {
		return nil, nil
	}
	t := in.byType[stmt.Schema.ModelType]
	if t == nil {
		return nil, in.refuseStranger(stmt.Schema.ModelType)
	}
	if other := otherTable(stmt, t.schema); other != "" {
		return nil, fmt.Errorf("gormseal: a %s is written into %s, and its model, with its encryption context, is of table %s; the other table needs a "+
			"struct and a model of its own: %w", t.schema.ModelType, other, t.schema.Table, kms.ErrInvalidRequest)
	}
	return t, nil
}

// otherTable names the table that a statement writes instead of the struct's, "" if it does not.
func otherTable(stmt *gorm.Statement, s *schema.Schema) string {
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok && insert.Table.Name != "" {
		return insert.Table.Name
	}
	if update, ok := stmt.Clauses["UPDATE"].Expression.(clause.Update); ok && update.Table.Name != "" {
		return update.Table.Name
	}
	_, last, qualified := strings.Cut(s.Table, ".")
	switch {
	case stmt.TableExpr != nil && stmt.TableExpr.SQL != stmt.Quote(s.Table):
		return stmt.TableExpr.SQL
	case stmt.Table != s.Table && !(qualified && stmt.Table == last):
		return stmt.Table
	}
	return ""
}

// refuseStranger refuses a struct with sealed fields that has no Model here.
func (in *installed) refuseStranger(t reflect.Type) error {
	has, known := in.strangers.Load(t)
	if !known {
		has = in.byType[t] == nil && hasOurs(t)
		in.strangers.Store(t, has)
	}
	if has == true {
		return fmt.Errorf("gormseal: %s has sealed fields, and the plugin was not given its model; add it to gormseal.New: %w", t, kms.ErrInvalidRequest)
	}
	return nil
}

// hasOurs tells whether a struct has sealed fields, embedded ones included.
func hasOurs(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		typ := f.Type
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		options := schema.ParseTagSetting(f.Tag.Get("gorm"), ";")
		_, embedded := options["EMBEDDED"]
		return f.IsExported() && options["-"] == "" && (isOurs(typ) || embedded && hasOurs(typ))
	})
}

// closed are the columns of a statement's table that only rows of its models write, by the table's name: for statements
// whose struct, if they have one, knows nothing of that. context are those of the encryption contexts.
func (in *installed) closed(stmt *gorm.Statement) (sealed, context []string) {
	for _, t := range in.named(stmt) {
		sealed, context = append(sealed, t.rows.SealedColumns()...), append(context, t.context...)
	}
	return sealed, context
}

// named are the tables whose names a statement has in place of its table's.
func (in *installed) named(stmt *gorm.Statement) (tables []*table) {
	text := stmt.Table
	if stmt.TableExpr != nil {
		text += " " + stmt.TableExpr.SQL
	}
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok {
		text += " " + insert.Table.Name
	}
	if update, ok := stmt.Clauses["UPDATE"].Expression.(clause.Update); ok {
		text += " " + update.Table.Name
	}
	for _, t := range in.tables {
		if mentions(text, t.schema.Table[strings.LastIndexByte(t.schema.Table, '.')+1:]) {
			tables = append(tables, t)
		}
	}
	return tables
}

// mentions tells whether SQL has a name in it, as an identifier of its own. Databases differ in whether names have capital
// letters; this takes them for the same.
func mentions(sql, name string) bool {
	sql, name = strings.ToLower(sql), strings.ToLower(name)
	for {
		i := strings.Index(sql, name)
		if i < 0 {
			return false
		}
		before, after := sql[:i], sql[i+len(name):]
		if (before == "" || !isWord(before[len(before)-1])) && (after == "" || !isWord(after[0])) {
			return true
		}
		sql = after
	}
}

// isWord tells whether a byte can be in an identifier without quotes; all of UTF-8's beyond ASCII can.
func isWord(b byte) bool {
	return b == '_' || b == '$' || b >= 0x80 || '0' <= b && b <= '9' || 'a' <= b && b <= 'z'
}

// mentioned is the first of the columns that a name of a column, or what stands in its place, mentions.
func mentioned(column string, columns []string) string {
	for _, c := range columns {
		if mentions(column, c) {
			return c
		}
	}
	return ""
}

// selection is what Select and Omit leave of a statement's columns.
type selection struct {
	columns    map[string]bool
	restricted bool
}

func selectionOf(stmt *gorm.Statement, creates, updates bool) selection {
	columns, restricted := stmt.SelectAndOmitColumns(creates, updates)
	return selection{columns, restricted}
}

func (s selection) has(column string) bool {
	chosen, named := s.columns[column]
	return chosen || !named && !s.restricted
}

// assignments is the SET of an update, whatever GORM makes it of: structs, maps, expressions, or a clause. It changes
// nothing: GORM would put the values into the struct.
func assignments(stmt *gorm.Statement) clause.Set {
	if set, ok := stmt.Clauses["SET"].Expression.(clause.Set); ok {
		return set
	}
	scratch := &gorm.Statement{
		Table: stmt.Table, TableExpr: stmt.TableExpr, Model: stmt.Model, Dest: stmt.Dest, Schema: stmt.Schema, Context: stmt.Context,
		Selects: stmt.Selects, Omits: stmt.Omits, SkipHooks: stmt.SkipHooks, Clauses: map[string]clause.Clause{},
	}
	scratch.DB = &gorm.DB{Config: stmt.DB.Config, Statement: scratch}
	if stmt.ReflectValue.IsValid() && stmt.ReflectValue.CanInterface() {
		scratch.ReflectValue = reflect.ValueOf(stmt.ReflectValue.Interface()) // not addressable, so that GORM lets it be
	}
	if !reflect.Indirect(reflect.ValueOf(stmt.Dest)).IsValid() {
		return nil
	}
	return callbacks.ConvertToAssignments(scratch)
}

// without leaves out the assignments to sealed columns.
func (t *table) without(set clause.Set) clause.Set {
	return slices.DeleteFunc(slices.Clone(set), func(a clause.Assignment) bool { return t.isSealed(a.Column.Name) })
}

// plainReturning lets RETURNING leave the sealed columns alone, whose values the row has; loaded anew, they would be closed, and
// a data key that is not wrapped yet would be lost. restore puts the clause back.
func (t *table) plainReturning(stmt *gorm.Statement) (restore func()) {
	before, ok := stmt.Clauses["RETURNING"]
	returning, isOne := before.Expression.(clause.Returning)
	if !ok || !isOne {
		return func() {}
	}
	var columns []clause.Column
	if len(returning.Columns) == 0 || len(returning.Columns) == 1 && returning.Columns[0].Name == "*" {
		for _, c := range t.schema.DBNames {
			returning.Columns = append(returning.Columns[:len(returning.Columns):len(returning.Columns)], clause.Column{Name: c})
		}
	}
	for _, c := range returning.Columns {
		if c.Name != "*" && !t.isSealed(c.Name) {
			columns = append(columns, c)
		}
	}
	if len(columns) == 0 {
		columns = []clause.Column{{Name: t.schema.PrimaryFieldDBNames[0]}}
	}
	after := before
	after.Expression = clause.Returning{Columns: columns}
	stmt.Clauses["RETURNING"] = after
	return func() { stmt.Clauses["RETURNING"] = before }
}

// database is where a statement runs, for sqlseal.
func database(db *gorm.DB) *sqlseal.DB {
	return sqlseal.SQL(sqlseal.Dialect(db.Name()), unprepared(db.Statement.ConnPool))
}
