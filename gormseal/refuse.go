package gormseal

import (
	"fmt"
	"slices"

	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
)

// judge refuses an UPDATE that is not one of a loaded row and that writes what only such a one writes. ids are columns of the
// primary key.
func judge(table string, set clause.Set, sealed, context, ids []string) error {
	for _, a := range set {
		if column := mentioned(a.Column.Name, sealed); column != "" {
			return fmt.Errorf("gormseal: column %s of %s is sealed, and is not written by a map, an expression, a clause, another struct, or for "+
				"rows that are not loaded; load the row, set its field and call Updates(&row), or Select(…).Updates(&row): %w",
				column, table, rowseal.ErrUnsealed)
		}
	}
	for _, a := range set {
		switch column := mentioned(a.Column.Name, context); {
		case column == "":
		case slices.Contains(ids, column):
			return fmt.Errorf("gormseal: column %s of %s is of the primary key, and the encryption context uses it, so that the row could not be opened "+
				"under another; load the row and open it, create a new row with its values, and delete the old one: %w",
				column, table, rowseal.ErrContextChanged)
		default:
			return fmt.Errorf("gormseal: the encryption context of %s uses column %s, and rows with another value there could not be opened; load the "+
				"row and open it, Clear it, set its values and the column, and call Updates(&row): %w",
				table, column, rowseal.ErrContextChanged)
		}
	}
	return nil
}

// judgeNames refuses an INSERT of anything but rows of a model that writes sealed columns.
func judgeNames(table string, columns, sealed []string) error {
	for _, c := range columns {
		if column := mentioned(c, sealed); column != "" {
			return fmt.Errorf("gormseal: column %s of %s is sealed, and is not written by a map or another struct; set the field of its model's "+
				"struct and call Create(&row): %w", column, table, rowseal.ErrUnsealed)
		}
	}
	return nil
}
