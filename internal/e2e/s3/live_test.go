package s3

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
)

// TestLive runs the suite against a bucket of Amazon S3, or of a server that speaks its protocol, with the credentials and the
// endpoint of the environment. It makes some hundred requests and deletes what it has stored.
func TestLive(t *testing.T) {
	bucket := os.Getenv("ROWSEAL_LIVE_S3_BUCKET")
	if bucket == "" {
		t.Skip("SKIPPED, NOTHING WAS TESTED AGAINST S3: set ROWSEAL_LIVE_S3_BUCKET to a bucket's name, and what the AWS SDK needs: " +
			"AWS_REGION, credentials, and AWS_ENDPOINT_URL_S3 for another server (ROWSEAL_LIVE_S3_PATH_STYLE=1 if it has no host name " +
			"a bucket)")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := sdk.NewFromConfig(cfg, func(o *sdk.Options) { o.UsePathStyle = os.Getenv("ROWSEAL_LIVE_S3_PATH_STYLE") == "1" })
	storetest.Run(t, func(t *testing.T) store.Store { return newStore(t, client, bucket, "rowseal-test/", nil) })
}
