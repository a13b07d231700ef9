package rails_test

import (
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/railstest"
	"github.com/rowseal/rowseal/internal/e2e/secondreader"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
)

func TestRailsDatabase(t *testing.T) {
	railstest.Run(t, railstest.Database{
		Name:   "insecure",
		Key:    kms.NewKey(testkms.New(false), nil),
		Unwrap: secondreader.InsecureTestKey,
		GemEnv: []string{"KMS_KEY_ID=" + testkms.ID},
	})
}
