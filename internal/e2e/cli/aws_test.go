package cli

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
)

const region = "eu-central-1"

// awsShell has a principal with the actions and resources of the policies that rowseal policy prints.
func awsShell(t *testing.T, s *awstest.Server, keyID string, rights ...string) shell {
	t.Helper()
	p := s.Principal("somebody")
	var allow []func(action, arn string) bool
	for _, right := range rights {
		allow = append(allow, allowed(t, newShell(t).rowseal(t, "policy", "--key-id", keyID, "--"+right).ok(t)))
	}
	s.SetRights(p, func(action, arn string) bool {
		return slices.ContainsFunc(allow, func(a func(action, arn string) bool) bool { return a(action, arn) })
	})
	return newShell(t, "AWS_REGION="+region, "AWS_ENDPOINT_URL_KMS="+s.URL, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID="+p.AccessKey, "AWS_SECRET_ACCESS_KEY="+p.SecretKey, "AWS_SESSION_TOKEN="+p.Token).hiding(p.SecretKey, p.Token)
}

// allowed reads an IAM policy without conditions.
func allowed(t *testing.T, policy string) func(action, arn string) bool {
	t.Helper()
	var p struct {
		Statement []struct {
			Effect, Resource string
			Action           []string
			Condition        any
		}
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		t.Fatal(err)
	}
	s := p.Statement[0]
	if len(p.Statement) != 1 || s.Effect != "Allow" || s.Condition != nil {
		t.Fatalf("this test reads only one statement, which allows without a condition: %s", policy)
	}
	return func(action, arn string) bool {
		matches, err := path.Match(s.Resource, arn)
		return err == nil && matches && slices.Contains(s.Action, action)
	}
}

func TestKeysCheckTellsTheRightsOfAnAWSPrincipal(t *testing.T) {
	s := awstest.New(t)
	arn := s.CreateKey(region)
	other := s.CreateKey(region)
	_, bare, _ := strings.Cut(arn, "key/")
	for _, id := range []string{arn, bare} {
		awsShell(t, s, id, "seal", "open").rowseal(t, "keys", "check", id).expect(t, 0, "yes", "yes", "yes")
		awsShell(t, s, id, "seal").rowseal(t, "keys", "check", id).expect(t, 0, "yes", "no: ", "unknown")
		awsShell(t, s, id, "open").rowseal(t, "keys", "check", id).expect(t, 0, "no: ", "yes: ", "yes: ")
		awsShell(t, s, id, "rotate").rowseal(t, "keys", "check", id).expect(t, 1, "no: ", "no: ", "unknown")
		awsShell(t, s, id, "seal", "open").rowseal(t, "keys", "check", other).expect(t, 1, "no: ", "no: ", "unknown")
	}
	s.SetState(arn, awstest.Disabled)
	awsShell(t, s, arn, "seal", "open").rowseal(t, "keys", "check", arn).expect(t, 1, "no: ", "unknown", "unknown")
}

func TestDemoWithAKeyOfAWS(t *testing.T) {
	s := awstest.New(t)
	arn := s.CreateKey(region)
	page := awsShell(t, s, arn, "seal", "open", "rotate").rowseal(t, "demo", "--key-id", arn).ok(t)
	contains(t, page,
		"\n    key    "+arn+"\n",
		"One request for each wraps its data key",
		"\n    -> encrypt: 3 data keys, 3 requests\n",
		"\n    -> decrypt: 3 data keys, 3 requests\n",
		"\n    -> rewrap: 3 data keys, 3 requests\n",
		"\n    refused: rowseal: users \"66\" encrypted_kms_key (version 1): ",
		"\n    aws kms rotate-key-on-demand --region "+region+" --key-id "+arn+"\n",
		"\n    aws kms disable-key --region "+region+" --key-id "+arn+"\n",
		"\n    aws kms enable-key --region "+region+" --key-id "+arn+"\n",
		"CloudTrail",
		" rowseal keys check '"+arn+"'\n",
	)
}
