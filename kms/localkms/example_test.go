package localkms_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
)

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
	service, err := keys.Open("users")
	if err != nil {
		log.Fatal(err)
	}
	key := kms.NewKey(service, nil)
	defer key.Close()

	dataKey := []byte("32 bytes, one such key for a row")
	row := kms.Context{"model_name": "User", "model_id": "42"}
	wrapped, err := key.Encrypt(ctx, dataKey, row)
	if err != nil {
		log.Fatal(err)
	}
	opened, err := key.Decrypt(ctx, wrapped, row)
	fmt.Println(string(opened), err)

	_, err = key.Decrypt(ctx, wrapped, kms.Context{"model_name": "User", "model_id": "43"})
	fmt.Println(err)
	// Output:
	// 32 bytes, one such key for a row <nil>
	// kms: decrypt with local/users: decryption failed
}

// After a rotation, earlier ciphertexts still open; rewrapping moves them to the new version.
func ExampleStore_Rotate() {
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
	version, err := keys.Rotate(ctx, "users")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", version)

	list, err := keys.List()
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range list {
		fmt.Println(k.ID(), "seals with version", k.Current, "of", len(k.Versions))
	}
	// Output:
	// version 2
	// local/users seals with version 2 of 2
}
