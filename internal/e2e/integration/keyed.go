package integration

import (
	"fmt"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// idColumn is a primary key in a database, and the Go type that an application has for it.
type idColumn struct {
	name string
	sql  string // the column's type and default
	ids  ids
}

// ids is a Go type of ids.
type ids interface {
	model(w *world, binding rowseal.Binding) Model
	// row returns a new row, with the nth example of an id, or none for 0.
	row(n int, value string) any
	// set sets the value of a row that was loaded; get returns it.
	set(row any, value string)
	get(row any) (string, error)
	// empty returns a row to load into, and the id of another to find it by.
	empty(of any) (row, id any)
}

// typed is an ids of examples.
type typed[ID any] []ID

// idsOf returns the ids that make gives for 1, 2 and 3.
func idsOf[ID any](make func(n int) ID) ids { return typed[ID]{make(1), make(2), make(3)} }

func (typed[ID]) model(w *world, binding rowseal.Binding) Model {
	m, err := rowseal.NewModel[Keyed[ID]]("keyed", w.ring, &rowseal.Options{Model: "Keyed", Binding: binding})
	w.must(err)
	return m
}

func (examples typed[ID]) row(n int, value string) any {
	row := &Keyed[ID]{}
	if n > 0 {
		row.ID = examples[n-1]
	}
	row.Value.Set(value)
	return row
}

func (typed[ID]) set(row any, value string)   { row.(*Keyed[ID]).Value.Set(value) }
func (typed[ID]) get(row any) (string, error) { return row.(*Keyed[ID]).Value.Get() }
func (typed[ID]) empty(of any) (row, id any)  { return &Keyed[ID]{}, of.(*Keyed[ID]).ID }

// place is a world with a table of Keyed rows.
type place struct {
	*world
	column  idColumn
	binding rowseal.Binding
	model   Model
}

// eachPlace runs a test for each of the database's columns, with fields that are bound to their column and to their row.
func eachPlace(w *world, columns map[string][]idColumn, test func(p *place)) {
	for _, c := range columns[w.d.Name] {
		for name, binding := range map[string]rowseal.Binding{"BindColumn": rowseal.BindColumn, "BindRow": rowseal.BindRow} {
			w.sub(c.name+" "+name, func(w *world) {
				test(&place{world: w, column: c, binding: binding, model: c.ids.model(w, binding)})
			})
		}
	}
}

// create makes the table. key is what is to be said of the key column: NOT NULL.
func (p *place) create(key string) {
	p.Helper()
	p.exec("CREATE TABLE keyed (id " + p.column.sql + " PRIMARY KEY, encrypted_kms_key text " + key + ", value_ciphertext text)")
}

func valueOf(n int) string { return fmt.Sprint(secret, " value ", n) }

// holdsAll looks at the rows in the database as world.holds does. They are as many as the numbers, and have their values.
func (p *place) holdsAll(numbers ...int) {
	p.Helper()
	p.quietly(func() {
		p.Helper()
		table, err := rowseal.NewTable(p.model.Rows().Schema(), p.ring, nil)
		p.must(err)
		want := map[string]bool{}
		for _, n := range numbers {
			want[valueOf(n)] = true
		}
		rows := p.stored("keyed")
		if len(rows) != len(numbers) {
			p.Fatalf("%d rows, want %d", len(rows), len(numbers))
		}
		for _, columns := range rows {
			if id, ok := columns["id"].([]byte); ok && p.d.Name == dbtest.MariaDB.Name {
				columns["id"] = string(id) // as its driver gives text
			}
			row, err := table.Record(columns)
			p.must(err)
			p.must(table.Open(p.Context(), row))
			value := p.text(row, "value_ciphertext")
			if !want[value] {
				p.Errorf("a row has %q", value)
			}
			delete(want, value)
		}
	})
}
