package gormseal

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// creation is a Create of rows with sealed columns.
type creation struct {
	in *installed
	db *gorm.DB
	t  *table
	tr *transaction

	conflict conflict
	fresh    []any // rows to insert
	loaded   []any // rows that are in the database; see save
	omits    bool  // nothing sealed is written
}

func (in *installed) beginCreate(db *gorm.DB) {
	transactionOf(db.Statement)
	if db.Error != nil {
		return
	}
	c, err := in.planCreate(db)
	if err == nil && c != nil && c.isEarly() {
		_, err = c.seal()
	}
	db.AddError(err)
}

// create wraps GORM's INSERT.
func (in *installed) create(insert func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Error != nil {
			return
		}
		c, err := in.planCreate(db)
		switch {
		case err != nil:
			db.AddError(err)
		case c == nil:
			insert(db)
		default:
			c.run(insert)
		}
	}
}

// planCreate judges a Create. It returns nil where GORM's INSERT may run as it is.
func (in *installed) planCreate(db *gorm.DB) (*creation, error) {
	stmt := db.Statement
	t, err := in.tableOf(stmt)
	if err != nil {
		return nil, err
	}
	if t == nil || isMap(stmt.Dest) {
		return nil, in.judgeInsert(stmt)
	}
	c := &creation{in: in, db: db, t: t, tr: transactionOf(stmt)}
	rows, err := t.rowsOf(stmt.ReflectValue)
	if err != nil {
		return nil, err
	}
	columns, err := c.columns()
	if err != nil {
		return nil, err
	}
	if c.conflict, err = conflictOf(stmt, columns); err != nil {
		return nil, err
	}
	if err := c.judgeConflict(rows); err != nil {
		return nil, err
	}
	seen := map[any]bool{}
	for _, row := range rows {
		if seen[row] {
			return nil, fmt.Errorf("gormseal: one struct is to be two rows of %s; each needs one of its own: %w", t.schema.Table, gorm.ErrInvalidData)
		}
		seen[row] = true
		if c.conflict.does != fail && t.isLoaded(row) {
			c.loaded = append(c.loaded, row)
			continue
		}
		if err := c.checkRow(row); err != nil {
			return nil, err
		}
		c.fresh = append(c.fresh, row)
	}
	return c, nil
}

// columns are those that the INSERT may write, the sealed ones all or none.
func (c *creation) columns() ([]string, error) {
	selected := selectionOf(c.db.Statement, true, false)
	var columns, left []string
	for _, column := range c.t.schema.DBNames {
		if selected.has(column) {
			columns = append(columns, column)
		} else if c.t.isSealed(column) || slices.Contains(c.t.context, column) {
			left = append(left, column)
		}
	}
	c.omits = !slices.ContainsFunc(columns, c.t.isSealed)
	if len(left) > 0 && !c.omits {
		return nil, fmt.Errorf("gormseal: Select or Omit leave out %s of %s; what is sealed goes together, and with what the encryption context uses: "+
			"create the row with all of it, or Omit everything sealed: %w", left[0], c.t.schema.Table, kms.ErrInvalidRequest)
	}
	return columns, nil
}

// judgeConflict judges OnConflict. Rows without an id meet no row that has the same.
func (c *creation) judgeConflict(rows []any) error {
	if c.keepsContext() {
		return nil
	}
	context := c.t.context
	isID := func(column string) bool { return slices.Contains(c.t.schema.PrimaryFieldDBNames, column) }
	if err := c.conflict.judgeAnyIndex(c.t.schema.Table, sqlseal.Dialect(c.db.Name()), c.t.schema.PrimaryFieldDBNames); err != nil {
		return err
	}
	if len(c.conflict.target) > 0 && !slices.ContainsFunc(c.conflict.target, func(column string) bool { return !isID(column) }) &&
		!slices.ContainsFunc(rows, func(row any) bool { return c.t.hasID(row) && !c.t.isLoaded(row) }) {
		context = nil
	}
	if err := c.conflict.judge(c.t.schema.Table, sqlseal.Dialect(c.db.Name()), c.t.rows.SealedColumns(), context); err != nil {
		return err
	}
	if c.conflict.does == replace && c.omits {
		return fmt.Errorf("gormseal: OnConflict replaces sealed columns of %s, which Select or Omit leave out: %w", c.t.schema.Table, kms.ErrInvalidRequest)
	}
	return nil
}

// checkRow refuses what would not be in the database as the row has it.
func (c *creation) checkRow(row any) error {
	ctx, v := c.db.Statement.Context, reflect.ValueOf(row)
	if c.omits {
		if i := slices.IndexFunc(c.t.sealed, func(f *schema.Field) bool { return c.t.isFilled(f, row) }); i >= 0 {
			return fmt.Errorf("gormseal: %s of a row of %s is sealed already, and is left out; create the row with everything, or a new struct: %w",
				c.t.sealed[i].Name, c.t.schema.Table, kms.ErrInvalidRequest)
		}
		return nil
	}
	for _, column := range c.t.context {
		f := c.t.schema.FieldsByDBName[column]
		if _, zero := f.ValueOf(ctx, v); f.PrimaryKey || !f.HasDefaultValue || !zero {
			continue
		}
		if f.DefaultValueInterface == nil {
			return fmt.Errorf("gormseal: the encryption context of %s uses %s, which the row has no value for and the database would make; set it: %w",
				c.t.schema.Table, f.Name, rowseal.ErrNotReady)
		}
		if err := f.Set(ctx, v, f.DefaultValueInterface); err != nil { // as GORM does, a moment later
			return err
		}
	}
	return nil
}

// isEarly tells whether rows can be sealed before GORM's transaction: no hook and no association changes them in between.
func (c *creation) isEarly() bool {
	s := c.t.schema
	return (c.db.Statement.SkipHooks || !s.BeforeCreate && !s.BeforeSave) && !c.t.contextHasForeignKey()
}

// seal seals the rows, in one batch a KMS key for those to insert, and in one for those to update. later: the keys are to be
// wrapped when the rows have their ids. What was sealed before the transaction is not looked at again, unless something was set since.
func (c *creation) seal() (later bool, err error) {
	if c.omits || c.db.DryRun {
		return false, nil
	}
	ctx, db := c.in.guard(c.db.Statement.Context, c.tr.callers), database(c.db)
	if c.conflict.does == replace && len(c.fresh) > 0 {
		if err := c.t.writer.CheckUpsert(ctx, db, c.target()); err != nil {
			return false, err
		}
	}
	if later, done := c.tr.sealed[c.db.Statement]; done && !slices.ContainsFunc(slices.Concat(c.fresh, c.loaded), c.t.hasSet) {
		return later, nil
	}
	if len(c.fresh) > 0 {
		if later, err = c.t.writer.BeforeInsert(ctx, db, c.fresh); err != nil {
			return false, err
		}
	}
	switch {
	case later && (c.conflict.does == replace || c.conflict.does == update && !c.meetsNone()):
		return false, fmt.Errorf("gormseal: rows of %s get their ids from the INSERT, and with OnConflict it does not tell whether a row is new or was "+
			"there already, so that the data key might be written into that one; look for the row first, or give it its id: %w",
			c.t.schema.Table, rowseal.ErrNotReady)
	case later && c.tr.callers && c.in.noKMSInTransaction:
		return false, fmt.Errorf("gormseal: rows of %s are inserted before their data keys can be wrapped, which is a request to the KMS inside a "+
			"transaction; give them their ids: %w", c.t.schema.Table, kms.ErrBudget)
	}
	if c.conflict.does == save || c.conflict.does == replace {
		err = c.t.rows.Seal(ctx, c.loaded...)
	}
	if err == nil {
		c.tr.sealed[c.db.Statement] = later
	}
	return later, err
}

// meetsNone tells whether OnConflict is about ids, which the rows do not have: GORM gives it to new associations.
func (c *creation) meetsNone() bool {
	isID := func(column string) bool { return slices.Contains(c.t.schema.PrimaryFieldDBNames, column) }
	return c.conflict.named && len(c.conflict.target) > 0 &&
		!slices.ContainsFunc(c.conflict.target, func(column string) bool { return !isID(column) }) && !slices.ContainsFunc(c.fresh, c.t.hasID)
}

func (c *creation) target() []string {
	if len(c.conflict.target) == 0 {
		return c.t.schema.PrimaryFieldDBNames
	}
	return c.conflict.target
}

func (c *creation) run(insert func(*gorm.DB)) {
	later, err := false, c.findMissing()
	if err == nil {
		later, err = c.seal()
	}
	if err == nil {
		err = c.checkValues(later)
	}
	if err != nil {
		c.db.AddError(err)
		return
	}
	do := func() {
		if len(c.fresh) > 0 {
			c.insert(insert, later)
		}
		if len(c.loaded) > 0 && c.db.Error == nil {
			c.db.AddError(c.save())
		}
	}
	if !later && len(c.loaded) == 0 && !c.looksAgain() {
		do()
		return
	}
	together(c.db, c.tr.callers, do)
}

// checkValues is the last look at what the INSERT writes: a data key that may be another row's is refused.
func (c *creation) checkValues(later bool) error {
	if c.omits || c.db.DryRun || later && len(c.t.writer.OmitBeforeID()) > 0 {
		return nil
	}
	for _, row := range c.fresh {
		if _, err := c.t.rows.Values(row); err != nil {
			return err
		}
	}
	return nil
}

// insert runs GORM's INSERT for the new rows, and then finishes what had to wait for their ids.
func (c *creation) insert(insert func(*gorm.DB), later bool) {
	inserted, forgetIDs := int64(0), c.t.writer.IDs(c.fresh)
	var created []any
	for _, rows := range c.statements(later) {
		restore := c.narrow(rows, later)
		c.db.RowsAffected = 0
		insert(c.db)
		restore()
		switch {
		case later && c.conflict.does == ignore && isDuplicate(c.db):
			c.db.Error = nil
		case c.conflict.does == save:
			c.db.Error = c.t.explain(c.db)
		}
		if c.db.Error != nil || c.db.DryRun {
			return
		}
		if inserted += c.db.RowsAffected; c.db.RowsAffected > 0 {
			created = append(created, rows...)
		}
	}
	c.db.RowsAffected = inserted
	if c.looksAgain() {
		if err := c.t.writer.AfterUpsert(c.db.Statement.Context, database(c.db), c.target(), c.fresh); err != nil {
			c.db.AddError(err)
			return
		}
	}
	switch {
	case later && inserted < int64(len(created)):
		c.db.AddError(fmt.Errorf("gormseal: %d of %d rows of %s were inserted, and GORM does not tell which: %w",
			inserted, len(c.fresh), c.t.schema.Table, rowseal.ErrConflict))
	case later && len(created) > 0:
		if err := c.t.writer.AfterInsert(c.db.Statement.Context, database(c.db), created); err != nil {
			forgetIDs()
			c.db.AddError(err)
			return
		}
		c.tr.inserted(c.t, created)
	case later:
	case c.areInserted(inserted):
		c.tr.inserted(c.t, c.fresh)
	case inserted > 0:
		c.t.rows.Written(c.fresh...) // or not: the next update asks the database
		c.t.rows.Bind(c.fresh...)
	}
}

// isDuplicate tells whether a row was not inserted because of another one.
func isDuplicate(db *gorm.DB) bool {
	err := db.Error
	if t, ok := db.Dialector.(gorm.ErrorTranslator); ok && err != nil {
		err = t.Translate(err)
	}
	return errors.Is(err, gorm.ErrDuplicatedKey)
}

// statements are the rows of each INSERT. One at a time are inserted, where keys have to wait for ids, rows of which some may be
// there already, to know which; rows of which nothing else is written, because DEFAULT VALUES makes one row; and rows whose ids
// GORM counts on from the first, because the database returns no others: where auto_increment_increment is not 1 that is wrong,
// and keys would be wrapped for other rows.
func (c *creation) statements(later bool) [][]any {
	counts := !slices.Contains(c.db.Statement.BuildClauses, "RETURNING") && c.db.Name() == string(sqlseal.MySQL)
	if later && (counts || c.insertsNothing() || c.conflict.does == ignore) {
		return slices.Collect(slices.Chunk(c.fresh, 1))
	}
	return [][]any{c.fresh}
}

// insertsNothing tells whether the INSERT has no column but ids, while what is sealed is left out.
func (c *creation) insertsNothing() bool {
	left := c.t.writer.OmitBeforeID()
	return len(left) > 0 && !slices.ContainsFunc(c.t.schema.DBNames, func(column string) bool {
		return !c.t.schema.FieldsByDBName[column].PrimaryKey && !slices.Contains(left, column)
	})
}

// looksAgain tells whether an upsert may have met a row that only the database takes for the same.
func (c *creation) looksAgain() bool {
	return c.conflict.does == replace && !c.db.DryRun && c.t.writer.HasTextContext(c.fresh)
}

// areInserted tells whether all rows are certainly as they are in the database. With RETURNING, GORM's count says nothing of a
// slice, and MariaDB returns a row that was there already, too.
func (c *creation) areInserted(inserted int64) bool {
	_, returning := c.db.Statement.Clauses["RETURNING"]
	switch c.conflict.does {
	case ignore:
		counts := !returning || len(c.fresh) == 1 && c.db.Name() != string(sqlseal.MySQL)
		return counts && inserted == int64(len(c.fresh))
	case update:
		return false
	}
	return !c.conflict.partly
}

// narrow lets GORM insert these rows only, without what has to wait, and without ON CONFLICT in a Save, or where it could be about
// no row or would give the row the id of another, as MySQL's does: there an INSERT that fails tells the same.
func (c *creation) narrow(rows []any, later bool) (restore func()) {
	stmt := c.db.Statement
	stmt.SQL.Reset()
	stmt.Vars = nil
	omits, value, conflict := stmt.Omits, stmt.ReflectValue, stmt.Clauses["ON CONFLICT"]
	returning := c.t.plainReturning(stmt)
	if later {
		stmt.Omits = slices.Concat(omits, c.t.writer.OmitBeforeID())
	}
	isPlain := c.conflict.does == save || later && (c.conflict.does == update || c.conflict.does == ignore && c.db.Name() == string(sqlseal.MySQL))
	if isPlain {
		delete(stmt.Clauses, "ON CONFLICT")
	}
	if len(rows) == 1 {
		stmt.ReflectValue = reflect.ValueOf(rows[0]).Elem() // of a slice, GORM's count says nothing
	} else if len(rows) < len(c.fresh)+len(c.loaded) {
		some := reflect.MakeSlice(reflect.SliceOf(c.t.rows.Type()), 0, len(rows))
		for _, row := range rows {
			some = reflect.Append(some, reflect.ValueOf(row))
		}
		stmt.ReflectValue = some
	}
	return func() {
		stmt.Omits, stmt.ReflectValue = omits, value
		if isPlain {
			stmt.Clauses["ON CONFLICT"] = conflict
		}
		returning()
	}
}

// contextHasForeignKey tells whether the encryption context uses a column that GORM sets while it saves associations.
func (t *table) contextHasForeignKey() bool {
	return slices.ContainsFunc(t.schema.Relationships.BelongsTo, func(r *schema.Relationship) bool {
		return slices.ContainsFunc(r.References, func(ref *schema.Reference) bool { return slices.Contains(t.context, ref.ForeignKey.DBName) })
	})
}

func isMap(v any) bool {
	t := reflect.TypeOf(v)
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = t.Elem()
	}
	return t != nil && t.Kind() == reflect.Map
}

// judgeInsert judges a Create of maps, and of structs of others for a table of ours.
func (in *installed) judgeInsert(stmt *gorm.Statement) error {
	sealed, context := in.closed(stmt)
	if len(sealed) == 0 {
		return nil
	}
	columns := insertedColumns(stmt)
	if err := judgeNames(stmt.Table, columns, sealed); err != nil {
		return err
	}
	c, err := conflictOf(stmt, columns)
	if err != nil {
		return err
	}
	if err := c.judge(stmt.Table, sqlseal.Dialect(stmt.DB.Name()), sealed, context); err != nil {
		return err
	}
	if c.does == replace {
		return judgeNames(stmt.Table, sealed, sealed)
	}
	return nil
}

// insertedColumns are those that a Create of maps or of a struct may write.
func insertedColumns(stmt *gorm.Statement) (columns []string) {
	if !isMap(stmt.Dest) {
		if stmt.Schema != nil {
			columns = slices.DeleteFunc(slices.Clone(stmt.Schema.DBNames), func(c string) bool { return !selectionOf(stmt, true, false).has(c) })
		}
		return columns
	}
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			visit(v.Elem())
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				columns = append(columns, columnOf(stmt, fmt.Sprint(key.Interface())))
			}
		}
	}
	visit(reflect.ValueOf(stmt.Dest))
	return columns
}

// columnOf is the column that GORM makes of a name.
func columnOf(stmt *gorm.Statement, name string) string {
	if stmt.Schema != nil {
		if f := stmt.Schema.LookUpField(name); f != nil && f.DBName != "" {
			return f.DBName
		}
	}
	return name
}
