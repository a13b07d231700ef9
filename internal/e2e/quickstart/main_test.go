package main

import (
	"database/sql"
	"os"
	"strings"
	"testing"

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
	if err := (localkms.Store{}).Create("users"); err != nil { // rowseal keys create users
		panic(err)
	}
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	main()
	// Output: ada@example.org
}

func TestTheReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(source), "package main\n\n")
	if !ok {
		t.Fatal("main.go has no package clause")
	}
	shown, _, ok := strings.Cut(program, "\nfunc main() {")
	if !ok {
		t.Fatal("main.go has no main")
	}
	if !strings.Contains(string(readme), "```go\n"+strings.TrimSpace(shown)+"\n```") {
		t.Error("README.md does not show quickstart/main.go between its package clause and main as a ```go block")
	}
}

func TestTheProgramSealsWhatItStores(t *testing.T) {
	t.Setenv("ROWSEAL_LOCAL_KEYS", t.TempDir())
	if err := (localkms.Store{}).Create("users"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	main()
	db, err := sql.Open("sqlite", "users.sqlite3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var key, email string
	if err := db.QueryRow(`SELECT encrypted_kms_key, email_ciphertext FROM users`).Scan(&key, &email); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key, "v1:") || len(email) != 60 || strings.Contains(email, "ada") {
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
