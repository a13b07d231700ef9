package testkms_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/vectors"
)

func TestConformance(t *testing.T) {
	kmstest.Run(t, kmstest.Harness{
		New:         func(*testing.T) kms.Service { return testkms.New(false) },
		EncryptOnly: func(*testing.T) kms.Service { return testkms.New(true) },
		Insecure:    true,
	})
}

func open(t testing.TB, id string) *kms.Key {
	t.Helper()
	key, err := kms.Open(t.Context(), id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestOpensByItsTwoIds(t *testing.T) {
	for _, id := range []string{testkms.ID, testkms.EncryptOnlyID} {
		if key := open(t, id); key.ID() != id {
			t.Errorf("Open(%q).ID() = %q", id, key.ID())
		}
	}
	for _, id := range []string{"insecure-test-key/", "insecure-test-key/decrypt", "Insecure-test-key", " insecure-test-key"} {
		if _, err := kms.Open(t.Context(), id, nil); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Errorf("Open(%q): %v", id, err)
		}
	}
}

func TestWhatTheEncryptOnlyKeySealsTheOtherOpens(t *testing.T) {
	sealer, opener := open(t, testkms.EncryptOnlyID), open(t, testkms.ID)
	row := kms.Context{"model_name": "User", "model_id": "7"}
	ciphertext, err := sealer.Encrypt(t.Context(), []byte("data key"), row)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := opener.Decrypt(t.Context(), ciphertext, row); string(plaintext) != "data key" {
		t.Errorf("opened to %q, %v", plaintext, err)
	}
	if plaintext, err := sealer.Decrypt(t.Context(), ciphertext, row); !errors.Is(err, kms.ErrAccessDenied) || plaintext != nil {
		t.Errorf("the encrypt-only key opened it: %q, %v", plaintext, err)
	}
}

// vector is a message that the gem sealed with the key insecure-test-key.
type vector struct {
	Context    []pair
	Plaintext  []byte
	Ciphertext string
}

// pair is a context entry: the name, and a value that is a string or an integer.
type pair [2]any

// item returns the vector's context, and the encoding where it is not the canonical one: one field after the other, in the
// order in which the gem was given them.
func (v vector) item(inOrder, integers bool) kms.Item {
	var it kms.Item
	if v.Context == nil {
		return it
	}
	it.Context = make(kms.Context)
	var fields []kms.JSONField
	for _, p := range v.Context {
		_, integer := p[1].(json.Number)
		it.Context[p[0].(string)] = fmt.Sprint(p[1])
		fields = append(fields, kms.JSONField{Name: p[0].(string), Integer: integer && integers})
	}
	if inOrder {
		it.Encoding = kms.OrderedJSON(fields...)
	}
	return it
}

func readVectors(t testing.TB, file string, into any) {
	t.Helper()
	b, err := vectors.FS.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// holds checks that a vector's ciphertext opens, under nothing but its context, and that sealing gives the same bytes.
func holds(t *testing.T, v vector, it kms.Item, ciphertext []byte) {
	t.Helper()
	service := testkms.New(false)
	do := func(serve func(context.Context, []kms.Item) []kms.Result, data []byte, it kms.Item) ([]byte, error) {
		it.Data = data
		r := serve(t.Context(), []kms.Item{it})[0]
		return r.Data, r.Err
	}
	if got, err := do(service.Decrypt, ciphertext, it); err != nil || !bytes.Equal(got, v.Plaintext) {
		t.Errorf("%q opens to %q, %v; want %q", v.Ciphertext, got, err, v.Plaintext)
	}
	if got, err := do(service.Encrypt, v.Plaintext, it); err != nil || !bytes.Equal(got, ciphertext) {
		t.Errorf("sealed as %q, %v; want %q", got, err, ciphertext)
	}
	for _, wrong := range []kms.Item{{Context: kms.Context{"old": "context"}}, {Context: kms.Context{}}, {}} {
		if same := (wrong.Context == nil) == (it.Context == nil) && len(wrong.Context) == len(it.Context); same {
			continue
		}
		if got, err := do(service.Decrypt, ciphertext, wrong); !errors.Is(err, kms.ErrDecryptionFailed) || got != nil {
			t.Errorf("%q opens under %q to %q, %v", v.Ciphertext, wrong.Context, got, err)
		}
	}
}

func TestVectorsOfTheGem(t *testing.T) {
	var file struct {
		Box []struct {
			vector
			Version int
		}
	}
	readVectors(t, "kms_box.json", &file)
	if len(file.Box) != 42 {
		t.Fatalf("%d rows, want 42", len(file.Box))
	}
	mixed := 0
	for _, row := range file.Box {
		encoded, ok := strings.CutPrefix(row.Ciphertext, fmt.Sprintf("v%d:", row.Version))
		ciphertext, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			t.Fatalf("%q: %v", row.Ciphertext, err)
		}
		it := row.item(false, false)
		if it.Context["z"] != "" || it.Context["u2028"] != "" { // string and symbol keys mixed: Ruby sorts those in its own way
			mixed++
			it = row.item(true, false)
		}
		holds(t, row.vector, it, ciphertext)
	}
	if mixed == 0 {
		t.Error("no row has a mixed context")
	}
}

// Versions before 1.0 had no version prefix and sent the context's own JSON.
func TestVectorsOfVersionsBefore1(t *testing.T) {
	var file struct {
		Rows []vector `json:"legacy_test_key"`
	}
	readVectors(t, "kms_legacy_and_vault.json", &file)
	if len(file.Rows) != 4 {
		t.Fatalf("%d rows, want 4", len(file.Rows))
	}
	for _, row := range file.Rows {
		holds(t, row, row.item(true, true), mime64.Decode(row.Ciphertext))
	}
}

func prefixed(rest string) []byte { return append(mime64.Decode("insecure+data+A"), rest...) }

func TestOnlyTheExactFormOpens(t *testing.T) {
	none, empty := kms.Item{}, kms.Item{Context: kms.Context{}}
	for _, test := range []struct {
		rest string
		item kms.Item
		want string // "-": refused
	}{
		{":aGVsbG8=", none, "hello"},
		{":", none, ""},
		{"::e30=\n", empty, ""},
		{":aGVsbG8=:e30=\n", empty, "hello"},
		{"", none, "-"},
		{"aGVsbG8=", none, "-"},
		{":aGVsbG8", none, "-"},
		{":aGVsbG9=", none, "-"}, // bits beyond the last byte
		{":aGVs\nbG8=", none, "-"},
		{":aGVsbG8=\n", none, "-"},
		{":aGVsbG8= ", none, "-"},
		{":-_-_", none, "-"},
		{":aGVsbG8=:", none, "-"},
		{":aGVsbG8=:", empty, "-"},
		{":aGVsbG8=:e30=", empty, "-"},
		{":aGVsbG8=:e30=\n:", empty, "-"},
		{":aGVsbG8=:e30=\n", none, "-"},
		{":aGVsbG8=", empty, "-"},
	} {
		it := test.item
		it.Data = prefixed(test.rest)
		r := testkms.New(false).Decrypt(t.Context(), []kms.Item{it})[0]
		switch {
		case test.want == "-" && (!errors.Is(r.Err, kms.ErrDecryptionFailed) || r.Data != nil):
			t.Errorf("%q under %v: %q, %v; want ErrDecryptionFailed", test.rest, it.Context, r.Data, r.Err)
		case test.want != "-" && (r.Err != nil || string(r.Data) != test.want):
			t.Errorf("%q under %v: %q, %v; want %q", test.rest, it.Context, r.Data, r.Err, test.want)
		}
	}
}

// What opens is what sealing the plaintext gives, so that no two texts mean the same.
func FuzzOpen(f *testing.F) {
	const dir = "testdata/fuzz/FuzzOpen"
	if seeds, err := os.ReadDir(dir); err != nil || len(seeds) < 10 {
		f.Fatalf("%s has %d seeds (%v), want 10 or more", dir, len(seeds), err)
	}
	service := testkms.New(false)
	f.Fuzz(func(t *testing.T, ciphertext []byte, name, value string, entries int) {
		it := kms.Item{Data: bytes.Clone(ciphertext)}
		switch entries {
		case 0:
		case 1:
			it.Context = kms.Context{}
		default:
			it.Context = kms.Context{name: value}
		}
		opened := service.Decrypt(t.Context(), []kms.Item{it})[0]
		if !bytes.Equal(it.Data, ciphertext) {
			t.Error("the ciphertext was changed")
		}
		if opened.Err != nil {
			if opened.Data != nil || !errors.Is(opened.Err, kms.ErrDecryptionFailed) && !errors.Is(opened.Err, kms.ErrInvalidRequest) {
				t.Errorf("%q, %v", opened.Data, opened.Err)
			}
			return
		}
		it.Data = opened.Data
		sealed := service.Encrypt(t.Context(), []kms.Item{it})[0]
		if sealed.Err != nil || !bytes.Equal(sealed.Data, ciphertext) {
			t.Errorf("%q opens, and seals again as %q, %v", ciphertext, sealed.Data, sealed.Err)
		}
	})
}
