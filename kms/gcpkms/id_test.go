package gcpkms

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

const testID = "projects/my-project/locations/global/keyRings/my-ring/cryptoKeys/my-key"

func TestIDsAreKeyNamesAndNothingElse(t *testing.T) {
	for _, id := range []string{
		testID,
		"projects/123456789012/locations/europe-west3/keyRings/R_1/cryptoKeys/K-2",
		"projects/example.com:my-project/locations/eur4/keyRings/r/cryptoKeys/k",
		"projects/p/locations/l/keyRings/" + strings.Repeat("r", 63) + "/cryptoKeys/" + strings.Repeat("k", 63),
	} {
		s, err := New(id, nil)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		} else if got := s.Info().KeyID; got != id {
			t.Errorf("KeyID = %s, want %s", got, id)
		}
	}
	for _, id := range []string{
		"", "projects", "my-key", "alias/x", "vault/my-key",
		"/" + testID, testID + "/", testID + " ", testID + "\n", " " + testID,
		"//cloudkms.googleapis.com/" + testID,
		"projects/my-project/locations/global/keyRings/my-ring",
		"projects//locations/global/keyRings/my-ring/cryptoKeys/my-key",
		"projects/my-project/locations/global/keyRings/my ring/cryptoKeys/my-key",
		"projects/my-project/locations/global/keyRings/my-ring/cryptoKeys/../x",
		"projects/p/locations/l/keyRings/r/cryptoKeys/" + strings.Repeat("k", 64),
		"projects/P/locations/global/keyRings/r/cryptoKeys/k",
	} {
		if _, err := New(id, nil); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestAKeyVersionIsRefusedWithWhatToDo(t *testing.T) {
	id := testID + "/cryptoKeyVersions/3"
	for name, open := range map[string]func() error{
		"New":  func() error { _, err := New(id, nil); return err },
		"Open": func() error { _, err := kms.Open(t.Context(), id, nil); return err },
	} {
		err := open()
		if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), "leave /cryptoKeyVersions/N out") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenTakesGooglesIDsAndNoOthers(t *testing.T) {
	for id, want := range map[string]bool{
		testID:                            true,
		testID + "/cryptoKeyVersions/1":   true, // for the better message
		"projects/p/locations/l/anything": true,
		"projects/p":                      false,
		"vault/projects/p/locations/l":    false,
		"https://projects/p/locations/l":  false,
		"local/projects":                  false,
	} {
		if got := looksLikeID(id); got != want {
			t.Errorf("looksLikeID(%q) = %t", id, got)
		}
	}
}

func TestAnAnswerBelongsToTheKeyOrNot(t *testing.T) {
	rest := "/locations/global/keyRings/my-ring/cryptoKeys/my-key"
	for name, want := range map[string]bool{
		testID + "/cryptoKeyVersions/1":                         true,
		testID + "/cryptoKeyVersions/12":                        true,
		"projects/123456789012" + rest + "/cryptoKeyVersions/1": true, // may be the number of my-project
		"projects/other" + rest + "/cryptoKeyVersions/1":        false,
		testID:                           false,
		testID + "/cryptoKeyVersions/":   false,
		testID + "2/cryptoKeyVersions/1": false,
		"projects/my-project/locations/global/keyRings/my-ring/cryptoKeys/my-ke/cryptoKeyVersions/1":    false,
		"projects/my-project/locations/global/keyRings/other/cryptoKeys/my-key/cryptoKeyVersions/1":     false,
		"projects/my-project/locations/us-east1/keyRings/my-ring/cryptoKeys/my-key/cryptoKeyVersions/1": false,
		"": false,
	} {
		key, err := parseID(testID)
		if err != nil {
			t.Fatal(err)
		}
		if got := key.isOf(name); got != want {
			t.Errorf("isOf(%q) = %t", name, got)
		}
	}
	numbered, _ := parseID("projects/123456789012" + rest)
	if numbered.isOf("projects/999999999999" + rest + "/cryptoKeyVersions/1") {
		t.Error("another project's number passed for ours")
	}
}
