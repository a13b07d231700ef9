package gormseal

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Equal is a condition: the sealed field has this value. It looks for the value's blind index, under its newest key and those of
// earlier ones, and is for Where, Not, Or, Joins and whatever takes a clause.Expression:
//
//	db.Where(gormseal.Equal("Email", "ada@example.org")).First(&user)
//
// The field is that of the statement's struct, by its name in Go or its column; that of the index itself where several
// indexes are made of one field, or one of several, which takes as many values. A struct that was joined is named before it:
// "Company.Email", and so is a table: "companies.Email". An unknown field, or a value that is none of the field's, is an error
// of the statement, which is not run. It asks no KMS. A value that the index's normalizers leave out has no row, neither for
// Equal nor for Not.
func Equal(field string, values ...any) clause.Expression { return lookup{field, []any{values}, false} }

// In is Equal for any of several values, or for those of one slice: In("Email", emails). For an index of several fields, each
// is a []any.
func In(field string, values ...any) clause.Expression { return lookup{field, values, true} }

type lookup struct {
	field  string
	values []any
	in     bool // values may be a slice of them
}

// Build implements clause.Expression.
func (l lookup) Build(b clause.Builder) {
	stmt, ok := b.(*gorm.Statement)
	if !ok {
		b.WriteString(refused) // nothing of GORM's comes here
		return
	}
	column, indexes, err := l.find(stmt)
	if err != nil {
		stmt.AddError(err)
		b.WriteString(refused)
		return
	}
	b.WriteQuoted(column)
	b.WriteString(" IN (")
	if len(indexes) == 0 {
		b.WriteString("NULL") // is true of nothing, and NOT of it neither
	} else {
		b.AddVar(b, indexes...)
	}
	b.WriteByte(')')
}

// refused is what no database can run, because GORM drops the error of a statement that stands inside another.
const refused = "gormseal_has_refused_this_condition()"

// find computes the indexes to look for.
func (l lookup) find(stmt *gorm.Statement) (column clause.Column, indexes []any, err error) {
	plugin, ok := stmt.Plugins[name].(*Plugin)
	if !ok || plugin.installed == nil {
		return column, nil, fmt.Errorf("gormseal: the plugin is not installed in this db; call db.Use: %w", kms.ErrInvalidRequest)
	}
	tables, alias, field := plugin.installed.tablesOf(stmt, l.field)
	t, index, err := l.index(tables, field)
	if err != nil {
		return column, nil, err
	}
	ctx := stmt.Context
	if ctx == nil { // in a condition of Joins
		ctx = stmt.DB.Statement.Context
	}
	for _, values := range l.each(index) {
		found, err := t.rows.Lookup(ctx, index.Column, values...)
		if err != nil && !l.in && len(index.Of) == 1 && (len(values) != 1 || isList(reflect.ValueOf(values[0]))) {
			err = fmt.Errorf("Equal takes one value, and In takes several: %w", err)
		}
		if err != nil {
			return column, nil, fmt.Errorf("gormseal: %s: %w", l.field, err)
		}
		for _, v := range found {
			if !slices.ContainsFunc(indexes, func(known any) bool { return isEqual(known, v) }) {
				indexes = append(indexes, v)
			}
		}
	}
	return clause.Column{Table: alias, Name: index.Column}, indexes, nil
}

// each are the values to look for, as many together as the index has fields.
func (l lookup) each(index rowseal.Index) (all [][]any) {
	values := l.values
	if l.in && len(values) == 1 && isListFor(index, reflect.ValueOf(values[0])) {
		values = listed(values[0])
	}
	for _, v := range values {
		if several, ok := v.([]any); ok {
			all = append(all, several)
		} else {
			all = append(all, []any{v})
		}
	}
	return all
}

// isListFor tells whether v is a list of values to look for, and not one of them. No field that has an index is a list.
func isListFor(index rowseal.Index, v reflect.Value) bool {
	return isList(v) && (len(index.Of) == 1 || v.Type().Elem() == reflect.TypeFor[[]any]())
}

func isEqual(a any, b driver.Value) bool { return string(bytesOf(a)) == string(bytesOf(b)) }

// tablesOf finds whose field a condition is about: the structs of one table, and what the table is called in the statement.
func (in *installed) tablesOf(stmt *gorm.Statement, path string) (tables []*table, alias, field string) {
	dot := strings.LastIndexByte(path, '.')
	prefix, field := path[:max(dot, 0)], path[dot+1:]
	of := func(match func(*table) bool) (some []*table) {
		for _, t := range in.tables {
			if match(t) {
				some = append(some, t)
			}
		}
		return some
	}
	isOf := func(s *schema.Schema) func(*table) bool {
		return func(t *table) bool { return s != nil && t.schema.ModelType == s.ModelType }
	}
	isNamed := func(name string) func(*table) bool { return func(t *table) bool { return t.schema.Table == name } }
	switch {
	case dot >= 0:
		if s := joined(stmt, prefix); s != nil {
			return of(isOf(s)), strings.ReplaceAll(prefix, ".", "__"), field // as GORM calls nested joins
		}
		return of(isNamed(prefix)), prefix, field
	case stmt.Schema != nil:
		return of(isOf(stmt.Schema)), clause.CurrentTable, field
	}
	if s := joined(stmt.DB.Statement, stmt.Table); s != nil { // a condition of Joins is built in a statement of its own
		return of(isOf(s)), clause.CurrentTable, field
	}
	if tables = of(isNamed(stmt.Table)); len(tables) == 0 && stmt.TableExpr != nil { // users AS u
		tables = of(func(t *table) bool { return mentions(stmt.TableExpr.SQL, t.schema.Table) })
	}
	return tables, clause.CurrentTable, field
}

// joined is the struct of a relation that a statement joins under a name.
func joined(stmt *gorm.Statement, alias string) *schema.Schema {
	if stmt == nil || stmt.Schema == nil {
		return nil
	}
	name := alias
	for _, join := range stmt.Joins {
		if join.Alias == alias {
			name = join.Name
		}
	}
	s := stmt.Schema
	for part := range strings.SplitSeq(strings.ReplaceAll(name, "__", "."), ".") {
		relation := s.Relationships.Relations[part]
		if relation == nil {
			return nil
		}
		s = relation.FieldSchema
	}
	return s
}

// index finds the index column of a field.
func (l lookup) index(tables []*table, field string) (*table, rowseal.Index, error) {
	none := rowseal.Index{}
	var known []string
	for _, t := range tables {
		column, ok := t.rows.ColumnOf(field)
		if !ok {
			column = field
		}
		var made []rowseal.Index
		var names []string
		for _, ix := range t.rows.Schema().Indexes {
			if ix.Column == column {
				return t, ix, nil
			}
			if slices.Equal(ix.Of, []string{column}) {
				made, names = append(made, ix), append(names, ix.Column)
			}
			known = append(known, ix.Column)
		}
		switch {
		case len(made) == 1:
			return t, made[0], nil
		case len(made) > 1:
			return nil, none, fmt.Errorf("gormseal: %s has several indexes (%s); name one of them: %w", l.field, strings.Join(names, ", "), kms.ErrInvalidRequest)
		}
	}
	if len(tables) == 0 {
		return nil, none, fmt.Errorf("gormseal: %s: the statement's table has no model here; write it before the field (\"users.Email\"), and give its model to "+
			"gormseal.New: %w", l.field, kms.ErrInvalidRequest)
	}
	return nil, none, fmt.Errorf("gormseal: %s has no blind index; the table has %q: %w", l.field, known, kms.ErrInvalidRequest)
}
