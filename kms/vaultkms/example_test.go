package vaultkms_test

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

// A program that seals rows and cannot open them.
func Example() {
	service, err := vaultkms.New("users", &vaultkms.Options{Mount: "team/transit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := kms.NewKey(service, nil).EncryptOnly() // the token should not have the right, either
	defer key.Close()

	_, err = key.Decrypt(context.Background(), []byte("vault:v1:…"), kms.Context{"model_name": "User", "model_id": "42"})
	fmt.Println(key, "takes", key.Info().BatchSize, "rows a request")
	fmt.Println(err)

	// Output:
	// kms.Key(vault/team/transit/users) takes 240 rows a request
	// kms: decrypt with vault/team/transit/users: this key is for encryption only: access denied
}
