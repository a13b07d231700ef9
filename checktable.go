package rowseal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
)

// need is what a column must be able to hold.
type need struct {
	column string
	what   string // in messages
	raw    bool   // it is written as bytes
	index  bool
	key    bool
	// length is that of the content, in bytes, for so many bytes of what is sealed; nil: not known. Contents are ASCII unless
	// they are raw, so it is the number of characters too.
	length func(sealed int) int
	least  int  // bytes that are to be sealed, at least
	fixed  bool // the length is always that of least
}

// checkTable compares the table with the Schema. wrapped has the lengths of the key columns' contents.
func (c *checker) checkTable(ctx context.Context, db Database, wrapped map[string]int) {
	columns, err := db.TableColumns(ctx, c.schema.Table)
	switch {
	case err != nil:
		c.failed("", err, "the table could not be looked at: %v", err)
		return
	case len(columns) == 0:
		c.noTable(ctx, db)
		return
	}
	find := func(name string) *TableColumn {
		if i := slices.IndexFunc(columns, func(t TableColumn) bool { return t.is(name) }); i >= 0 {
			return &columns[i]
		}
		return nil
	}
	if slices.ContainsFunc(columns, func(t TableColumn) bool { return t.Cuts }) {
		c.writing("", "this connection's sql_mode is not strict, so that what is too long for its column is cut without an error, and a ciphertext that is cut does "+
			"not open; set STRICT_TRANS_TABLES")
	}
	needs := c.needs(wrapped)
	for _, n := range needs {
		c.checkColumn(n, find(n.column), columns)
	}
	for _, name := range c.plainColumns() {
		c.checkPlain(name, find(name), columns)
	}
	c.checkPrimaryKey(columns)
	for _, name := range c.schema.undeclared(columns) {
		c.writing(name, "it looks sealed and is not declared, so that no data key of a row is replaced, with which it might be lost; declare it or, if "+
			"nothing in it is sealed under this table's data keys, name it in Options.Unsealed")
	}
}

// noTable tells a table that is missing from one that is elsewhere.
func (c *checker) noTable(ctx context.Context, db Database) {
	table := c.schema.Table
	all, err := db.Tables(ctx)
	base := func(name string) string { return strings.ToLower(name[strings.LastIndex(name, ".")+1:]) }
	var like []string
	for _, name := range all {
		if base(name) == base(table) {
			like = append(like, name)
		}
	}
	switch {
	case err != nil:
		c.failed("", err, "there is no table %s, and the others could not be listed: %v", table, err)
	case len(all) == 0:
		c.fault("", "there is no table %s, nor any other that this user of the database sees; see whether it is the right database, and whether "+
			"its migrations have run", table)
	case len(like) > 0:
		c.fault("", "there is no table %s where the database looks for it, but %s; give the name in full, or connect to that schema",
			table, strings.Join(like, " and "))
	default:
		c.fault("", "there is no table %s among the %d that this user of the database sees; run the migrations, or grant the user rights to it",
			table, len(all))
	}
}

// needs lists the sealed columns of the keys that are seen.
func (c *checker) needs(wrapped map[string]int) []need {
	var all []need
	for i, k := range c.schema.Keys {
		if !c.sees(i) {
			continue
		}
		n := need{column: k.Column, what: "a wrapped data key", raw: k.Bytes, key: true, fixed: true}
		if length := wrapped[k.Column]; length > 0 {
			n.length = func(int) int { return length }
		}
		all = append(all, n)
	}
	for key, k := range c.keys {
		if !c.sees(key) {
			continue
		}
		for _, i := range k.fields {
			all = append(all, c.fieldNeeds(&k, i)...)
		}
		for _, i := range k.files {
			all = append(all, c.fileNeed(&k, i))
		}
	}
	for i, ix := range c.schema.Indexes {
		if slices.ContainsFunc(c.indexes[i].fields, func(f int) bool { return c.seesField(f) }) {
			all = append(all, need{
				column: ix.Column, what: "a blind index", raw: ix.Options.Raw, index: true, fixed: true,
				length: func(int) int { return indexLength(ix.Options) },
			})
		}
	}
	return all
}

func (c *checker) seesField(field int) bool {
	return c.sees(slices.IndexFunc(c.keys, func(k engineKey) bool { return slices.Contains(k.fields, field) }))
}

// box makes the box of a key, under no key of anybody's: lengths are the same under all.
func (k *engineKey) box(number int) (fieldBox, error) {
	if k.master != nil {
		return k.master.boxes[number], nil
	}
	return k.schemes[number](make([]byte, lockbox.KeySize))
}

// fieldNeeds are the columns of a field.
func (c *checker) fieldNeeds(k *engineKey, i int) []need {
	f := &c.schema.Fields[i]
	size, fixed := plaintextSize(f.Type)
	what := "a sealed " + string(cmp.Or(f.Type, lockbox.String))
	all := []need{{column: f.Column, what: what, raw: f.cell("").kind == isBytes, least: size, fixed: fixed}}
	sealed := func(n int) (cells, error) {
		box, err := k.box(c.boxOf.field[i])
		if err != nil {
			return cells{}, err
		}
		return box.seal(f, bytes.Repeat([]byte("1"), n), nil) // which is JSON too
	}
	once, err := sealed(size)
	if err == nil { // a mode of attr_encrypted that is only read seals nothing
		all[0].length = func(n int) int {
			c, _ := sealed(n)
			return len(c.value.text)
		}
	}
	part := func(column, what string, e attrencrypted.Encoding, content string) {
		if column == "" {
			return
		}
		n := need{column: column, what: what, raw: e == attrencrypted.Raw, fixed: true}
		if err == nil {
			n.length = func(int) int { return len(content) }
		}
		all = append(all, n)
	}
	if f.AttrEncrypted != nil {
		part(f.IV, "the IV of "+f.Column, f.AttrEncrypted.EncodeIV, once.iv.text)
		part(f.Salt, "the salt of "+f.Column, f.AttrEncrypted.EncodeSalt, once.salt.text)
	}
	return all
}

// plaintextSize is how many bytes a value of a type has that are sealed, at least or, if fixed, always.
func plaintextSize(t lockbox.Type) (size int, fixed bool) {
	switch t {
	case lockbox.Boolean:
		return 1, true
	case lockbox.Integer, lockbox.Float:
		return 8, true
	case lockbox.Date:
		return len("2006-01-02"), true
	case lockbox.Datetime:
		return len("2006-01-02T15:04:05.000000000Z"), true
	case lockbox.Time:
		return len("15:04:05.000000000"), true
	case lockbox.Inet:
		return 18, true
	}
	return 1, false
}

// fileNeed is the reference to a file; what is sealed and of any length is the file's name.
func (c *checker) fileNeed(k *engineKey, i int) need {
	n := need{column: c.schema.Files[i].Column, what: "the reference to a file", least: 1}
	box, err := k.box(c.boxOf.file[i])
	if err != nil {
		return n
	}
	n.length = func(name int) int {
		object := store.NewKey()
		about, _ := json.Marshal(description{FileInfo{Name: strings.Repeat("n", name)}, object})
		info, err := box.(lockboxBox).box.Encrypt(about, nil)
		if err != nil {
			return 0
		}
		reference, _ := json.Marshal(fileReference{Key: object, Info: string(info)})
		return len(reference)
	}
	return n
}

// indexLength is what blindindex.Options make.
func indexLength(o blindindex.Options) int {
	n := cmp.Or(o.Size, 32)
	if o.Raw {
		return n
	}
	n = base64.StdEncoding.EncodedLen(n)
	if o.Legacy {
		n++ // the line end
	}
	return n
}

// missing says that a column is not there, and whether one is that differs in capital letters.
func (c *checker) missing(name, what, remedy string, columns []TableColumn) {
	if i := slices.IndexFunc(columns, func(t TableColumn) bool { return strings.EqualFold(t.Name, name) }); i >= 0 {
		c.fault(name, "the table has no such column for %s, but %q, which this database tells from it; name it as it is", what, columns[i].Name)
		return
	}
	c.fault(name, "the table has no such column for %s; %s", what, remedy)
}

func (c *checker) checkColumn(n need, t *TableColumn, columns []TableColumn) {
	if t == nil {
		c.missing(n.column, n.what, "add it, as "+n.columnType(), columns)
		return
	}
	c.checkUse(n, t)
	switch {
	case t.Kind == OtherColumn:
		c.fault(n.column, "it is %s, which does not hold %s; make it %s", t.Type, n.what, n.columnType())
	case n.raw && t.Kind == TextColumn:
		c.fault(n.column, "it is %s, and %s is declared as bytes, which a text column refuses or garbles; make it %s, or do not declare it so",
			t.Type, n.what, n.columnType())
	case t.Fixed && !(n.fixed && n.length != nil && n.length(n.least) == t.Size):
		c.fault(n.column, "it is %s, which fills %s up to its length; make it %s", t.Type, n.what, n.columnType())
	default:
		c.checkSize(n, t)
		c.checkBytewise(n, t)
	}
	if n.key && !t.Nullable {
		c.note(n.column, "it is NOT NULL, and the data key of a row in which nothing is sealed is NULL, as that of a new row may be until its id is known")
	}
}

func (c *checker) checkBytewise(n need, t *TableColumn) {
	if n.index && !t.Bytewise {
		c.fault(n.column, "it is compared by a collation that takes some letters for others, so that a search finds wrong rows and a unique index "+
			"refuses values that differ; declare it %s, which compares bytes", n.bytewiseType(t))
	}
}

// checkUse tells whether the program can do with the column what it must.
func (c *checker) checkUse(n need, t *TableColumn) {
	switch {
	case t.Generated:
		c.writing(n.column, "it is a generated column, into which nothing can be written; make it a plain one")
	case t.Unwritable:
		c.writing(n.column, "this user of the database may neither INSERT it nor UPDATE it; GRANT what the program needs, or check with "+
			"CheckOptions.OpenOnly, if it writes no rows")
	}
	c.checkReadable(n.column, t)
}

func (c *checker) checkReadable(column string, t *TableColumn) {
	if t.Unreadable && !c.sealOnly {
		c.fault(column, "this user of the database may not SELECT it; GRANT that, or check Model.Sealer, if the program only seals")
	}
}

func (c *checker) checkSize(n need, t *TableColumn) {
	if t.Size == 0 || n.length == nil {
		return
	}
	if length := n.length(n.least); length > t.Size {
		of := ""
		if !n.fixed {
			of = " of one byte"
		}
		c.fault(n.column, "it is %s, and %s%s takes %d bytes; make it %s", t.Type, n.what, of, length, n.columnType())
		return
	}
	if !n.fixed && t.Size < 1<<16-1 && c.opts.Note != nil { // less than MySQL's text
		fits := n.least + sort.Search(t.Size-n.least, func(more int) bool { return n.length(n.least+more+1) > t.Size })
		c.note(n.column, "it is %s, which holds %s of up to %d bytes; longer ones are an error of the database", t.Type, n.what, fits)
	}
}

// columnType says which type the column should have.
func (n need) columnType() string {
	switch {
	case n.raw && n.index:
		return fmt.Sprintf("bytea or varbinary(%d)", n.length(0))
	case n.raw:
		return "bytea or a blob"
	case n.index:
		return fmt.Sprintf("varchar(%d) that is compared bytewise", n.length(0))
	}
	return "text"
}

func (n need) bytewiseType(t *TableColumn) string {
	if t.Kind == AnyColumn {
		return "without that collation"
	}
	return fmt.Sprintf("varchar(%d), on MySQL and MariaDB with CHARACTER SET ascii COLLATE ascii_bin", n.length(0))
}

// plainColumns are those that are not sealed and without which rows are not sealed, opened or updated.
func (c *checker) plainColumns() []string {
	all := slices.Clone(c.primaryKey())
	for i := range c.schema.Keys {
		if c.sees(i) {
			all = append(all, c.contextColumns(i)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *checker) primaryKey() []string {
	if len(c.opts.PrimaryKey) > 0 {
		return c.opts.PrimaryKey
	}
	return []string{c.schema.PrimaryKey}
}

func (c *checker) checkPlain(name string, t *TableColumn, columns []TableColumn) {
	what := "the encryption context or keyring"
	if slices.Contains(c.primaryKey(), name) {
		what = "the primary key"
	}
	if t == nil {
		c.missing(name, what, "add it, or give the one that is meant in Options", columns)
		return
	}
	c.checkReadable(name, t)
}

// checkPrimaryKey demands that the columns which name a row to an UPDATE are, or contain, the table's primary key.
func (c *checker) checkPrimaryKey(columns []TableColumn) {
	want := c.primaryKey()
	var have, left []string
	for _, t := range columns {
		if !t.PrimaryKey {
			continue
		}
		have = append(have, t.Name)
		if !slices.ContainsFunc(want, t.is) {
			left = append(left, t.Name)
		}
	}
	switch {
	case len(have) == 0:
		c.note("", "the database knows no primary key of %s; see to it that %s names one row", c.schema.Table, strings.Join(want, ", "))
	case len(left) == 0:
	case len(left) < len(have):
		c.writing(strings.Join(want, ", "), "it is a part of the primary key (%s) only, and may name several rows; give all of it in "+
			"CheckOptions.PrimaryKey and, for writing, in sqlseal.Options.PrimaryKey", strings.Join(have, ", "))
	default:
		c.writing(strings.Join(want, ", "), "it is not the table's primary key, which is %s; name that in Options.PrimaryKey", strings.Join(have, ", "))
	}
}
