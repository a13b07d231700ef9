package gcp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/vectors"
)

// gc writes the form of kms_encrypted before 1.0: the short name of the key version, and the ciphertext, both in MIME base64.
func gc(short string, ciphertext []byte) string {
	return "$gc$" + mime(short) + "$" + mime(string(ciphertext))
}

func mime(s string) string {
	var b strings.Builder
	for text := base64.StdEncoding.EncodeToString([]byte(s)); text != ""; {
		n := min(60, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return b.String()
}

// The form is that of the vectors, which Ruby wrote.
func TestTheLegacyFormOfTheTestsIsTheGems(t *testing.T) {
	data, err := vectors.FS.ReadFile("kms_legacy_and_vault.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Google []struct {
			Stored, Ciphertext string
			KeyID              string `json:"key_id"`
		} `json:"legacy_google_parse"`
	}
	if err := json.Unmarshal(data, &v); err != nil || len(v.Google) == 0 {
		t.Fatal(err, len(v.Google))
	}
	for _, g := range v.Google {
		ciphertext, _ := base64.StdEncoding.DecodeString(g.Ciphertext)
		parts := strings.Split(g.KeyID, "/")
		short := strings.Join([]string{parts[1], parts[3], parts[5], parts[7], "3"}, "/")
		if got := gc(short, ciphertext); got != g.Stored {
			t.Errorf("%q, and Ruby wrote %q", got, g.Stored)
		}
	}
}

// Rows of kms_encrypted before 1.0 name their key. They open under the key of a Legacy version, with the context in the order
// and the types in which Ruby sent it, and are rewrapped into today's form.
func TestLegacyRowsOpen(t *testing.T) {
	w := newWorld(t)
	key := w.opened(t)
	ec := kms.Context{"model_name": "User", "model_id": "7"}
	ruby := kms.OrderedJSON(kms.JSONField{Name: "model_name"}, kms.JSONField{Name: "model_id", Integer: true})
	sealed := key.EncryptBatch(t.Context(), []kms.Item{{Data: dataKey, Context: ec, Encoding: ruby}})[0]
	if sealed.Err != nil {
		t.Fatal(sealed.Err)
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key, Legacy: &rowseal.Legacy{Encoding: ruby}})
	if err != nil {
		t.Fatal(err)
	}
	stored := gc("my-project/europe-west3/my-ring/my-key/1", sealed.Data)
	if got, err := ring.Decrypt(t.Context(), stored, ec); err != nil || string(got) != string(dataKey) {
		t.Errorf("it does not open: %v", err)
	}
	rewrapped, err := ring.Rewrap(t.Context(), stored, ec, ec)
	if err != nil || !strings.HasPrefix(rewrapped, "v1:") {
		t.Fatalf("rewrapped to %q, %v", rewrapped, err)
	}
	if got, err := ring.Decrypt(t.Context(), rewrapped, ec); err != nil || string(got) != string(dataKey) {
		t.Errorf("rewrapped, it does not open: %v", err)
	}

	before := w.Requests()
	foreign := gc("my-project/europe-west3/my-ring/other-key/1", sealed.Data)
	if _, err := ring.Decrypt(t.Context(), foreign, ec); !errors.Is(err, rowseal.ErrDecryptionFailed) {
		t.Errorf("a row that names another key: %v", err)
	}
	if n := w.Requests() - before; n != 0 {
		t.Errorf("a row that names another key costs %d requests", n)
	}
}
