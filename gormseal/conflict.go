package gormseal

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// conflict is what an INSERT does to a row that is there already.
type conflict struct {
	does    onConflict
	target  []string
	updates clause.Set
	named   bool // the target is columns, not a constraint
	partly  bool // a condition may keep it from doing so
}

type onConflict int

const (
	fail    onConflict = iota // the database returns an error
	save                      // so too, but rows that were loaded are updated: GORM's Save, and what keepsContext says
	ignore                    // nothing is written
	update                    // columns that are not sealed
	replace                   // everything that is sealed, and maybe others: an upsert
)

// conflictOf reads the statement's clauses. columns are those that the INSERT writes.
func conflictOf(stmt *gorm.Statement, columns []string) (conflict, error) {
	insert, _ := stmt.Clauses["INSERT"].Expression.(clause.Insert)
	switch modifier := strings.ToUpper(insert.Modifier); {
	case strings.Contains(modifier, "REPLACE"):
		return conflict{}, fmt.Errorf("gormseal: INSERT %s into %s would delete rows, with what is sealed in them; name the columns in "+
			"clause.OnConflict: %w", insert.Modifier, stmt.Table, kms.ErrInvalidRequest)
	case strings.Contains(modifier, "IGNORE") && stmt.DB.Name() == string(sqlseal.MySQL):
		return conflict{}, fmt.Errorf("gormseal: INSERT %s into %s would cut what is too long for its column, and a ciphertext that is cut does not open; "+
			"use clause.OnConflict{DoNothing: true}: %w", insert.Modifier, stmt.Table, kms.ErrInvalidRequest)
	case strings.Contains(modifier, "IGNORE"):
		return conflict{does: ignore}, nil
	}
	has, there := stmt.Clauses["ON CONFLICT"]
	on, ok := has.Expression.(clause.OnConflict)
	switch {
	case there && !ok:
		return conflict{}, fmt.Errorf("gormseal: %s has a clause ON CONFLICT that is no clause.OnConflict, and cannot be judged: %w", stmt.Table, kms.ErrInvalidRequest)
	case !ok:
		return conflict{does: fail}, nil
	case on.DoNothing:
		return conflict{does: ignore}, nil
	case isSave(stmt, on):
		return conflict{does: save}, nil
	}
	c := conflict{does: update, updates: slices.Clone(on.DoUpdates), partly: len(on.Where.Exprs) > 0}
	for _, column := range on.Columns {
		c.target = append(c.target, column.Name)
	}
	if on.UpdateAll {
		c.updates = append(c.updates, everything(stmt, columns)...)
		if len(c.target) == 0 && stmt.Schema != nil {
			c.target = stmt.Schema.PrimaryFieldDBNames
		}
	}
	c.named = on.OnConstraint == ""
	return c, nil
}

// isSave recognizes what Save makes of a slice, FullSaveAssociations of associations, and Save of a struct that its UPDATE did
// not find.
func isSave(stmt *gorm.Statement, on clause.OnConflict) bool {
	_, tracksTime := stmt.Settings.Load("gorm:update_track_time")
	return on.UpdateAll && len(on.DoUpdates) == 0 && (tracksTime || stmt.SkipHooks && len(on.Columns) == 0 && slices.Equal(stmt.Selects, []string{"*"}))
}

// keepsContext recognizes what GORM makes of the association of a row whose encryption contexts have the foreign key, and lets
// new rows be inserted as in a Save: no row that is there gets another foreign key.
func (c *creation) keepsContext() bool {
	isContext := func(a clause.Assignment) bool { return slices.Contains(c.t.context, a.Column.Name) }
	isOther := func(a clause.Assignment) bool { return !isExcluded(a) }
	ids := c.t.schema.PrimaryFieldDBNames
	if c.tr.statement == c.db.Statement || c.conflict.does != update || c.conflict.partly || !c.conflict.named ||
		!slices.Equal(c.conflict.target, ids) || !slices.ContainsFunc(c.conflict.updates, isContext) || slices.ContainsFunc(c.conflict.updates, isOther) {
		return false
	}
	c.conflict.does = save
	return true
}

// everything is what UpdateAll means.
func everything(stmt *gorm.Statement, columns []string) clause.Set {
	selected := selectionOf(stmt, true, true)
	columns = slices.DeleteFunc(slices.Clone(columns), func(c string) bool {
		if stmt.Schema == nil || stmt.Schema.FieldsByDBName[c] == nil {
			return false
		}
		f := stmt.Schema.FieldsByDBName[c]
		return f.PrimaryKey || f.AutoCreateTime > 0 || !selected.has(c)
	})
	return clause.AssignmentColumns(columns)
}

// isExcluded tells whether a column gets what would have been inserted.
func isExcluded(a clause.Assignment) bool {
	v, ok := a.Value.(clause.Column)
	return ok && strings.EqualFold(v.Table, "excluded") && v.Name == a.Column.Name && !a.Column.Raw && !v.Raw
}

// judge refuses a conflict that would write some of what goes together, or a column of the encryption context that the target
// does not have, so that it may have another value in the row that is there.
func (c *conflict) judge(table string, d sqlseal.Dialect, sealed, context []string) error {
	var replaced []string
	for _, a := range c.updates {
		if column := mentioned(a.Column.Name, sealed); column != "" {
			if !isExcluded(a) {
				return fmt.Errorf("gormseal: OnConflict writes something else into %s of %s, which is sealed, than what is inserted; use UpdateAll, or "+
					"clause.AssignmentColumns with all sealed columns: %w", column, table, rowseal.ErrUnsealed)
			}
			replaced = append(replaced, column)
		}
		if column := mentioned(a.Column.Name, context); column != "" && !(isExcluded(a) && c.named && slices.Contains(c.target, column)) {
			return fmt.Errorf("gormseal: OnConflict writes column %s of %s, which the encryption context uses, and does not name it in Columns; name "+
				"it, or leave it out: %w", column, table, rowseal.ErrContextChanged)
		}
	}
	if len(replaced) == 0 {
		return c.judgeAnyIndex(table, d, context)
	}
	for _, column := range sealed {
		if !slices.Contains(replaced, column) {
			return fmt.Errorf("gormseal: OnConflict replaces %s of %s and not %s; what is sealed goes together: use UpdateAll, or "+
				"clause.AssignmentColumns with all sealed columns: %w", replaced[0], table, column, kms.ErrInvalidRequest)
		}
	}
	if !c.named || len(c.target) == 0 && d != sqlseal.MySQL {
		return fmt.Errorf("gormseal: OnConflict of %s replaces sealed columns, and does not name the columns by which a row is the same; give them in "+
			"Columns: %w", table, kms.ErrInvalidRequest)
	}
	c.does = replace
	return nil
}

// judgeAnyIndex refuses columns of the encryption context where the database takes any unique index for the target, as MySQL does: the
// row that is there may be the same by another one.
func (c *conflict) judgeAnyIndex(table string, d sqlseal.Dialect, context []string) error {
	for _, a := range c.updates {
		if column := mentioned(a.Column.Name, context); column != "" && d == sqlseal.MySQL {
			return fmt.Errorf("gormseal: OnConflict writes column %s of %s, which the encryption context uses, and MySQL and MariaDB know no target, so "+
				"that it may be another row's; leave it out: %w", column, table, rowseal.ErrContextChanged)
		}
	}
	return nil
}
