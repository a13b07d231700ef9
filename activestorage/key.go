package activestorage

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
)

// keyed is a Box that tells where its data key is, as *rowseal.FileBox does. ok is false where there is none to compare:
// its key is derived from a master key.
type keyed interface {
	KeyColumn() (table, primaryKey string, id any, column string, wrapped driver.Value, ok bool)
}

// dataKey is the key of a box.
type dataKey struct {
	place   keyPlace
	wrapped driver.Value // as the column shall have it: a string, a []byte, or nil for NULL
}

// keyPlace is a cell of the database.
type keyPlace struct {
	table, primaryKey, column string
	id                        any
}

func keyOf(box Box) (k dataKey, ok bool) {
	if box, is := box.(keyed); is {
		k.place.table, k.place.primaryKey, k.place.id, k.place.column, k.wrapped, ok = box.KeyColumn()
	}
	return k, ok
}

// replaces reports whether one is to stand where the other is.
func (k dataKey) replaces(old dataKey) bool {
	return reflect.DeepEqual(k.place, old.place) && !sameText(k.wrapped, old.wrapped)
}

// sameText compares bytewise, as many a database's = does not, and takes NULL for NULL alone.
func sameText(a, b driver.Value) bool {
	x, y := textOf(a), textOf(b)
	return bytes.Equal(x, y) && (x == nil) == (y == nil)
}

func textOf(v driver.Value) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return append([]byte{}, v...)
	}
	return nil
}

// holdKey makes sure that the row has the data key of the box and, until the transaction has ended, keeps it.
func (c *Change) holdKey(ctx context.Context, box Box) error {
	k, ok := keyOf(box)
	if !ok {
		return nil
	}
	d := c.storage.dialect
	id, err := d.id(k.place.id)
	if err != nil {
		return err
	}
	if d == SQLite {
		// It has no row locks. One who reads first and writes later fails where two do so, instead of waiting.
		if _, err := c.tx.ExecContext(ctx, `UPDATE active_storage_attachments SET id = id WHERE 0`); err != nil {
			return err
		}
	}
	stored, err := queryAsItIs(ctx, c.tx, scanBytes, d.keyColumn(k.place), id)
	if err != nil {
		return err
	}
	if len(stored) == 1 && sameText(stored[0], k.wrapped) {
		return nil
	}
	return fmt.Errorf("%s.%s does not hold the box's data key: save a new key first, in this transaction; "+
		"otherwise load the row again and take its box anew: %w", k.place.table, k.place.column, ErrConflict)
}

// holdKeys does so for a move from one box to another. A key that is to stand where the old one is need not be there yet.
func (c *Change) holdKeys(ctx context.Context, from, to Box) error {
	if err := c.holdKey(ctx, from); err != nil {
		return err
	}
	old, _ := keyOf(from)
	if k, ok := keyOf(to); ok && k.replaces(old) {
		return nil
	}
	return c.holdKey(ctx, to)
}

// replacesKey reports whether what is under from opens nowhere once the key of to is in the database.
func replacesKey(from, to Box) bool {
	old, isOld := keyOf(from)
	k, isNew := keyOf(to)
	return isOld && isNew && k.replaces(old)
}

func scanBytes(rows *sql.Rows) (driver.Value, error) {
	var text []byte
	if err := rows.Scan(&text); err != nil || text == nil {
		return nil, err
	}
	return text, nil
}

// keyColumn returns the statement that reads a row's key, with the id as its parameter, and locks the row.
func (d Dialect) keyColumn(p keyPlace) string {
	return `SELECT ` + d.quote(p.column) + ` FROM ` + d.quote(strings.Split(p.table, ".")...) +
		` WHERE ` + d.quote(p.primaryKey) + ` = ` + d.sql(`?`) + d.forUpdate()
}

// quote returns a name, or one after its schema's.
func (d Dialect) quote(names ...string) string {
	mark := d.sql(`"`)
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = mark + strings.ReplaceAll(name, mark, mark+mark) + mark
	}
	return strings.Join(quoted, ".")
}

// forUpdate ends a SELECT that locks its rows, and sees what others have committed by then, whatever the transaction saw
// before (MySQL 8.4 Reference Manual, 17.7.2.4 Locking Reads). In SQLite a transaction that writes is alone.
func (d Dialect) forUpdate() string {
	if d == SQLite {
		return ""
	}
	return ` FOR UPDATE`
}

// id returns the parameter for a primary key as the row has it: bytes may be a binary UUID, but PostgreSQL's drivers
// give texts as bytes too, and would take them for a bytea.
func (d Dialect) id(id any) (any, error) {
	switch v := id.(type) {
	case driver.Valuer:
		return v, nil
	case []byte:
		if d == PostgreSQL {
			return string(v), nil
		}
		return v, nil
	}
	return idText(id)
}
