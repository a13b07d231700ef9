package aws

import (
	"os"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// TestLive runs the suite against AWS KMS, or an emulator, with the credentials and the endpoint of the environment. It makes
// about 2,000 requests.
func TestLive(t *testing.T) {
	id := os.Getenv("ROWSEAL_LIVE_AWS_KEY")
	if id == "" {
		t.Skip("SKIPPED, NOTHING WAS TESTED AGAINST AWS KMS: set ROWSEAL_LIVE_AWS_KEY to a key's id, ROWSEAL_LIVE_AWS_OTHER_KEY " +
			"to a second one's, and what the AWS SDK needs: AWS_REGION, credentials, and AWS_ENDPOINT_URL_KMS for an emulator")
	}
	h := kmstest.Harness{
		New:          func(t *testing.T) kms.Service { return service(t, id, nil) },
		MinPlaintext: 1,
		MaxPlaintext: 4096,
		ContextIsMap: true,
		Step:         64,
		Errors: []kmstest.ErrorCase{
			{Name: "missing key", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
				return encrypt(t, service(t, "alias/rowseal-has-no-such-alias", &awskms.Options{Region: os.Getenv("AWS_REGION")}))
			}},
		},
	}
	if other := os.Getenv("ROWSEAL_LIVE_AWS_OTHER_KEY"); other != "" {
		h.Other = func(t *testing.T) kms.Service { return service(t, other, nil) }
	}
	kmstest.Run(t, h)
}
