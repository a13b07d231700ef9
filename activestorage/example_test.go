package activestorage_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
)

// A file that Rails stored and Lockbox encrypted. As a rule Load reads the attachment from the database, and the box is
// one of rowseal's: box, err := users.Box(ctx, &user, "avatar").
func Example() {
	ctx := context.Background()
	files, err := activestorage.New("local", store.Dir{Path: "../vectors/activestorage/storage"}, activestorage.SQLite, nil)
	if err != nil {
		panic(err)
	}
	avatar := activestorage.Attachment{
		ID: "2", Name: "avatar", RecordType: "User", RecordID: "1",
		Blob: activestorage.Blob{
			ID: "2", Key: "i4iax3mj8is59p68q0lfojy7xu2l", ServiceName: "local", Filename: "a.gif", ContentType: "image/gif",
			Metadata: `{"analyzed":true,"encrypted":true,"identified":true}`, ByteSize: 84, Checksum: "KxpdEfTUGQB2v9dnIp+aFw==",
		},
	}

	r, err := files.Open(ctx, avatar, boxOf("90365cf2cd17e4afe5922650889a3e1e9418c55e92974117942f26852c281eb8", "avatar"))
	if err != nil {
		panic(err)
	}
	content, err := io.ReadAll(r)
	fmt.Printf("%s %s: %d bytes sealed, %d bytes, %.6s (%v)\n",
		avatar.Blob.SafeFilename(), avatar.Blob.ContentType, avatar.Blob.ByteSize, len(content), content, err)

	_, err = files.Open(ctx, avatar, boxOf("90365cf2cd17e4afe5922650889a3e1e9418c55e92974117942f26852c281eb8", "license"))
	fmt.Println(err)
	// Output:
	// a.gif image/gif: 84 bytes sealed, 56 bytes, GIF89a (<nil>)
	// activestorage: open avatar of User 1 (blob 2): decryption failed
}

// boxOf returns the box that Lockbox has for an attachment without a key of its own.
func boxOf(masterKey, attachment string) activestorage.Box {
	master, err := hex.DecodeString(masterKey)
	if err != nil {
		panic(err)
	}
	key, err := lockbox.AttributeKey(master, "users", attachment)
	if err != nil {
		panic(err)
	}
	box, err := lockbox.New(key, &lockbox.Options{Format: lockbox.Format{Raw: true}})
	if err != nil {
		panic(err)
	}
	return fileBox{box}
}

// fileBox is what rowseal's Model.Box returns, in short.
type fileBox struct{ *lockbox.Box }

func (b fileBox) Seal(r io.Reader) ([]byte, error) {
	plaintext, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return b.Encrypt(plaintext, nil)
}

func (b fileBox) Open(ciphertext []byte) ([]byte, error) { return b.Decrypt(ciphertext, nil) }
