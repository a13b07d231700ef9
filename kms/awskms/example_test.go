package awskms_test

import (
	"fmt"
	"log"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

func Example() {
	service, err := awskms.New("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", nil)
	if err != nil {
		log.Fatal(err)
	}
	key := kms.NewKey(service, &kms.KeyOptions{Rate: 2000}) // of the account's quota
	defer key.Close()

	fmt.Println(key.ID())
	fmt.Println("rewraps at the server:", key.Info().Rewrap == kms.RewrapAnyContext)
	// Output:
	// arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
	// rewraps at the server: true
}

// An alias that was pointed at another key goes on to open what the earlier one wrapped.
func ExampleOptions_allowedKeys() {
	service, err := awskms.New("alias/users", &awskms.Options{
		Region:      "eu-west-1",
		AllowedKeys: []string{"arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
	})
	fmt.Println(service, err)

	_, err = awskms.New("alias/users", &awskms.Options{Region: "eu-west-1", AllowedKeys: []string{"alias/users-2025"}})
	fmt.Println(err)
	// Output:
	// awskms.Service(alias/users) <nil>
	// awskms: Options.AllowedKeys takes key ARNs (arn:aws:kms:REGION:ACCOUNT:key/ID), not "alias/users-2025": invalid request
}
