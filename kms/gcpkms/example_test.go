package gcpkms_test

import (
	"context"
	"fmt"

	"google.golang.org/api/option"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/gcpkms"
)

const id = "projects/my-project/locations/europe-west3/keyRings/my-ring/cryptoKeys/my-key"

// Importing the package is enough to open keys by their id. Nothing is asked of Google before the key is used.
func Example() {
	key, err := kms.Open(context.Background(), id, nil)
	if err != nil {
		panic(err)
	}
	defer key.Close()
	fmt.Println(key.ID())
	fmt.Println("the context is enforced:", key.Info().ContextEnforced)
	// Output:
	// projects/my-project/locations/europe-west3/keyRings/my-ring/cryptoKeys/my-key
	// the context is enforced: true
}

// Options say how the service is reached: here through an endpoint of the region, with the quota of another project.
func ExampleNew() {
	service, err := gcpkms.New(id, &gcpkms.Options{ClientOptions: []option.ClientOption{
		option.WithEndpoint("cloudkms.europe-west3.rep.googleapis.com:443"),
		option.WithQuotaProject("billed-project"),
	}})
	if err != nil {
		panic(err)
	}
	key := kms.NewKey(service, nil)
	defer key.Close()
	fmt.Println(key.Info().BatchSize, "item a request")
	// Output: 1 item a request
}
