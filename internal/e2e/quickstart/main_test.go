package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
)

// Example is the README's quick start as it stands there.
func Example() {
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Setenv("ROWSEAL_LOCAL_KEYS", dir)
	if err := (localkms.Store{}).Create(context.Background(), "users"); err != nil { // rowseal keys create users
		panic(err)
	}
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	main()
	// Output: ada@example.org
}

func TestTheReadmeShowsThisProgram(t *testing.T) {
	for file, from := range map[string]string{
		"main.go": "package main", "customer.go": "package main", "bucket.go": "// newBucket",
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, shown, ok := strings.Cut(string(source), from)
		if !ok {
			t.Fatalf("%s has no %q", file, from)
		}
		if !strings.Contains(readme(t), "```go\n"+from+shown+"```") {
			t.Errorf("README.md does not show %s from %q on as a ```go block", file, from)
		}
	}
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheProgramHasChangedTheRow(t *testing.T) {
	db := runProgram(t)
	u := loadUser(t, db)
	if err := model(t).Open(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if email, err := u.Email.Get(); err != nil || email != "countess@example.org" {
		t.Errorf("got %q, %v", email, err)
	}
}

// runProgram runs the quick start and returns the database that it leaves.
func runProgram(t *testing.T) *sql.DB {
	t.Helper()
	t.Setenv("ROWSEAL_LOCAL_KEYS", filepath.Join(t.TempDir(), "keys"))
	if err := (localkms.Store{}).Create(t.Context(), "users"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	main()
	db, err := sql.Open("sqlite", "users.sqlite3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func model(t *testing.T) *rowseal.Model[User] {
	t.Helper()
	users, err := rowseal.NewModel[User]("users", keyring(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func keyring(t *testing.T) *rowseal.Keyring {
	t.Helper()
	key, err := kms.Open(t.Context(), "local/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func loadUser(t *testing.T, db *sql.DB) *User {
	t.Helper()
	u := new(User)
	row := db.QueryRow(`SELECT id, encrypted_kms_key, email_ciphertext FROM users`)
	if err := row.Scan(&u.ID, &u.EncryptedKMSKey, &u.Email); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestACustomerIsFoundAndTheContractOpens(t *testing.T) {
	db := runProgram(t)
	if _, err := db.Exec(createCustomers); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("contracts", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("INDEX_KEY", strings.Repeat("0123456789abcdef", 4))
	customers, err := newCustomers(keyring(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &Customer{}
	c.Email.Set("Ada@example.org")
	if err := add(t.Context(), db, customers, c, strings.NewReader("the terms")); err != nil {
		t.Fatal(err)
	}

	found, err := find(t.Context(), db, customers, " ada@EXAMPLE.org")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := find(t.Context(), db, customers, "nobody@example.org"); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("an address that nobody has: %v", err)
	}
	info, err := found.Contract.Info()
	if want := (rowseal.FileInfo{Name: "contract.pdf", ContentType: "application/pdf", Size: 9}); err != nil || info != want {
		t.Errorf("the file is %+v, %v", info, err)
	}
	r, err := found.Contract.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); string(text) != "the terms" || err != nil {
		t.Errorf("the file reads %q, %v", text, err)
	}
}

func TestTheBucketIsAStore(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	files, err := newBucket(t.Context())
	if want := "s3store.Store(s3://my-bucket/sealed/)"; err != nil || fmt.Sprint(files) != want {
		t.Errorf("got %v, %v, want %s", files, err, want)
	}
}

func TestTheProgramSealsWhatItStores(t *testing.T) {
	db := runProgram(t)
	var key, email string
	if err := db.QueryRow(`SELECT encrypted_kms_key, email_ciphertext FROM users`).Scan(&key, &email); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key, "v1:") || len(email) != 64 || strings.Contains(email, "countess") {
		t.Errorf("stored %q and %q", key, email)
	}
	file, err := os.ReadFile("users.sqlite3")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(file), "example.org") {
		t.Error("the plaintext is in the database file")
	}
}
