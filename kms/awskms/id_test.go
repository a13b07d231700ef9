package awskms

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

const (
	uuid = "1234abcd-12ab-34cd-56ef-1234567890ab"
	mrk  = "mrk-1234abcd12ab34cd56ef1234567890ab"
	arn  = "arn:aws:kms:eu-west-1:111122223333:key/" + uuid
)

func TestIDs(t *testing.T) {
	const account = "111122223333"
	for id, want := range map[string]keyID{
		arn:  {"", "aws", "eu-west-1", account, "key/" + uuid},
		uuid: {"", "", "", "", "key/" + uuid},
		mrk:  {"", "", "", "", "key/" + mrk},
		"arn:aws:kms:us-east-1:111122223333:key/" + mrk:               {"", "aws", "us-east-1", account, "key/" + mrk},
		"arn:aws-cn:kms:cn-north-1:111122223333:key/" + uuid:          {"", "aws-cn", "cn-north-1", account, "key/" + uuid},
		"arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/a/b":     {"", "aws-us-gov", "us-gov-west-1", account, "alias/a/b"},
		"arn:aws-iso-b:kms:us-isob-east-1:111122223333:alias/users_1": {"", "aws-iso-b", "us-isob-east-1", account, "alias/users_1"},
		"alias/users":     {"", "", "", "", "alias/users"},
		"alias/team/Name": {"", "", "", "", "alias/team/Name"},
	} {
		want.text = id
		got, err := parseID(id)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", id, got, err, want)
		}
		if !looksLikeID(id) {
			t.Errorf("%s: not matched", id)
		}
	}
}

func TestOtherIDsAreRefused(t *testing.T) {
	for _, id := range []string{
		"", "users", "vault/users", "local/users", "insecure-test-key", "projects/p/locations/l/keyRings/r/cryptoKeys/k",
		"https://name.vault.azure.net/keys/name",
		strings.ToUpper(uuid), uuid + "\n", " " + uuid, uuid[1:], mrk[:len(mrk)-1], mrk + "0", "mrk-" + uuid,
		"alias/", "alias/users\n", "alias/a b", "alias/" + strings.Repeat("a", 251),
		"arn:aws:kms:eu-west-1:111122223333:" + uuid,
		"arn:aws:kms:eu-west-1:111122223333:key/" + uuid + "/",
		"arn:aws:kms:eu-west-1:111122223333:key/users",
		"arn:aws:kms:eu-west-1::key/" + uuid,
		"arn:aws:kms::111122223333:key/" + uuid,
		"arn:aws:kms:eu-west-1:11112222333:key/" + uuid,
		"arn:aws:kms:eu_west-1:111122223333:key/" + uuid,
		"arn:aws:kms:evil.example.org/:111122223333:key/" + uuid,
		"arn:aws:s3:eu-west-1:111122223333:key/" + uuid,
		"ARN:aws:kms:eu-west-1:111122223333:key/" + uuid,
	} {
		if _, err := New(id, nil); !errors.Is(err, kms.ErrInvalidRequest) || !strings.HasPrefix(err.Error(), "awskms: ") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// A secret in the place of an id is not repeated.
func TestWhatIsNoIDIsNotRepeated(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	_, err := New(secret, nil)
	_, err2 := New(uuid, &Options{AllowedKeys: []string{secret}})
	for _, err := range []error{err, err2} {
		if err == nil || strings.Contains(err.Error(), secret[:10]) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOpenKnowsTheIDs(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	for _, id := range []string{arn, uuid, mrk, "alias/users"} {
		k, err := kms.Open(t.Context(), id, nil)
		if err != nil || k.ID() != id {
			t.Errorf("%s: %v, %v", id, k, err)
		}
	}
	for _, id := range []string{"arn:aws:kms:eu-west-1:1:key/x", "alias/a b"} {
		if _, err := kms.Open(t.Context(), id, nil); err == nil || strings.Contains(err.Error(), "import") {
			t.Errorf("%s: %v, want this package's own error", id, err)
		}
	}
}

func TestWhoMayAnswer(t *testing.T) {
	const other = "4321abcd-12ab-34cd-56ef-1234567890ab"
	here := func(resource string) string { return "arn:aws:kms:eu-west-1:111122223333:" + resource }
	there := func(resource string) string { return "arn:aws:kms:us-east-1:111122223333:" + resource }
	for _, test := range []struct {
		id, answer   string
		key, related bool
	}{
		{arn, arn, true, true},
		{uuid, arn, true, true},
		{"alias/users", arn, true, true},
		{here("alias/users"), arn, true, true},
		{arn, here("key/" + other), false, false},
		{uuid, here("key/" + other), false, false},
		{uuid, here("key/" + mrk), false, false},
		{arn, there("key/" + uuid), false, false},
		{here("alias/users"), there("key/" + uuid), false, false},
		{here("alias/users"), "arn:aws:kms:eu-west-1:999999999999:key/" + uuid, false, false},
		{arn, "arn:aws:kms:eu-west-1:999999999999:key/" + uuid, false, false},
		{arn, "arn:aws-cn:kms:eu-west-1:111122223333:key/" + uuid, false, false},
		{arn, "", false, false},
		{arn, uuid, false, false},
		{uuid, uuid, false, false},
		{"alias/users", here("alias/users"), false, false},
		{here("alias/users"), here("alias/users"), false, false},
		{here("key/" + mrk), here("key/" + mrk), true, true},
		{here("key/" + mrk), there("key/" + mrk), false, true},
		{mrk, there("key/" + mrk), true, true},
		{here("key/" + mrk), "arn:aws:kms:us-east-1:999999999999:key/" + mrk, false, false},
		{here("key/" + mrk), "arn:aws-cn:kms:eu-west-1:111122223333:key/" + mrk, false, false},
		{here("key/" + mrk), there("key/mrk-00000000000000000000000000000000"), false, false},
		{here("alias/users"), there("key/" + mrk), false, true},
	} {
		k, err := parseID(test.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.isKey(test.answer); got != test.key {
			t.Errorf("%s answered by %s: isKey is %t", test.id, test.answer, got)
		}
		if got := k.isRelated(test.answer); got != test.related {
			t.Errorf("%s answered by %s: isRelated is %t", test.id, test.answer, got)
		}
	}
}
