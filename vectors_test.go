package rowseal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/vectors"
)

// gemContext is a context as the gem was given it: pairs in their order, nil for none. What kms_box.json calls bad_contexts has
// keys and values of other types, which a map[string]string cannot say.
type gemContext [][2]any

func (g gemContext) context() kms.Context {
	if g == nil {
		return nil
	}
	ec := kms.Context{}
	for _, pair := range g {
		ec[pair[0].(string)] = fmt.Sprint(pair[1])
	}
	return ec
}

// ordered is the encoding that keeps the pairs' order; integers says whether numbers stay numbers, as before 1.0.
func (g gemContext) ordered(integers bool) kms.ContextEncoding {
	var fields []kms.JSONField
	for _, pair := range g {
		_, number := pair[1].(json.Number)
		fields = append(fields, kms.JSONField{Name: pair[0].(string), Integer: number && integers})
	}
	return kms.OrderedJSON(fields...)
}

// encoding is nil but for the two contexts that mixed string and symbol keys, which the gem did not sort.
func (g gemContext) encoding() kms.ContextEncoding {
	if len(g) > 0 && (g[0][0] == "z" || g[0][0] == "u2028") {
		return g.ordered(false)
	}
	return nil
}

type gemBox struct {
	KeyID      string `json:"key_id"`
	Version    int
	Context    gemContext
	Plaintext  []byte
	Ciphertext string
}

func (g gemBox) ring(t *testing.T) *rowseal.Keyring {
	key := kms.NewKey(testkms.New(false), nil)
	return newRing(t, rowseal.Version{Number: g.Version, Key: key, Encoding: g.Context.encoding()})
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := vectors.FS.ReadFile(name)
	must(t, err)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	must(t, d.Decode(into))
}

func gemBoxes(t *testing.T) []gemBox {
	var file struct{ Box []gemBox }
	readVectors(t, "kms_box.json", &file)
	if len(file.Box) < 40 {
		t.Fatalf("only %d boxes", len(file.Box))
	}
	return file.Box
}

func TestKeyringWritesAndOpensWhatTheGemWrote(t *testing.T) {
	for _, g := range gemBoxes(t) {
		ciphertext, err := g.ring(t).Encrypt(t.Context(), g.Plaintext, g.Context.context())
		if err != nil || ciphertext != g.Ciphertext {
			t.Errorf("version %d, %v: got %.80s, %v; want %.80s", g.Version, g.Context, ciphertext, err, g.Ciphertext)
		}
		plaintext, err := g.ring(t).Decrypt(t.Context(), g.Ciphertext, g.Context.context())
		if err != nil || !bytes.Equal(plaintext, g.Plaintext) {
			t.Errorf("version %d, %v: opens to %d bytes, %v", g.Version, g.Context, len(plaintext), err)
		}
	}
}

func TestWhatTheGemWroteOpensUnderNoOtherContextAndVersion(t *testing.T) {
	boxes := gemBoxes(t)
	for _, g := range boxes {
		for _, other := range boxes {
			ec := other.Context.context()
			same := (ec == nil) == (g.Context == nil) && maps.Equal(ec, g.Context.context())
			want := rowseal.ErrDecryptionFailed
			switch {
			case other.Version != g.Version:
				want = rowseal.ErrVersionNotActive
			case same:
				continue
			}
			plaintext, err := other.ring(t).Decrypt(t.Context(), g.Ciphertext, ec)
			wantErr(t, fmt.Sprintf("%v under %v", g.Context, other.Context), err, want)
			if plaintext != nil {
				t.Errorf("%v under %v: %d bytes came with the error", g.Context, other.Context, len(plaintext))
			}
		}
	}
}

type gemLegacy struct {
	TestKey     []gemBox `json:"legacy_test_key"`
	Vault       []gemBox `json:"legacy_vault"`
	GoogleParse []struct {
		Stored     string
		KeyID      string `json:"key_id"`
		Ciphertext []byte
	} `json:"legacy_google_parse"`
	VaultVersioned []gemBox `json:"vault"`
}

func legacyVectors(t *testing.T) (l gemLegacy) {
	readVectors(t, "kms_legacy_and_vault.json", &l)
	if len(l.TestKey) == 0 || len(l.Vault) == 0 || len(l.GoogleParse) == 0 || len(l.VaultVersioned) == 0 {
		t.Fatal("vectors are missing")
	}
	return l
}

// legacyOf is how the contexts of a vector were sent before 1.0: unsorted, integers as numbers, or as {}.
func legacyOf(g gemContext) *rowseal.Legacy {
	switch {
	case g == nil:
		return &rowseal.Legacy{}
	case len(g) == 0:
		return &rowseal.Legacy{EmptyContext: true}
	default:
		return &rowseal.Legacy{Encoding: g.ordered(true)}
	}
}

func TestLegacyRowsOpenUnderTheContextAsItWasSent(t *testing.T) {
	for _, g := range legacyVectors(t).TestKey {
		key := kms.NewKey(testkms.New(false), nil)
		ec := g.Context.context()
		if g.Context != nil && len(g.Context) == 0 {
			ec = kms.Context{"model_name": "User"} // what the row's context is today
		}
		ring := newRing(t, rowseal.Version{Number: 4, Key: key, Legacy: legacyOf(g.Context)})
		plaintext, err := ring.Decrypt(t.Context(), g.Ciphertext, ec)
		if err != nil || !bytes.Equal(plaintext, g.Plaintext) {
			t.Errorf("%v: opens to %d bytes, %v", g.Context, len(plaintext), err)
		}
		if v, err := ring.VersionOf(g.Ciphertext); v != 4 || err != nil {
			t.Errorf("%v belongs to version %d, %v", g.Context, v, err)
		}
		if len(g.Context) > 0 {
			ec[g.Context[0][0].(string)] = "1234"
			_, err = ring.Decrypt(t.Context(), g.Ciphertext, ec)
			wantErr(t, "another context", err, rowseal.ErrDecryptionFailed)
			sorted := newRing(t, rowseal.Version{Number: 4, Key: key, Legacy: &rowseal.Legacy{}})
			_, err = sorted.Decrypt(t.Context(), g.Ciphertext, g.Context.context())
			wantErr(t, "sorted JSON", err, rowseal.ErrDecryptionFailed)
		}
	}
}

func TestUnversionedFormsAreRefusedWithoutLegacy(t *testing.T) {
	l := legacyVectors(t)
	fake := &kmstest.Fake{}
	for _, text := range []string{l.TestKey[0].Ciphertext, l.Vault[0].Ciphertext, l.GoogleParse[0].Stored} {
		_, err := ringOf(t, fake).Decrypt(t.Context(), text, l.TestKey[0].Context.context())
		wantErr(t, text[:10], err, rowseal.ErrDecryptionFailed)
		wantMessage(t, err, "Legacy")
	}
	wantRequests(t, "unversioned forms", fake, 0, 0)
}

// received is the ciphertext and the context that a key is asked to open.
func received(t *testing.T, keyID string, v rowseal.Version, wrapped string, ec kms.Context) (data, context []byte) {
	t.Helper()
	fake := &kmstest.Fake{ID: keyID, Fault: func(_ kmstest.Request, it kms.Item) (err error) {
		data = bytes.Clone(it.Data)
		context, err = it.ContextBytes()
		return err
	}}
	v.Key = kms.NewKey(fake, nil)
	_, err := newRing(t, v).Decrypt(t.Context(), wrapped, ec)
	wantErr(t, "the fake is another key", err, rowseal.ErrDecryptionFailed)
	return data, context
}

func TestLegacyVaultRowsReachVaultAsTheyAre(t *testing.T) {
	for _, g := range legacyVectors(t).Vault {
		data, _ := received(t, g.KeyID, rowseal.Version{Number: 1, Legacy: legacyOf(g.Context)}, g.Ciphertext, g.Context.context())
		if string(data) != g.Ciphertext {
			t.Errorf("Vault gets %.40q", data)
		}
	}
}

func TestVersionedVaultRowsAreBase64OfVaultsText(t *testing.T) {
	for _, g := range legacyVectors(t).VaultVersioned {
		data, _ := received(t, g.KeyID, rowseal.Version{Number: g.Version}, g.Ciphertext, g.Context.context())
		if !strings.HasPrefix(string(data), "vault:v1:") {
			t.Errorf("version %d: Vault gets %.40q", g.Version, data)
		}
	}
}

func TestLegacyGoogleRowsParseToKeyIDAndBytes(t *testing.T) {
	for _, g := range legacyVectors(t).GoogleParse {
		legacy := &rowseal.Legacy{Encoding: kms.OrderedJSON(kms.JSONField{Name: "b"}, kms.JSONField{Name: "a", Integer: true})}
		data, context := received(t, g.KeyID, rowseal.Version{Number: 1, Legacy: legacy}, g.Stored, kms.Context{"a": "7", "b": "x"})
		if !bytes.Equal(data, g.Ciphertext) || string(context) != `{"b":"x","a":7}` {
			t.Errorf("Google gets %q under %s", data, context)
		}
	}
}

// A key id in a row is data: it is compared with the configured one and never called.
func TestLegacyGoogleRowsOfAForeignKeyCostNoRequest(t *testing.T) {
	for _, g := range legacyVectors(t).GoogleParse {
		fake := &kmstest.Fake{ID: "projects/mine/locations/global/keyRings/my-ring/cryptoKeys/my-key"}
		ring := newRing(t, rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil), Legacy: &rowseal.Legacy{}})
		_, err := ring.Decrypt(t.Context(), g.Stored, kms.Context{})
		wantErr(t, "foreign key", err, rowseal.ErrDecryptionFailed)
		wantMessage(t, err, g.KeyID, fake.ID)
		wantRequests(t, "foreign key", fake, 0, 0)
	}
}
