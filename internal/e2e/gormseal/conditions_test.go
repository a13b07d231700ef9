package gormseal_test

import (
	"database/sql"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A ciphertext has no value to be compared with, and the value would stand in the database's log.
func TestAConditionOnASealedColumnReachesNoDatabase(t *testing.T) {
	const plain = "plain@example.org"
	own := func(condition any, args ...any) func(*gorm.DB) *gorm.DB {
		return func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Where(condition, args...) }
	}
	column := func(name string) clause.Column { return clause.Column{Table: clause.CurrentTable, Name: name} }
	conditions := map[string]func(*gorm.DB) *gorm.DB{
		"a map by column":       own(map[string]any{"email_ciphertext": plain}),
		"a map by Go name":      own(map[string]any{"Email": plain}),
		"a map of strings":      own(map[string]string{"email_ciphertext": plain}),
		"a map with a list":     own(map[string]any{"email_ciphertext": []string{plain, "x"}}),
		"a map with an any":     own(map[any]any{"email_ciphertext": plain}),
		"a column and a value":  own("email_ciphertext", plain),
		"with the table's name": own("users.email_ciphertext", plain),
		"in capital letters":    own("EMAIL_CIPHERTEXT", plain),
		"bytes":                 own("email_ciphertext", []byte(plain)),
		"of database/sql":       own(map[string]any{"email_ciphertext": sql.NullString{String: plain, Valid: true}}),
		"a string's pointer":    own(map[string]any{"email_ciphertext": new(plain)}),
		"Not":                   func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Not(map[string]any{"email_ciphertext": plain}) },
		"Or": func(db *gorm.DB) *gorm.DB {
			return db.Model(&User{}).Where("age = 0").Or(clause.Eq{Column: "email_ciphertext", Value: plain})
		},
		"a group": func(db *gorm.DB) *gorm.DB {
			return db.Model(&User{}).Where(db.Where("age = 0").Where(db.Where("age = 1").Or(map[string]any{"Phone": plain})))
		},
		"Eq":                       own(clause.Eq{Column: column("email_ciphertext"), Value: plain}),
		"Neq":                      own(clause.Neq{Column: "email_ciphertext", Value: plain}),
		"Gt":                       own(clause.Gt{Column: "email_ciphertext", Value: plain}),
		"Gte":                      own(clause.Gte{Column: "email_ciphertext", Value: plain}),
		"Lt":                       own(clause.Lt{Column: "email_ciphertext", Value: plain}),
		"Lte":                      own(clause.Lte{Column: "email_ciphertext", Value: plain}),
		"Like":                     own(clause.Like{Column: "email_ciphertext", Value: "%" + plain}),
		"IN":                       own(clause.IN{Column: column("email_ciphertext"), Values: []any{nil, plain}}),
		"And of Or":                own(clause.And(clause.Eq{Column: "age", Value: 0}, clause.Or(clause.Eq{Column: "phone_ciphertext", Value: plain}))),
		"in SQL":                   own("age = ? AND ?", 0, clause.Eq{Column: "email_ciphertext", Value: plain}),
		"an index and its value":   own(map[string]any{"email_bidx": plain}),
		"an index by Go name":      own(map[string]any{"EmailIndex": plain}),
		"several for an index":     own(map[string]any{"email_bidx": []string{plain}}),
		"Like of an index":         own(clause.Like{Column: "email_bidx", Value: plain}),
		"a table without a struct": func(db *gorm.DB) *gorm.DB { return db.Table("users").Where(map[string]any{"email_ciphertext": plain}) },
		"an alias": func(db *gorm.DB) *gorm.DB {
			return db.Table("users AS u").Where(map[string]any{"email_ciphertext": plain})
		},
		"another struct's table": func(db *gorm.DB) *gorm.DB {
			return db.Model(&RawUser{}).Where(map[string]any{"email_ciphertext": plain})
		},
		"a struct of another table": func(db *gorm.DB) *gorm.DB { return db.Model(&RawUser{}).Where(&RawUser{EmailCiphertext: plain}) },
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		var printed recorder
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) {
			c.Logger = logger.New(&printed, logger.Config{LogLevel: logger.Info})
		})
		must(t, w.Create(newUser("ada")).Error)
		before := w.dump("users")
		printed.Reset()
		for what, condition := range conditions {
			for how, do := range map[string]func(*gorm.DB) *gorm.DB{
				"Find":   func(tx *gorm.DB) *gorm.DB { return tx.Find(&[]map[string]any{}) },
				"Count":  func(tx *gorm.DB) *gorm.DB { return tx.Count(new(int64)) },
				"Update": func(tx *gorm.DB) *gorm.DB { return tx.Update("age", 5) },
				"Delete": func(tx *gorm.DB) *gorm.DB { return tx.Unscoped().Delete(&User{}) },
				"Rows":   func(tx *gorm.DB) *gorm.DB { _, err := tx.Rows(); tx.AddError(err); return tx },
			} {
				err := do(condition(w.DB)).Error
				wantErr(t, what+": "+how, err, rowseal.ErrUnsealed)
				wantMessage(t, err, "gormseal.Equal")
				if err != nil && strings.Contains(err.Error(), plain) {
					t.Errorf("%s: %s: the error has the value: %v", what, how, err)
				}
			}
		}
		for what, err := range map[string]error{
			"First":         w.First(&User{}, "email_ciphertext", plain).Error,
			"FirstOrInit":   w.Where(map[string]any{"Email": plain}).FirstOrInit(&User{}).Error,
			"FirstOrCreate": w.Where(map[string]any{"Email": plain}).FirstOrCreate(&User{}).Error,
			"Having":        w.Model(&User{}).Select("age").Group("age").Having(map[string]any{"email_ciphertext": plain}).Find(&[]int{}).Error,
			"Preload":       w.Preload("Orders", map[string]any{"note_ciphertext": plain}).Find(&[]User{}).Error,
			"a joined struct": w.Joins("User").Where(clause.Eq{Column: clause.Column{Table: "User", Name: "email_ciphertext"}, Value: plain}).
				Find(&[]Order{}).Error,
			"a condition of Joins": w.Joins("User", w.Where(map[string]any{"email_ciphertext": plain})).Find(&[]Order{}).Error,
			"Updates of a row":     w.Where(map[string]any{"email_ciphertext": plain}).Updates(&User{ID: 1, Name: "x"}).Error,
			"Delete of a row":      w.Delete(&User{ID: 1}, map[string]any{"email_ciphertext": plain}).Error,
		} {
			wantErr(t, what, err, rowseal.ErrUnsealed)
		}
		for what, tx := range map[string]*gorm.DB{
			"Find":   w.Where("id NOT IN (?)", w.Model(&User{}).Select("id").Where(map[string]any{"Email": plain})).Find(&[]User{}),
			"Delete": w.Unscoped().Where("id NOT IN (?)", w.Model(&User{}).Select("id").Where(map[string]any{"Email": plain})).Delete(&User{}),
			"Update": w.Model(&User{}).Where("id NOT IN (?)", w.Model(&User{}).Select("id").Where(map[string]any{"Email": plain})).Update("age", 5),
		} {
			if tx.Error == nil {
				t.Errorf("a condition in a subquery: %s has no error", what)
			}
		}
		if strings.Contains(printed.String(), plain) {
			t.Errorf("a statement has the value: %s", printed.String())
		}
		if w.dump("users") != before {
			t.Error("the table has changed")
		}
	})
}

// What does not compare a sealed column with a value is GORM's own affair, and SQL text is the caller's.
func TestConditionsThatHoldNoPlaintextAreLeftAlone(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.Create([]*User{newUser("ada"), {Name: "nobody"}}).Error)
		var ada User
		must(t, w.First(&ada, "name = ?", "ada").Error)
		looked, err := w.users.Lookup(t.Context(), "email_bidx", "ada@example.org")
		must(t, err)
		texts := make([]string, len(looked))
		for i, v := range looked {
			texts[i] = v.(string)
		}
		var set blindindex.Index
		set.Set(ada.EmailIndex.Text())
		for what, c := range map[string]struct {
			condition any
			args      []any
			want      int
		}{
			"IS NULL":                       {map[string]any{"email_ciphertext": nil}, nil, 1},
			"IS NULL of a pointer":          {map[string]any{"email_ciphertext": (*string)(nil)}, nil, 1},
			"IS NULL of database/sql":       {map[string]any{"email_ciphertext": sql.NullString{}}, nil, 1},
			"IS NULL by column":             {clause.Eq{Column: "email_bidx", Value: nil}, nil, 1},
			"IS NOT NULL":                   {clause.Neq{Column: "email_ciphertext", Value: nil}, nil, 1},
			"a ciphertext that was loaded":  {map[string]any{"email_ciphertext": ada.Email}, nil, 1},
			"a pointer to one":              {map[string]any{"email_ciphertext": &ada.Email}, nil, 1},
			"one of a struct":               {&User{Email: ada.Email}, nil, 1},
			"a key that was loaded":         {map[string]any{"encrypted_kms_key": ada.EncryptedKMSKey}, nil, 1},
			"text of a key":                 {clause.Like{Column: "encrypted_kms_key", Value: "v1:%"}, nil, 1},
			"an index that was loaded":      {map[string]any{"email_bidx": ada.EmailIndex}, nil, 1},
			"an index that was made":        {clause.IN{Column: "email_bidx", Values: []any{set}}, nil, 1},
			"what Lookup has found":         {map[string]any{"email_bidx": looked}, nil, 1},
			"and as text":                   {map[string]any{"email_bidx": texts}, nil, 1},
			"and in SQL":                    {"email_bidx IN ?", []any{looked}, 1},
			"a ciphertext in SQL":           {"email_ciphertext = ?", []any{ada.Email.Ciphertext()}, 1},
			"another column":                {clause.Eq{Column: "email_ciphertext", Value: clause.Column{Name: "phone_ciphertext"}}, nil, 0},
			"an expression":                 {clause.Neq{Column: "email_ciphertext", Value: gorm.Expr("phone_ciphertext")}, nil, 1},
			"a length":                      {clause.Gt{Column: clause.Column{Name: "LENGTH(email_ciphertext)", Raw: true}, Value: 3}, nil, 1},
			"a plain column":                {map[string]any{"name": "ada"}, nil, 1},
			"a plain column of another row": {map[string]string{"users.name": "ada"}, nil, 1},
		} {
			var found []User
			if err := w.Where(c.condition, c.args...).Find(&found).Error; err != nil || len(found) != c.want {
				t.Errorf("%s: %d rows, want %d, %v", what, len(found), c.want, err)
			}
		}
		// Of another table the same names are nothing sealed.
		must(t, w.Exec("CREATE TABLE archive (id int, email_ciphertext varchar(50))").Error)
		must(t, w.Exec("INSERT INTO archive VALUES (1, 'x')").Error)
		var all []map[string]any
		must(t, w.Table("archive").Where(map[string]any{"email_ciphertext": "x"}).Find(&all).Error)
		if len(all) != 1 {
			t.Errorf("%d rows of another table", len(all))
		}
	})
}

func TestInTakesAList(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(3)
		must(t, w.Create(&users).Error)
		emails := []string{"user0@example.org", "user2@example.org"}
		type named []string
		for what, c := range map[string]struct {
			condition any
			want      int
		}{
			"a slice":             {gormseal.In("Email", emails), 2},
			"a slice of any":      {gormseal.In("Email", []any{emails[0], emails[1]}), 2},
			"a slice of one any":  {gormseal.In("Email", []any{emails[0]}), 1},
			"a named slice":       {gormseal.In("Email", named(emails)), 2},
			"an array":            {gormseal.In("Email", [2]string(emails)), 2},
			"an empty slice":      {gormseal.In("Email", []string{}), 0},
			"a nil slice":         {gormseal.In("Email", []string(nil)), 0},
			"values":              {gormseal.In("Email", emails[0], emails[1]), 2},
			"a slice for a value": {gormseal.In("Email", []any{emails[0]}, []any{emails[1]}), 2},
		} {
			var found []User
			if err := w.Where(c.condition).Find(&found).Error; err != nil || len(found) != c.want {
				t.Errorf("%s: %d rows, want %d, %v", what, len(found), c.want, err)
			}
		}
		err := w.Where(gormseal.Equal("Email", emails)).Find(&[]User{}).Error
		wantMessage(t, err, "Equal takes one value", "In takes several")
		if err != nil && strings.Contains(err.Error(), emails[0]) {
			t.Errorf("the error has a value: %v", err)
		}
	})
}

// Pair has an index of two fields, and one of a field that is bytes itself.
type Pair struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	First           rowseal.Sealed[string]
	Last            rowseal.Sealed[string]
	NameIndex       blindindex.Index       `rowseal:"of=First+Last,algorithm=hmac_sha256"`
	Code            rowseal.Sealed[[]byte] `rowseal:"type=binary"`
	CodeIndex       blindindex.Index       `rowseal:"of=Code,algorithm=hmac_sha256"`
}

func TestInOfSeveralFieldsAndOfBytes(t *testing.T) {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 10}, nil)})
	must(t, err)
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	model, err := rowseal.NewModel[Pair]("pairs", ring, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}})
	must(t, err)
	db := gormtest.Open(t, dbtest.SQLite, nil)
	must(t, db.Use(gormseal.New(model)))
	must(t, db.AutoMigrate(&Pair{}))
	for _, name := range [][2]string{{"Ada", "King"}, {"Ada", "Byron"}, {"Mary", "King"}} {
		p := &Pair{First: set(name[0]), Last: set(name[1])}
		p.Code.Set([]byte(name[1]))
		must(t, db.Create(p).Error)
	}
	for what, c := range map[string]struct {
		condition any
		want      int
	}{
		"several fields":           {gormseal.In("NameIndex", []any{"Ada", "King"}, []any{"Mary", "King"}), 2},
		"several fields, a slice":  {gormseal.In("NameIndex", [][]any{{"Ada", "King"}, {"Ada", "Byron"}}), 2},
		"several fields, one pair": {gormseal.In("NameIndex", []any{"Ada", "King"}), 1},
		"bytes":                    {gormseal.In("Code", []byte("King")), 2},
		"a slice of bytes":         {gormseal.In("Code", [][]byte{[]byte("King"), []byte("Byron")}), 3},
	} {
		var found []Pair
		if err := db.Where(c.condition).Find(&found).Error; err != nil || len(found) != c.want {
			t.Errorf("%s: %d rows, want %d, %v", what, len(found), c.want, err)
		}
	}
}
