package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/awskms"
	_ "github.com/rowseal/rowseal/kms/azurekms"
	_ "github.com/rowseal/rowseal/kms/gcpkms"
	_ "github.com/rowseal/rowseal/kms/localkms"
	_ "github.com/rowseal/rowseal/kms/testkms"
	_ "github.com/rowseal/rowseal/kms/vaultkms"
)

// A program that imports every provider opens each id with the one that its form says, and Open makes no request.
func TestEveryFormOfIdHasOneProvider(t *testing.T) {
	t.Setenv("ROWSEAL_AZURE_ACCEPT_PUBLIC_KEY_WRAPPING", "true")
	t.Setenv("AWS_REGION", "eu-west-1")
	for _, id := range []string{
		"local/users",
		"insecure-test-key",
		"insecure-test-key/encrypt",
		"vault/users",
		"vault/team/transit/users",
		"arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"arn:aws:kms:eu-west-1:111122223333:alias/users",
		"alias/users",
		"1234abcd-12ab-34cd-56ef-1234567890ab",
		"mrk-1234abcd12ab34cd56ef1234567890ab",
		"projects/my-project/locations/europe-west3/keyRings/my-ring/cryptoKeys/users",
		"https://my-vault.vault.azure.net/keys/users",
		"https://my-hsm.managedhsm.azure.net/keys/users",
	} {
		key, err := kms.Open(t.Context(), id, nil)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if key.ID() != id {
			t.Errorf("%s opens the key %s", id, key.ID())
		}
		if err := key.Close(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"users", "vault", "vault/", "gcp/users", "http://my-vault.vault.azure.net/keys/users", "arn:aws:s3:::bucket", ""} {
		_, err := kms.Open(t.Context(), id, nil)
		if !errors.Is(err, kms.ErrInvalidRequest) || strings.Contains(err.Error(), "several providers") {
			t.Errorf("%q: %v", id, err)
		}
	}
}
