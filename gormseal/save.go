package gormseal

import (
	"database/sql"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
	"gorm.io/gorm/utils"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// save does for rows that are in the database what the INSERT's ON CONFLICT would have done, with an UPDATE each, which
// compares and swaps. GORM comes here with Save of a slice, and with the associations of a row that it saves.
func (c *creation) save() error {
	inserted := int64(0)
	if len(c.fresh) > 0 {
		inserted = c.db.RowsAffected
	}
	for _, row := range c.loaded {
		if err := c.saveOne(row); err != nil {
			return err
		}
	}
	c.db.RowsAffected = inserted + int64(len(c.loaded))
	return nil
}

func (c *creation) saveOne(row any) error {
	stmt := c.db.Statement
	if c.conflict.does == ignore || len(c.conflict.updates) > 0 {
		if err := c.refuseChanged(row); err != nil || c.conflict.does == ignore {
			return err
		}
	}
	tx := c.db.Session(&gorm.Session{NewDB: true, SkipHooks: true}).Set(transactionKey, c.tr)
	if stmt.Unscoped {
		tx = tx.Unscoped()
	}
	switch {
	case len(c.conflict.updates) > 0:
		var columns []string
		for _, a := range c.conflict.updates {
			if !isExcluded(a) {
				return fmt.Errorf("gormseal: OnConflict computes %s of a row of %s that was loaded; update the row instead: %w",
					a.Column.Name, c.t.schema.Table, kms.ErrInvalidRequest)
			}
			columns = append(columns, a.Column.Name)
		}
		tx = tx.Select(columns)
	case len(stmt.Selects) > 0:
		tx = tx.Select(stmt.Selects)
	default:
		tx = tx.Select("*")
	}
	if !stmt.SkipHooks {
		if err := c.t.touch(c.db, row); err != nil {
			return err
		}
	}
	tx = tx.Omit(append([]string{clause.Associations}, stmt.Omits...)...).Updates(row)
	if tx.Error != nil || tx.RowsAffected > 0 || c.db.DryRun {
		return tx.Error
	}
	return c.t.find(c.db, row)
}

// findMissing lets rows be inserted again whose INSERT was rolled back. Of others, one that is gone is an error.
func (c *creation) findMissing() error {
	unsure := slices.DeleteFunc(slices.Clone(c.loaded), func(row any) bool { return !c.t.rows.MayBeMissing(row) })
	if len(unsure) == 0 || c.db.DryRun {
		return nil
	}
	there, err := c.t.present(c.db, unsure, true)
	if err != nil {
		return err
	}
	c.loaded = slices.DeleteFunc(c.loaded, func(row any) bool {
		missing := c.t.rows.MayBeMissing(row) && !there[c.t.id(row)]
		if missing {
			c.fresh = append(c.fresh, row)
			delete(c.tr.sealed, c.db.Statement) // it was not among the rows to insert
		}
		return missing
	})
	return nil
}

// touch sets the fields that GORM sets to the time of an update.
func (t *table) touch(db *gorm.DB, row any) error {
	now := db.NowFunc()
	for _, f := range t.schema.Fields {
		if f.AutoUpdateTime == 0 || f.DBName == "" {
			continue
		}
		var v any = now
		switch f.AutoUpdateTime {
		case schema.UnixNanosecond:
			v = now.UnixNano()
		case schema.UnixMillisecond:
			v = now.UnixMilli()
		case schema.UnixSecond:
			v = now.Unix()
		}
		if err := f.Set(db.Statement.Context, reflect.ValueOf(row), v); err != nil {
			return err
		}
	}
	return nil
}

// errGone is GORM's error and that of database/sql.
var errGone = fmt.Errorf("%w (%w)", gorm.ErrRecordNotFound, sql.ErrNoRows)

// find returns an error if a row is not in the database. MySQL counts no row that an UPDATE leaves as it was.
func (t *table) find(db *gorm.DB, row any) error {
	there, err := t.present(db, []any{row}, db.Statement.Unscoped)
	if err == nil && !there[t.id(row)] {
		err = fmt.Errorf("gormseal: a row of %s that is to be saved is not there any more; Create it, if it is to be again: %w", t.schema.Table, errGone)
	}
	return err
}

// present tells which rows are in the database, by id; deleted: those too that are softly deleted.
func (t *table) present(db *gorm.DB, rows []any, deleted bool) (map[string]bool, error) {
	there := map[string]bool{}
	for some := range slices.Chunk(rows, rowsAtOnce) {
		values := make([][]any, len(some))
		for i, row := range some {
			for _, f := range t.schema.PrimaryFields {
				values[i] = append(values[i], t.value(f, row))
			}
		}
		column, in := schema.ToQueryValues(clause.CurrentTable, t.schema.PrimaryFieldDBNames, values)
		found := reflect.New(reflect.SliceOf(t.schema.ModelType))
		tx := db.Session(&gorm.Session{NewDB: true, SkipHooks: true}).Select(t.schema.PrimaryFieldDBNames)
		if deleted {
			tx = tx.Unscoped()
		}
		if err := tx.Where(clause.IN{Column: column, Values: in}).Find(found.Interface()).Error; err != nil {
			return nil, err
		}
		for i := range found.Elem().Len() {
			there[t.id(found.Elem().Index(i).Addr().Interface())] = true
		}
	}
	return there, nil
}

// rowsAtOnce keeps a statement below the fewest arguments that a database takes, SQLite's 32,766.
const rowsAtOnce = 1000

// id is the primary key of a row as a key for maps.
func (t *table) id(row any) string {
	var values []any
	for _, f := range t.schema.PrimaryFields {
		values = append(values, t.value(f, row))
	}
	return utils.ToStringKey(values...)
}

// explain says what to do about the error of an INSERT that Save has made of a row which was never loaded.
func (t *table) explain(tx *gorm.DB) error {
	if !isDuplicate(tx) {
		return tx.Error
	}
	return fmt.Errorf("gormseal: a row of %s that was never loaded is new to Save, and there is one with its primary key, or with another "+
		"unique value; to change that one, load the row, set its fields and Save it: %w", t.schema.Table, tx.Error)
}

// refuseSet refuses a row with values that a statement leaves out, and that the caller would believe to be saved.
func (t *table) refuseSet(row any) error {
	for _, f := range t.values {
		if t.isSet(f, row) {
			return t.refuseUnwritten(f.Name)
		}
	}
	return nil
}

func (t *table) refuseUnwritten(field string) error {
	return fmt.Errorf("gormseal: %s of a row of %s has changed, and this statement does not write it; Updates(&row) does: %w",
		field, t.schema.Table, rowseal.ErrUnsealed)
}

// refuseChanged is refuseSet for values that are sealed already, too. Where nobody knows what the database has, it is asked.
func (c *creation) refuseChanged(row any) error {
	if err := c.t.refuseSet(row); err != nil || c.db.DryRun {
		return err
	}
	todo, err := c.t.rows.Change(row, nil, nil)
	if err != nil || len(todo.Set) == 0 {
		return err
	}
	ctx := c.in.guard(c.db.Statement.Context, c.tr.callers)
	return c.t.writer.Update(ctx, database(c.db), row, nil, func(todo rowseal.Change) (int64, error) {
		if len(todo.Set) > 0 {
			return 0, c.t.refuseUnwritten(c.t.fieldOf(todo.Set))
		}
		return 1, nil
	})
}

// fieldOf names what a change writes: a field, or else the key.
func (t *table) fieldOf(set []rowseal.Assignment) string {
	for _, f := range slices.Concat(t.values, t.keys) {
		if slices.ContainsFunc(set, func(a rowseal.Assignment) bool { return a.Column == f.DBName }) {
			return f.Name
		}
	}
	return set[0].Column
}
