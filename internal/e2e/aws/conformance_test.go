package aws

import (
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// TestConformance runs the suite over every form of id, with the ids and rights of one account.
func TestConformance(t *testing.T) {
	server := awstest.New(t)
	all := server.Principal("all", awstest.Encrypt, awstest.Decrypt, awstest.ReEncryptFrom, awstest.ReEncryptTo)
	sealer := server.Principal("sealer", awstest.Encrypt, awstest.ReEncryptTo)
	arn := server.CreateKey(region)
	multi := server.CreateMultiRegionKey(region, "us-east-1")[0]
	for form, key := range map[string]struct {
		id, arn string
		short   bool
	}{
		"key ARN":             {arn, arn, false},
		"key id":              {arn[len(arn)-36:], arn, true},
		"alias":               {"alias/users", server.CreateKey(region), true},
		"alias ARN":           {"", server.CreateKey(region), true},
		"multi-Region key id": {multi[len(multi)-36:], multi, true},
	} {
		switch form {
		case "alias":
			server.PointAlias(key.id, key.arn)
		case "alias ARN":
			key.id = server.PointAlias("alias/by-arn", key.arn)
		}
		t.Run(form, func(t *testing.T) {
			h := kmstest.Harness{
				New: func(t *testing.T) kms.Service {
					return service(t, key.id, &awskms.Options{Client: client(t, server, region, all)})
				},
				Other: func(t *testing.T) kms.Service {
					return service(t, server.CreateKey(region), &awskms.Options{Client: client(t, server, region, all)})
				},
				EncryptOnly: func(t *testing.T) kms.Service {
					return service(t, key.id, &awskms.Options{Client: client(t, server, region, sealer)})
				},
				Disable:      func(*testing.T) { server.SetState(key.arn, awstest.Disabled) },
				Enable:       func(*testing.T) { server.SetState(key.arn, awstest.Enabled) },
				Rotate:       func(*testing.T) { server.Rotate(key.arn) },
				Version:      awstest.Version,
				MinPlaintext: 1,
				MaxPlaintext: 4096,
				ContextIsMap: true,
				Errors:       errorCases(),
			}
			if key.short {
				h.Step = 64
			}
			kmstest.Run(t, h)
		})
	}
}

func TestTheEnvironmentIsEnough(t *testing.T) {
	server := awstest.New(t)
	environment(t, server, server.Principal("app", awstest.Encrypt, awstest.Decrypt))
	server.PointAlias("alias/users", server.CreateKey(region))
	k, err := kms.Open(t.Context(), "alias/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	expectRequests(t, server)
	expectOpens(t, k, seal(t, k), row)
	expectRequests(t, server, "Encrypt alias/users", "Decrypt alias/users")
}

func TestTheRegionOfAnARNGoesBeforeTheEnvironments(t *testing.T) {
	server := awstest.New(t)
	environment(t, server, server.Principal("app", awstest.Encrypt, awstest.Decrypt))
	for _, arn := range []string{
		server.CreateKey("ap-southeast-2"), server.CreateKey("cn-north-1"), server.CreateKey("us-gov-west-1"),
	} {
		k := key(t, arn, nil)
		expectOpens(t, k, seal(t, k), row)
	}
}
