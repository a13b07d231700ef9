package azurekms_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/azurekms"
)

func Example() {
	// An AES key of a Managed HSM takes the context itself.
	service, err := azurekms.New("https://myhsm.managedhsm.azure.net/keys/users", nil)
	if err != nil {
		log.Fatal(err)
	}
	key := kms.NewKey(service, nil)
	defer key.Close()
	fmt.Println(key.ID(), "context enforced:", key.Info().ContextEnforced)

	// A key of Key Vault is an RSA key, and what its public half does not prove must be accepted.
	const id = "https://myvault.vault.azure.net/keys/users"
	_, err = azurekms.New(id, nil)
	fmt.Println("refused:", errors.Is(err, kms.ErrInvalidRequest))
	_, err = azurekms.New(id, &azurekms.Options{AcceptPublicKeyWrapping: true})
	fmt.Println("accepted:", err == nil)
	// Output:
	// https://myhsm.managedhsm.azure.net/keys/users context enforced: true
	// refused: true
	// accepted: true
}
