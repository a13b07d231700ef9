package sqlseal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// updateOf is the UPDATE of a row. also are the columns that it writes beside those that are sealed.
func (w *Writer) updateOf(d Dialect, row any, change rowseal.Change, also []rowseal.Assignment) (statement, error) {
	b := &builder{Dialect: d}
	b.write("UPDATE ", b.Quote(w.schema.Table), " SET ")
	for i, a := range slices.Concat(also, change.Set) {
		if i > 0 {
			b.write(", ")
		}
		b.write(b.Quote(a.Column), " = ", b.value(a.Value))
	}
	b.write(" WHERE ")
	if err := w.wherePrimaryKey(b, row); err != nil {
		return statement{}, err
	}
	for _, m := range change.Match {
		b.write(" AND ", b.Condition(m, b.value))
	}
	return b.statement(), nil
}

// plain are the columns that are not sealed and that the Writer writes.
func (w *Writer) plain(row any) ([]rowseal.Assignment, error) {
	var all []rowseal.Assignment
	for _, column := range w.opts.Columns {
		v, err := w.rows.Value(row, column)
		if err != nil {
			return nil, err
		}
		all = append(all, rowseal.Assignment{Column: column, Value: v})
	}
	return all, nil
}

// inserted are the columns of an INSERT: the primary key where the row has it, the Writer's own, and those that are sealed but
// for the ones that are left out.
func (w *Writer) inserted(row any, without []string) (columns []rowseal.Assignment, hasID bool, err error) {
	for _, column := range w.opts.PrimaryKey {
		id, err := w.rows.Value(row, column)
		if err != nil {
			return nil, false, err
		}
		if hasID = !isZero(id); hasID {
			columns = append(columns, rowseal.Assignment{Column: column, Value: id})
		}
	}
	plain, err := w.plain(row)
	if err != nil {
		return nil, false, err
	}
	columns = append(columns, plain...)
	if len(without) > 0 {
		return columns, hasID, nil
	}
	sealed, err := w.rows.Values(row)
	return append(columns, sealed...), hasID, err
}

// insertOf is the INSERT of rows that write the same columns.
func (w *Writer) insertOf(d Dialect, rows [][]rowseal.Assignment) *builder {
	b := &builder{Dialect: d}
	b.write("INSERT INTO ", b.Quote(w.schema.Table))
	switch {
	case len(rows[0]) > 0:
	case d == MySQL:
		b.write(" () VALUES ()")
		return b
	default:
		b.write(" DEFAULT VALUES")
		return b
	}
	b.write(" (", b.names(columnsOf(rows[0])), ") VALUES ")
	for i, row := range rows {
		if i > 0 {
			b.write(", ")
		}
		values := make([]string, len(row))
		for j, a := range row {
			values[j] = b.value(a.Value)
		}
		b.write("(", strings.Join(values, ", "), ")")
	}
	return b
}

func columnsOf(row []rowseal.Assignment) []string {
	names := make([]string, len(row))
	for i, a := range row {
		names[i] = a.Column
	}
	return names
}

// onConflict lets an INSERT replace everything that is sealed in the row that is there already, and the Writer's own columns.
func (w *Writer) onConflict(b *builder, target, columns []string) {
	incoming := func(column string) string { return "excluded." + b.Quote(column) }
	if b.Dialect == MySQL {
		b.write(" ON DUPLICATE KEY UPDATE ")
		incoming = func(column string) string { return "VALUES(" + b.Quote(column) + ")" }
	} else {
		b.write(" ON CONFLICT (", b.names(target), ") DO UPDATE SET ")
	}
	first := true
	for _, column := range columns {
		if slices.Contains(target, column) || slices.Contains(w.opts.PrimaryKey, column) {
			continue
		}
		if !first {
			b.write(", ")
		}
		first = false
		b.write(b.Quote(column), " = ", incoming(column))
	}
}

// checkTarget refuses an upsert whose data keys would be wrapped for another row than the one that is there already.
func (w *Writer) checkTarget(target []string) error {
	for _, column := range w.rows.ContextColumns() {
		if !slices.Contains(target, column) {
			return fmt.Errorf("sqlseal: an upsert of %s by %s may meet a row with another %s, which the encryption context uses, so that the new "+
				"data key would not be that row's; name %[3]s too, or load the row and Update it: %w",
				w.schema.Table, strings.Join(target, ", "), column, kms.ErrInvalidRequest)
		}
	}
	return nil
}
