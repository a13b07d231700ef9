package gormfacts

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// Author owns Books, has a Profile and belongs to a Publisher: each kind of association, with hooks of the user's own.
type Author struct {
	ID          int64
	Name        string
	PublisherID *int64
	Publisher   *Publisher
	Profile     *Profile
	Books       []Book
	Tags        []Tag `gorm:"many2many:author_tags"`
}

type Publisher struct {
	ID   int64
	Name string
}

type Profile struct {
	ID       int64
	AuthorID int64
	Text     string
}

type Book struct {
	ID       int64
	AuthorID int64
	Title    string
}

type Tag struct {
	ID   int64
	Name string
}

var authorModels = []any{&Publisher{}, &Author{}, &Profile{}, &Book{}, &Tag{}}

func author() *Author {
	return &Author{Name: "a", Publisher: &Publisher{Name: "p"}, Profile: &Profile{Text: "t"},
		Books: []Book{{Title: "b1"}, {Title: "b2"}}, Tags: []Tag{{Name: "t"}}}
}

func (*Author) BeforeCreate(tx *gorm.DB) error { return hooked(tx, "BeforeCreate") }
func (*Author) AfterCreate(tx *gorm.DB) error  { return hooked(tx, "AfterCreate") }
func (*Author) BeforeUpdate(tx *gorm.DB) error { return hooked(tx, "BeforeUpdate") }
func (*Author) AfterUpdate(tx *gorm.DB) error  { return hooked(tx, "AfterUpdate") }
func (*Author) AfterFind(tx *gorm.DB) error    { return hooked(tx, "AfterFind") }

type eventsKey struct{}

// events is what happened, in order; it travels in the context of a db.
type events []string

func (e *events) add(format string, args ...any) { *e = append(*e, fmt.Sprintf(format, args...)) }

func hooked(tx *gorm.DB, name string) error {
	if e, ok := tx.Statement.Context.Value(eventsKey{}).(*events); ok {
		e.add("%s", name)
	}
	return nil
}

// poolOf names the kind of connection that a statement would use.
func poolOf(db *gorm.DB) string {
	if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
		return "transaction"
	}
	return "pool"
}

func TestTheOrderOfACreate(t *testing.T) {
	db := open(t, nil, authorModels...)
	var seen events
	db = db.WithContext(withEvents(t, &seen))
	create := db.Callback().Create()
	note := func(name string) func(*gorm.DB) {
		return func(db *gorm.DB) { seen.add("%s %s in %s", name, db.Statement.Table, poolOf(db)) }
	}
	must(t, create.Before("gorm:begin_transaction").Register("test:1", note("before begin")))
	must(t, create.Before("gorm:create").Register("test:2", note("before")))
	must(t, create.Before("gorm:save_after_associations").Register("test:3", note("after")))
	must(t, create.After("gorm:commit_or_rollback_transaction").Register("test:4", note("after commit")))

	must(t, db.Create(author()).Error)
	equal(t, "events", strings.Join(seen, "\n"), strings.Join([]string{
		"before begin authors in pool",
		"BeforeCreate",
		"before begin publishers in transaction", // belongs to: before the owner
		"before publishers in transaction",
		"after publishers in transaction",
		"after commit publishers in transaction",
		"before authors in transaction",
		"after authors in transaction",
		"before begin profiles in transaction", // has one, has many, many to many: after it
		"before profiles in transaction",
		"after profiles in transaction",
		"after commit profiles in transaction",
		"before begin books in transaction",
		"before books in transaction", // a list is one create
		"after books in transaction",
		"after commit books in transaction",
		"before begin tags in transaction",
		"before tags in transaction",
		"after tags in transaction",
		"after commit tags in transaction",
		"before begin author_tags in transaction",
		"before author_tags in transaction",
		"after author_tags in transaction",
		"after commit author_tags in transaction",
		"AfterCreate",
		"after commit authors in pool",
	}, "\n"))
}

func TestTheOrderOfAnUpdate(t *testing.T) {
	db := open(t, nil, authorModels...)
	var seen events
	db = db.WithContext(withEvents(t, &seen))
	must(t, db.Create(&Author{ID: 1, Name: "a"}).Error)
	seen = nil
	update := db.Callback().Update()
	note := func(name string) func(*gorm.DB) {
		return func(db *gorm.DB) { seen.add("%s in %s", name, poolOf(db)) }
	}
	must(t, update.Before("gorm:begin_transaction").Register("test:1", note("before begin")))
	must(t, update.Before("gorm:update").Register("test:2", note("before")))
	must(t, update.Before("gorm:save_after_associations").Register("test:3", note("after")))
	must(t, update.After("gorm:commit_or_rollback_transaction").Register("test:4", note("after commit")))
	must(t, db.Model(&Author{ID: 1}).Update("name", "b").Error)
	equal(t, "events", seen,
		events{"before begin in pool", "BeforeUpdate", "before in transaction", "after in transaction",
			"AfterUpdate", "after commit in pool"})
}

func TestWhoseTransactionACallbackSees(t *testing.T) {
	db := open(t, nil, &User{})
	var begin, create string
	must(t, db.Callback().Create().Before("gorm:begin_transaction").Register("test:1", func(db *gorm.DB) {
		begin = poolOf(db)
	}))
	must(t, db.Callback().Create().Before("gorm:create").Register("test:2", func(db *gorm.DB) { create = poolOf(db) }))
	n := 0
	insert := func(db *gorm.DB) {
		n++
		must(t, db.Create(&User{Email: fmt.Sprint(n)}).Error)
	}
	check := func(name, want string) {
		t.Helper()
		equal(t, name+": before begin, before create", begin+", "+create, want)
	}
	insert(db)
	check("alone", "pool, transaction")
	insert(db.Session(&gorm.Session{SkipDefaultTransaction: true}))
	check("SkipDefaultTransaction", "pool, pool")
	must(t, db.Transaction(func(tx *gorm.DB) error {
		insert(tx)
		check("in the caller's transaction", "transaction, transaction")
		return tx.Transaction(func(tx *gorm.DB) error {
			insert(tx)
			check("in a nested one", "transaction, transaction")
			return nil
		})
	}))
	prepared := db.Session(&gorm.Session{PrepareStmt: true})
	insert(prepared)
	check("PrepareStmt", "pool, transaction")
	must(t, prepared.Transaction(func(tx *gorm.DB) error {
		insert(tx)
		check("PrepareStmt in the caller's transaction", "transaction, transaction")
		return nil
	}))
	must(t, db.Connection(func(conn *gorm.DB) error {
		insert(conn)
		check("on one connection", "pool, transaction")
		return nil
	}))
	must(t, db.CreateInBatches([]User{{Email: "x"}, {Email: "y"}}, 2).Error)
	check("CreateInBatches of one batch", "pool, transaction")
	must(t, db.CreateInBatches([]User{{Email: "v"}, {Email: "w"}}, 1).Error)
	check("CreateInBatches of several", "transaction, transaction")
}

func TestTheTypesOfConnPool(t *testing.T) {
	typeOf := func(db *gorm.DB) string { return fmt.Sprintf("%T", db.Statement.ConnPool) }
	db := open(t, nil)
	prepared := db.Session(&gorm.Session{PrepareStmt: true})
	equal(t, "plain", typeOf(db), "*sql.DB")
	equal(t, "prepared", typeOf(prepared), "*gorm.PreparedStmtDB")
	for name, test := range map[string]struct {
		db   *gorm.DB
		want string
	}{
		"transaction":          {db, "*sql.Tx"},
		"prepared transaction": {prepared, "*gorm.PreparedStmtTX"},
	} {
		must(t, test.db.Transaction(func(tx *gorm.DB) error {
			equal(t, name, typeOf(tx), test.want)
			return nil
		}))
	}
	must(t, db.Connection(func(conn *gorm.DB) error {
		equal(t, "connection", typeOf(conn), "*sql.Conn")
		return nil
	}))
}

func TestANestedTransactionIsASavePoint(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for _, prepare := range []bool{false, true} {
			db := openOn(t, d, &gorm.Config{PrepareStmt: prepare}, &User{})
			err := db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Create(&User{Email: "kept"}).Error)
				pool := tx.Statement.ConnPool
				_ = tx.Transaction(func(inner *gorm.DB) error {
					equal(t, "the same ConnPool", inner.Statement.ConnPool == pool, true)
					must(t, inner.Create(&User{Email: "undone"}).Error)
					return errRefused
				})
				return nil
			})
			must(t, err)
			equal(t, "rows", emails(t, db, "users"), []string{"kept"})
		}
	})
}

func TestDryRunRunsEveryCallbackAndNoStatement(t *testing.T) {
	db := open(t, nil, &User{})
	var seen events
	must(t, db.Callback().Create().Before("gorm:create").Register("test:1", func(db *gorm.DB) {
		seen.add("create %v", db.DryRun)
	}))
	must(t, db.Callback().Query().After("gorm:query").Register("test:2", func(db *gorm.DB) {
		seen.add("query %v", db.DryRun)
	}))
	dry := db.Session(&gorm.Session{DryRun: true})
	created := dry.Create(&User{Email: "e"})
	must(t, created.Error)
	contains(t, created.Statement.SQL.String(), "INSERT INTO")
	equal(t, "RowsAffected of First, which is not ErrRecordNotFound", dry.First(&User{}).Error, nil)
	equal(t, "events", seen, events{"create true", "query true"})
	equal(t, "rows", len(emails(t, db, "users")), 0)
	t.Run("and a transaction around it begins all the same", func(t *testing.T) {
		var pool string
		must(t, db.Callback().Create().Before("gorm:create").Register("test:3", func(db *gorm.DB) {
			pool = poolOf(db)
		}))
		dry.Create(&User{Email: "e"})
		equal(t, "pool", pool, "transaction")
	})
}

func TestAnErrorOfACallbackBeforeBeginSendsNothing(t *testing.T) {
	db := open(t, nil, &User{})
	db, ran := counted(t, db)
	for _, p := range []interface {
		Register(string, func(*gorm.DB)) error
	}{
		db.Callback().Create().Before("gorm:begin_transaction"),
		db.Callback().Update().Before("gorm:begin_transaction"),
		db.Callback().Delete().Before("gorm:begin_transaction"),
		db.Callback().Query().Before("gorm:query"),
		db.Callback().Row().Before("gorm:row"),
		db.Callback().Raw().Before("gorm:raw"),
	} {
		must(t, p.Register("test:refuse", func(db *gorm.DB) { _ = db.AddError(errRefused) }))
	}
	var n int64
	for name, err := range map[string]error{
		"Create": db.Create(&User{Email: "e"}).Error,
		"Update": db.Model(&User{ID: 1}).Update("age", 1).Error,
		"Save":   db.Save(&User{ID: 1}).Error,
		"Delete": db.Delete(&User{ID: 1}).Error,
		"First":  db.First(&User{}).Error,
		"Count":  db.Model(&User{}).Count(&n).Error,
		"Scan":   db.Model(&User{}).Scan(&User{}).Error,
		"Exec":   db.Exec("DELETE FROM users").Error,
	} {
		if !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, "statements", ran.ran, []string(nil))
}

func TestAfterCreateAndAfterUpdateAreAfterTheCommit(t *testing.T) {
	db := open(t, nil, &User{})
	fail := func(db *gorm.DB) { _ = db.AddError(fmt.Errorf("%s: %w", poolOf(db), errRefused)) }
	must(t, db.Callback().Create().After("gorm:create").Register("test:late", fail))
	must(t, db.Callback().Update().After("gorm:update").Register("test:late", fail))
	equal(t, "error of Create", fmt.Sprint(db.Create(&User{Email: "e"}).Error), "pool: refused")
	equal(t, "a row all the same", emails(t, db, "users"), []string{"e"})
	equal(t, "error of Update", fmt.Sprint(db.Model(&User{ID: 1}).Update("email", "f").Error), "pool: refused")
	equal(t, "changed all the same", emails(t, db, "users"), []string{"f"})
}

func TestACallbackBeforeSaveAfterAssociationsThatFailsRollsBack(t *testing.T) {
	db := open(t, nil, &User{})
	must(t, db.Callback().Create().Before("gorm:save_after_associations").Register("test:refuse", func(db *gorm.DB) {
		_ = db.AddError(errRefused)
	}))
	equal(t, "error", db.Create(&User{Email: "e"}).Error, errRefused)
	equal(t, "rows", len(emails(t, db, "users")), 0)
}

func TestARolledBackStructKeepsWhatTheRowDoesNotHave(t *testing.T) {
	db := open(t, nil, &User{})
	u := User{Email: "e"}
	_ = db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&u).Error)
		return errRefused
	})
	equal(t, "id of a row that is not there", u.ID, int64(1))
	equal(t, "rows", len(emails(t, db, "users")), 0)
}

func TestBeforeCreateHooksRunInsideGORMsTransaction(t *testing.T) {
	db := open(t, nil, &Hooked{})
	var atBegin, atCreate string
	must(t, db.Callback().Create().Before("gorm:begin_transaction").Register("test:1", func(db *gorm.DB) {
		atBegin = db.Statement.Dest.(*Hooked).ID
	}))
	must(t, db.Callback().Create().Before("gorm:create").Register("test:2", func(db *gorm.DB) {
		atCreate = db.Statement.Dest.(*Hooked).ID + " in " + poolOf(db)
	}))
	must(t, db.Create(&Hooked{}).Error)
	equal(t, "before begin, before create", []string{atBegin, atCreate}, []string{"", "from a hook in transaction"})
}

// Hooked is a model whose id comes from a hook.
type Hooked struct {
	ID string `gorm:"size:40"`
}

func (h *Hooked) BeforeCreate(*gorm.DB) error {
	h.ID = "from a hook"
	return nil
}

func TestReplaceOfACallbackCanCallTheOneItReplaces(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openOn(t, d, nil, &User{})
		var seen events
		for name, p := range map[string]interface {
			Get(string) func(*gorm.DB)
			Replace(string, func(*gorm.DB)) error
		}{"gorm:create": db.Callback().Create(), "gorm:update": db.Callback().Update()} {
			inner := p.Get(name)
			must(t, p.Replace(name, func(db *gorm.DB) {
				seen.add("%s", name)
				inner(db)
			}))
		}
		u := User{Email: "e"}
		must(t, db.Create(&u).Error)
		must(t, db.Model(&u).Update("email", "f").Error)
		equal(t, "events", seen, events{"gorm:create", "gorm:update"})
		equal(t, "rows, with the id of the database", fmt.Sprint(u.ID, emails(t, db, "users")), "1 [f]")
	})
}

func TestANewCreateCallbackNeedsTheDialectsConfig(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	must(t, db.Callback().Create().Replace("gorm:create", callbacks.Create(&callbacks.Config{})))
	must(t, db.Create(&User{Email: "e"}).Error)
	if sql := log.last(); strings.Contains(sql, "RETURNING") {
		t.Errorf("an empty Config knows RETURNING: %s", sql)
	}
	dialects := &callbacks.Config{CreateClauses: db.Callback().Create().Clauses}
	must(t, db.Callback().Create().Replace("gorm:create", callbacks.Create(dialects)))
	must(t, db.Create(&User{Email: "f"}).Error)
	contains(t, log.last(), "RETURNING id")
}

func TestCallbacksAreSharedByAllSessions(t *testing.T) {
	db := open(t, nil, &User{})
	n := 0
	session := db.Session(&gorm.Session{NewDB: true, Context: t.Context()})
	must(t, session.Callback().Create().Before("gorm:create").Register("test:count", func(*gorm.DB) { n++ }))
	must(t, db.Create(&User{Email: "e"}).Error)
	equal(t, "calls", n, 1)
}

func TestWhatANestedCreateIsGiven(t *testing.T) {
	db := open(t, nil, authorModels...)
	var seen events
	must(t, db.Callback().Create().Before("gorm:create").Register("test:look", func(db *gorm.DB) {
		conflict, _ := db.Statement.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
		var do string
		switch {
		case conflict.DoNothing:
			do = "nothing"
		case conflict.UpdateAll:
			do = "update all"
		default:
			do = "update " + sets(conflict.DoUpdates)
		}
		var on []string
		for _, c := range conflict.Columns {
			on = append(on, c.Name)
		}
		setting, _ := db.Get("test:setting")
		seen.add("%s: on %v do %s, setting %v, hooks skipped %v", db.Statement.Table, on, do, setting, db.Statement.SkipHooks)
	}))
	must(t, db.Set("test:setting", 1).Create(author()).Error)
	equal(t, "events", strings.Join(seen, "\n"), strings.Join([]string{
		"publishers: on [] do nothing, setting 1, hooks skipped false",
		"authors: on [] do update , setting 1, hooks skipped false",
		"profiles: on [id] do update author_id={excluded author_id  false}, setting 1, hooks skipped false",
		"books: on [id] do update author_id={excluded author_id  false}, setting 1, hooks skipped false",
		"tags: on [] do nothing, setting 1, hooks skipped false",
		"author_tags: on [] do nothing, setting <nil>, hooks skipped false", // the join table's rows inherit nothing
	}, "\n"))

	seen = nil
	must(t, db.Session(&gorm.Session{FullSaveAssociations: true, SkipHooks: true}).Create(author()).Error)
	equal(t, "FullSaveAssociations", strings.Join(seen, "\n"), strings.Join([]string{
		"publishers: on [id] do update all, setting <nil>, hooks skipped true",
		"authors: on [] do update , setting <nil>, hooks skipped true",
		"profiles: on [id] do update all, setting <nil>, hooks skipped true",
		"books: on [id] do update all, setting <nil>, hooks skipped true",
		"tags: on [id] do update all, setting <nil>, hooks skipped true",
		"author_tags: on [] do nothing, setting <nil>, hooks skipped true",
	}, "\n"))
}

func TestAnUpdateSavesAssociationsByCreates(t *testing.T) {
	db := open(t, nil, authorModels...)
	a := author()
	must(t, db.Create(a).Error)
	var seen events
	must(t, db.Callback().Create().Before("gorm:create").Register("test:look", func(db *gorm.DB) {
		seen.add("create %s", db.Statement.Table)
	}))
	must(t, db.Callback().Update().Before("gorm:update").Register("test:look", func(db *gorm.DB) {
		seen.add("update %s", db.Statement.Table)
	}))
	must(t, db.Save(a).Error)
	equal(t, "Save", seen,
		events{"create publishers", "update authors", "create profiles", "create books", "create tags", "create author_tags"})
	seen = nil
	must(t, db.Model(a).Association("Books").Replace(&Book{Title: "b3"}))
	equal(t, "Association.Replace writes the foreign keys of the others by UpdateColumns", seen[len(seen)-1],
		"update books")
}

func TestFirstOrCreateUpdatesWithAMap(t *testing.T) {
	db := open(t, nil, &User{})
	must(t, db.Create(&User{Email: "e"}).Error)
	var dest string
	must(t, db.Callback().Update().Before("gorm:begin_transaction").Register("test:look", func(db *gorm.DB) {
		dest = fmt.Sprintf("%T", db.Statement.Dest)
	}))
	for name, assign := range map[string]any{"a struct": User{Name: "n"}, "a map": map[string]any{"name": "n"}} {
		dest = ""
		must(t, db.Where("email = ?", "e").Assign(assign).FirstOrCreate(&User{}).Error)
		equal(t, "Assign of "+name, dest, "map[string]interface {}")
	}
	var created any
	must(t, db.Callback().Create().Before("gorm:begin_transaction").Register("test:look", func(db *gorm.DB) {
		created = *db.Statement.Dest.(*User)
	}))
	for name, attrs := range map[string]any{"a struct": User{Name: "n"}, "a map": map[string]any{"name": "n"}} {
		must(t, db.Where(User{Email: name}).Attrs(attrs).Assign(User{Age: 1}).FirstOrCreate(&User{}).Error)
		equal(t, "Attrs of "+name+" and the conditions are in the struct", created, User{Name: "n", Email: name, Age: 1})
	}
}

func TestFirstOrCreateOfAnAssignedSealGivesTheMapTheValuer(t *testing.T) {
	db := open(t, nil, &Sealed{})
	must(t, db.Create(&Sealed{Name: "n"}).Error)
	var value any
	must(t, db.Callback().Update().Before("gorm:begin_transaction").Register("test:look", func(db *gorm.DB) {
		value = db.Statement.Dest.(map[string]any)["email"]
	}))
	must(t, db.Where("name = ?", "n").Assign(Sealed{Email: sealed("x")}).FirstOrCreate(&Sealed{}).Error)
	equal(t, "value", value, any(sealed("x")))
}
