package gormseal_test

import (
	"context"
	"fmt"
	"log"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
)

type User struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index `rowseal:"of=Email,normalize=lower" gorm:"uniqueIndex"`
}

// In production the key is one of a KMS, kms.Open(ctx, "vault/users") for one, and the master key of the index a secret.
func newUsers() *rowseal.Model[User] {
	key, err := kms.Open(context.Background(), testkms.ID, nil)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		log.Fatal(err)
	}
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	if err != nil {
		log.Fatal(err)
	}
	users, err := rowseal.NewModel[User]("users", ring, &rowseal.Options{
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index},
	})
	if err != nil {
		log.Fatal(err)
	}
	return users
}

func Example() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.Open("file:example?mode=memory&cache=shared"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Use(gormseal.New(newUsers())); err != nil {
		log.Fatal(err)
	}
	if err := db.AutoMigrate(&User{}); err != nil {
		log.Fatal(err)
	}

	ada := User{Name: "Ada"}
	ada.Email.Set("ada@example.org")
	if err := db.Create(&ada).Error; err != nil {
		log.Fatal(err)
	}

	var found User
	if err := db.Where(gormseal.Equal("Email", "ADA@example.org")).First(&found).Error; err != nil {
		log.Fatal(err)
	}
	if err := gormseal.Open(ctx, &found); err != nil {
		log.Fatal(err)
	}
	email, err := found.Email.Get()
	fmt.Println(found.Name, email, err)

	fmt.Println(db.Model(&found).Update("Email", "ada@example.com").Error != nil) // maps and columns are refused
	found.Email.Set("ada@example.com")
	fmt.Println(db.Updates(&found).Error)
	// Output:
	// Ada ada@example.org <nil>
	// true
	// <nil>
}
