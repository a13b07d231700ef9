package activestorage

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/vectors"
)

// A Rails app's files, read and written from Go.
func Example() {
	ctx := context.Background()
	folder, db := railsApp()
	defer os.RemoveAll(folder)
	defer db.Close()

	files, err := activestorage.New("local", store.Dir{Path: filepath.Join(folder, "storage")}, activestorage.SQLite, nil)
	check(err)

	found, err := files.Load(ctx, db, "User", 1, 2, 3)
	check(err)
	for _, document := range found.Of(3, "documents") {
		fmt.Println(document.Blob.SafeFilename(), document.Blob.ContentType)
	}

	u := &User{}
	err = db.QueryRowContext(ctx, "SELECT id, encrypted_kms_key FROM users WHERE id = 3").Scan(&u.ID, &u.EncryptedKMSKey)
	check(err)
	box, err := users.Box(ctx, u, "documents")
	check(err)
	err = files.Update(ctx, db, func(_ *sql.Tx, change *activestorage.Change) error {
		_, err := change.Attach(ctx, activestorage.Record{Type: "User", ID: 3}, "documents", activestorage.File{
			Reader: strings.NewReader("signed and sealed"), Filename: "contract.txt", ContentType: "text/plain",
		}, box)
		return err
	})
	check(err)

	found, err = files.Load(ctx, db, "User", 3)
	check(err)
	contract := found.Of(3, "documents")[2]
	r, err := files.Open(ctx, contract, box)
	check(err)
	content, err := io.ReadAll(r)
	check(err)
	fmt.Printf("%s: %s\n", contract.Blob.SafeFilename(), content)
	// Output:
	// d0.pdf application/pdf
	// d1.pdf application/pdf
	// contract.txt: signed and sealed
}

// railsApp returns a copy of what Rails wrote.
func railsApp() (folder string, db *sql.DB) {
	folder, err := os.MkdirTemp("", "activestorage")
	check(err)
	rails, err := fs.Sub(vectors.FS, "activestorage")
	check(err)
	check(os.CopyFS(folder, rails))
	check(os.Chmod(filepath.Join(folder, "app.sqlite3"), 0o600))
	db, err = sql.Open("sqlite", "file:"+filepath.Join(folder, "app.sqlite3"))
	check(err)
	return folder, db
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
