package gormseal

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// namer names sealed columns as rowseal does: Email is email_ciphertext.
type namer struct {
	schema.Namer
	rows []*rowseal.Rows
}

// ColumnName implements schema.Namer.
func (n namer) ColumnName(table, field string) string {
	for _, r := range n.rows {
		if column, ok := r.ColumnOf(field); ok && r.Schema().Table == table {
			return column
		}
	}
	return n.Namer.ColumnName(table, field)
}

// compare refuses a struct of which GORM and rowseal think differently.
func (t *table) compare(own rowseal.Schema) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("gormseal: %s: %s: %w", t.schema.ModelType, fmt.Sprintf(format, args...), kms.ErrInvalidRequest)
	}
	if own.Table != t.schema.Table {
		return refuse("the model is of table %s, and GORM's table is %s; give the struct a TableName method", own.Table, t.schema.Table)
	}
	if !slices.Contains(t.schema.PrimaryFieldDBNames, own.PrimaryKey) {
		return refuse("the model's primary key is %s, and GORM's is %v; tag the field `gorm:\"primaryKey\"`, or name it in rowseal.Options.PrimaryKey",
			own.PrimaryKey, t.schema.PrimaryFieldDBNames)
	}
	for _, column := range t.rows.SealedColumns() {
		f := t.schema.FieldsByDBName[column]
		if f == nil || !isOurs(f.FieldType) {
			return refuse("GORM knows no sealed column %s; call db.Use before the struct is used with this db, or tag its field `gorm:\"column:%[1]s\"`", column)
		}
		if what := unfit(f); what != "" {
			return refuse("%s, which is sealed, has gorm's %s; leave that out of its tag", f.Name, what)
		}
	}
	for _, f := range t.schema.Fields {
		_, named := t.rows.ColumnOf(f.Name)
		switch {
		case f.DBName == "":
		case isOurs(f.IndirectFieldType) && !slices.Contains(t.rows.SealedColumns(), f.DBName):
			return refuse("%s is a sealed field which the model does not know; tag it `gorm:\"-\"` too", f.Name)
		case !isOurs(f.IndirectFieldType) && named && f.TagSettings["COLUMN"] == "": // namer knows no more than the name
			return refuse("%s is not sealed and has the name of a sealed field; tag it `gorm:\"column:…\"`", f.BindName())
		}
	}
	for _, column := range slices.Concat(t.context, t.schema.PrimaryFieldDBNames) {
		if err := t.comparePlain(column); err != nil {
			return fmt.Errorf("gormseal: %s: %w: %w", t.schema.ModelType, err, kms.ErrInvalidRequest)
		}
	}
	return nil
}

// unfit names what in a sealed field's tag would make GORM write the column without its companions, or something else into it.
func unfit(f *schema.Field) string {
	switch {
	case !f.Creatable || !f.Updatable || !f.Readable:
		return "permission (->, <-)"
	case f.HasDefaultValue:
		return "default"
	case f.Serializer != nil:
		return "serializer"
	case f.PrimaryKey:
		return "primaryKey"
	}
	return ""
}

// comparePlain refuses a column that the encryption context uses, or the primary key has, and that is not the same field of
// the struct to GORM.
func (t *table) comparePlain(column string) error {
	row := reflect.New(t.schema.ModelType)
	own, err := t.rows.Pointer(row.Interface(), column)
	f := t.schema.FieldsByDBName[column]
	switch {
	case err != nil:
		return err
	case f == nil:
		return fmt.Errorf("GORM knows no column %s, which the encryption context uses; tag its field `gorm:\"column:%[1]s\"`", column)
	case f.Serializer != nil:
		return fmt.Errorf("column %s is used by the encryption context, or is the primary key, and has gorm's serializer; leave that out", column)
	case reflect.ValueOf(own).Pointer() != f.ReflectValueOf(context.Background(), row).Addr().Pointer():
		return fmt.Errorf("column %s is another field to GORM than to the model; name it in the tags of both", column)
	}
	return nil
}

var columnTypes = reflect.TypeFor[rowseal.DataKey]().PkgPath()

// isOurs tells whether t is a type of rowseal's for columns: those that are Scanners.
func isOurs(t reflect.Type) bool {
	_, scans := reflect.PointerTo(t).MethodByName("Scan")
	return scans && (t.PkgPath() == columnTypes || t.PkgPath() == columnTypes+"/blindindex")
}
