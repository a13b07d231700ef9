package gormseal

import (
	"cmp"
	"database/sql/driver"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
)

// beginDelete judges the conditions of a Delete.
func (in *installed) beginDelete(db *gorm.DB) { db.AddError(in.judgeConditions(db.Statement)) }

// judgeConditions refuses conditions that compare a sealed column with a value: no ciphertext has it, and the statement and
// the logs would. SQL text, with its arguments, is the caller's.
func (in *installed) judgeConditions(stmt *gorm.Statement) error {
	for _, name := range []string{"WHERE", "GROUP BY"} {
		if err := in.judgeCondition(stmt, "", stmt.Clauses[name].Expression); err != nil {
			return err
		}
	}
	for _, join := range stmt.Joins {
		if join.On == nil {
			continue
		}
		if err := in.judgeCondition(stmt, cmp.Or(join.Alias, join.Name), *join.On); err != nil {
			return err
		}
	}
	return nil
}

// judgeCondition judges a condition and those in it. Columns are of the table where they do not name one; "": the statement's.
func (in *installed) judgeCondition(stmt *gorm.Statement, table string, condition any) error {
	var inside []clause.Expression
	var compared clause.IN
	switch c := condition.(type) {
	case clause.Where:
		inside = c.Exprs
	case clause.GroupBy:
		inside = c.Having
	case clause.AndConditions:
		inside = c.Exprs
	case clause.OrConditions:
		inside = c.Exprs
	case clause.NotConditions:
		inside = c.Exprs
	case clause.Expr:
		inside = expressions(c.Vars)
	case clause.NamedExpr:
		inside = expressions(c.Vars)
	case clause.IN:
		compared = c
	case clause.Eq:
		compared = clause.IN{Column: c.Column, Values: listed(c.Value)}
	case clause.Neq:
		return in.judgeCondition(stmt, table, clause.Eq(c))
	case clause.Gt:
		return in.judgeCondition(stmt, table, clause.Eq(c))
	case clause.Gte:
		return in.judgeCondition(stmt, table, clause.Eq(c))
	case clause.Lt:
		return in.judgeCondition(stmt, table, clause.Eq(c))
	case clause.Lte:
		return in.judgeCondition(stmt, table, clause.Eq(c))
	case clause.Like:
		return in.judgeCondition(stmt, table, clause.Eq(c))
	}
	for _, c := range inside {
		if err := in.judgeCondition(stmt, table, c); err != nil {
			return err
		}
	}
	for _, v := range compared.Values {
		if !isValue(v) {
			continue
		}
		if err := in.judgeComparison(stmt, table, compared.Column, v); err != nil {
			return err
		}
	}
	return nil
}

// judgeComparison refuses a value for a column with ciphertexts, and one that is no index for a column with indexes.
func (in *installed) judgeComparison(stmt *gorm.Statement, table string, column, v any) error {
	qualifier, name := split(column)
	switch qualifier {
	case "", clause.CurrentTable:
		qualifier = table
	case stmt.Table:
		qualifier = ""
	}
	path := name
	if qualifier != "" {
		path = qualifier + "." + name
	}
	tables, _, _ := in.tablesOf(stmt, path)
	if len(tables) == 0 && qualifier == "" {
		tables = in.named(stmt)
	}
	for _, t := range tables {
		if f := t.compared(name, v); f != nil {
			return fmt.Errorf("gormseal: a condition compares %s of %s, which is sealed, with a value; a row is found by a blind index: use "+
				"gormseal.Equal or gormseal.In: %w", f.DBName, t.schema.Table, rowseal.ErrUnsealed)
		}
	}
	return nil
}

// compared is the sealed field of this name, in SQL or in Go, that no such value can be compared with, nil if there is none.
func (t *table) compared(name string, v any) *schema.Field {
	if own, ok := t.rows.ColumnOf(name); ok && t.schema.FieldsByDBName[name] == nil {
		name = own
	}
	for _, f := range t.values {
		if strings.EqualFold(f.DBName, name) {
			return f
		}
	}
	for _, ix := range t.rows.Schema().Indexes {
		if strings.EqualFold(ix.Column, name) && !isIndex(ix.Options, v) {
			return t.schema.FieldsByDBName[ix.Column]
		}
	}
	return nil
}

// split is the table and the name of a column in a condition, without quotes.
func split(column any) (qualifier, name string) {
	switch c := column.(type) {
	case clause.Column:
		qualifier, name = c.Table, c.Name
	case string:
		name = c
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		qualifier, name = name[:dot], name[dot+1:]
	}
	return strings.Trim(qualifier, quotes), strings.Trim(name, quotes)
}

const quotes = "\"`"

// isValue tells whether a condition compares a column with this as a value: not with NULL, with another column or an
// expression, or with what rowseal's types hold, which hand out no plaintext.
func isValue(v any) bool {
	switch v.(type) {
	case nil, clause.Expression, clause.Column, clause.Table, gorm.Valuer:
		return false
	}
	value := reflect.ValueOf(v)
	for value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return false
		}
		value = value.Elem()
	}
	if isOurs(value.Type()) {
		return false
	}
	valuer, ok := v.(driver.Valuer)
	if !ok {
		return true
	}
	null, err := valuer.Value()
	return null != nil || err != nil
}

// isIndex tells whether a value looks like what Model.Lookup returns.
func isIndex(o blindindex.Options, v any) bool {
	index := bytesOf(v)
	if !o.Raw {
		text := string(index)
		if o.Legacy {
			text = strings.TrimSuffix(text, "\n")
		}
		index, _ = base64.StdEncoding.DecodeString(text) // nothing, if it is no base64
	}
	return len(index) == cmp.Or(o.Size, 32) // bytes, blindindex's default
}

// listed are the values of a list, as GORM takes it for one, or the value itself.
func listed(v any) []any {
	list := reflect.ValueOf(v)
	if _, isValuer := v.(driver.Valuer); isValuer || !isList(list) {
		return []any{v}
	}
	values := make([]any, list.Len())
	for i := range values {
		values[i] = list.Index(i).Interface()
	}
	return values
}

// isList tells whether a value is a slice or an array, and no bytes.
func isList(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Array) && v.Type().Elem().Kind() != reflect.Uint8
}

// expressions are those among the arguments of SQL text.
func expressions(args []any) (all []clause.Expression) {
	for _, arg := range args {
		if e, ok := arg.(clause.Expression); ok {
			all = append(all, e)
		}
	}
	return all
}
