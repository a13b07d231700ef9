package localkms

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// newKey makes a key and returns its service.
func newKey(t testing.TB, s Store, name string) service {
	t.Helper()
	if err := s.Create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return openKey(t, s, name)
}

func openKey(t testing.TB, s Store, name string) service {
	t.Helper()
	k, err := s.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return k.(service)
}

func encrypt(t testing.TB, s kms.Service, plaintext []byte, c kms.Context) []byte {
	t.Helper()
	r := s.Encrypt(t.Context(), []kms.Item{{Data: plaintext, Context: c}})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Data
}

func decrypt(s kms.Service, ciphertext []byte, c kms.Context) ([]byte, error) {
	r := s.Decrypt(context.Background(), []kms.Item{{Data: ciphertext, Context: c}})[0]
	return r.Data, r.Err
}

func rotate(t testing.TB, s Store, name string) uint32 {
	t.Helper()
	version, err := s.Rotate(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func versionOf(ciphertext []byte) int { return int(binary.BigEndian.Uint32(ciphertext[4:])) }

var row = kms.Context{"model_name": "User", "model_id": "1"}

func TestConformance(t *testing.T) {
	s := newStore(t)
	key, other := newKey(t, s, "one"), newKey(t, s, "two")
	must := func(f func(context.Context, string) error) func(*testing.T) {
		return func(t *testing.T) {
			if err := f(t.Context(), "one"); err != nil {
				t.Fatal(err)
			}
		}
	}
	kmstest.Run(t, kmstest.Harness{
		New:     func(*testing.T) kms.Service { return key },
		Other:   func(*testing.T) kms.Service { return other },
		Disable: must(s.Disable),
		Enable:  must(s.Enable),
		Rotate:  func(t *testing.T) { rotate(t, s, "one") },
		Version: versionOf,
		Errors: []kmstest.ErrorCase{
			{Name: "missing key", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
				_, err := decrypt(openKey(t, s, "missing"), encrypt(t, key, []byte("x"), nil), nil)
				return err
			}},
			{Name: "plaintext too large", Want: kms.ErrInvalidRequest, Do: func(t *testing.T) error {
				return key.Encrypt(t.Context(), []kms.Item{{Data: make([]byte, maxPlaintext+1)}})[0].Err
			}},
			{Name: "file that others may read", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
				loose := newKey(t, s, "loose")
				chmod(t, loose.path, 0o644)
				return loose.Encrypt(t.Context(), []kms.Item{{Data: []byte("x")}})[0].Err
			}},
			{Name: "corrupt file", Want: ErrKeyFile, Do: func(t *testing.T) error {
				corrupt := newKey(t, s, "corrupt")
				writeFile(t, corrupt.path, []byte("{}"))
				return corrupt.Encrypt(t.Context(), []kms.Item{{Data: []byte("x")}})[0].Err
			}},
		},
	})
}

func TestOpensThroughKMSWithTheDirectoryOfTheEnvironment(t *testing.T) {
	t.Setenv("ROWSEAL_LOCAL_KEYS", newStore(t).Dir)
	if err := (Store{}).Create(t.Context(), "users"); err != nil {
		t.Fatal(err)
	}
	key, err := kms.Open(t.Context(), "local/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := key.Encrypt(t.Context(), []byte("data key"), row)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := key.Decrypt(t.Context(), wrapped, row); err != nil || string(opened) != "data key" {
		t.Errorf("Decrypt = %q, %v", opened, err)
	}
	if key.ID() != "local/users" {
		t.Errorf("ID = %q", key.ID())
	}
	if _, err := kms.Open(t.Context(), "local/../users", nil); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Errorf("Open of a path: %v", err)
	}
}

// The format's description carried out once more with the plain parts: what the package writes is what it says.
func TestWireFormat(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	rotate(t, s, "users")
	for name, test := range map[string]struct {
		context kms.Context
		tail    string
	}{
		"no context":    {nil, "\x00"},
		"empty context": {kms.Context{}, "\x01{}"},
		"context":       {row, "\x01" + `{"model_id":"1","model_name":"User"}`},
	} {
		t.Run(name, func(t *testing.T) {
			wrapped := encrypt(t, key, []byte("data key"), test.context)
			if len(wrapped) != len("data key")+68 {
				t.Fatalf("%d bytes", len(wrapped))
			}
			if string(wrapped[:8]) != "RSL1\x00\x00\x00\x02" {
				t.Fatalf("header %x", wrapped[:8])
			}
			ad := "\x00\x00\x00\x05users\x00\x00\x00\x02" + test.tail
			if got := openPlainly(t, masterOf(t, key, 2), wrapped, ad); got != "data key" {
				t.Errorf("opened %q", got)
			}
		})
	}
}

// masterOf reads a master key from the file's JSON, not through the package's parser.
func masterOf(t *testing.T, key service, number int) []byte {
	t.Helper()
	var file struct {
		Versions []struct {
			Number int
			Key    []byte
		}
	}
	if err := json.Unmarshal(readFile(t, key.path), &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Versions {
		if v.Number == number {
			return v.Key
		}
	}
	t.Fatalf("no version %d", number)
	return nil
}

func openPlainly(t *testing.T, master, b []byte, ad string) string {
	t.Helper()
	key, err := hkdf.Key(sha256.New, master, b[8:40], "rowseal local v1", 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := aead.Open(nil, nil, b[40:], []byte(ad))
	if err != nil {
		t.Fatal(err)
	}
	return string(plaintext)
}

// A key of its own for every ciphertext is what lifts the limit on random nonces.
func TestEveryCiphertextHasItsOwnSaltAndNonce(t *testing.T) {
	key := newKey(t, newStore(t), "users")
	seen := map[string]bool{}
	for range 100 {
		wrapped := encrypt(t, key, []byte("data key"), row)
		seen[string(wrapped[8:40])], seen[string(wrapped[40:52])] = true, true
	}
	if len(seen) != 200 {
		t.Errorf("100 ciphertexts have %d salts and nonces", len(seen))
	}
}

func TestACancelledCtxStopsWithinABatch(t *testing.T) {
	key := newKey(t, newStore(t), "users")
	ctx, cancel := context.WithCancel(t.Context())
	cancelling := func(c kms.Context) ([]byte, error) {
		cancel()
		return c.Canonical()
	}
	results := key.Encrypt(ctx, []kms.Item{
		{Data: []byte("x"), Context: row, Encoding: cancelling, Ref: 1}, {Data: []byte("x"), Context: row, Ref: 2},
	})
	if results[0].Err != nil || !errors.Is(results[1].Err, context.Canceled) || results[1].Ref != 2 {
		t.Errorf("results %v", results)
	}
}

// What was ever written must open for ever. known.json and known_python.json are from another implementation;
// known_go.json is from this one's first version.
func TestKnownCiphertextsOpen(t *testing.T) {
	s := newStore(t)
	writeFile(t, keyPath(s.Dir, "known"), readFile(t, "testdata/known.json"))
	key := openKey(t, s, "known")
	for _, file := range []string{"known_python.json", "known_go.json"} {
		known := readKnown(t, filepath.Join("testdata", file))
		if len(known.Cases) < 5 {
			t.Fatalf("%s has %d cases", file, len(known.Cases))
		}
		for i, c := range known.Cases {
			opened, err := decrypt(key, c.Ciphertext, c.Context)
			if err != nil || !bytes.Equal(opened, c.Plaintext) {
				t.Errorf("%s, case %d: %x, %v", file, i, opened, err)
			}
			if versionOf(c.Ciphertext) != c.Version {
				t.Errorf("%s, case %d: version %d, want %d", file, i, versionOf(c.Ciphertext), c.Version)
			}
		}
	}
}

type known struct {
	WrittenBy string      `json:"written_by"`
	Cases     []knownCase `json:"cases"`
}

type knownCase struct {
	Version    int         `json:"version"`
	Context    kms.Context `json:"context"`
	Plaintext  []byte      `json:"plaintext"`
	Ciphertext []byte      `json:"ciphertext"`
}

func readKnown(t testing.TB, path string) (k known) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, path), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestLargestPlaintext(t *testing.T) {
	key := newKey(t, newStore(t), "users")
	plaintext := bytes.Repeat([]byte("x"), 64<<10)
	opened, err := decrypt(key, encrypt(t, key, plaintext, row), row)
	if err != nil || !bytes.Equal(opened, plaintext) {
		t.Errorf("64 KiB: %d bytes, %v", len(opened), err)
	}
	if _, err := decrypt(key, make([]byte, 100<<20), row); !errors.Is(err, kms.ErrDecryptionFailed) {
		t.Errorf("100 MiB: %v", err)
	}
}

// The same bytes under the name of another key: the name is authenticated, not only the key.
func TestNameIsAuthenticated(t *testing.T) {
	s := newStore(t)
	key, twin := newKey(t, s, "users"), newKey(t, s, "twin")
	f := mustParse(t, readFile(t, key.path), "users")
	f.Name = "twin"
	writeFile(t, twin.path, encode(t, f))
	if _, err := decrypt(twin, encrypt(t, key, []byte("x"), row), row); !errors.Is(err, kms.ErrDecryptionFailed) {
		t.Errorf("the same master key under another name: %v", err)
	}
}

// And the version: two versions with one master key do not open each other's.
func TestVersionIsAuthenticated(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	f := mustParse(t, readFile(t, key.path), "users")
	f.Versions = append(f.Versions, version{Number: 2, Created: f.Versions[0].Created, Key: f.Versions[0].Key})
	writeFile(t, key.path, encode(t, f))
	wrapped := encrypt(t, key, []byte("x"), row)
	wrapped[7] = 2
	if _, err := decrypt(key, wrapped, row); !errors.Is(err, kms.ErrDecryptionFailed) {
		t.Errorf("altered version: %v", err)
	}
}

func TestUnknownVersionMatchesBothErrors(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	backup := readFile(t, key.path)
	rotate(t, s, "users")
	wrapped := encrypt(t, key, []byte("x"), row)
	writeFile(t, key.path, backup)
	_, err := decrypt(key, wrapped, row)
	if !errors.Is(err, kms.ErrDecryptionFailed) || !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(err.Error(), "no version 2") {
		t.Errorf("the error does not name the version: %v", err)
	}
}

func TestRewrapGoesToTheNewestVersionAndAnyContext(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	wrapped := encrypt(t, key, []byte("data key"), row)
	rotate(t, s, "users")
	to := kms.Context{"model_name": "Person", "model_id": "1"}
	r := key.Rewrap(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: wrapped, Context: row, Ref: 7}, To: to}})[0]
	if r.Err != nil || r.Ref != 7 {
		t.Fatalf("Rewrap: ref %d, %v", r.Ref, r.Err)
	}
	if versionOf(wrapped) != 1 || versionOf(r.Data) != 2 {
		t.Errorf("versions %d and %d", versionOf(wrapped), versionOf(r.Data))
	}
	if opened, err := decrypt(key, r.Data, to); err != nil || string(opened) != "data key" {
		t.Errorf("under the new context: %q, %v", opened, err)
	}
	if _, err := decrypt(key, r.Data, row); !errors.Is(err, kms.ErrDecryptionFailed) {
		t.Errorf("under the old context: %v", err)
	}
}

func TestChangesByOthersTakeEffectAtTheNextRequest(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	first := encrypt(t, key, []byte("x"), row)
	rotate(t, s, "users")
	if got := versionOf(encrypt(t, key, []byte("x"), row)); got != 2 {
		t.Errorf("after a rotation it seals with version %d", got)
	}
	if err := s.Disable(t.Context(), "users"); err != nil {
		t.Fatal(err)
	}
	_, openErr := decrypt(key, first, row)
	sealErr := key.Encrypt(t.Context(), []kms.Item{{Data: []byte("x")}})[0].Err
	rewrapErr := key.Rewrap(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: first, Context: row}, To: row}})[0].Err
	for op, err := range map[string]error{"open": openErr, "seal": sealErr, "rewrap": rewrapErr} {
		const says = `localkms: the key is switched off; run "rowseal keys enable users" to use it again`
		if !errors.Is(err, kms.ErrKeyDisabled) || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%s with a disabled key: %v", op, err)
		}
	}
	if err := s.Enable(t.Context(), "users"); err != nil {
		t.Fatal(err)
	}
	if _, err := decrypt(key, first, row); err != nil {
		t.Errorf("after Enable: %v", err)
	}
}

func TestMissingKeyNamesFileAndRemedy(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "not", "there")}
	_, err := decrypt(openKey(t, s, "users"), []byte("x"), nil)
	if !errors.Is(err, kms.ErrKeyNotFound) {
		t.Fatal(err)
	}
	for _, want := range []string{keyPath(s.Dir, "users"), "rowseal keys create users"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if _, err := s.Rotate(t.Context(), "users"); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("Rotate: %v", err)
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a failed request made the directory")
	}
}

func TestACustomEncodingsErrorIsTheCallersMistake(t *testing.T) {
	key := newKey(t, newStore(t), "users")
	cause := errors.New("no such name")
	it := kms.Item{Data: []byte("x"), Context: row, Encoding: func(kms.Context) ([]byte, error) { return nil, cause }}
	for op, r := range map[string]kms.Result{
		"encrypt": key.Encrypt(t.Context(), []kms.Item{it})[0],
		"decrypt": key.Decrypt(t.Context(), []kms.Item{it})[0],
	} {
		if !errors.Is(r.Err, kms.ErrInvalidRequest) || !errors.Is(r.Err, cause) {
			t.Errorf("%s: %v", op, r.Err)
		}
	}
}

func TestNothingPrintsKeyMaterial(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	f := mustParse(t, readFile(t, key.path), "users")
	secret := f.Versions[0].Key.bytes()
	infos, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{f, *f, f.Versions, f.Versions[0], f.Versions[0].Key, key, s, infos, kms.NewKey(key, nil)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); shows(text, secret) {
				t.Errorf("%s of %T shows the key", verb, v)
			}
		}
	}
	damaged := base64.StdEncoding.EncodeToString(secret) + "="
	if err := new(masterKey).UnmarshalText([]byte(damaged)); err == nil || shows(err.Error(), secret) {
		t.Errorf("the error of a damaged key: %v", err)
	}
}

// shows tells whether text has four bytes in a row of secret, in hex, base64 or decimals.
func shows(text string, secret []byte) bool {
	b64 := base64.StdEncoding.EncodeToString(secret)
	for i := 0; i+8 <= len(b64)-1; i++ {
		if strings.Contains(text, b64[i:i+8]) {
			return true
		}
	}
	for i := range len(secret) - 3 {
		part := secret[i : i+4]
		for _, form := range []string{hex.EncodeToString(part), fmt.Sprint(part), strings.Trim(fmt.Sprint(part), "[]"), string(part)} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				return true
			}
		}
	}
	return false
}
