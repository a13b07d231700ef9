package kms_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
)

// A program opens its key by the id in its configuration, and imports the provider for its effect. This one is for tests.
func Example() {
	ctx := context.Background()
	key, err := kms.Open(ctx, testkms.ID, nil)
	if err != nil {
		panic(err)
	}
	defer key.Close()

	row7 := kms.Context{"model_name": "User", "model_id": "7"}
	wrapped, err := key.Encrypt(ctx, []byte("the data key of row 7"), row7)
	if err != nil {
		panic(err)
	}
	dataKey, err := key.Decrypt(ctx, wrapped, row7)
	fmt.Printf("%s, %v\n", dataKey, err)

	row8 := kms.Context{"model_name": "User", "model_id": "8"}
	_, err = key.Decrypt(ctx, wrapped, row8)
	fmt.Println(err)
	fmt.Println(errors.Is(err, kms.ErrDecryptionFailed))
	// Output:
	// the data key of row 7, <nil>
	// kms: decrypt with insecure-test-key: decryption failed
	// true
}

// A test holds the code that it calls to a number of requests, so that rows opened one by one are noticed.
func ExampleWithBudget() {
	key := kms.NewKey(testkms.New(false), nil)
	ctx := kms.WithBudget(context.Background(), 2)
	for id := range 3 {
		row := kms.Context{"model_name": "User", "model_id": fmt.Sprint(id)}
		_, err := key.Encrypt(ctx, []byte("data key"), row)
		fmt.Println(id, err)
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 2 kms: encrypt with insecure-test-key: request budget used up
}

// A server that only writes gets a Key that cannot open. (Its credentials should not be able to, either.)
func ExampleKey_EncryptOnly() {
	ctx := context.Background()
	key := kms.NewKey(testkms.New(false), nil)
	sealer := key.EncryptOnly()

	wrapped, err := sealer.Encrypt(ctx, []byte("data key"), nil)
	fmt.Println(len(wrapped), err)
	_, err = sealer.Decrypt(ctx, wrapped, nil)
	fmt.Println(err)
	// Output:
	// 24 <nil>
	// kms: decrypt with insecure-test-key: this key is for encryption only: access denied
}
