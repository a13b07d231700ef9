package gormfacts

import (
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

func TestScanIsNotCalledForNull(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openOn(t, d, nil, &Sealed{})
		row := Sealed{Email: sealed("x")}
		must(t, db.Create(&row).Error)
		must(t, db.Model(&Sealed{ID: row.ID}).UpdateColumn("email", nil).Error)
		var fresh Sealed
		must(t, db.Take(&fresh).Error)
		equal(t, "a fresh struct", fresh.Email.last(), never)
		filled := Sealed{Email: Seal{scanned: "old", set: true}}
		must(t, db.Take(&filled).Error)
		equal(t, "a filled struct keeps what it had", filled.Email.last(), "old")
	})
}

func TestTextAndBytesComeAs(t *testing.T) {
	type Both struct {
		ID    int64
		Text  Kind `gorm:"type:text"`
		Bytes Kind
	}
	want := map[string][]Kind{
		"PostgreSQL": {"string", "[]uint8"},
		"MariaDB":    {"[]uint8", "[]uint8"},
		"SQLite":     {"string", "[]uint8"},
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openOn(t, d, nil, &Both{})
		must(t, db.Exec("INSERT INTO boths (text, bytes) VALUES ('x', ?)", []byte("x")).Error)
		var b Both
		must(t, db.Take(&b).Error)
		equal(t, "types", []Kind{b.Text, b.Bytes}, want[d.Name])
	})
}

// Kind is a column of bytes that remembers the type that Scan was given.
type Kind string

func (k *Kind) Scan(src any) error {
	*k = Kind(fmt.Sprintf("%T", src))
	return nil
}

func (Kind) GormDataType() string { return "bytes" }

func TestAFilledStructKeepsTheColumnsThatAreNotSelected(t *testing.T) {
	db := open(t, nil, &User{})
	must(t, db.Create(&User{Name: "n", Email: "e", Age: 1}).Error)
	u := User{ID: 1, Name: "old", Email: "old", Age: 9}
	must(t, db.Select("email").Take(&u).Error)
	equal(t, "First", u, User{ID: 1, Name: "old", Email: "e", Age: 9})

	list := []User{{ID: 1, Name: "old"}}
	must(t, db.Select("email").Find(&list).Error)
	equal(t, "a list has new elements", list, []User{{Email: "e"}})

	old := &User{Name: "old"}
	pointers := []*User{old}
	must(t, db.Select("email").Find(&pointers).Error)
	equal(t, "and so has one of pointers", fmt.Sprint(*pointers[0], pointers[0] == old), "{0  e 0} false")
}

func TestTakeIntoAStructWithAnIDAddsItAsACondition(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	_ = db.Take(&User{ID: 5})
	contains(t, log.last(), "WHERE users.id = ?")
}

func TestTheOrderOfAQuery(t *testing.T) {
	db := open(t, nil, authorModels...)
	must(t, db.Create([]*Author{author(), author()}).Error)
	var seen events
	note := func(name string) func(*gorm.DB) {
		return func(db *gorm.DB) {
			setting, _ := db.Get("test:setting")
			seen.add("%s %s: %d rows as %T, setting %v", name, db.Statement.Table, db.RowsAffected, db.Statement.Dest, setting)
		}
	}
	must(t, db.Callback().Query().Before("gorm:preload").Register("test:inside", note("before preload")))
	must(t, db.Callback().Query().After("gorm:query").Register("test:after", note("after")))
	db = db.WithContext(withEvents(t, &seen))
	var list []Author
	must(t, db.Set("test:setting", 1).Preload("Books").Preload("Publisher").Find(&list).Error)
	equal(t, "a list", strings.Join(seen, "\n"), strings.Join([]string{
		"before preload authors: 2 rows as *[]gormfacts.Author, setting 1",
		"before preload books: 4 rows as *[]*gormfacts.Book, setting 1",
		"after books: 4 rows as *[]*gormfacts.Book, setting 1",
		"before preload publishers: 2 rows as *[]*gormfacts.Publisher, setting 1",
		"after publishers: 2 rows as *[]*gormfacts.Publisher, setting 1",
		"AfterFind", "AfterFind",
		"after authors: 2 rows as *[]gormfacts.Author, setting 1",
	}, "\n"))

	t.Run("the preloaded rows are copied into structs", func(t *testing.T) {
		var queried *Book
		must(t, db.Callback().Query().Before("gorm:preload").Register("test:keep", func(db *gorm.DB) {
			if books, ok := db.Statement.Dest.(*[]*Book); ok {
				queried = (*books)[0]
			}
		}))
		must(t, db.Preload("Books").Find(&list).Error)
		equal(t, "the same pointer", queried == &list[0].Books[0], false)
		equal(t, "an equal row", *queried, list[0].Books[0])
	})
}

func TestFindInBatchesIsAQueryForEachBatch(t *testing.T) {
	db := open(t, nil, &User{})
	must(t, db.Create([]User{{Email: "a"}, {Email: "b"}, {Email: "c"}}).Error)
	var seen events
	must(t, db.Callback().Query().Before("gorm:preload").Register("test:look", func(db *gorm.DB) {
		seen.add("%d", db.RowsAffected)
	}))
	var batch []User
	var first []*User
	must(t, db.FindInBatches(&batch, 2, func(*gorm.DB, int) error {
		first = append(first, &batch[0])
		return nil
	}).Error)
	equal(t, "rows of each", seen, events{"2", "1"})
	equal(t, "the batches share one array", first[0] == first[1], true)
}

func TestJoinsFillAnAssociationWithoutAQueryOfItsOwn(t *testing.T) {
	type Holder struct {
		ID       int64
		SealedID *int64
		Sealed   *Sealed
	}
	db := open(t, nil, &Sealed{}, &Holder{})
	must(t, db.Create([]Holder{{Sealed: &Sealed{Email: sealed("x")}}, {}}).Error)
	must(t, db.Create(&Holder{Sealed: &Sealed{}}).Error)
	var seen events
	must(t, db.Callback().Query().Before("gorm:preload").Register("test:look", func(db *gorm.DB) {
		seen.add("%s as %T", db.Statement.Table, db.Statement.Dest)
	}))
	find := func() []Holder {
		var rows []Holder
		must(t, db.Joins("Sealed").Order("holders.id").Find(&rows).Error)
		return rows
	}
	rows := find()
	equal(t, "queries", seen, events{"holders as *[]gormfacts.Holder"})
	equal(t, "filled, not there, NULL",
		[]any{rows[0].Sealed.Email.last(), rows[1].Sealed, rows[2].Sealed.Email.last()}, []any{"x", (*Sealed)(nil), never})

	t.Run("and a replaced Field.Set is told NULL of rows that are there", func(t *testing.T) {
		tellNull(parse(t, db, &Sealed{}).LookUpField("email"))
		rows := find()
		equal(t, "filled, not there, NULL",
			[]any{rows[0].Sealed.Email.last(), rows[1].Sealed, rows[2].Sealed.Email.last()}, []any{"x", (*Sealed)(nil), nil})
	})
}

func TestRowsAndScanRunTheRowCallbacksOnly(t *testing.T) {
	db := open(t, nil, &Sealed{})
	must(t, db.Create(&Sealed{Email: sealed("x")}).Error)
	var seen events
	must(t, db.Callback().Query().Before("gorm:query").Register("test:look", func(*gorm.DB) { seen.add("query") }))
	must(t, db.Callback().Row().Before("gorm:row").Register("test:look", func(*gorm.DB) { seen.add("row") }))
	must(t, db.Callback().Raw().Before("gorm:raw").Register("test:look", func(*gorm.DB) { seen.add("raw") }))

	rows, err := db.Model(&Sealed{}).Rows()
	must(t, err)
	row := Sealed{Name: "old", Email: Seal{scanned: "old"}}
	for rows.Next() {
		must(t, db.ScanRows(rows, &row))
	}
	must(t, rows.Close())
	equal(t, "ScanRows empties the struct first", fmt.Sprint(row.Name, row.Email.last()), "x")
	equal(t, "Rows", seen, events{"row"})

	for name, test := range map[string]struct {
		run  func() error
		want events
	}{
		"Scan":         {func() error { return db.Model(&Sealed{}).Scan(&row).Error }, events{"row"}},
		"Raw and Scan": {func() error { return db.Raw("SELECT * FROM sealeds").Scan(&row).Error }, events{"row"}},
		"Raw and Find": {func() error {
			return db.Raw("SELECT * FROM sealeds").Find(&[]Sealed{}).Error
		}, events{"query"}},
		"Row": {func() error {
			return db.Model(&Sealed{}).Select("id").Row().Scan(new(int))
		}, events{"row"}},
		"Pluck": {func() error {
			return db.Model(&Sealed{}).Pluck("email", new([]string)).Error
		}, events{"query"}},
		"Count": {func() error { return db.Model(&Sealed{}).Count(new(int64)).Error }, events{"query"}},
		"Exec":  {func() error { return db.Exec("UPDATE sealeds SET name = ''").Error }, events{"raw"}},
		"Find into a map": {func() error {
			return db.Model(&Sealed{}).Find(&[]map[string]any{}).Error
		}, events{"query"}},
		"Find into another": {func() error {
			return db.Model(&Sealed{}).Find(&[]struct{ Email string }{}).Error
		}, events{"query"}},
	} {
		seen = nil
		must(t, test.run())
		equal(t, name, seen, test.want)
	}
}

func TestPluckAndOtherStructsGiveWhatIsStored(t *testing.T) {
	db := open(t, nil, &Sealed{})
	must(t, db.Create(&Sealed{Email: sealed("ciphertext")}).Error)
	var plucked []string
	must(t, db.Model(&Sealed{}).Pluck("email", &plucked).Error)
	var other struct{ Email string }
	must(t, db.Model(&Sealed{}).Take(&other).Error)
	into := map[string]any{}
	must(t, db.Model(&Sealed{}).Take(&into).Error)
	equal(t, "stored", []any{plucked[0], other.Email, into["email"]}, []any{"ciphertext", "ciphertext", "ciphertext"})
}

func TestReturningIsScannedIntoTheModel(t *testing.T) {
	for _, d := range []dbtest.Database{dbtest.PostgreSQL, dbtest.SQLite} {
		db := openOn(t, d, nil, &User{})
		must(t, db.Create(&User{Email: "e", Age: 1}).Error)
		u := User{ID: 1}
		must(t, db.Model(&u).Clauses(clause.Returning{}).Update("age", gorm.Expr("age + 1")).Error)
		equal(t, d.Name, u, User{ID: 1, Email: "e", Age: 2})
	}
}

func TestAPreloadThatMeetsAForeignRowPrintsItWithEveryVerb(t *testing.T) {
	// The message has the row as %#v: its types must not show plaintext there.
	type Note struct {
		ID    int64
		Owner string
		Text  string
	}
	type Owner struct {
		Name  string `gorm:"primaryKey;size:20"`
		Notes []Note `gorm:"foreignKey:Owner;references:Name"`
	}
	db := openOn(t, dbtest.MariaDB, nil, &Owner{}, &Note{}) // whose collation finds a for A
	must(t, db.Exec("INSERT INTO owners (name) VALUES ('A')").Error)
	must(t, db.Exec("INSERT INTO notes (owner, text) VALUES ('a', 'in the message')").Error)
	err := db.Preload("Notes").Find(&[]Owner{}).Error
	contains(t, fmt.Sprint(err), `Text:"in the message"`)
}

func TestSoftDeleteIsAnUpdateByTheDeleteCallbacks(t *testing.T) {
	type Soft struct {
		ID        int64
		Email     Seal
		DeletedAt gorm.DeletedAt
	}
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &Soft{})
	var seen events
	must(t, db.Callback().Delete().Before("gorm:delete").Register("test:look", func(*gorm.DB) { seen.add("delete") }))
	must(t, db.Callback().Update().Before("gorm:update").Register("test:look", func(*gorm.DB) { seen.add("update") }))
	must(t, db.Delete(&Soft{ID: 1}).Error)
	equal(t, "callbacks", seen, events{"delete"})
	equal(t, "statement", log.last(), "UPDATE softs SET deleted_at=? WHERE softs.id = ? AND softs.deleted_at IS NULL")
	must(t, db.Model(&Soft{ID: 1}).Update("email", sealed("x")).Error)
	equal(t, "and other updates spare deleted rows", log.last(),
		"UPDATE softs SET email=? WHERE softs.deleted_at IS NULL AND id = ?")
}
