package rowseal

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
)

// What a column says of a file is whatever somebody wrote into the database. A seed has $key and $info where those of a file
// that was sealed stand, and $REFERENCE for all that Seal wrote.
func FuzzFileReference(f *testing.F) {
	needSeeds(f)
	type paper struct {
		ID              int64
		EncryptedKMSKey DataKey
		Scan            File
	}
	const text = "scan of ada"
	want := FileInfo{Name: "ada.pdf", ContentType: "application/pdf", Size: int64(len(text))}
	ring, err := NewKeyring(Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{}, nil)})
	if err != nil {
		f.Fatal(err)
	}
	papers, err := NewModel[paper]("papers", ring, &Options{Store: &storetest.Memory{}})
	if err != nil {
		f.Fatal(err)
	}
	sealed := paper{ID: 1}
	sealed.Scan.Set(strings.NewReader(text), want)
	if err := papers.Seal(f.Context(), &sealed); err != nil {
		f.Fatal(err)
	}
	reference := sealed.Scan.c.reference.text
	var ref fileReference
	if err := json.Unmarshal([]byte(reference), &ref); err != nil {
		f.Fatal(err)
	}
	fill := strings.NewReplacer("$REFERENCE", reference, "$key", ref.Key, "$info", ref.Info)

	allowed := func(err error) bool {
		for _, is := range []error{ErrDecryptionFailed, ErrNotOpened, kms.ErrInvalidRequest, store.ErrNotFound, store.ErrUnavailable} {
			if errors.Is(err, is) {
				return true
			}
		}
		return false
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = fill.Replace(s)
		p := paper{ID: 1, EncryptedKMSKey: sealed.EncryptedKMSKey}
		if err := p.Scan.Scan(s); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Scan.Value(); got != s || err != nil {
			t.Errorf("%q is written as %q, %v", s, got, err)
		}
		if _, err := p.Scan.Info(); s != "" && !errors.Is(err, ErrNotOpened) {
			t.Errorf("%q before Open: %v", s, err)
		}
		object := p.Scan.Object()
		if err := papers.Open(t.Context(), &p); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		info, err := p.Scan.Info()
		if err != nil && !allowed(err) || err == nil && info != want && s != "" {
			t.Errorf("%q is described as %+v, %v", s, info, err)
		}
		described := err == nil
		r, err := p.Scan.Open(t.Context())
		if err != nil {
			if !allowed(err) || r != nil {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		content, err := io.ReadAll(r)
		if s != "" && (string(content) != text || err != nil || !described || object != ref.Key) {
			t.Errorf("%q opens to %q, %v, as the object %q", s, content, err, object)
		}
	})
}
