package gormseal

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Open opens rows that were loaded through GORM, in one batch a KMS key: pointers to structs, slices and maps of them, and the
// structs in their fields, such as preloaded associations. nil pointers, and rows without sealed values, are passed over;
// rows that are open cost no request. A value of a type that cannot hold rows is an error. The rows that failed are in a
// *rowseal.BatchError; the others are open.
//
//	err := gormseal.Open(ctx, &users)
func Open(ctx context.Context, values ...any) error {
	if len(values) == 0 {
		return fmt.Errorf("gormseal: Open was given nothing; give it pointers to rows, or to slices of them: %w", kms.ErrInvalidRequest)
	}
	w := walk{rowsOf: boundTo}
	for _, v := range values {
		if v != nil && !planOf(reflect.TypeOf(v)).has {
			return fmt.Errorf("gormseal: nothing in a %T can be sealed; give Open pointers to rows, or to slices of them: %w", v, kms.ErrInvalidRequest)
		}
		if err := w.visit(reflect.ValueOf(v)); err != nil {
			return err
		}
	}
	return w.open(ctx)
}

// boundTo returns what a row was bound to when it was loaded, nil for one that has nothing to open.
func boundTo(row reflect.Value) (*rowseal.Rows, error) {
	loaded := false
	for _, path := range planOf(row.Type()).columns {
		switch v := row.FieldByIndex(path).Interface().(type) {
		case rowseal.DataKey:
			if rows := rowseal.RowsOf(v); rows != nil && rows.Type().Elem() == row.Type() {
				return rows, nil
			}
			loaded = loaded || !v.IsNull()
		case interface{ Ciphertext() string }:
			loaded = loaded || v.Ciphertext() != ""
		}
	}
	if loaded {
		return nil, fmt.Errorf("gormseal: a %s was not loaded through GORM and its key columns, so that its model is not known; open it with "+
			"Model.Open, or select its key columns too: %w", row.Type(), kms.ErrInvalidRequest)
	}
	return nil, nil
}

// walk collects the rows in values.
type walk struct {
	rowsOf  func(row reflect.Value) (*rowseal.Rows, error) // nil: nothing to open
	batches []rowseal.Batch
	copies  []rowseal.Batch // rows whose data key is in batches already
	seen    map[place]bool
	keys    map[rowseal.DataKey]bool
	count   int      // of rows
	back    []func() // put copies of structs back into their maps
}

type place struct {
	t reflect.Type
	p uintptr
}

func (w *walk) visit(v reflect.Value) error {
	if !v.IsValid() || !planOf(v.Type()).has {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return w.visit(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := w.visit(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		return w.visitMap(v)
	case reflect.Struct:
		return w.visitStruct(v)
	}
	return nil
}

// visitMap opens copies of the structs of a map, which have no address, and puts them back.
func (w *walk) visitMap(v reflect.Value) error {
	for _, key := range v.MapKeys() {
		before := w.count
		element := reflect.New(v.Type().Elem()).Elem()
		element.Set(v.MapIndex(key))
		if err := w.visit(element); err != nil {
			return err
		}
		if w.count > before && element.Kind() != reflect.Pointer {
			w.back = append(w.back, func() { v.SetMapIndex(key, element) })
		}
	}
	return nil
}

func (w *walk) visitStruct(v reflect.Value) error {
	plan := planOf(v.Type())
	if v.CanAddr() {
		at := place{v.Type(), v.Addr().Pointer()}
		if w.seen[at] {
			return nil
		}
		if w.seen == nil {
			w.seen = map[place]bool{}
		}
		w.seen[at] = true
	}
	if len(plan.columns) > 0 {
		rows, err := w.rowsOf(v)
		switch {
		case err != nil:
			return err
		case rows != nil && !v.CanAddr():
			return fmt.Errorf("gormseal: give a pointer to the %s, so that it can be opened: %w", v.Type(), kms.ErrInvalidRequest)
		case rows != nil:
			w.count++
			w.add(rows, v)
		}
	}
	for _, path := range plan.inside {
		field, err := v.FieldByIndexErr(path)
		if err != nil { // an embedded pointer is nil
			continue
		}
		if err := w.visit(field); err != nil {
			return err
		}
	}
	return nil
}

// add notes a row. GORM copies a row that several others refer to, and its data key is opened once.
func (w *walk) add(rows *rowseal.Rows, v reflect.Value) {
	if w.keys == nil {
		w.keys = map[rowseal.DataKey]bool{}
	}
	known := false
	for _, path := range planOf(v.Type()).columns {
		if key, ok := v.FieldByIndex(path).Interface().(rowseal.DataKey); ok && !key.IsNull() {
			known = known || w.keys[key]
			w.keys[key] = true
		}
	}
	if known {
		w.copies = append(w.copies, rowseal.Batch{Of: rows, Rows: []any{v.Addr().Interface()}})
		return
	}
	for i := range w.batches {
		if w.batches[i].Of == rows {
			w.batches[i].Rows = append(w.batches[i].Rows, v.Addr().Interface())
			return
		}
	}
	w.batches = append(w.batches, rowseal.Batch{Of: rows, Rows: []any{v.Addr().Interface()}})
}

func (w *walk) open(ctx context.Context) error {
	err := rowseal.OpenAll(ctx, w.batches...)
	if err == nil || len(w.copies) > 0 {
		err = errors.Join(err, rowseal.OpenAll(ctx, w.copies...))
	}
	for _, put := range w.back {
		put()
	}
	return err
}

// plan says where sealed rows are in a type.
type plan struct {
	has     bool
	columns [][]int // of a struct: its own sealed columns
	inside  [][]int // of a struct: fields that may have sealed rows in them
}

var plans sync.Map // reflect.Type → *plan

func planOf(t reflect.Type) *plan {
	if known, ok := plans.Load(t); ok {
		return known.(*plan)
	}
	p := &plan{has: reaches(t, map[reflect.Type]bool{})}
	if t.Kind() == reflect.Struct && p.has {
		p.addFields(t, nil)
	}
	plans.Store(t, p)
	return p
}

// addFields lists the fields of a struct and of the structs embedded in it.
func (p *plan) addFields(t reflect.Type, path []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(path[:len(path):len(path)], i)
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !isOurs(f.Type):
			p.addFields(f.Type, at)
		case !f.IsExported():
		case isOurs(f.Type):
			p.columns = append(p.columns, at)
		case reaches(f.Type, map[reflect.Type]bool{}):
			p.inside = append(p.inside, at)
		}
	}
}

// reaches tells whether a value of the type may have sealed columns in it. An interface may have anything.
func reaches(t reflect.Type, seen map[reflect.Type]bool) bool {
	if isOurs(t) || t.Kind() == reflect.Interface {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return reaches(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if (f.IsExported() || f.Anonymous) && reaches(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
