package gormseal

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// Model is a *rowseal.Model[T] or a *rowseal.Sealer[T].
type Model interface {
	Rows() *rowseal.Rows
}

// Plugin is a gorm.Plugin for one *gorm.DB and all its sessions. Its fields are read when it is installed by db.Use.
type Plugin struct {
	// Models are the structs with sealed fields: one Model a struct. Several structs may be of one table.
	Models []Model
	// Tables has options for tables, by name.
	Tables map[string]TableOptions
	// NoKMSInTransaction refuses requests to a KMS inside a transaction of the caller's, with kms.ErrBudget: what needs one is
	// to be sealed or opened before the transaction. The transactions that GORM begins for a single statement do not count,
	// but for those of CreateInBatches.
	NoKMSInTransaction bool

	installed *installed
}

// TableOptions are those of one table. The zero value is right for most.
type TableOptions struct {
	// OpenOnFind opens the table's rows whenever they are found, as the scope OpenOnFind does for a query.
	OpenOnFind bool
	// Order is the order of events for new rows whose encryption context has an id that they do not have yet.
	Order sqlseal.Order
}

const name = "gormseal"

// New returns a Plugin for the models, to be installed by db.Use before the structs are first used with db.
func New(models ...Model) *Plugin { return &Plugin{Models: models} }

// Name implements gorm.Plugin.
func (*Plugin) Name() string { return name }

// Initialize implements gorm.Plugin. It refuses models whose columns GORM would name differently, and says how to mend that.
func (p *Plugin) Initialize(db *gorm.DB) error {
	if p.installed != nil {
		return fmt.Errorf("gormseal: the plugin is installed already; make another one for each gorm.Open: %w", kms.ErrInvalidRequest)
	}
	before := db.NamingStrategy
	in, err := p.install(db)
	if err != nil {
		db.NamingStrategy = before
		return err
	}
	p.installed = in
	return in.register(db)
}

// installed is a Plugin at work. It does not change, and is shared by all sessions.
type installed struct {
	tables             []*table
	byType             map[reflect.Type]*table // by the struct's type
	noKMSInTransaction bool
	opens              bool     // a table has OpenOnFind
	strangers          sync.Map // reflect.Type → bool: has sealed fields, and no Model
}

func (p *Plugin) install(db *gorm.DB) (*installed, error) {
	in := &installed{byType: map[reflect.Type]*table{}, noKMSInTransaction: p.NoKMSInTransaction}
	if len(p.Models) == 0 {
		return nil, fmt.Errorf("gormseal: give the models of the tables that have sealed columns: %w", kms.ErrInvalidRequest)
	}
	if known := []sqlseal.Dialect{sqlseal.PostgreSQL, sqlseal.MySQL, sqlseal.SQLite}; !slices.Contains(known, sqlseal.Dialect(db.Name())) {
		return nil, fmt.Errorf("gormseal: the database is %s, and known are %q: %w", db.Name(), known, kms.ErrInvalidRequest)
	}
	names := namer{Namer: db.NamingStrategy}
	for i, m := range p.Models {
		if v := reflect.ValueOf(m); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			return nil, fmt.Errorf("gormseal: model %d is nil: %w", i, kms.ErrInvalidRequest)
		}
		names.rows = append(names.rows, m.Rows())
	}
	db.NamingStrategy = names
	var errs []error
	for _, rows := range names.rows {
		t, err := newTable(db, rows, p.Tables[rows.Schema().Table])
		if err == nil && in.byType[t.schema.ModelType] != nil {
			err = fmt.Errorf("gormseal: %s has two models; give one: %w", t.schema.ModelType, kms.ErrInvalidRequest)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		in.tables = append(in.tables, t)
		in.byType[t.schema.ModelType] = t
		in.opens = in.opens || t.options.OpenOnFind
	}
	for _, table := range slices.Sorted(maps.Keys(p.Tables)) {
		if !slices.ContainsFunc(names.rows, func(r *rowseal.Rows) bool { return r.Schema().Table == table }) {
			errs = append(errs, fmt.Errorf("gormseal: Plugin.Tables has %s, which no model is of: %w", table, kms.ErrInvalidRequest))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, in.checkNeighbours())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, t := range in.tables {
		t.makeWriter(in.tables)
		t.guardFields()
		t.chooseTypes(sqlseal.Dialect(db.Name()))
	}
	return in, nil
}

// register puts the plugin's steps around those of GORM, which are in the middle column; * is the first or last of all.
//
//	Create   *                            judge the statement; seal what can be sealed before the transaction
//	         gorm:begin_transaction       hooks, belongs-to associations
//	         gorm:create                  judge and seal again, INSERT; UPDATE the keys of rows that had no id
//	         gorm:commit_or_rollback…     other associations, hooks
//	         *                            tell the rows that they are committed
//	Update   *                            judge the statement; seal what can be sealed before the transaction
//	         gorm:begin_transaction       hooks, belongs-to associations
//	         gorm:update                  judge and seal again; compare and swap, until it is clear who won
//	         gorm:commit_or_rollback…     other associations, hooks
//	         *                            tell the rows that they are committed
//	Delete   *                            judge the conditions
//	Query    gorm:query                   judge the structs and the conditions
//	         gorm:preload
//	         gorm:after_query             open the rows of the outermost query, if that was asked for; hooks
//	Row      gorm:row                     judge the structs and the conditions
//
// A statement is judged twice, because hooks and other plugins change it in between, and the first time saves requests and
// transactions. Whatever passes both by ends at the Valuers of the columns, which do not hand out what is not sealed; and every
// value that GORM puts into a sealed field goes through table.guardFields.
func (in *installed) register(db *gorm.DB) error {
	create, update, query, row := db.Callback().Create(), db.Callback().Update(), db.Callback().Query(), db.Callback().Row()
	insert, change := create.Get("gorm:create"), update.Get("gorm:update")
	if insert == nil || change == nil {
		return fmt.Errorf("gormseal: this db has no gorm:create and gorm:update, so that nothing can be sealed there: %w", kms.ErrInvalidRequest)
	}
	return errors.Join(
		create.Before("*").Register("gormseal:begin_create", in.beginCreate),
		create.Replace("gorm:create", in.create(insert)),
		create.After("*").Register("gormseal:end_create", in.end),
		update.Before("*").Register("gormseal:begin_update", in.beginUpdate),
		update.Replace("gorm:update", in.update(change)),
		update.After("*").Register("gormseal:end_update", in.end),
		db.Callback().Delete().Before("*").Register("gormseal:begin_delete", in.beginDelete),
		query.Before("gorm:query").Register("gormseal:begin_query", in.beginQuery),
		query.Before("gorm:after_query").Register("gormseal:end_query", in.endQuery),
		row.Before("gorm:row").Register("gormseal:begin_row", in.beginQuery),
	)
}

// checkNeighbours refuses a struct with a plain field for a column that another struct of the same table seals.
func (in *installed) checkNeighbours() error {
	for _, t := range in.tables {
		for _, other := range in.tables {
			if !strings.EqualFold(t.schema.Table, other.schema.Table) {
				continue
			}
			for _, column := range other.rows.SealedColumns() {
				if t.schema.FieldsByDBName[column] != nil && !slices.Contains(t.rows.SealedColumns(), column) {
					return fmt.Errorf("gormseal: column %s of %s is sealed in %s and plain in %s; leave it out there (gorm:\"-\"), or seal it: %w",
						column, t.schema.Table, other.schema.ModelType, t.schema.ModelType, kms.ErrInvalidRequest)
				}
			}
		}
	}
	return nil
}
