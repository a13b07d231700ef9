package gormfacts

import (
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

func TestWhatACreatesCallbackSees(t *testing.T) {
	db := open(t, nil, &User{})
	var seen events
	must(t, db.Callback().Create().Before("gorm:begin_transaction").Register("test:look", func(db *gorm.DB) {
		seen.add("%T in %s, schema %v", db.Statement.Dest, poolOf(db), db.Statement.Schema != nil)
	}))
	for _, test := range []struct {
		name   string
		create func(*gorm.DB) *gorm.DB
		want   events
	}{
		{"a struct", func(db *gorm.DB) *gorm.DB {
			return db.Create(&User{Email: "1"})
		}, events{"*gormfacts.User in pool, schema true"}},
		{"a list", func(db *gorm.DB) *gorm.DB {
			return db.Create([]User{{Email: "2"}, {Email: "3"}})
		}, events{"[]gormfacts.User in pool, schema true"}},
		{"a list of pointers", func(db *gorm.DB) *gorm.DB {
			return db.Create(&[]*User{{Email: "4"}})
		}, events{"*[]*gormfacts.User in pool, schema true"}},
		{"in batches", func(db *gorm.DB) *gorm.DB { return db.CreateInBatches([]User{{Email: "5"}, {Email: "6"}}, 1) },
			events{"*[]gormfacts.User in transaction, schema true", "*[]gormfacts.User in transaction, schema true"}},
		{"in batches by the config", func(db *gorm.DB) *gorm.DB {
			return db.Session(&gorm.Session{CreateBatchSize: 1}).Create([]User{{Email: "7"}, {Email: "8"}})
		}, events{"*[]gormfacts.User in transaction, schema true", "*[]gormfacts.User in transaction, schema true"}},
		{"a map", func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Create(map[string]any{"Email": "9"}) },
			events{"map[string]interface {} in pool, schema true"}},
		{"a pointer to a map", func(db *gorm.DB) *gorm.DB {
			return db.Model(&User{}).Create(&map[string]any{"Email": "10"})
		},
			events{"*map[string]interface {} in pool, schema true"}},
		{"a pointer to maps", func(db *gorm.DB) *gorm.DB {
			return db.Model(&User{}).Create(&[]map[string]any{{"Email": "12"}})
		},
			events{"*[]map[string]interface {} in pool, schema true"}},
		{"a map into a table", func(db *gorm.DB) *gorm.DB {
			return db.Table("users").Create(map[string]any{"email": "13"})
		},
			events{"map[string]interface {} in pool, schema false"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen = nil
			must(t, test.create(db.Session(&gorm.Session{})).Error)
			equal(t, "events", seen, test.want)
		})
	}
}

func TestCreateOfAMapTakesItsValuesAsTheyAre(t *testing.T) {
	db := open(t, nil, &Sealed{})
	must(t, db.Model(&Sealed{}).Create(map[string]any{"Email": "plaintext"}).Error)
	equal(t, "rows", emails(t, db, "sealeds"), []string{"plaintext"})
}

func TestSelectAndOmitChooseTheColumnsOfACreate(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	must(t, db.Select("email").Create(&User{ID: 7, Name: "n", Email: "a"}).Error)
	equal(t, "Select", log.last(), "INSERT INTO users (email) VALUES (?) RETURNING id")
	must(t, db.Omit("email").Create(&User{Name: "n", Email: "b"}).Error)
	equal(t, "Omit", log.last(), "INSERT INTO users (name,age) VALUES (?,?) RETURNING id")
}

func TestTheFormsOfOnConflict(t *testing.T) {
	id := []clause.Column{{Name: "id"}}
	for _, test := range []struct {
		name     string
		conflict clause.OnConflict
		want     map[string]string // by database; "" for those not named
	}{
		{"nothing", clause.OnConflict{DoNothing: true}, map[string]string{
			"": "ON CONFLICT DO NOTHING", "MariaDB": "ON DUPLICATE KEY UPDATE id=id"}},
		{"columns", clause.OnConflict{Columns: id, DoUpdates: clause.AssignmentColumns([]string{"email"})}, map[string]string{
			"": "ON CONFLICT (id) DO UPDATE SET email=excluded.email", "MariaDB": "ON DUPLICATE KEY UPDATE email=VALUES(email)"}},
		{"assignments", clause.OnConflict{Columns: id, DoUpdates: clause.Assignments(map[string]any{"email": "x"})}, map[string]string{
			"": "ON CONFLICT (id) DO UPDATE SET email=?", "MariaDB": "ON DUPLICATE KEY UPDATE email=?"}},
		{"everything, with the primary key as the default target", clause.OnConflict{UpdateAll: true}, map[string]string{
			"":        "ON CONFLICT (id) DO UPDATE SET name=excluded.name,email=excluded.email,age=excluded.age",
			"MariaDB": "ON DUPLICATE KEY UPDATE name=VALUES(name),email=VALUES(email),age=VALUES(age)"}},
		{"with a condition, which MariaDB drops", clause.OnConflict{Columns: id, DoUpdates: clause.AssignmentColumns([]string{"email"}),
			Where: clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "users.age < 5"}}}}, map[string]string{
			"":        "ON CONFLICT (id) DO UPDATE SET email=excluded.email WHERE users.age < 5",
			"MariaDB": "ON DUPLICATE KEY UPDATE email=VALUES(email)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
				log := new(statements)
				db := openOn(t, d, &gorm.Config{Logger: log}, &User{})
				must(t, db.Clauses(test.conflict).Create(&User{ID: 1, Email: "e"}).Error)
				want, ok := test.want[d.Name]
				if !ok {
					want = test.want[""]
				}
				contains(t, plain(log.last()), want)
			})
		})
	}
	t.Run("a constraint", func(t *testing.T) {
		log := new(statements)
		db := openOn(t, dbtest.PostgreSQL, &gorm.Config{Logger: log}, &User{})
		must(t, db.Clauses(clause.OnConflict{OnConstraint: "users_pkey", DoNothing: true}).Create(&User{Email: "e"}).Error)
		contains(t, plain(log.last()), "ON CONFLICT ON CONSTRAINT users_pkey DO NOTHING")
	})
}

// plain takes the quotes out of a statement, and PostgreSQL's numbers out of its placeholders.
func plain(sql string) string {
	sql = strings.NewReplacer("`", "", `"`, "").Replace(sql)
	for n := range 20 {
		sql = strings.ReplaceAll(sql, fmt.Sprintf("$%d", 20-n), "?")
	}
	return sql
}

func TestUpdateAllIsExpandedOnlyWhenGORMConvertsTheValues(t *testing.T) {
	db := open(t, nil, &User{})
	var before, after clause.OnConflict
	look := func(to *clause.OnConflict) func(*gorm.DB) {
		return func(db *gorm.DB) { *to = db.Statement.Clauses["ON CONFLICT"].Expression.(clause.OnConflict) }
	}
	must(t, db.Callback().Create().Before("gorm:create").Register("test:1", look(&before)))
	must(t, db.Callback().Create().Before("gorm:save_after_associations").Register("test:2", look(&after)))
	must(t, db.Save([]User{{ID: 1, Email: "e"}}).Error)
	equal(t, "before, after", fmt.Sprint(len(before.DoUpdates), len(before.Columns), len(after.DoUpdates), len(after.Columns)),
		"0 0 3 1")
}

func TestIDsOfABatchCreate(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		log := new(statements)
		db := openOn(t, d, &gorm.Config{Logger: log}, &User{})
		must(t, db.Create(&User{ID: 40, Email: "earlier"}).Error)
		if d.Name == "PostgreSQL" {
			must(t, db.Exec("SELECT setval('users_id_seq', 40)").Error)
		}
		log.take()
		for name, users := range map[string][]*User{
			"all new":          {{Email: "a"}, {Email: "b"}, {Email: "c"}},
			"some with an id":  {{Email: "d"}, {ID: 1000, Email: "e"}, {Email: "f"}},
			"without a column": {{Email: "g"}},
		} {
			must(t, db.Create(&users).Error)
			returning := strings.Contains(plain(log.last()), "RETURNING id")
			equal(t, name+": RETURNING", returning, true)
			for _, u := range users {
				var found User
				must(t, db.Take(&found, "email = ?", u.Email).Error)
				equal(t, name+": id of "+u.Email, u.ID, found.ID)
			}
		}
	})
}

func TestWithoutReturningIDsAreCountedFromLastInsertID(t *testing.T) {
	// As on MySQL, which returns no rows. Clusters count in steps of their own, of which GORM knows nothing.
	for step, right := range map[int]bool{1: true, 3: false} {
		db := openOn(t, dbtest.MariaDB, nil, &User{})
		must(t, db.Callback().Create().Replace("gorm:create", callbacks.Create(&callbacks.Config{})))
		must(t, db.Connection(func(db *gorm.DB) error {
			must(t, db.Exec(fmt.Sprint("SET SESSION auto_increment_increment = ", step)).Error)
			users := []User{{Email: "a"}, {Email: "b"}}
			must(t, db.Create(&users).Error)
			var b User
			must(t, db.Take(&b, "email = 'b'").Error)
			equal(t, fmt.Sprintf("in steps of %d the second id, %d, is the row's, %d", step, users[1].ID, b.ID), users[1].ID == b.ID, right)
			return nil
		}))
	}
}

func TestAnUpsertOnAListMayGiveWrongIDsWhereNothingIsReturned(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openOn(t, d, nil, &User{})
		must(t, db.Create(&[]User{{Email: "a"}, {Email: "b"}}).Error)
		again := []User{{Email: "b"}, {Email: "c"}}
		must(t, db.Clauses(clause.OnConflict{DoNothing: true}).Create(&again).Error)
		var c User
		must(t, db.Take(&c, "email = 'c'").Error)
		switch d.Name {
		case "MariaDB": // RETURNING gives the row that was there, too
			equal(t, "ids", []int64{again[0].ID, again[1].ID}, []int64{2, c.ID})
		default: // the first returned row is taken for the first of the list
			equal(t, "ids", []int64{again[0].ID, again[1].ID}, []int64{c.ID, 0})
		}
	})
}

// Defaulted has a column that the database fills.
type Defaulted struct {
	ID    int64
	Token string `gorm:"default:(lower('ABC'))"`
	Level int    `gorm:"default:3"`
}

func TestFieldsWithADefaultAreReturned(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		log := new(statements)
		db := openOn(t, d, &gorm.Config{Logger: log}, &Defaulted{})
		rows := []Defaulted{{}, {Level: 5}}
		must(t, db.Create(&rows).Error)
		contains(t, plain(log.last()), "RETURNING token,id")
		equal(t, "rows", rows, []Defaulted{{ID: 1, Token: "abc", Level: 3}, {ID: 2, Token: "abc", Level: 5}})

		// SQLite knows no DEFAULT among VALUES.
		mixed := db.Create(&[]Defaulted{{}, {Token: "own"}})
		equal(t, "a list in which some set the column fails", mixed.Error != nil, d.Name == "SQLite")
	})
}

func TestAListOfMapsCannotTakeReturnedIDs(t *testing.T) {
	db := open(t, nil, &User{})
	err := db.Model(&User{}).Create([]map[string]any{{"email": "e"}}).Error
	contains(t, fmt.Sprint(err), "unsupported Scan")
}

func TestAColumnOfOurTypeWithADefaultIsLeftOutWhenItIsZero(t *testing.T) {
	type Marked struct {
		ID    int64
		Email Seal `gorm:"default:'[none]'"`
	}
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &Marked{})
	row := Marked{}
	must(t, db.Create(&row).Error)
	equal(t, "statement", log.last(), "INSERT INTO markeds DEFAULT VALUES RETURNING email,id")
	equal(t, "what it returns", row.Email.last(), "[none]")
}

// Coded is a model with a serializer, which others offer for encryption.
type Coded struct {
	ID    int64
	Email string `gorm:"serializer:reverse"`
	Name  string
}

func init() { schema.RegisterSerializer("reverse", reverse{}) }
