package kms_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

var errOpen = errors.New("no such file")

// The registry is the program's own, so these stay in it: their ids are of a form that no real provider has.
func init() {
	for _, name := range []string{"one", "two"} {
		kms.Register(kms.Provider{
			Name: name,
			Match: func(id string) bool {
				return id == "fake/"+name || id == "fake/both" || strings.HasPrefix(id, "fake/broken-"+name)
			},
			Open: func(_ context.Context, id string) (kms.Service, error) {
				if strings.Contains(id, "broken") {
					return nil, errOpen
				}
				return &kmstest.Fake{ID: id}, nil
			},
		})
	}
}

func TestOpenPicksTheProviderByTheId(t *testing.T) {
	for _, id := range []string{"fake/one", "fake/two"} {
		key, err := kms.Open(t.Context(), id, &kms.KeyOptions{Rate: 1})
		if err != nil || key.ID() != id {
			t.Errorf("Open(%q) = %v, %v", id, key, err)
		}
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	const addImport = `add the import _ "github.com/rowseal/rowseal/kms/`
	for _, test := range []struct {
		id, want string
	}{
		{"", "missing key id"},
		{"no/such-form", "no provider has ids of this form"},
		{"alias", "no provider has ids of this form"},
		{"fake/both", "one, two"},
		{"vault/users", addImport + `vaultkms"`},
		{"arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", addImport + `awskms"`},
		{"arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/users", addImport + `awskms"`},
		{"alias/users", addImport + `awskms"`},
		{"1234abcd-12ab-34cd-56ef-1234567890ab", addImport + `awskms"`},
		{"mrk-1234abcd12ab34cd56ef1234567890ab", addImport + `awskms"`},
		{"projects/p/locations/global/keyRings/r/cryptoKeys/k", addImport + `gcpkms"`},
		{"https://users.vault.azure.net/keys/users", addImport + `azurekms"`},
	} {
		key, err := kms.Open(t.Context(), test.id, nil)
		if key != nil || !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("Open(%q) = %v, %v; want ErrInvalidRequest", test.id, key, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "kms: open ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Open(%q): %v; want it to say %q", test.id, err, test.want)
		}
	}
}

func TestOpenPassesTheProvidersErrorOn(t *testing.T) {
	if key, err := kms.Open(t.Context(), "fake/broken-one", nil); key != nil || !errors.Is(err, errOpen) {
		t.Errorf("got %v, %v", key, err)
	}
}

func TestOpenDoesNotPrintAUrlsPassword(t *testing.T) {
	for _, password := range []string{"s3cret", "x@s3cret", "x/s3cret", "x?s3cret", "x#s3cret"} {
		_, err := kms.Open(t.Context(), "https://root:"+password+"@vault.example.org/keys/users", nil)
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "root") {
			t.Errorf("with %s: %v", password, err)
		}
	}
}

func TestOpenDoesNotPrintWhatFollowsAnId(t *testing.T) {
	for _, id := range []string{
		"https://users.vault.azure.net/keys/users?sig=s3cret", "https://users.vault.azure.net/keys/users?sig=a@s3cret",
		"projects/p/locations/global/keyRings/r/cryptoKeys/k?key=s3cret", "vault/users?token=s3cret", "alias/users#s3cret", "fake/broken-one?s3cret",
	} {
		_, err := kms.Open(t.Context(), id, nil)
		if !errors.Is(err, kms.ErrInvalidRequest) || strings.Contains(err.Error(), "s3cret") { // not errOpen: no provider saw it
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestRegisteringANameTwicePanics(t *testing.T) {
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "one") {
			t.Errorf("panicked with %q", p)
		}
	}()
	kms.Register(kms.Provider{Name: "one"})
	t.Error("no panic")
}

func TestWhatIsNoKeyIDIsNotPrintedWhole(t *testing.T) {
	for _, id := range []string{"hvs.CAESIsecretsecret", "https://user:secret@example.org/keys/x", "AKIAsecretsecretsecret"} {
		_, err := kms.Open(t.Context(), id, nil)
		if !errors.Is(err, kms.ErrInvalidRequest) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", id, err)
		}
	}
}
