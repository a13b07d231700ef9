package gormseal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// table is a struct with sealed fields, as rowseal and as GORM see it.
type table struct {
	rows    *rowseal.Rows
	writer  *sqlseal.Writer
	schema  *schema.Schema // GORM's
	options TableOptions
	sealed  []*schema.Field // all columns that are written with a sealed row
	keys    []*schema.Field // key columns
	values  []*schema.Field // columns of fields and files, which are what users set
	context []string        // columns of the encryption contexts
}

func newTable(db *gorm.DB, rows *rowseal.Rows, options TableOptions) (*table, error) {
	t := &table{rows: rows, options: options, context: rows.ContextColumns()}
	own := rows.Schema()
	if rows.Type().Elem().Kind() != reflect.Struct || rows.Type() == reflect.TypeFor[*rowseal.Record]() {
		return nil, fmt.Errorf("gormseal: the rows of %s are no structs; give a rowseal.Model: %w", own.Table, kms.ErrInvalidRequest)
	}
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(reflect.New(rows.Type().Elem()).Interface()); err != nil {
		return nil, fmt.Errorf("gormseal: %s: %w", rows.Type().Elem(), err)
	}
	t.schema = stmt.Schema
	if err := t.compare(own); err != nil {
		return nil, err
	}
	for _, column := range rows.SealedColumns() {
		t.sealed = append(t.sealed, t.schema.FieldsByDBName[column])
	}
	for _, k := range own.Keys {
		t.keys = append(t.keys, t.schema.FieldsByDBName[k.Column])
	}
	for _, f := range own.Fields {
		t.values = append(t.values, t.schema.FieldsByDBName[f.Column])
	}
	for _, f := range own.Files {
		t.values = append(t.values, t.schema.FieldsByDBName[f.Column])
	}
	return t, nil
}

// makeWriter makes the table's Writer, when all structs of the same table are known.
func (t *table) makeWriter(all []*table) {
	opts := &sqlseal.Options{PrimaryKey: t.schema.PrimaryFieldDBNames, Order: t.options.Order}
	for _, other := range all {
		if other != t && strings.EqualFold(other.schema.Table, t.schema.Table) {
			opts.Others = append(opts.Others, other.rows)
		}
	}
	t.writer = sqlseal.NewWriter(t.rows, opts)
}

// isSealed tells whether a column is written with a sealed row.
func (t *table) isSealed(column string) bool {
	return slices.ContainsFunc(t.sealed, func(f *schema.Field) bool { return f.DBName == column })
}

// isLoaded tells whether the row is in the database, as far as it knows: it was loaded, or written.
func (t *table) isLoaded(row any) bool { return t.rows.IsLoaded(row) }

// hasID tells whether the row has its whole primary key.
func (t *table) hasID(row any) bool {
	return !slices.ContainsFunc(t.schema.PrimaryFields, func(f *schema.Field) bool {
		_, zero := f.ValueOf(context.Background(), reflect.ValueOf(row))
		return zero
	})
}

// isSet tells whether a field has a value that is not sealed yet.
func (t *table) isSet(f *schema.Field, row any) bool {
	_, err := t.value(f, row).(driver.Valuer).Value()
	return err != nil
}

// isFilled tells whether a column has a ciphertext, a wrapped key or an index.
func (t *table) isFilled(f *schema.Field, row any) bool {
	v, err := t.value(f, row).(driver.Valuer).Value()
	return err == nil && v != nil
}

// hasSet tells whether any value is set and not sealed yet.
func (t *table) hasSet(row any) bool {
	return !t.rows.IsSealed(row)
}

// hasContent tells whether anything is set, sealed or not.
func (t *table) hasContent(row any) bool {
	return slices.ContainsFunc(t.values, func(f *schema.Field) bool { return t.isSet(f, row) || t.isFilled(f, row) })
}

func (t *table) value(f *schema.Field, row any) any {
	v, _ := f.ValueOf(context.Background(), reflect.ValueOf(row))
	return v
}

// rowsOf are the rows of a value: a struct, or a slice or array of structs or pointers to them.
func (t *table) rowsOf(v reflect.Value) ([]any, error) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		all := make([]any, v.Len())
		for i := range all {
			row, err := t.rowOf(v.Index(i))
			if err != nil {
				return nil, err
			}
			all[i] = row
		}
		return all, nil
	}
	row, err := t.rowOf(v)
	return []any{row}, err
}

func (t *table) rowOf(v reflect.Value) (any, error) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil, fmt.Errorf("gormseal: a row of %s is nil: %w", t.schema.Table, gorm.ErrInvalidData)
		}
		v = v.Elem()
	}
	switch {
	case v.Type() != t.schema.ModelType:
		return nil, fmt.Errorf("gormseal: a row of %s is a %s, and a %s was given: %w", t.schema.Table, t.schema.ModelType, v.Type(), gorm.ErrInvalidData)
	case !v.CanAddr():
		return nil, fmt.Errorf("gormseal: give a pointer to the %s, so that it can be sealed: %w", t.schema.ModelType, gorm.ErrInvalidData)
	}
	return v.Addr().Interface(), nil
}

// guardFields watches over what GORM puts into sealed fields when it loads rows, and when Attrs, Assign and SetColumn set
// fields by name. NULL is loaded as NULL, which GORM otherwise leaves out, so that a row which was loaded knows what the
// database has. Rows are bound to their Model. A value that GORM would hand to Scan, as if it were a ciphertext, is set.
func (t *table) guardFields() {
	for _, f := range t.sealed {
		pointer := reflect.PointerTo(f.FieldType)
		f.Set = func(ctx context.Context, row reflect.Value, v any) error {
			given := reflect.ValueOf(v)
			for given.Kind() == reflect.Pointer && !given.IsNil() {
				given = given.Elem()
			}
			field := f.ReflectValueOf(ctx, row)
			switch {
			case given.IsValid() && given.Type() == f.FieldType:
				field.Set(given)
			case given.IsValid() && given.Type() == pointer: // nil, as NULL is scanned
				if err := field.Addr().Interface().(sql.Scanner).Scan(nil); err != nil {
					return err
				}
			default:
				return t.setValue(f, field.Addr(), given)
			}
			if key, ok := field.Addr().Interface().(*rowseal.DataKey); ok {
				t.rows.BindKey(*key)
			}
			return nil
		}
	}
}

// setValue calls Set or SetNull of a Sealed.
func (t *table) setValue(f *schema.Field, sealed, v reflect.Value) error {
	null, canNull := sealed.Interface().(interface{ SetNull() })
	set := sealed.MethodByName("Set")
	switch {
	case !slices.Contains(t.values, f):
	case !v.IsValid() && canNull:
		null.SetNull()
		return nil
	case set.IsValid() && set.Type().NumIn() == 1 && v.IsValid() && v.Type().AssignableTo(set.Type().In(0)):
		set.Call([]reflect.Value{v})
		return nil
	}
	return fmt.Errorf("gormseal: %s of %s is sealed, and this is no value of it; call its Set: %w", f.Name, t.schema.ModelType, rowseal.ErrUnsealed)
}
