package rowseal

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// layout says where in a struct the columns of a Schema are. Reflection over types happens here, once.
type layout struct {
	schema  *Schema
	keys    [][]int          // index paths of the DataKeys, in the order of Schema.Keys
	fields  [][]int          // of the Sealed values, in the order of Schema.Fields
	codecs  []any            // of the Sealed values
	ivs     [][]int          // of the IVs of the fields; nil: none
	salts   [][]int          // of the Salts
	files   [][]int          // in the order of Schema.Files
	indexes [][]int          // in the order of Schema.Indexes
	plain   map[string][]int // column → path of every other exported field, for contexts
	twice   map[string]bool  // columns of plain that two fields claim

	byName map[string]string // Go name of a column's field → column; "": two have it
	names  map[string]int    // Go name of a Sealed → its number; -1: two have it
	later  []func() error    // what can be done when all fields are known
}

var (
	dataKeyType      = reflect.TypeFor[DataKey]()
	fileType         = reflect.TypeFor[File]()
	indexType        = reflect.TypeFor[blindindex.Index]()
	ivType           = reflect.TypeFor[IV]()
	saltType         = reflect.TypeFor[Salt]()
	sealedColumnType = reflect.TypeFor[sealedColumn]()
)

// kindOf tells what a Go type is to this package.
func kindOf(t reflect.Type) kind {
	switch {
	case t == dataKeyType:
		return kindKey
	case t == fileType:
		return kindFile
	case t == indexType:
		return kindIndex
	case t == ivType, t == saltType:
		return kindPart
	case reflect.PointerTo(t).Implements(sealedColumnType):
		return kindField
	}
	return kindPlain
}

func ours(t reflect.Type) bool { return kindOf(t) != kindPlain }

// newLayout reads the tags of struct type t into the layout's Schema, which has its table, model and so on already.
func newLayout(t reflect.Type, schema *Schema) (*layout, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rowseal: a model needs a struct type, not %s: %w", t, kms.ErrInvalidRequest)
	}
	l := &layout{schema: schema, plain: map[string][]int{}, twice: map[string]bool{}, names: map[string]int{}, byName: map[string]string{}}
	if err := l.walk(t, nil); err != nil {
		return nil, fmt.Errorf("rowseal: %w", err)
	}
	l.ivs, l.salts = make([][]int, len(l.fields)), make([][]int, len(l.fields))
	for _, do := range l.later {
		if err := do(); err != nil {
			return nil, fmt.Errorf("rowseal: %s: %w", t, err)
		}
	}
	l.nameColumns(t)
	switch {
	case len(l.keys) == 0 && len(schema.MasterKeys) == 0:
		return nil, fmt.Errorf("rowseal: %s has no data key; add a field EncryptedKMSKey rowseal.DataKey: %w", t, kms.ErrInvalidRequest)
	case len(l.fields) == 0 && len(l.files) == 0 && len(schema.Attachments) == 0:
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
	}
	k := kindOf(f.Type)
	if err := tag.check(k); err != nil {
		return fmt.Errorf("%w: %w", err, kms.ErrInvalidRequest)
	}
	switch k {
	case kindKey:
		l.addKey(tag, column, path)
	case kindField:
		return l.addField(f, tag, column, path)
	case kindFile:
		l.addFile(tag, column, path)
	case kindIndex:
		l.addIndex(f.Name, tag, column, path)
	case kindPart:
		l.addPart(f, tag, column, path)
	case kindPlain:
		if f.IsExported() {
			l.addPlain(column, path)
		}
	}
	return nil
}

// nameColumns notes the columns of this package's fields by the fields' Go names.
func (l *layout) nameColumns(t reflect.Type) {
	name := func(path []int, column string) {
		field := t.FieldByIndex(path).Name
		if _, twice := l.byName[field]; twice {
			column = ""
		}
		l.byName[field] = column
	}
	for i, path := range l.keys {
		name(path, l.schema.Keys[i].Column)
	}
	for i, path := range l.fields {
		name(path, l.schema.Fields[i].Column)
	}
	for i, path := range l.ivs {
		if path != nil {
			name(path, l.schema.Fields[i].IV)
		}
	}
	for i, path := range l.salts {
		if path != nil {
			name(path, l.schema.Fields[i].Salt)
		}
	}
	for i, path := range l.files {
		name(path, l.schema.Files[i].Column)
	}
	for i, path := range l.indexes {
		name(path, l.schema.Indexes[i].Column)
	}
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

func (l *layout) addKey(t tag, column string, path []int) {
	l.schema.Keys = append(l.schema.Keys, KeyColumn{Column: column, Name: t.get("name"), Bytes: t.has("bytes")})
	l.keys = append(l.keys, path)
	for _, name := range t.list("attachments") {
		l.schema.Attachments = append(l.schema.Attachments, Attachment{Name: name, Key: t.get("name")})
	}
}

func (l *layout) addField(f reflect.StructField, t tag, column string, path []int) error {
	cell := reflect.New(f.Type).Interface().(sealedColumn)
	typ, codec, err := cell.newCodec(lockbox.Type(t.get("type")))
	if err != nil {
		return fmt.Errorf("%w: %w", err, kms.ErrInvalidRequest)
	}
	field := Field{
		Column: column, Key: t.get("key"), Type: typ, Algorithm: lockbox.Algorithm(t.get("algorithm")),
		AssociatedData: t.get("ad"), KeyTable: t.get("key_table"), KeyAttribute: t.get("key_attribute"),
	}
	field.Format.Padding, field.Format.Raw = t.number("padding"), t.has("raw")
	for _, name := range t.list("previous") {
		field.Previous = append(field.Previous, PreviousVersion{MasterKey: name})
	}
	if err := attrEncryptedTag(&field, t); err != nil {
		return err
	}
	if _, twice := l.names[f.Name]; twice {
		l.names[f.Name] = -1
	} else {
		l.names[f.Name] = len(l.fields)
	}
	l.schema.Fields = append(l.schema.Fields, field)
	l.fields, l.codecs = append(l.fields, path), append(l.codecs, codec)
	return nil
}

// attrEncryptedTag reads the options of attr_encrypted's format.
func attrEncryptedTag(field *Field, t tag) error {
	switch t.get("codec") {
	case "", "lockbox":
		for _, name := range []string{"mode", "marshal", "allow", "empty", "encode", "encode_iv", "encode_salt"} {
			if t.has(name) {
				return fmt.Errorf("the option %s goes with codec=attr_encrypted: %w", name, kms.ErrInvalidRequest)
			}
		}
		return nil
	case "attr_encrypted":
	default:
		return fmt.Errorf("codec=%s is unknown; known are lockbox, which needs no saying, and attr_encrypted: %w", t.get("codec"), kms.ErrInvalidRequest)
	}
	field.AttrEncrypted = &attrencrypted.Options{
		Mode: attrencrypted.Mode(t.get("mode")), Algorithm: string(field.Algorithm), AllowEmpty: t.has("empty"),
		Marshal: attrencrypted.Marshal(t.get("marshal")), Encode: attrencrypted.Encoding(t.get("encode")),
		EncodeIV: attrencrypted.Encoding(t.get("encode_iv")), EncodeSalt: attrencrypted.Encoding(t.get("encode_salt")),
	}
	field.Algorithm = ""
	for _, form := range t.list("allow") {
		switch form {
		case "cbc":
			field.AttrEncrypted.AllowCBC = true
		case "ignored_iv":
			field.AttrEncrypted.AllowIgnoredIV = true
		default:
			return fmt.Errorf("allow=%s is unknown; known are cbc and ignored_iv: %w", form, kms.ErrInvalidRequest)
		}
	}
	return nil
}

func (l *layout) addFile(t tag, column string, path []int) {
	l.schema.Files = append(l.schema.Files, FileColumn{
		Column: column, Key: t.get("key"), Algorithm: lockbox.Algorithm(t.get("algorithm")),
		Padding: t.number("padding"), AssociatedData: t.get("ad"),
	})
	l.files = append(l.files, path)
}

func (l *layout) addIndex(name string, t tag, column string, path []int) {
	l.later = append(l.later, func() error {
		index := Index{Column: column, Join: t.get("join"), Options: blindindex.Options{
			Algorithm: blindindex.Algorithm(t.get("algorithm")), Size: t.number("size"), Slow: t.has("slow"),
			Normalize: t.get("normalize"), Raw: t.has("raw"),
		}}
		index.MasterKey, index.KeyTable, index.KeyColumn = t.get("master"), t.get("key_table"), t.get("key_column")
		for _, of := range t.list("of") {
			field, err := l.named(name, of)
			if err != nil {
				return err
			}
			index.Of = append(index.Of, l.schema.Fields[field].Column)
		}
		if len(index.Of) == 0 {
			return fmt.Errorf("field %s is an index; say of which field (`rowseal:\"of=Email\"`): %w", name, kms.ErrInvalidRequest)
		}
		l.schema.Indexes = append(l.schema.Indexes, index)
		l.indexes = append(l.indexes, path)
		return nil
	})
}

func (l *layout) addPart(f reflect.StructField, t tag, column string, path []int) {
	l.later = append(l.later, func() error {
		i, err := l.named(f.Name, t.get("of"))
		if err != nil {
			return err
		}
		field := &l.schema.Fields[i]
		part, paths, suffix := &field.IV, l.ivs, "_iv"
		if f.Type == saltType {
			part, paths, suffix = &field.Salt, l.salts, "_salt"
		}
		if paths[i] != nil {
			return fmt.Errorf("field %s is a second one of %s: %w", f.Name, t.get("of"), kms.ErrInvalidRequest)
		}
		*part, paths[i] = cmp.Or(column, field.Column+suffix), path
		return nil
	})
}

// named finds the Sealed field that a tag's of means.
func (l *layout) named(name, of string) (int, error) {
	i, ok := l.names[of]
	switch {
	case of == "":
		return 0, fmt.Errorf("field %s goes with a sealed field; say which (`rowseal:\"of=Email\"`): %w", name, kms.ErrInvalidRequest)
	case !ok:
		return 0, fmt.Errorf("field %s is of %s, and no field of that name is a Sealed: %w", name, of, kms.ErrInvalidRequest)
	case i < 0:
		return 0, fmt.Errorf("field %s is of %s, and two fields have that name: %w", name, of, kms.ErrInvalidRequest)
	}
	return i, nil
}

// columnName is the tag's column, or that of another package's tag, or what Rails and GORM make of the field's name.
func columnName(f reflect.StructField, tag tag) string {
	if named := cmp.Or(tag.get("column"), dbColumn(f.Tag.Get("db")), gormColumn(f.Tag.Get("gorm"))); named != "" {
		return named
	}
	name := snakeCase(f.Name)
	switch kindOf(f.Type) {
	case kindKey:
		return strings.TrimSuffix("encrypted_kms_key_"+tag.get("name"), "_")
	case kindField:
		if tag.get("codec") == "attr_encrypted" {
			return "encrypted_" + name
		}
		return name + "_ciphertext"
	case kindFile:
		return name + "_file"
	case kindIndex:
		return strings.TrimSuffix(strings.TrimSuffix(name, "_index"), "_bidx") + "_bidx"
	case kindPart:
		return "" // after the field that it goes with
	}
	return name
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
