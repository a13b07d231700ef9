package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/railstest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
	"github.com/rowseal/rowseal/vectors"
)

// gemKey is the key that the gems used, restored into a server.
func gemKey(t *testing.T, s *vaulttest.Server) *kms.Key {
	t.Helper()
	s.Restore(t, "my-key", strings.TrimSpace(string(readVector(t, "rails/vault_key_backup.txt"))))
	return newKey(t, "my-key", &vaultkms.Options{Client: s.Root})
}

func TestEveryDataKeyOfTheRailsDatabaseOpens(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		key := gemKey(t, s)
		main := newRing(t, rowseal.Version{Number: 1, Key: key})
		street := newRing(t, rowseal.Version{Number: 2, Key: key}, rowseal.Version{Number: 1, Key: key})
		opened := map[string]int{}
		for _, u := range railsRows(t) {
			open := func(column string, ring *rowseal.Keyring, ec kms.Context) {
				wrapped, ok := u[column].(string)
				if !ok {
					return
				}
				dataKey, err := ring.Decrypt(t.Context(), wrapped, ec)
				if err != nil || len(dataKey) != 32 {
					t.Errorf("%s under %v opens to %d bytes, %v", column, ec, len(dataKey), err)
				}
				opened[column]++
			}
			id := fmt.Sprint(u["id"])
			open("encrypted_kms_key", main, kms.Context{"model_name": "User", "model_id": id})
			open("encrypted_kms_key_phone", main, kms.Context{"purpose": "phone", "name": u["name"].(string)})
			streetContext := kms.Context{"model_name": "User", "model_id": id, "v": "2"}
			if wrapped, _ := u["encrypted_kms_key_street"].(string); strings.HasPrefix(wrapped, "v1:") {
				streetContext = kms.Context{"old": "context"}
			}
			open("encrypted_kms_key_street", street, streetContext)
		}
		want := map[string]int{"encrypted_kms_key": 25, "encrypted_kms_key_phone": 25, "encrypted_kms_key_street": 17}
		if !maps.Equal(opened, want) {
			t.Errorf("the database has keys %v, want %v", opened, want)
		}
	})
}

// railsRows are the rows that a Rails app wrote; vectors/README.md describes their columns.
func railsRows(t *testing.T) []map[string]any {
	t.Helper()
	db, _ := railstest.Database{Name: "vault"}.Copy(t)
	return railstest.Load(t, db)
}

func TestRailsDatabase(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		railstest.Run(t, railstest.Database{
			Name:   "vault",
			Key:    gemKey(t, s),
			Unwrap: func(ciphertext, context []byte) ([]byte, error) { return transitDecrypt(s, ciphertext, context) },
			GemEnv: []string{"KMS_KEY_ID=vault/my-key", "VAULT_ADDR=" + s.Address, "VAULT_TOKEN=" + s.Root.Token()},
		})
	})
}

// transitDecrypt opens a ciphertext with Vault's own client.
func transitDecrypt(s *vaulttest.Server, ciphertext, context []byte) ([]byte, error) {
	secret, err := s.Root.Logical().Write("transit/decrypt/my-key", map[string]any{
		"ciphertext": string(ciphertext), "context": base64.StdEncoding.EncodeToString(context),
	})
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(secret.Data["plaintext"].(string))
}

// gemBox is what the gem sealed, with its context as pairs in the order in which the gem was given them.
type gemBox struct {
	Version    int
	Context    [][2]any
	Plaintext  []byte
	Ciphertext string
}

func (g gemBox) context() kms.Context { return pairs(g.Context) }

func pairs(list [][2]any) kms.Context {
	ec := kms.Context{}
	for _, pair := range list {
		ec[pair[0].(string)] = fmt.Sprint(pair[1])
	}
	return ec
}

func gemBoxes(t *testing.T) (legacy, versioned []gemBox) {
	t.Helper()
	var file struct {
		Legacy    []gemBox `json:"legacy_vault"`
		Versioned []gemBox `json:"vault"`
	}
	decodeVector(t, "kms_legacy_and_vault.json", &file)
	if len(file.Legacy) < 2 || len(file.Versioned) < 3 {
		t.Fatal("vectors are missing")
	}
	return file.Legacy, file.Versioned
}

func TestWhatTheGemSealedOpensUnderItsContextAndNoOther(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		key := gemKey(t, s)
		_, boxes := gemBoxes(t)
		for _, g := range boxes {
			ring := newRing(t, rowseal.Version{Number: g.Version, Key: key})
			wantOpens(t, ring, g, g.context())
			other := g.context()
			other["model_id"] = "8"
			_, err := ring.Decrypt(t.Context(), g.Ciphertext, other)
			wantErr(t, "another context", err, rowseal.ErrDecryptionFailed)
		}
	})
}

func TestWhatTheGemSealedBeforeVersionsOpensWithALegacyVersion(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		key := gemKey(t, s)
		boxes, _ := gemBoxes(t)
		for _, g := range boxes {
			// The gem sent integers as numbers then, in the order given; without a context, {}.
			legacy, ec := &rowseal.Legacy{Encoding: inOrder(g.Context, true)}, g.context()
			if len(g.Context) == 0 {
				legacy, ec = &rowseal.Legacy{EmptyContext: true}, kms.Context{"model_name": "User", "model_id": "7"}
			}
			wantOpens(t, newRing(t, rowseal.Version{Number: 2, Key: key, Legacy: legacy}), g, ec)
		}
	})
}

// inOrder is the encoding that keeps the order of the pairs, and numbers as numbers where integers says so.
func inOrder(list [][2]any, integers bool) kms.ContextEncoding {
	var fields []kms.JSONField
	for _, pair := range list {
		_, number := pair[1].(json.Number)
		fields = append(fields, kms.JSONField{Name: pair[0].(string), Integer: number && integers})
	}
	return kms.OrderedJSON(fields...)
}

func wantOpens(t *testing.T, ring *rowseal.Keyring, g gemBox, ec kms.Context) {
	t.Helper()
	plaintext, err := ring.Decrypt(t.Context(), g.Ciphertext, ec)
	if err != nil || !bytes.Equal(plaintext, g.Plaintext) {
		t.Errorf("%.20s… under %v opens to %d bytes, %v; want %d", g.Ciphertext, ec, len(plaintext), err, len(g.Plaintext))
	}
}

// The other way: what we seal has the gem's form, and opens by the request that the gem makes.
func TestWhatWeSealOpensAsTheGemAsks(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		key := gemKey(t, s)
		for _, g := range gemContexts(t) {
			dataKey := bytes.Repeat([]byte{7}, 32)
			ring := newRing(t, rowseal.Version{Number: 3, Key: key, Encoding: g.encoding()})
			ours, err := ring.Encrypt(t.Context(), dataKey, g.context())
			must(t, err)
			ciphertext := vaultForm(t, ours)
			opened := s.Write(t, "transit/decrypt/my-key", map[string]any{"ciphertext": ciphertext, "context": g.Base64})
			if opened.Data["plaintext"] != base64.StdEncoding.EncodeToString(dataKey) {
				t.Errorf("what we seal under %v opens to something else with the gem's context", g.Context)
			}
		}
	})
}

var vaultText = regexp.MustCompile(`^vault:v1:([A-Za-z0-9+/]+=*)$`)

// vaultForm takes the key column of a data key apart, as the gem does: strict base64 of Vault's text, which is base64 of nonce,
// ciphertext and tag.
func vaultForm(t *testing.T, wrapped string) (ciphertext string) {
	t.Helper()
	encoded, versioned := strings.CutPrefix(wrapped, "v3:")
	outer, err := base64.StdEncoding.Strict().DecodeString(encoded)
	inner := vaultText.FindSubmatch(outer)
	if !versioned || err != nil || inner == nil {
		t.Fatalf("%.30s… has not the gem's form", wrapped)
	}
	if raw, err := base64.StdEncoding.DecodeString(string(inner[1])); err != nil || len(raw) != 12+32+16 {
		t.Errorf("Vault's ciphertext has %d bytes, %v", len(raw), err)
	}
	return string(outer)
}

// gemContext is a context, and the text that the gem sends for it.
type gemContext struct {
	Context [][2]any
	Base64  string `json:"vault_base64"`
}

func (g gemContext) context() kms.Context { return pairs(g.Context) }

// encoding is nil but for the two contexts that mixed string and symbol keys, which the gem did not sort.
func (g gemContext) encoding() kms.ContextEncoding {
	if len(g.Context) > 0 && (g.Context[0][0] == "z" || g.Context[0][0] == "u2028") {
		return inOrder(g.Context, false)
	}
	return nil
}

func gemContexts(t *testing.T) []gemContext {
	t.Helper()
	var file struct {
		Contexts []gemContext `json:"context_encoding"`
	}
	decodeVector(t, "kms_box.json", &file)
	if len(file.Contexts) < 8 {
		t.Fatalf("only %d contexts", len(file.Contexts))
	}
	return file.Contexts
}

func readVector(t *testing.T, name string) []byte {
	t.Helper()
	b, err := vectors.FS.ReadFile(name)
	must(t, err)
	return b
}

func decodeVector(t *testing.T, name string, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(readVector(t, name)))
	d.UseNumber()
	must(t, d.Decode(into))
}
