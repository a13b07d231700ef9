package rowseal

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/rowseal/rowseal/kms"
)

// layout says where in a struct the columns of a Schema are. Reflection over types happens here, once.
type layout struct {
	schema *Schema
	keys   [][]int          // index paths of the DataKeys, in the order of Schema.Keys
	fields [][]int          // of the Sealed values, in the order of Schema.Fields
	codecs []any            // of the Sealed values
	plain  map[string][]int // column → path of every other exported field, for contexts
	twice  map[string]bool  // columns of plain that two fields claim
}

var (
	dataKeyType      = reflect.TypeFor[DataKey]()
	sealedColumnType = reflect.TypeFor[sealedColumn]()
)

// newLayout reads the tags of struct type t into the layout's Schema, which has its table, model and so on already.
func newLayout(t reflect.Type, schema *Schema) (*layout, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rowseal: a model needs a struct type, not %s: %w", t, kms.ErrInvalidRequest)
	}
	l := &layout{schema: schema, plain: map[string][]int{}, twice: map[string]bool{}}
	if err := l.walk(t, nil); err != nil {
		return nil, fmt.Errorf("rowseal: %w", err)
	}
	switch {
	case len(l.keys) == 0:
		return nil, fmt.Errorf("rowseal: %s has no data key; add a field EncryptedKMSKey rowseal.DataKey: %w", t, kms.ErrInvalidRequest)
	case len(l.fields) == 0:
		return nil, fmt.Errorf("rowseal: %s has nothing to seal; add a field of type rowseal.Sealed: %w", t, kms.ErrInvalidRequest)
	}
	return l, nil
}

// walk visits the fields of a struct and of the structs embedded in it, the gem's inheritance.
func (l *layout) walk(t reflect.Type, path []int) error {
	for i := range t.NumField() {
		f := t.Field(i)
		if err := l.visit(f, append(path[:len(path):len(path)], i)); err != nil {
			return fmt.Errorf("field %s of %s: %w", f.Name, t, err)
		}
	}
	return nil
}

func (l *layout) visit(f reflect.StructField, path []int) error {
	tag, err := parseTag(f.Tag.Get("rowseal"))
	if err != nil {
		return fmt.Errorf("tag `rowseal:%q`: %w: %w", f.Tag.Get("rowseal"), err, kms.ErrInvalidRequest)
	}
	column := columnName(f, tag)
	switch {
	case tag.skip || column == "-" || hiddenFromGORM(f):
		return nil
	case f.Anonymous && f.Type.Kind() == reflect.Struct && !ours(f.Type):
		if hasGORM(f, "embeddedPrefix") && hidesOurs(f.Type, true, map[reflect.Type]bool{}) {
			return fmt.Errorf("has gorm's embeddedPrefix, which is not known here; name each column with `rowseal:\"column=…\"`: %w", kms.ErrInvalidRequest)
		}
		return l.walk(f.Type, path)
	case f.Type.Kind() == reflect.Pointer && ours(f.Type.Elem()):
		return fmt.Errorf("is a pointer; use %s itself, which can be NULL: %w", f.Type.Elem(), kms.ErrInvalidRequest)
	case !ours(f.Type) && hidesOurs(f.Type, f.Anonymous || hasGORM(f, "embedded"), map[reflect.Type]bool{}):
		return fmt.Errorf("is a %s, in which sealed values would be overlooked; embed its struct by value, or hide the field with "+
			"`rowseal:\"-\"`: %w", f.Type, kms.ErrInvalidRequest)
	case ours(f.Type) && !f.IsExported():
		return fmt.Errorf("is not exported, so that no database package can load it; give it a capital letter: %w", kms.ErrInvalidRequest)
	case f.Type == dataKeyType:
		return l.addKey(tag, column, path)
	case ours(f.Type):
		return l.addField(f, tag, column, path)
	case tag.withoutColumn() != "":
		return fmt.Errorf("is a %s, and options other than column are for DataKey and Sealed: %w", f.Type, kms.ErrInvalidRequest)
	case f.IsExported():
		l.addPlain(column, path)
	}
	return nil
}

// addPlain follows Go's rule for embedded fields: the shallower one hides the deeper, and two at one depth hide each
// other.
func (l *layout) addPlain(column string, path []int) {
	other, there := l.plain[column]
	switch {
	case !there || len(path) < len(other):
		l.plain[column], l.twice[column] = path, false
	case len(path) == len(other):
		l.twice[column] = true
	}
}

func ours(t reflect.Type) bool {
	return t == dataKeyType || reflect.PointerTo(t).Implements(sealedColumnType)
}

// hidesOurs tells whether values of this package are somewhere in t, which is not walked. A struct with a DataKey of
// its own is another model, as ORMs have it for relations, and seals its own values, unless it is embedded.
func hidesOurs(t reflect.Type, embedded bool, seen map[reflect.Type]bool) bool {
	switch {
	case ours(t):
		return true
	case seen[t]:
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hidesOurs(t.Elem(), embedded, seen)
	case reflect.Struct:
		return (embedded || !isModel(t)) && slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
			return hidesOurs(f.Type, f.Anonymous, seen)
		})
	}
	return false
}

func isModel(t reflect.Type) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return f.Type == dataKeyType })
}

func hiddenFromGORM(f reflect.StructField) bool {
	option, _, _ := strings.Cut(f.Tag.Get("gorm"), ";")
	return option == "-" || option == "-:all"
}

func (l *layout) addKey(tag tag, column string, path []int) error {
	name := tag.name
	tag.name = ""
	if others := tag.withoutColumn(); others != "" {
		return fmt.Errorf("is a DataKey, whose options are name and column, not %s: %w", others, kms.ErrInvalidRequest)
	}
	l.schema.Keys = append(l.schema.Keys, KeyColumn{Column: column, Name: name})
	l.keys = append(l.keys, path)
	return nil
}

func (l *layout) addField(f reflect.StructField, tag tag, column string, path []int) error {
	if tag.name != "" {
		return fmt.Errorf("is sealed, and name is for a DataKey; key=%s tells which key it is sealed under: %w", tag.name, kms.ErrInvalidRequest)
	}
	codec, err := reflect.New(f.Type).Interface().(sealedColumn).newCodec(tag.typ)
	if err != nil {
		return fmt.Errorf("%w: %w", err, kms.ErrInvalidRequest)
	}
	field := Field{Column: column, Key: tag.key, Type: tag.typ, AssociatedData: tag.ad}
	field.Format.Padding, field.Format.Raw = tag.padding, tag.raw
	l.schema.Fields = append(l.schema.Fields, field)
	l.fields = append(l.fields, path)
	l.codecs = append(l.codecs, codec)
	return nil
}

// columnName is the tag's column, or that of another package's tag, or what Rails and GORM make of the field's name.
func columnName(f reflect.StructField, tag tag) string {
	switch {
	case tag.column != "":
		return tag.column
	case dbColumn(f.Tag.Get("db")) != "":
		return dbColumn(f.Tag.Get("db"))
	case gormColumn(f.Tag.Get("gorm")) != "":
		return gormColumn(f.Tag.Get("gorm"))
	case f.Type == dataKeyType && tag.name != "":
		return "encrypted_kms_key_" + tag.name
	case f.Type == dataKeyType:
		return "encrypted_kms_key"
	case ours(f.Type):
		return snakeCase(f.Name) + "_ciphertext"
	default:
		return snakeCase(f.Name)
	}
}

func dbColumn(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	return name
}

func gormColumn(tag string) string {
	value, _ := gormOption(tag, "column")
	return value
}

func hasGORM(f reflect.StructField, option string) bool {
	_, ok := gormOption(f.Tag.Get("gorm"), option)
	return ok
}

// gormOption reads an option of `gorm:"name:value;name"`.
func gormOption(tag, wanted string) (value string, ok bool) {
	for option := range strings.SplitSeq(tag, ";") {
		name, value, _ := strings.Cut(option, ":")
		if strings.EqualFold(strings.TrimSpace(name), wanted) {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// snakeCase is the column name of a Go name: a word starts at a capital after a small letter or digit, and at the last
// capital of several before a small letter: HTTPServerID → http_server_id.
func snakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) {
			afterSmall := !unicode.IsUpper(runes[i-1]) && runes[i-1] != '_'
			beforeSmall := i+1 < len(runes) && unicode.IsLower(runes[i+1]) && runes[i-1] != '_'
			if afterSmall || beforeSmall {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
