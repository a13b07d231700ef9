package rowseal_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/kms/testkms"
)

type User struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey        // column encrypted_kms_key
	Email           rowseal.Sealed[string] // column email_ciphertext
	KMSKeyPhone     rowseal.DataKey        `rowseal:"name=phone"` // column encrypted_kms_key_phone
	Phone           rowseal.Sealed[string] `rowseal:"key=phone"`  // column phone_ciphertext
}

// A row is sealed before it is saved and opened after it was loaded. In between there are only ciphertexts.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keys := localkms.Store{Dir: dir}
	if err := keys.Create(ctx, "users"); err != nil {
		log.Fatal(err)
	}
	service, err := keys.Open("users") // in production: kms.Open(ctx, os.Getenv("KMS_KEY_ID"), nil)
	if err != nil {
		log.Fatal(err)
	}

	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(service, nil)})
	if err != nil {
		log.Fatal(err)
	}
	users, err := rowseal.NewModel[User]("users", ring, nil)
	if err != nil {
		log.Fatal(err)
	}

	u := User{ID: 42, Name: "Ada"}
	u.Email.Set("ada@example.org")
	_, err = u.Email.Value()
	fmt.Println("saved too early:", err)
	if err := users.Seal(ctx, &u); err != nil {
		log.Fatal(err)
	}
	key, err := u.EncryptedKMSKey.Value() // what database/sql and ORMs write
	if err != nil {
		log.Fatal(err)
	}
	email, err := u.Email.Value()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored key:", strings.HasPrefix(key.(string), "v1:UlNMMQ"))
	fmt.Println("stored email shows the plaintext:", strings.Contains(email.(string), "ada"))
	fmt.Printf("printed: %+v\n", u.Email)

	loaded := User{ID: 42}
	if err := loaded.EncryptedKMSKey.Scan(key); err != nil {
		log.Fatal(err)
	}
	if err := loaded.Email.Scan(email); err != nil {
		log.Fatal(err)
	}
	stolen := loaded
	stolen.ID = 43
	fmt.Println("in another row:", users.Open(ctx, &stolen))
	if err := users.Open(ctx, &loaded); err != nil {
		log.Fatal(err)
	}
	fmt.Println(loaded.Email.Get())
	// Output:
	// saved too early: rowseal: the value is not sealed; seal it before it is saved, and look for it by its blind index: unsealed
	// stored key: true
	// stored email shows the plaintext: false
	// printed: [opened]
	// in another row: rowseal: users "43" encrypted_kms_key (version 1): kms: decrypt with local/users: decryption failed
	// ada@example.org <nil>
}

// testRing is for the examples that are about something else.
func testRing(numbers ...int) *rowseal.Keyring {
	var versions []rowseal.Version
	for _, n := range numbers {
		versions = append(versions, rowseal.Version{Number: n, Key: kms.NewKey(testkms.New(false), nil)})
	}
	ring, err := rowseal.NewKeyring(versions...)
	if err != nil {
		log.Fatal(err)
	}
	return ring
}

func testUsers() *rowseal.Model[User] {
	users, err := rowseal.NewModel[User]("users", testRing(1), nil)
	if err != nil {
		log.Fatal(err)
	}
	return users
}

// Outside models a Keyring is a box for small secrets. This key is for tests: what it writes can be read by anyone.
func ExampleKeyring() {
	ctx := context.Background()
	ring := testRing(2, 1) // version 2 seals, both open
	purpose := kms.Context{"purpose": "webhook", "id": "7"}

	sealed, err := ring.Encrypt(ctx, []byte("hook secret"), purpose)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sealed)
	secret, err := ring.Decrypt(ctx, sealed, purpose)
	fmt.Println(string(secret), err)
	_, err = ring.Decrypt(ctx, sealed, kms.Context{"purpose": "webhook", "id": "8"})
	fmt.Println(err)
	_, err = ring.Decrypt(ctx, "v3:"+sealed[3:], purpose)
	fmt.Println(err)
	// Output:
	// v2:insecure+data+A6YUc5dmF5QnpaV055WlhRPTpleUpwWkNJNklqY2lMQ0p3ZFhKd2IzTmxJam9pZDJWaWFHOXZheUo5Cg==
	// hook secret <nil>
	// rowseal: kms: decrypt with insecure-test-key: decryption failed
	// rowseal: version not active: 3
}

// Data keys that nobody asked for stay shut, and the KMS's log shows no opening of them.
func ExampleModel_Only() {
	ctx := context.Background()
	users := testUsers()
	u := User{ID: 42}
	u.Email.Set("ada@example.org")
	u.Phone.Set("+44 20 7946 0000")
	if err := users.Seal(ctx, &u); err != nil {
		log.Fatal(err)
	}
	users.Wipe(&u) // as if it had been loaded

	if err := users.Only("phone").Open(ctx, &u); err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.Phone.Get())
	_, err := u.Email.Get()
	fmt.Println(err)
	// Output:
	// +44 20 7946 0000 <nil>
	// rowseal: the value is sealed; call Model.Open first: not opened
}

// A service that may seal and not open updates a row all the same: it clears the row, which then gets a new data key.
func ExampleModel_Clear() {
	ctx := context.Background()
	users := testUsers()
	u := User{ID: 42}
	u.Email.Set("ada@example.org")
	if err := users.Seal(ctx, &u); err != nil {
		log.Fatal(err)
	}
	before := u.EncryptedKMSKey.Wrapped()
	loaded := User{ID: 42}
	if err := loaded.EncryptedKMSKey.Scan(before); err != nil {
		log.Fatal(err)
	}

	sealer := users.Only("").Sealer() // has no way to open
	sealer.Clear(&loaded)
	loaded.Email.Set("ada@example.com")
	if err := sealer.Seal(ctx, &loaded); err != nil {
		log.Fatal(err)
	}
	held, _ := loaded.EncryptedKMSKey.Stored()
	fmt.Println("a new key:", loaded.EncryptedKMSKey.Wrapped() != before)
	fmt.Println("the UPDATE can compare the key column with what was loaded:", held == before)
	// Output:
	// a new key: true
	// the UPDATE can compare the key column with what was loaded: true
}

// The encryption context of new keys names the tenant too. Keys of version 1 were wrapped without, and still open.
func ExampleOptions() {
	type Note struct {
		ID              int64
		TenantID        int64
		EncryptedKMSKey rowseal.DataKey
		Text            rowseal.Sealed[string]
	}
	opts := &rowseal.Options{Keys: map[string]rowseal.KeyOptions{"": {
		Context: rowseal.ContextRule{Names: map[string]string{"model_name": "Note", "tenant": "{tenant_id}", "model_id": "{id}"}},
		Versions: map[int]rowseal.ContextRule{
			1: {Names: map[string]string{"model_name": "Note", "model_id": "{id}"}},
		},
	}}}
	notes, err := rowseal.NewModel[Note]("notes", testRing(2, 1), opts)
	if err != nil {
		log.Fatal(err)
	}
	n := Note{ID: 42, TenantID: 7}
	n.Text.Set("hello")
	if err := notes.Seal(context.Background(), &n); err != nil {
		log.Fatal(err)
	}
	n.TenantID = 8
	fmt.Println(notes.Seal(context.Background(), &n))
	// Output:
	// rowseal: notes "42" encrypted_kms_key (version 2): a column that names the row has changed since its data key was opened: context changed
}
