package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
)

// checkFile finds that SQLite's file cannot be written to: SQLite knows no other rights. It comes before the file is opened as a
// database, whose locks would end with any other use of the file (https://sqlite.org/howtocorrupt.html §2.2).
func (d *doctor) checkFile() {
	if d.openOnly || d.Database.Dialect != sqlseal.SQLite {
		return
	}
	f, err := os.OpenFile(d.Database.Path, os.O_RDWR, 0)
	if err == nil {
		err = f.Close()
	}
	if errors.Is(err, fs.ErrPermission) {
		d.add(finding{Level: isFault, Problem: "this user may not write to its file; run this as the user of the application, " +
			"or use --open-only if it writes none"})
	}
}

// lookElsewhere finds tables with sealed-looking columns that the file does not have.
func (d *doctor) lookElsewhere(ctx context.Context) {
	tables, err := d.otherTables(ctx)
	if err != nil {
		d.add(finding{Level: isWarning, Problem: "its other tables could not be looked at: " + wording(err)})
		return
	}
	for _, table := range tables {
		columns, err := d.db.TableColumns(ctx, table)
		if err != nil {
			d.add(finding{isNote, table, "", "it could not be looked at: " + wording(err)})
			continue
		}
		if sealed := sealedLooking(columns); len(sealed) > 0 {
			d.add(finding{isWarning, table, strings.Join(sealed, ", "), "a name like this is of something sealed, and " + d.Name + " does not have the table; " +
				"add it, or 'rowseal rotate' leaves its rows behind, and their keys cannot be retired"})
		}
	}
}

// otherTables lists the tables of the database, but for those of other databases on the same server of MySQL, and for those of
// the file.
func (d *doctor) otherTables(ctx context.Context) ([]string, error) {
	all, err := d.db.tables(ctx, d.Database)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, t := range d.Tables {
		full, err := d.db.fullName(ctx, d.Database, t.Schema.Table)
		if err != nil {
			return nil, err
		}
		known = append(known, full)
	}
	return slices.DeleteFunc(all, func(table string) bool {
		return slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, table) })
	}), nil
}

// sealedLooking lists columns with the names that the Ruby gems give. The name of an uploader's file, report_file, is too common
// in tables that nobody has declared.
func sealedLooking(columns []rowseal.TableColumn) (names []string) {
	for _, c := range columns {
		name := strings.ToLower(c.Name)
		if strings.HasSuffix(name, "_ciphertext") || strings.HasPrefix(name, "encrypted_") || strings.HasSuffix(name, "_bidx") {
			names = append(names, c.Name)
		}
	}
	return names
}
