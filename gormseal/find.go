package gormseal

import (
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
)

// OpenOnFind is a scope: db.Scopes(gormseal.OpenOnFind).Find(&users) opens the rows that the query finds, those of preloaded
// and joined associations included, in one batch a KMS key, before AfterFind hooks of the outermost rows run. What cannot be
// opened is the query's error; its rows are loaded all the same.
func OpenOnFind(db *gorm.DB) *gorm.DB { return db.Set(openKey, true) }

const (
	openKey  = name + ":open"
	queryKey = name + ":query"
)

// beginQuery judges the structs and the conditions of a query, and notes which query is the outermost: preloading runs others within it.
func (in *installed) beginQuery(db *gorm.DB) {
	stmt := db.Statement
	if stmt.Schema != nil {
		db.AddError(in.refuseStranger(stmt.Schema.ModelType))
	}
	if t := elementType(stmt.ReflectValue); t != nil && (stmt.Schema == nil || t != stmt.Schema.ModelType) {
		db.AddError(in.refuseStranger(t))
	}
	db.AddError(in.judgeConditions(stmt))
	if db.Error != nil && db.DryRun {
		stmt.SQL.WriteString(refused)
	}
	if _, asked := stmt.Settings.Load(openKey); asked || in.opens {
		stmt.Settings.LoadOrStore(queryKey, stmt)
	}
}

// elementType is the struct type of a value, or of its elements.
func elementType(v reflect.Value) reflect.Type {
	if !v.IsValid() {
		return nil
	}
	t := v.Type()
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// endQuery opens the rows of the outermost query, where that was asked for.
func (in *installed) endQuery(db *gorm.DB) {
	stmt := db.Statement
	if db.Error == nil && !db.DryRun {
		in.forgetMissing(stmt)
	}
	if outermost, _ := stmt.Settings.Load(queryKey); outermost != any(stmt) {
		return
	}
	stmt.Settings.Delete(queryKey)
	if db.Error != nil || db.DryRun {
		return
	}
	_, all := stmt.Settings.Load(openKey)
	w := walk{rowsOf: func(row reflect.Value) (*rowseal.Rows, error) {
		t := in.byType[row.Type()]
		if t == nil || !all && !t.options.OpenOnFind {
			return nil, nil
		}
		return t.rows, nil
	}}
	ctx := in.guard(stmt.Context, isTransaction(stmt.ConnPool))
	err := w.visit(stmt.ReflectValue)
	if err == nil {
		err = w.open(ctx)
	}
	db.AddError(err)
}

// forgetMissing makes the fields of joined structs zero that no row was found for: GORM takes a struct that is not zero for one
// to be saved.
func (in *installed) forgetMissing(stmt *gorm.Statement) {
	if stmt.Schema == nil || len(stmt.Joins) == 0 || elementType(stmt.ReflectValue) != stmt.Schema.ModelType {
		return
	}
	for _, join := range stmt.Joins {
		switch stmt.ReflectValue.Kind() {
		case reflect.Slice, reflect.Array:
			for i := range stmt.ReflectValue.Len() {
				in.forgetJoined(stmt, stmt.Schema, stmt.ReflectValue.Index(i), join.Name)
			}
		case reflect.Struct:
			in.forgetJoined(stmt, stmt.Schema, stmt.ReflectValue, join.Name)
		}
	}
}

// forgetJoined follows the relations of a join, as in "Manager.Company".
func (in *installed) forgetJoined(stmt *gorm.Statement, s *schema.Schema, row reflect.Value, path string) {
	first, rest, _ := strings.Cut(path, ".")
	relation := s.Relationships.Relations[first]
	row = reflect.Indirect(row)
	if relation == nil || !row.IsValid() {
		return
	}
	joined := reflect.Indirect(relation.Field.ReflectValueOf(stmt.Context, row))
	if !joined.IsValid() || joined.Kind() != reflect.Struct {
		return
	}
	if t := in.byType[joined.Type()]; t != nil && joined.CanAddr() && !t.hasID(joined.Addr().Interface()) {
		for _, f := range t.sealed {
			f.ReflectValueOf(stmt.Context, joined).SetZero()
		}
	}
	if rest != "" {
		in.forgetJoined(stmt, relation.FieldSchema, joined, rest)
	}
}
