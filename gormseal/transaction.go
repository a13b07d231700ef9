package gormseal

import (
	"context"
	"database/sql"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal/kms"
)

// transaction is that of a statement and of those that GORM runs for its associations: the settings of a statement are handed
// down to them.
type transaction struct {
	statement *gorm.Statement          // the outermost
	callers   bool                     // the transaction is the caller's
	unsure    bool                     // nobody but the caller knows how it ends
	sealed    map[*gorm.Statement]bool // the Creates whose rows were sealed, and whether their keys wait for ids
	written   []written
}

type written struct {
	t    *table
	rows []any
}

const transactionKey = name + ":transaction"

// transactionOf returns the statement's, or one that starts with it. GORM's own has not begun then.
func transactionOf(stmt *gorm.Statement) *transaction {
	if tr, ok := stmt.Settings.Load(transactionKey); ok {
		return tr.(*transaction)
	}
	tr := &transaction{statement: stmt, callers: isTransaction(stmt.ConnPool), unsure: !isPool(stmt.ConnPool), sealed: map[*gorm.Statement]bool{}}
	stmt.Settings.Store(transactionKey, tr)
	return tr
}

// unprepared is where a statement runs without gorm.Config.PrepareStmt: MySQL prepares no SAVEPOINT.
func unprepared(pool gorm.ConnPool) gorm.ConnPool {
	switch p := pool.(type) {
	case *gorm.PreparedStmtTX:
		return p.Tx
	case *gorm.PreparedStmtDB:
		return p.ConnPool
	}
	return pool
}

// isPool tells whether no transaction is under way where a statement runs. Of a *sql.Conn that cannot be seen.
func isPool(pool gorm.ConnPool) bool {
	_, ok := unprepared(pool).(interface{ Stats() sql.DBStats })
	return ok
}

func isTransaction(pool gorm.ConnPool) bool {
	_, ok := pool.(gorm.TxCommitter)
	return ok
}

// guard refuses requests to a KMS inside a transaction of the caller's, where that was asked for.
func (in *installed) guard(ctx context.Context, callers bool) context.Context {
	if in.noKMSInTransaction && callers {
		return kms.WithBudget(ctx, 0)
	}
	return ctx
}

// inserted notes that rows are in the database, and written that they are if the transaction is committed.
func (tr *transaction) inserted(t *table, rows []any) {
	t.rows.Inserted(rows...)
	t.rows.Bind(rows...)
	tr.written = append(tr.written, written{t, rows})
}

func (tr *transaction) updated(t *table, rows ...any) {
	t.rows.Written(rows...)
	t.rows.Bind(rows...)
	tr.written = append(tr.written, written{t, rows})
}

// end tells rows that they are committed, where GORM has committed them. Objects of files that are not referred to any more are
// deleted then; one that cannot be deleted is garbage, and no failure of the statement.
func (in *installed) end(db *gorm.DB) {
	tr, ok := db.Statement.Settings.Load(transactionKey)
	if !ok || tr.(*transaction).statement != db.Statement {
		return
	}
	db.Statement.Settings.Delete(transactionKey)
	if db.Error != nil || tr.(*transaction).unsure {
		return
	}
	for _, w := range tr.(*transaction).written {
		if err := w.t.rows.Committed(db.Statement.Context, w.rows...); err != nil {
			db.Logger.Error(db.Statement.Context, "gormseal: the rows are committed; afterwards: %v", err)
		}
	}
}

// together runs do in the transaction that there is, or in one of its own. A transaction of the caller's may go on after the
// error, and then without half of what was done.
func together(db *gorm.DB, callers bool, do func()) {
	pool := db.Statement.ConnPool
	switch {
	case db.DryRun, isTransaction(pool) && !callers:
		do()
		return
	case callers:
		err := database(db).Undoing(db.Statement.Context, func() error { do(); return db.Error })
		db.Error = nil // which is in err
		db.AddError(err)
		return
	}
	tx := db.Begin()
	if tx.Error != nil {
		db.AddError(tx.Error)
		return
	}
	done := false
	defer func() {
		db.Statement.ConnPool = pool
		if !done || db.Error != nil {
			tx.Rollback()
		}
	}()
	db.Statement.ConnPool = tx.Statement.ConnPool
	do()
	if done = true; db.Error == nil {
		db.AddError(tx.Commit().Error)
	}
}
