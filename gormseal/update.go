package gormseal

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// change is an update of one row with sealed columns, from the struct that has them.
type change struct {
	in  *installed
	db  *gorm.DB
	t   *table
	tr  *transaction
	row any

	selected selection
	saves    bool // GORM's Save, or Select("*")
}

func (in *installed) beginUpdate(db *gorm.DB) {
	transactionOf(db.Statement)
	if db.Error != nil {
		return
	}
	callbacks.SetupUpdateReflectValue(db) // which GORM does after it has begun
	c, err := in.planUpdate(db)
	if err == nil && c != nil && c.isEarly() {
		err = c.seal()
	}
	db.AddError(err)
}

// update wraps GORM's UPDATE.
func (in *installed) update(update func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Error != nil {
			return
		}
		c, err := in.planUpdate(db)
		switch {
		case err != nil:
			db.AddError(err)
		case c == nil:
			restore := in.keepSet(db.Statement)
			update(db)
			restore()
		default:
			c.run(update)
		}
	}
}

// keepSet lets RETURNING leave alone what is set in the rows of an update that writes nothing sealed.
func (in *installed) keepSet(stmt *gorm.Statement) (restore func()) {
	t, err := in.tableOf(stmt)
	if err != nil || t == nil {
		return func() {}
	}
	if rows, err := t.rowsOf(stmt.ReflectValue); err == nil && slices.ContainsFunc(rows, t.hasSet) {
		return t.plainReturning(stmt)
	}
	return func() {}
}

// planUpdate judges an update. It returns nil where GORM's UPDATE may run as it is.
func (in *installed) planUpdate(db *gorm.DB) (*change, error) {
	stmt := db.Statement
	t, err := in.tableOf(stmt)
	if err == nil {
		err = in.judgeConditions(stmt)
	}
	if err != nil {
		return nil, err
	}
	if t != nil {
		if row := t.ownRow(stmt); row != nil {
			c := &change{in: in, db: db, t: t, tr: transactionOf(stmt), row: row}
			c.selected, c.saves = selectionOf(stmt, false, true), slices.Equal(stmt.Selects, []string{"*"})
			return c, c.judge()
		}
	}
	sealed, context := in.closed(stmt)
	if t != nil {
		sealed, context = append(sealed, t.rows.SealedColumns()...), append(context, t.context...)
		if err := in.judgeValues(stmt, t); err != nil {
			return nil, err
		}
	}
	if len(sealed) == 0 {
		return nil, nil
	}
	if c, there := stmt.Clauses["SET"]; there {
		if _, ok := c.Expression.(clause.Set); !ok {
			return nil, fmt.Errorf("gormseal: %s has a clause SET that is no clause.Set, and cannot be judged: %w", stmt.Table, kms.ErrInvalidRequest)
		}
	}
	set := assignments(stmt)
	if t != nil {
		set = t.withoutOwnID(stmt, set)
	}
	var ids []string
	for _, t := range append(in.named(stmt), t) {
		if t != nil {
			ids = append(ids, t.schema.PrimaryFieldDBNames...)
		}
	}
	return nil, judge(stmt.Table, set, sealed, context, ids)
}

// judgeValues refuses values that are set in another struct than the row's, where Select or GORM might leave them out.
func (in *installed) judgeValues(stmt *gorm.Statement, t *table) error {
	dest := reflect.Indirect(reflect.ValueOf(stmt.Dest))
	switch {
	case !dest.IsValid() || dest.Kind() != reflect.Struct:
		return nil
	case dest.Type() != t.schema.ModelType:
		return in.refuseStranger(dest.Type())
	}
	copied := reflect.New(dest.Type())
	copied.Elem().Set(dest)
	return t.refuseSet(copied.Interface())
}

// ownRow is the row of an update whose values are those of the row's own struct; nil if it is another kind of update.
func (t *table) ownRow(stmt *gorm.Statement) any {
	if _, given := stmt.Clauses["SET"]; given {
		return nil
	}
	dest, model := reflect.ValueOf(stmt.Dest), reflect.ValueOf(stmt.Model)
	if dest.Kind() != reflect.Pointer || model.Kind() != reflect.Pointer || dest.Type() != model.Type() || dest.Pointer() != model.Pointer() {
		return nil
	}
	for dest.Kind() == reflect.Pointer {
		dest = dest.Elem()
	}
	if !dest.IsValid() || dest.Type() != t.schema.ModelType {
		return nil
	}
	return dest.Addr().Interface()
}

// withoutOwnID leaves out the assignment of its own primary key to a row, which GORM makes of a struct that has it.
func (t *table) withoutOwnID(stmt *gorm.Statement, set clause.Set) clause.Set {
	if stmt.ReflectValue.Kind() != reflect.Struct || stmt.ReflectValue.Type() != t.schema.ModelType {
		return set
	}
	return slices.DeleteFunc(slices.Clone(set), func(a clause.Assignment) bool {
		f := t.schema.FieldsByDBName[a.Column.Name]
		if f == nil || !f.PrimaryKey {
			return false
		}
		id, zero := f.ValueOf(stmt.Context, stmt.ReflectValue)
		return !zero && reflect.DeepEqual(id, a.Value)
	})
}

// judge refuses an update that would lose values which are set.
func (c *change) judge() error {
	for _, f := range c.t.values {
		if c.t.isSet(f, c.row) && !c.selected.has(f.DBName) {
			return c.refuseLeftOut(f.Name)
		}
	}
	switch {
	case !c.t.hasSet(c.row) || c.db.DryRun:
		return nil
	case !c.t.hasID(c.row):
		return fmt.Errorf("gormseal: a row of %s has no primary key, and what is sealed is written into one row only; load the row, or Create it: %w",
			c.t.schema.Table, kms.ErrInvalidRequest)
	case len(c.t.keys) > 0 && !c.t.isLoaded(c.row) && !c.saves:
		return fmt.Errorf("gormseal: a row of %s was not loaded with its key column, so nobody knows what is sealed in it; load it and set its fields, or "+
			"Create it: %w", c.t.schema.Table, rowseal.ErrNoKey)
	}
	return nil
}

func (c *change) refuseLeftOut(field string) error {
	return fmt.Errorf("gormseal: %s of a row of %s has changed, and Select or Omit leave it out; select it too, or update without: %w",
		field, c.t.schema.Table, kms.ErrInvalidRequest)
}

// isEarly tells whether the row can be sealed before GORM's transaction: no hook and no association changes it in between.
func (c *change) isEarly() bool {
	s := c.t.schema
	return (c.db.Statement.SkipHooks || !s.BeforeUpdate && !s.BeforeSave) && !c.t.contextHasForeignKey()
}

// isNew tells that Save is to insert the row: it has values, and was never loaded.
func (c *change) isNew() bool {
	return c.saves && len(c.t.keys) > 0 && !c.t.isLoaded(c.row) && c.t.hasContent(c.row)
}

func (c *change) seal() error {
	if c.db.DryRun || !c.t.hasSet(c.row) {
		return nil
	}
	return c.t.rows.Seal(c.in.guard(c.db.Statement.Context, c.tr.callers), c.row)
}

func (c *change) run(update func(*gorm.DB)) {
	if c.isNew() && !c.db.DryRun {
		c.insert()
		return
	}
	if err := c.seal(); err != nil {
		c.db.AddError(err)
		return
	}
	set, restore := c.prepare()
	defer restore()
	todo, err := c.t.rows.Change(c.row, columnsOf(set), nil)
	switch {
	case c.db.DryRun:
		c.execute(update, c.placeholders(set, todo, err), todo.Match)
	case err != nil:
		c.db.AddError(err)
	case len(todo.Set)+len(todo.Match) == 0 && !todo.Unsure:
		c.plain(update, set)
	case !c.t.hasID(c.row):
		c.db.AddError(fmt.Errorf("gormseal: a row of %s has no primary key, and what is sealed, or in the encryption context, is written into one row "+
			"only; load the row: %w", c.t.schema.Table, kms.ErrInvalidRequest))
	default:
		c.swap(update, set)
	}
}

// insert is Save of a row that was never loaded and has an id of the caller's, or whose INSERT was rolled back. One that is there
// already is the database's error.
func (c *change) insert() {
	tx := c.db.Session(&gorm.Session{NewDB: true, SkipHooks: true}).Set(transactionKey, c.tr).
		Omit(append([]string{clause.Associations}, c.db.Statement.Omits...)...).Create(c.row)
	c.db.RowsAffected = tx.RowsAffected
	c.db.AddError(c.t.explain(tx))
}

// prepare makes GORM's assignments, without sealed columns, and GORM's condition by the primary key, beside which the caller's own
// conditions stay together.
func (c *change) prepare() (set clause.Set, restore func()) {
	stmt := c.db.Statement
	clauses := maps.Clone(stmt.Clauses)
	where := stmt.Clauses["WHERE"]
	if own, ok := where.Expression.(clause.Where); where.Expression != nil && (!ok || len(own.Exprs) > 0) {
		where.Expression = clause.Where{Exprs: []clause.Expression{group{where.Expression}}}
		stmt.Clauses["WHERE"] = where
	}
	set = c.t.without(callbacks.ConvertToAssignments(stmt))
	return set, func() { stmt.Clauses = clauses }
}

// plain runs GORM's UPDATE without the sealed columns, none of which has changed.
func (c *change) plain(update func(*gorm.DB), set clause.Set) {
	if len(set) == 0 {
		return
	}
	c.execute(update, set, nil)
	if c.saves && c.db.RowsAffected == 0 && c.db.Error == nil && c.db.Name() == string(sqlseal.MySQL) && c.t.hasID(c.row) {
		if err := c.t.find(c.db, c.row); err == nil {
			c.db.RowsAffected = 1 // MySQL counts no row that it leaves as it was
		} else if !errors.Is(err, sql.ErrNoRows) {
			c.db.AddError(err)
		}
	}
}

// errUnmet: the row is there, and the caller's own conditions do not hold.
var errUnmet = errors.New("gormseal: unmet")

// swap compares the row with what was loaded and updates it, again where somebody else was faster.
func (c *change) swap(update func(*gorm.DB), set clause.Set) {
	ctx := c.in.guard(c.db.Statement.Context, c.tr.callers)
	clauses := c.db.Statement.Clauses
	var before *rowseal.Change
	err := c.t.writer.Update(ctx, database(c.db), c.row, columnsOf(set), func(todo rowseal.Change) (int64, error) {
		if err := c.checkSelected(todo); err != nil {
			return 0, err
		}
		if before != nil && isSame(*before, todo) && c.hasConditions() {
			return 0, errUnmet
		}
		before = &todo
		all := slices.Clone(set)
		for _, a := range todo.Set {
			all = append(all, clause.Assignment{Column: clause.Column{Name: a.Column}, Value: a.Value})
		}
		if len(all) == 0 {
			return 1, nil
		}
		c.db.Statement.Clauses = maps.Clone(clauses)
		c.execute(update, all, todo.Match)
		return c.db.RowsAffected, c.db.Error
	})
	switch {
	case errors.Is(err, sql.ErrNoRows) && c.saves && c.t.rows.MayBeMissing(c.row):
		c.insert()
	case errors.Is(err, errUnmet), errors.Is(err, sql.ErrNoRows) && c.saves && !c.t.isLoaded(c.row):
		c.db.RowsAffected = 0
	case c.db.Error != nil:
	case errors.Is(err, sql.ErrNoRows):
		c.db.AddError(fmt.Errorf("%w (%w)", err, gorm.ErrRecordNotFound))
	case err != nil:
		c.db.AddError(err)
	default:
		c.db.RowsAffected = 1
		c.tr.updated(c.t, c.row)
	}
}

// execute runs GORM's UPDATE with these assignments and conditions.
func (c *change) execute(update func(*gorm.DB), set clause.Set, match []rowseal.Match) {
	stmt := c.db.Statement
	stmt.SQL.Reset()
	stmt.Vars = nil
	stmt.AddClause(set)
	if len(match) > 0 {
		var exprs []clause.Expression
		for _, m := range match {
			exprs = append(exprs, condition(m))
		}
		stmt.AddClause(clause.Where{Exprs: exprs})
	}
	restore := c.t.plainReturning(stmt)
	c.db.RowsAffected = 0
	update(c.db)
	restore()
}

// placeholders are the assignments of a dry run, which seals nothing: what is set is shown as such.
func (c *change) placeholders(set clause.Set, todo rowseal.Change, err error) clause.Set {
	for _, a := range todo.Set {
		set = append(set, clause.Assignment{Column: clause.Column{Name: a.Column}, Value: a.Value})
	}
	if err == nil {
		return set
	}
	for _, f := range c.t.sealed {
		if slices.Contains(c.t.keys, f) || slices.Contains(c.t.values, f) && c.t.isSet(f, c.row) {
			set = append(set, clause.Assignment{Column: clause.Column{Name: f.DBName}, Value: c.t.value(f, c.row)})
		}
	}
	return set
}

// checkSelected refuses to write a field that Select or Omit leave out. What goes with a field needs no selecting.
func (c *change) checkSelected(todo rowseal.Change) error {
	for _, f := range c.t.values {
		if !c.selected.has(f.DBName) && slices.ContainsFunc(todo.Set, func(a rowseal.Assignment) bool { return a.Column == f.DBName }) {
			return c.refuseLeftOut(f.Name)
		}
	}
	return nil
}

// hasConditions tells whether the statement has conditions beside the primary key, soft deletion among them.
func (c *change) hasConditions() bool {
	stmt := c.db.Statement
	where, _ := stmt.Clauses["WHERE"].Expression.(clause.Where)
	return slices.ContainsFunc(where.Exprs, func(e clause.Expression) bool { _, own := e.(group); return own }) ||
		len(c.t.schema.UpdateClauses) > 0 && !stmt.Unscoped
}

// isSame tells whether two changes write and compare the same.
func isSame(a, b rowseal.Change) bool {
	text := func(c rowseal.Change) string {
		var s strings.Builder
		for _, set := range c.Set {
			fmt.Fprintf(&s, "%q=%q;", set.Column, bytesOf(set.Value))
		}
		for _, m := range c.Match {
			fmt.Fprintf(&s, "%q %t %q;", m.Column, m.Value == nil, bytesOf(m.Value))
		}
		return s.String()
	}
	return text(a) == text(b)
}

// bytesOf is what a column holds, in whichever type its driver gives it.
func bytesOf(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

func columnsOf(set clause.Set) []string {
	columns := make([]string, len(set))
	for i, a := range set {
		columns[i] = a.Column.Name
	}
	return columns
}

// group keeps conditions together, whatever is beside them.
type group struct{ clause.Expression }

// Build implements clause.Expression.
func (g group) Build(b clause.Builder) {
	b.WriteByte('(')
	g.Expression.Build(b)
	b.WriteByte(')')
}

// condition is a comparison that an UPDATE of a sealed row makes.
type condition rowseal.Match

// Build implements clause.Expression.
func (c condition) Build(b clause.Builder) {
	stmt, ok := b.(*gorm.Statement)
	if !ok {
		return
	}
	b.WriteString(sqlseal.Dialect(stmt.Name()).Condition(rowseal.Match(c), func(arg any) string {
		var placeholder strings.Builder
		stmt.AddVar(&placeholder, arg)
		return placeholder.String()
	}))
}
