package gormfacts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// sets writes a SET clause as "column=value" in order, with an expression's SQL.
func sets(set clause.Set) string {
	var all []string
	for _, a := range set {
		value := a.Value
		if e, ok := value.(clause.Expr); ok {
			value = e.SQL
		}
		if s, ok := value.(Seal); ok {
			value = s.value
		}
		all = append(all, fmt.Sprintf("%s=%v", a.Column.Name, value))
	}
	return strings.Join(all, " ")
}

// look registers a callback that stores what ConvertToAssignments gives just before GORM's own update.
func look(t *testing.T, db *gorm.DB) *string {
	t.Helper()
	seen := new(string)
	must(t, db.Callback().Update().Before("gorm:update").Register("test:look", func(db *gorm.DB) {
		*seen = sets(callbacks.ConvertToAssignments(db.Statement))
	}))
	return seen
}

func TestConvertToAssignmentsShowsTheSetOfEveryKindOfUpdate(t *testing.T) {
	db := open(t, nil, &User{})
	seen := look(t, db)
	filled := func() *User { return &User{ID: 1, Name: "n", Email: "e", Age: 3} }
	for name, test := range map[string]struct {
		update func(*gorm.DB) *gorm.DB
		want   string
	}{
		"Update": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Update("Email", "x")
		}, "email=x"},
		"UpdateColumn": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).UpdateColumn("email", "x")
		}, "email=x"},
		"UpdateColumns(map)": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).UpdateColumns(map[string]any{"email": "x"})
		}, "email=x"},
		"UpdateColumns(struct)": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).UpdateColumns(User{Email: "x"})
		}, "email=x"},
		"Updates(map) in the order of its keys, which may be names of fields": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Updates(map[string]any{"Name": "y", "email": "x"})
		}, "name=y email=x"},
		"Updates(struct) without zero values": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Updates(User{Email: "x"})
		}, "email=x"},
		"Updates(struct) with an id sets it too": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Updates(User{ID: 9, Email: "x"})
		}, "id=9 email=x"},
		"Updates(&struct) without Model": {func(db *gorm.DB) *gorm.DB {
			return db.Updates(&User{ID: 1, Email: "x"})
		}, "email=x"},
		"Select takes zero values": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Select("Email", "age").Updates(User{Email: "x"})
		}, "email=x age=0"},
		"Omit": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Omit("Email").Updates(User{Name: "y", Email: "x"})
		}, "name=y"},
		"Save of a struct": {func(db *gorm.DB) *gorm.DB { return db.Save(filled()) }, "name=n email=e age=3"},
		"Select and Save":  {func(db *gorm.DB) *gorm.DB { return db.Select("email").Save(filled()) }, "email=e"},
		"an expression": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Update("email", gorm.Expr("upper(email)"))
		}, "email=upper(email)"},
		"Table and Model": {func(db *gorm.DB) *gorm.DB {
			return db.Table("users").Model(&User{}).Where("1=1").Update("Email", "x")
		}, "email=x"},
		"a map without Model, columns as they are written": {func(db *gorm.DB) *gorm.DB {
			return db.Table("users").Where("1=1").Updates(map[string]any{"Email": "x"})
		}, "Email=x"},
		"Session{SkipHooks}": {func(db *gorm.DB) *gorm.DB {
			return db.Session(&gorm.Session{SkipHooks: true}).Model(filled()).Update("email", "x")
		}, "email=x"},
		"another struct as a smaller model": {func(db *gorm.DB) *gorm.DB {
			return db.Model(filled()).Updates(struct{ Email string }{"x"})
		}, "email=x"},
	} {
		t.Run(name, func(t *testing.T) {
			*seen = "not called"
			must(t, test.update(db.Session(&gorm.Session{})).Error)
			equal(t, "SET", *seen, test.want)
		})
	}
}

func TestTableUpdateHasNoSchema(t *testing.T) {
	db := open(t, nil, &User{})
	var table string
	var schema any
	must(t, db.Callback().Update().Before("gorm:update").Register("test:look", func(db *gorm.DB) {
		table, schema = db.Statement.Table, db.Statement.Schema
	}))
	for from, want := range map[string]string{"users": "users", "users AS u": "u", "main.users": "users", "`users`": ""} {
		db.Table(from).Where("1=1").Update("email", "x")
		equal(t, from, fmt.Sprintf("%q %v", table, schema), fmt.Sprintf("%q <nil>", want))
	}
}

func TestGORMTakesTheSetClauseThatACallbackAdded(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	var conversions int
	must(t, db.Callback().Update().Before("gorm:update").Register("test:set", func(db *gorm.DB) {
		callbacks.ConvertToAssignments(db.Statement)
		conversions++
		db.Statement.AddClause(clause.Set{{Column: clause.Column{Name: "name"}, Value: "ours"}})
	}))
	must(t, db.Model(&User{ID: 1}).Update("email", "x").Error)
	equal(t, "statement, with the condition of our own conversion", log.last(), "UPDATE users SET name=? WHERE id = ?")

	t.Run("and leaves it to the next update of the same statement", func(t *testing.T) {
		tx := db.Model(&User{ID: 1})
		must(t, tx.Update("email", "x").Error)
		if _, ok := tx.Statement.Clauses["SET"]; !ok {
			t.Error("it is gone")
		}
	})
}

func TestConvertingTwiceRepeatsTheConditionAndNothingElse(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	look(t, db)
	must(t, db.Model(&User{ID: 1}).Update("email", "x").Error)
	equal(t, "statement", log.last(), "UPDATE users SET email=? WHERE id = ? AND id = ?")
	must(t, db.Save(&User{ID: 1}).Error)
	contains(t, strings.Join(log.take(), ";"), "SET `name`=?,`email`=?,`age`=? WHERE `id` = ? AND `id` = ?")
}

func TestConvertToAssignmentsWritesIntoTheModel(t *testing.T) {
	db := open(t, nil, &Sealed{})
	var converted Seal
	must(t, db.Callback().Update().Before("gorm:update").Register("test:refuse", func(db *gorm.DB) {
		callbacks.ConvertToAssignments(db.Statement)
		converted = db.Statement.Model.(*Sealed).Email
		_ = db.AddError(errRefused)
	}))
	row := Sealed{ID: 1, Email: sealed("before")}
	db.Model(&row).Update("email", "plaintext")
	equal(t, "a refused value is in the struct, through Scan", converted.last(), "plaintext")
	equal(t, "and stays there", row.Email.last(), "plaintext")
}

func TestConvertToAssignmentsOfACopyThatCannotBeAddressedOnlyLooks(t *testing.T) {
	db := open(t, nil, &Sealed{})
	var seen string
	must(t, db.Callback().Update().Before("gorm:begin_transaction").Register("test:look", func(db *gorm.DB) {
		callbacks.SetupUpdateReflectValue(db)
		scratch := gorm.Statement{DB: db, Schema: db.Statement.Schema, Table: db.Statement.Table, Model: db.Statement.Model,
			Dest: db.Statement.Dest, Selects: db.Statement.Selects, Omits: db.Statement.Omits, Context: db.Statement.Context,
			SkipHooks: db.Statement.SkipHooks, Clauses: map[string]clause.Clause{}}
		scratch.ReflectValue = reflect.ValueOf(db.Statement.ReflectValue.Interface())
		seen = sets(callbacks.ConvertToAssignments(&scratch))
		_ = db.AddError(errRefused)
	}))
	row := Sealed{ID: 1, Email: sealed("before")}
	for name, update := range map[string]func() *gorm.DB{
		"of a row":  func() *gorm.DB { return db.Model(&row).Update("email", "x") },
		"of a list": func() *gorm.DB { return db.Model(&[]*Sealed{&row}).Update("email", "x") },
	} {
		seen = ""
		update()
		equal(t, "SET "+name, seen, "email=x")
		equal(t, "the struct, "+name, row.Email, sealed("before"))
	}
}

func TestBeforeBeginTransactionAnUpdateStillReflectsDest(t *testing.T) {
	db := open(t, nil, &User{})
	var before, after string
	must(t, db.Callback().Update().Before("gorm:begin_transaction").Register("test:early", func(db *gorm.DB) {
		before = db.Statement.ReflectValue.Type().String()
		callbacks.SetupUpdateReflectValue(db)
		after = db.Statement.ReflectValue.Type().String()
	}))
	must(t, db.Model(&User{ID: 1}).Updates(map[string]any{"email": "x"}).Error)
	equal(t, "before and after SetupUpdateReflectValue", before+" "+after, "map[string]interface {} gormfacts.User")
}

func TestASetClauseOfTheCallersIsTakenAsItIs(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	set := clause.Set{{Column: clause.Column{Name: "email"}, Value: "x"}}
	must(t, db.Model(&User{ID: 1}).Where("id = 1").Clauses(set).Updates(map[string]any{"name": "y"}).Error)
	equal(t, "the map is dropped, and so is the condition by Model's id", log.last(),
		"UPDATE users SET email=? WHERE id = 1")

	_, err := gorm.G[User](db).Where("id = ?", 1).Set(set).Update(t.Context())
	must(t, err)
	equal(t, "generics' Set is one", log.last(), "UPDATE users SET email=? WHERE id = ?")
}

func TestSaveOfARowThatIsNotThereIsAnUpsertOfEverythingWithoutHooks(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	var skipHooks bool
	must(t, db.Callback().Create().Before("gorm:create").Register("test:look", func(db *gorm.DB) {
		skipHooks = db.Statement.SkipHooks
	}))
	must(t, db.Save(&User{ID: 5, Email: "e"}).Error)
	equal(t, "statements", strings.Join(log.take(), "\n"), strings.Join([]string{
		"UPDATE `users` SET `name`=?,`email`=?,`age`=? WHERE `id` = ?",
		"INSERT INTO `users` (`name`,`email`,`age`,`id`) VALUES (?,?,?,?) " +
			"ON CONFLICT (`id`) DO UPDATE SET `name`=`excluded`.`name`,`email`=`excluded`.`email`,`age`=`excluded`.`age` RETURNING `id`",
	}, "\n"))
	equal(t, "SkipHooks", skipHooks, true)

	t.Run("unless a column was selected", func(t *testing.T) {
		must(t, db.Select("email").Save(&User{ID: 6}).Error)
		equal(t, "statements", len(log.take()), 1)
	})
	t.Run("unless a callback failed", func(t *testing.T) {
		must(t, db.Callback().Update().After("gorm:update").Register("test:conflict", func(db *gorm.DB) {
			if db.RowsAffected == 0 {
				_ = db.AddError(errRefused)
			}
		}))
		defer func() { must(t, db.Callback().Update().Remove("test:conflict")) }()
		equal(t, "error", db.Save(&User{ID: 7}).Error, errRefused)
		equal(t, "statements", len(log.take()), 1)
	})
	t.Run("unless a callback says that rows were affected", func(t *testing.T) {
		must(t, db.Callback().Update().Replace("gorm:update", func(db *gorm.DB) { db.RowsAffected = 1 }))
		must(t, db.Save(&User{ID: 8}).Error)
		equal(t, "statements", len(log.take()), 0)
	})
}

func TestSaveOfAListIsOneUpsertOfEverything(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &User{})
	must(t, db.Create(&[]User{{Email: "a", Age: 1}, {Email: "b", Age: 1}}).Error)
	log.take()
	for name, list := range map[string]any{
		"of structs":  []User{{ID: 1, Email: "a", Age: 2}, {ID: 2, Email: "b", Age: 2}},
		"of pointers": []*User{{ID: 1, Email: "a", Age: 3}, {ID: 2, Email: "b", Age: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, db.Model(&User{}).Where("id = 1").UpdateColumn("name", "of another writer").Error)
			log.take()
			must(t, db.Save(list).Error)
			all := log.take()
			equal(t, "statements", len(all), 1)
			contains(t, all[0], "ON CONFLICT (`id`) DO UPDATE SET `name`=`excluded`.`name`")
			var u User
			must(t, db.Take(&u, 1).Error)
			equal(t, "what the other writer wrote", u.Name, "")
		})
	}
}

func TestAnUpsertThatMeetsAnotherUniqueColumnKeepsTheOldID(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openOn(t, d, nil, &User{})
		must(t, db.Create(&User{ID: 1, Email: "a"}).Error)
		late := User{ID: 2, Email: "a", Name: "sealed for id 2"}
		must(t, db.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "email"}}, DoUpdates: clause.AssignmentColumns([]string{"name"}),
		}).Create(&late).Error)
		var rows []User
		must(t, db.Find(&rows).Error)
		equal(t, "rows", rows, []User{{ID: 1, Email: "a", Name: "sealed for id 2"}})
	})
}

func TestAnAddedConditionDefeatsTheGuardAgainstUpdatesWithoutConditions(t *testing.T) {
	db := open(t, nil, &User{})
	must(t, db.Create(&[]User{{Email: "a"}, {Email: "b"}}).Error)
	equal(t, "without", db.Model(&User{}).Update("age", 1).Error, gorm.ErrMissingWhereClause)
	must(t, db.Callback().Update().Before("gorm:update").Register("test:where", func(db *gorm.DB) {
		db.Statement.AddClause(clause.Where{Exprs: []clause.Expression{clause.Expr{SQL: "name = ''"}}})
	}))
	all := db.Model(&User{}).Update("age", 1)
	must(t, all.Error)
	equal(t, "rows", all.RowsAffected, int64(2))
}

func TestUpdatesOfAStructSkipsZeroValuesAndWritesAnExplicitNull(t *testing.T) {
	db := open(t, nil, &Sealed{})
	row := Sealed{Name: "n", Email: sealed("e")}
	must(t, db.Create(&row).Error)
	must(t, db.Model(&row).Updates(Sealed{Name: "m"}).Error)
	equal(t, "a zero value", emails(t, db, "sealeds"), []string{"e"})
	must(t, db.Model(&row).Updates(Sealed{Email: Seal{set: true}}).Error)
	equal(t, "an explicit NULL", emails(t, db, "sealeds"), []string{"NULL"})
}

func TestAnUnchangedRowCountsOnMariaDBOnlyWithClientFoundRows(t *testing.T) {
	for parameters, want := range map[string]int64{"": 0, "&clientFoundRows=true": 1} {
		db := openDSN(t, dbtest.MariaDB, parameters, &User{})
		u := User{Email: "e"}
		must(t, db.Create(&u).Error)
		equal(t, "rows affected "+parameters, db.Model(&u).UpdateColumn("email", "e").RowsAffected, want)
	}
	for _, d := range []dbtest.Database{dbtest.PostgreSQL, dbtest.SQLite} {
		db := openOn(t, d, nil, &User{})
		u := User{Email: "e"}
		must(t, db.Create(&u).Error)
		equal(t, d.Name, db.Model(&u).UpdateColumn("email", "e").RowsAffected, int64(1))
	}
}

func TestSaveOfAnUnchangedRowIsAnUpsertOnMariaDBWithoutClientFoundRows(t *testing.T) {
	log := new(statements)
	db := openOn(t, dbtest.MariaDB, &gorm.Config{Logger: log}, &User{})
	u := User{Email: "e"}
	must(t, db.Create(&u).Error)
	log.take()
	must(t, db.Save(&u).Error)
	contains(t, log.last(), "ON DUPLICATE KEY UPDATE")
}

func TestOnUpdateColumnsOfMariaDBMoveUnlessPinned(t *testing.T) {
	db := openOn(t, dbtest.MariaDB, nil)
	must(t, db.Exec(`CREATE TABLE pins (id INT PRIMARY KEY, v INT,
		moved DATETIME NOT NULL DEFAULT '2001-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP)`).Error)
	moved := func(set string) bool {
		must(t, db.Exec("REPLACE INTO pins (id, v) VALUES (1, 1)").Error)
		must(t, db.Exec("UPDATE pins SET "+set).Error)
		var at time.Time
		must(t, db.Raw("SELECT moved FROM pins").Row().Scan(&at))
		return at.Year() != 2001
	}
	equal(t, "not named", moved("v = 2"), true)
	equal(t, "pinned", moved("v = 2, moved = moved"), false)
}
