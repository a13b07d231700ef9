package gormseal_test

import (
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
)

// RawUser is another struct for the table of User, whose author knows nothing of sealing.
type RawUser struct {
	ID              int64
	Name            string
	EmailCiphertext string
}

func (RawUser) TableName() string { return "users" }

// Stranger has sealed fields, and no model was given for it.
type Stranger struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// UserForm is a smaller struct with one sealed field of User.
type UserForm struct {
	Name  string
	Email rowseal.Sealed[string]
}

func set(v string) (s rowseal.Sealed[string]) {
	s.Set(v)
	return s
}

func index(v string) (i blindindex.Index) {
	i.Set(v)
	return i
}

// closedPath is a way to write a sealed column that must end in an error, with nothing written and nothing asked of the KMS.
type closedPath struct {
	name string
	want error
	do   func(db *gorm.DB, loaded *User) error
}

var closedPaths = []closedPath{
	{"Update by Go name", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("Email", "plain").Error }},
	{"Update by column", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("email_ciphertext", "plain").Error }},
	{"Update with capital letters", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("EMAIL_CIPHERTEXT", "plain").Error }},
	{"Update with the table's name", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("users.email_ciphertext", "plain").Error }},
	{"Update with a Sealed that is set", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("Email", set("plain")).Error }},
	{"Update with a Sealed of another row", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		var other User
		if err := db.Last(&other).Error; err != nil {
			return err
		}
		return db.Model(u).Update("Email", other.Email).Error
	}},
	{"Update with NULL", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("Email", nil).Error }},
	{"Update of the key", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("encrypted_kms_key", nil).Error }},
	{"Update of the index", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).Update("EmailIndex", index("x")).Error }},
	{"Update with an expression", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Update("email_ciphertext", gorm.Expr("phone_ciphertext")).Error
	}},
	{"Update of many rows", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Model(&User{}).Where("age >= 0").Update("Email", set("plain")).Error
	}},
	{"Updates with a map", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Updates(map[string]any{"name": "x", "email_ciphertext": "plain"}).Error
	}},
	{"UpdateColumn", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(u).UpdateColumn("Email", "plain").Error }},
	{"UpdateColumns with a map", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).UpdateColumns(map[string]any{"Phone": "plain"}).Error
	}},
	{"SkipHooks", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Session(&gorm.Session{SkipHooks: true}).Model(u).Update("Email", "plain").Error
	}},
	{"Updates with another struct", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Updates(User{Name: "x", Email: set("plain")}).Error
	}},
	{"Updates with another struct, and Select without the set field", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Select("Name").Updates(User{Name: "x", Email: set("plain")}).Error
	}},
	{"Updates with a struct of another type", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		return db.Model(u).Updates(UserForm{Name: "x", Email: set("plain")}).Error
	}},
	{"Updates with a copy of the row", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Model(&User{ID: u.ID}).Updates(u).Error }},
	{"Updates with all columns of an empty struct", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Select("*").Updates(User{Name: "x"}).Error
	}},
	{"Updates of a struct by value", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error { return db.Updates(*u).Error }},
	{"a SET clause", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Clauses(clause.Set{{Column: clause.Column{Name: "email_ciphertext"}, Value: "plain"}}).Updates(map[string]any{}).Error
	}},
	{"a raw SET clause", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Model(u).Clauses(clause.Set{{Column: clause.Column{Name: `"email_ciphertext"`, Raw: true}, Value: "plain"}}).Updates(map[string]any{}).Error
	}},
	{"generics: Update", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		_, err := gorm.G[User](db).Where("id = ?", u.ID).Update(db.Statement.Context, "Email", "plain")
		return err
	}},
	{"generics: Updates", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		_, err := gorm.G[User](db).Where("id = ?", u.ID).Updates(db.Statement.Context, User{Email: set("plain")})
		return err
	}},
	{"generics: Set.Update", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		_, err := gorm.G[User](db).Where("id = ?", u.ID).Set(clause.Assignment{Column: clause.Column{Name: "email_ciphertext"}, Value: "plain"}).
			Update(db.Statement.Context)
		return err
	}},
	{"generics: Set.Create", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return gorm.G[User](db).Set(clause.Assignment{Column: clause.Column{Name: "email_ciphertext"}, Value: "plain"}).Create(db.Statement.Context)
	}},
	{"Table.Update", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Table("users").Where("id = ?", u.ID).Update("email_ciphertext", "plain").Error
	}},
	{"Table with an alias", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Table("users AS u").Where("id = ?", u.ID).Update("email_ciphertext", "plain").Error
	}},
	{"Table in capital letters", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Table("USERS").Where("id = ?", u.ID).Updates(map[string]any{"Email_Ciphertext": "plain"}).Error
	}},
	{"Table.Create(map)", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Table("users").Create(map[string]any{"name": "x", "email_ciphertext": "plain"}).Error
	}},
	{"another struct for the table: Create", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Create(&RawUser{Name: "x", EmailCiphertext: "plain"}).Error
	}},
	{"another struct for the table: Save", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Save(&RawUser{ID: u.ID, Name: "x", EmailCiphertext: "plain"}).Error
	}},
	{"another struct for the table: Updates", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Updates(&RawUser{ID: u.ID, EmailCiphertext: "plain"}).Error
	}},
	{"the struct in another table", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error { return db.Table("orders").Create(newUser("x")).Error }},
	{"the struct in another table: Updates", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		u.Email.Set("x")
		return db.Table("archive").Updates(u).Error
	}},
	{"INSERT into another table", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		return db.Clauses(clause.Insert{Table: clause.Table{Name: "archive"}}).Create(newUser("x")).Error
	}},
	{"a struct without a model: Create", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error { return db.Create(&Stranger{Email: set("x")}).Error }},
	{"a struct without a model: Updates", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error { return db.Updates(&Stranger{ID: 1, Email: set("x")}).Error }},
	{"a struct without a model: Find", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error { return db.Find(&[]Stranger{}).Error }},
	{"a struct without a model: Find as a smaller one", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error { return db.Model(&User{}).Find(&[]Stranger{}).Error }},
	{"Create(map)", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Model(&User{}).Create(map[string]any{"Name": "x", "Email": "plain"}).Error
	}},
	{"Create([]map)", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Model(&User{}).Create([]map[string]any{{"Name": "x"}, {"email_bidx": "plain"}}).Error
	}},
	{"Create of a struct by value", gorm.ErrInvalidData, func(db *gorm.DB, _ *User) error { return db.Create(*newUser("x")).Error }},
	{"Create with Select of some sealed columns", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		return db.Select("Name", "Email").Create(newUser("x")).Error
	}},
	{"Create with Omit of the key", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error { return db.Omit("EncryptedKMSKey").Create(newUser("x")).Error }},
	{"Create with Omit of the id that the context has", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		u := newUser("x")
		u.ID = 77
		return db.Omit("ID").Create(u).Error
	}},
	{"Create of a row that was loaded and not opened", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		u.ID = 0
		return db.Create(u).Error
	}},
	{"Create of loaded rows", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		var all []User
		if err := db.Find(&all).Error; err != nil {
			return err
		}
		for i := range all {
			all[i].ID = 0
		}
		return db.Create(&all).Error
	}},
	{"INSERT OR REPLACE", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		return db.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Create(newUser("x")).Error
	}},
	{"OnConflict with a value", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"email_ciphertext": "plain"})}).
			Create(&User{ID: u.ID, Name: "x"}).Error
	}},
	{"OnConflict with some of the columns", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		n := newUser("x")
		n.ID = u.ID
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"email_ciphertext"})}).
			Create(n).Error
	}},
	{"OnConflict by a column that is not the context's", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, UpdateAll: true}).Create(newUser("x")).Error
	}},
	{"OnConflict of a constraint", kms.ErrInvalidRequest, func(db *gorm.DB, _ *User) error {
		u := newUser("x")
		u.ID = 1
		return db.Clauses(clause.OnConflict{OnConstraint: "users_pkey", UpdateAll: true}).Create(u).Error
	}},
	{"OnConflict UpdateAll with Omit of everything sealed", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Table("users").Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.Assignments(map[string]any{"email_bidx": nil})}).
			Create(map[string]any{"id": u.ID, "name": "x"}).Error
	}},
	{"FirstOrCreate: Assign on a row that is found", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Where("id = ?", u.ID).Assign(User{Email: set("plain")}).FirstOrCreate(&User{}).Error
	}},
	{"FirstOrCreate: Assign(map) on a row that is found", rowseal.ErrUnsealed, func(db *gorm.DB, u *User) error {
		return db.Where("id = ?", u.ID).Assign(map[string]any{"email_ciphertext": "plain"}).FirstOrCreate(&User{}).Error
	}},
	{"Select without a field that is set", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		u.Email.Set("x")
		return db.Model(u).Select("Name").Updates(u).Error
	}},
	{"Omit of a field that is set", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		u.Email.Set("x")
		return db.Omit("Email").Save(u).Error
	}},
	{"Select of one of two fields that are set", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		u.Email.Set("x")
		u.Phone.Set("y")
		return db.Model(u).Select("Email").Updates(u).Error
	}},
	{"Updates of a row that was never loaded", rowseal.ErrNoKey, func(db *gorm.DB, u *User) error {
		return db.Updates(&User{ID: u.ID, Email: set("x")}).Error
	}},
	{"Updates of a row that was loaded without its key", rowseal.ErrNoKey, func(db *gorm.DB, u *User) error {
		var some User
		if err := db.Select("id", "email_ciphertext").First(&some, u.ID).Error; err != nil {
			return err
		}
		some.Email.Set("x")
		return db.Updates(&some).Error
	}},
	{"SetNull of a row that was never loaded", rowseal.ErrNoKey, func(db *gorm.DB, u *User) error {
		other := &User{ID: u.ID, Name: "x"}
		other.Email.SetNull()
		return db.Updates(other).Error
	}},
	{"Updates without a primary key", kms.ErrInvalidRequest, func(db *gorm.DB, u *User) error {
		u.ID = 0
		u.Email.Set("x")
		return db.Where("age >= 0").Updates(u).Error
	}},
	{"Where with a field that is set: Find", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error { return db.Where(&User{Email: set("x")}).Find(&[]User{}).Error }},
	{"Where with a field that is set: Delete", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Unscoped().Where(&User{Email: set("x")}).Delete(&User{}).Error
	}},
	{"Where with a field that is set: Updates", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Model(&User{}).Where(User{Email: set("x")}).Update("name", "x").Error
	}},
	{"Not with a field that is set: Delete", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Unscoped().Not(set("x")).Delete(&User{}).Error
	}},
	{"a field that is set as an argument of SQL", rowseal.ErrUnsealed, func(db *gorm.DB, _ *User) error {
		return db.Exec("UPDATE users SET email_ciphertext = ?", set("plain")).Error
	}},
}

func TestEveryOtherWayToWriteASealedColumnIsRefused(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.Create([]*User{newUser("ada"), newUser("bob")}).Error)
		must(t, w.Exec("CREATE TABLE archive (id int)").Error)
		before := w.dump("users")
		for _, path := range closedPaths {
			var u User
			must(t, w.First(&u).Error)
			w.kms.Reset()
			err := path.do(w.DB, &u)
			wantErr(t, path.name, err, path.want)
			w.requests(path.name, 0, 0)
			if after := w.dump("users"); after != before {
				t.Errorf("%s: the table has changed", path.name)
				before = after
			}
		}
	})
}
