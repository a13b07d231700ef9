package rowseal

import (
	"context"
	"strings"
)

// Database tells what its tables look like; *sqlseal.DB is one.
type Database interface {
	// TableColumns lists the columns of a table as they are in the database; none if there is no such table.
	TableColumns(ctx context.Context, table string) ([]TableColumn, error)
	// Tables lists the tables and views, as schema.table where there are schemas. Check asks where a table is not there.
	Tables(ctx context.Context) ([]string, error)
}

// TableColumn is a column as it is in the database.
type TableColumn struct {
	Name       string
	AnyCase    bool   // the database takes the name in capital and small letters alike
	Type       string // as the database calls it
	Kind       ColumnKind
	Size       int  // the longest text in characters or the most bytes; 0: no limit that matters
	Fixed      bool // what is shorter than Size is filled up to it, and read so: PostgreSQL's char(n), MySQL's binary(n)
	Nullable   bool
	PrimaryKey bool // it is one of the primary key's columns
	Bytewise   bool // text is compared byte by byte, not by a collation that takes some letters for the same
	Generated  bool // the database makes the value by itself, and takes none
	OnUpdate   bool // the database changes the value by itself in every UPDATE that does not set it: MySQL's ON UPDATE
	Cuts       bool // the database cuts what is too long for the column, without an error
	Unreadable bool // this user of the database has no right to SELECT it
	Unwritable bool // this user has no right to INSERT it, nor to UPDATE it
}

// ColumnKind is what a column can hold.
type ColumnKind int

const (
	OtherColumn ColumnKind = iota // numbers, times, …
	TextColumn
	BytesColumn
	AnyColumn // text and bytes, each as it is: SQLite's
)

// is tells whether the column is the one that a Schema gives this name.
func (c TableColumn) is(name string) bool {
	return c.Name == name || c.AnyCase && strings.EqualFold(c.Name, name)
}
