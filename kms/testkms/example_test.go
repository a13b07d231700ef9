package testkms_test

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/testkms" // in tests alone
)

func Example() {
	ctx := context.Background()
	key, err := kms.Open(ctx, "insecure-test-key", nil)
	if err != nil {
		panic(err)
	}
	row := kms.Context{"model_name": "User", "model_id": "7"}
	wrapped, err := key.Encrypt(ctx, []byte("hello"), row)
	if err != nil {
		panic(err)
	}
	fmt.Println(base64.StdEncoding.EncodeToString(wrapped))

	_, err = key.Decrypt(ctx, wrapped, kms.Context{"model_name": "User", "model_id": "8"})
	fmt.Println(err)
	// Output:
	// insecure+data+A6YUdWc2JHOD06ZXlKdGIyUmxiRjlwWkNJNklqY2lMQ0p0YjJSbGJGOXVZVzFsSWpvaVZYTmxjaUo5Cg==
	// kms: decrypt with insecure-test-key: decryption failed
}
