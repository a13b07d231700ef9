package activestorage_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
)

const (
	masterKey = "90365cf2cd17e4afe5922650889a3e1e9418c55e92974117942f26852c281eb8"
	plaintext = "the licence of a driver, which nobody else may see"
	marked    = activestorage.Metadata(`{"analyzed":true,"encrypted":true,"identified":true}`)
)

var box = boxOf(masterKey, "license")

// shelf is a Storage over memory, with one attachment in it.
type shelf struct {
	files   *activestorage.Storage
	objects *storetest.Memory
	license activestorage.Attachment
}

func newShelf(t testing.TB, object []byte, metadata activestorage.Metadata, opts *activestorage.Options) shelf {
	t.Helper()
	objects := &storetest.Memory{}
	files, err := activestorage.New("local", objects, activestorage.SQLite, opts)
	if err != nil {
		t.Fatal(err)
	}
	s := shelf{files: files, objects: objects}
	s.license = activestorage.Attachment{
		ID: "7", Name: "license", RecordType: "User", RecordID: "1",
		Blob: activestorage.Blob{ID: "3", ServiceName: "local", Filename: "secret name.pdf", Metadata: metadata},
	}
	s.put(t, object)
	return s
}

// put stores another object for the attachment, and lets its row say so.
func (s *shelf) put(t testing.TB, object []byte) {
	t.Helper()
	b := &s.license.Blob
	b.Key, b.ByteSize, b.Checksum = store.NewKey(), int64(len(object)), railsChecksum(object)
	if err := s.objects.Put(t.Context(), b.Key, object); err != nil {
		t.Fatal(err)
	}
}

// railsChecksum is the second opinion on what Rails stores.
func railsChecksum(object []byte) (text string) {
	fips140.WithoutEnforcement(func() {
		sum := md5.Sum(object)
		text = base64.StdEncoding.EncodeToString(sum[:])
	})
	return text
}

func sealed(t testing.TB, b activestorage.Box, text string) []byte {
	t.Helper()
	object, err := b.Seal(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// refused fails the test unless Open delivers nothing and its error matches (nil: any does), names the place, and is
// silent otherwise.
func (s *shelf) refused(t *testing.T, what string, b activestorage.Box, want error) {
	t.Helper()
	r, err := s.files.Open(t.Context(), s.license, b)
	if r != nil || err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: %v, %v; want %v", what, r, err, want)
		return
	}
	text := err.Error()
	if !strings.HasPrefix(text, "activestorage: open license of User 1 (blob 3): ") {
		t.Errorf("%s: %v does not tell the place", what, err)
	}
	if strings.Contains(text, "secret name") || strings.Contains(text, "driver") {
		t.Errorf("%s: %v tells too much", what, err)
	}
}

func TestAnOpenedFileIsReadAndSought(t *testing.T) {
	s := newShelf(t, sealed(t, box, plaintext), marked, nil)
	r, err := s.files.Open(t.Context(), s.license, box)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, []byte(plaintext)); err != nil {
		t.Error(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	if n, err := io.Copy(&all, r); err != nil || n != int64(len(plaintext)) || all.String() != plaintext {
		t.Errorf("copied %q, %v", all.String(), err)
	}
}

func TestAWrongByteAnywhereDeliversNothing(t *testing.T) {
	object := sealed(t, box, plaintext)
	s := newShelf(t, object, marked, nil)
	good := s.license.Blob
	damage := func(damaged []byte) {
		t.Helper()
		s.put(t, damaged) // as someone who can write rows too would do it
		s.refused(t, fmt.Sprintf("%d bytes, row rewritten", len(damaged)), box, activestorage.ErrDecryptionFailed)
		s.license.Blob.Checksum, s.license.Blob.ByteSize = good.Checksum, good.ByteSize
		s.refused(t, fmt.Sprintf("%d bytes, row as it was", len(damaged)), box, activestorage.ErrDecryptionFailed)
	}
	for i := range object {
		damaged := bytes.Clone(object)
		damaged[i] ^= 1
		damage(damaged)
		damage(object[:i])
	}
	damage(append(bytes.Clone(object), 0))

	s.license.Blob = good
	s.license.Blob.ByteSize++
	s.refused(t, "the row's size", box, activestorage.ErrDecryptionFailed)
	s.license.Blob = good
	s.license.Blob.Checksum = railsChecksum(nil)
	s.refused(t, "the row's checksum", box, activestorage.ErrDecryptionFailed)
	s.license.Blob = good
	s.refused(t, "another key", boxOf(masterKey, "avatar"), activestorage.ErrDecryptionFailed)
	if _, err := s.files.Open(t.Context(), s.license, box); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

func TestABlobWithoutAChecksumOpens(t *testing.T) {
	s := newShelf(t, sealed(t, box, plaintext), marked, nil)
	s.license.Blob.Checksum = "" // composed of others (Rails 7)
	if _, err := s.files.Open(t.Context(), s.license, box); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeReadSaysWhy(t *testing.T) {
	s := newShelf(t, sealed(t, box, plaintext), marked, nil)
	s.refused(t, "no box", nil, nil)
	unavailable := errors.New("the service is away")
	s.refused(t, "a box that fails", brokenBox{unavailable}, unavailable)

	s.license.Blob.ServiceName = "amazon"
	s.refused(t, "another service", box, nil)
	_, err := s.files.Open(t.Context(), s.license, box)
	if err == nil || !strings.Contains(err.Error(), `"amazon": add its store to Options.Others`) {
		t.Errorf("another service: %v", err)
	}
	s.license.Blob.ServiceName = "local"
	s.license.Blob.Key = store.NewKey()
	s.refused(t, "no object", box, store.ErrNotFound)
	s.license.Blob.Key = "../../../../etc/passwd"
	s.refused(t, "a key that is a path", box, store.ErrInvalidKey)
}

func TestOtherServicesAreRead(t *testing.T) {
	amazon := newShelf(t, sealed(t, box, plaintext), marked, nil)
	s := newShelf(t, nil, marked, &activestorage.Options{Others: map[string]store.Store{"amazon": amazon.objects}})
	s.license.Blob = amazon.license.Blob
	s.license.Blob.ServiceName = "amazon"
	if _, err := s.files.Open(t.Context(), s.license, box); err != nil {
		t.Error(err)
	}
}

func TestAnObjectAboveTheLimitIsNotRead(t *testing.T) {
	object := sealed(t, box, plaintext)
	s := newShelf(t, object, marked, &activestorage.Options{Limit: int64(len(object))})
	if _, err := s.files.Open(t.Context(), s.license, box); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	s = newShelf(t, object, marked, &activestorage.Options{Limit: int64(len(object)) - 1})
	s.refused(t, "above the limit", box, store.ErrTooLarge)
}

// Lockbox before 0.6.0 did not mark its files, so the mark is not needed to open one; and whoever takes it away must
// not get ciphertext delivered as a file.
func TestOnlyMigratingDeliversWhatIsNotEncrypted(t *testing.T) {
	ours, theirs, plain := sealed(t, box, plaintext), sealed(t, boxOf(masterKey, "avatar"), plaintext), []byte(plaintext)
	unmarked := activestorage.Metadata(`{"identified":true,"width":10}`)
	damaged := activestorage.Metadata(`{"identified`)
	unavailable := errors.New("the service is away")
	for _, c := range []struct {
		what      string
		object    []byte
		metadata  activestorage.Metadata
		migrating bool
		box       activestorage.Box
		want      error
	}{
		{"marked, sealed", ours, marked, false, box, nil},
		{"not marked, sealed", ours, unmarked, false, box, nil},
		{"no metadata, sealed", ours, "", false, box, nil},
		{"damaged metadata, sealed", ours, damaged, false, box, nil},
		{"not marked, plain", plain, unmarked, false, box, activestorage.ErrNotEncrypted},
		{"no metadata, plain", plain, "", false, box, activestorage.ErrNotEncrypted},
		{"marked, plain", plain, marked, false, box, activestorage.ErrDecryptionFailed},

		{"migrating, marked, sealed", ours, marked, true, box, nil},
		{"migrating, not marked, sealed", ours, unmarked, true, box, nil},
		{"migrating, not marked, plain", plain, unmarked, true, box, nil},
		{"migrating, no metadata, plain", plain, "", true, box, nil},
		{"migrating, marked, plain", plain, marked, true, box, activestorage.ErrDecryptionFailed},
		{"migrating, marked, another's", theirs, marked, true, box, activestorage.ErrDecryptionFailed},
		{"migrating, damaged metadata, plain", plain, damaged, true, box, activestorage.ErrDecryptionFailed},
		{"migrating, not marked, plain, the box fails", plain, unmarked, true, brokenBox{unavailable}, unavailable},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newShelf(t, c.object, c.metadata, &activestorage.Options{Migrating: c.migrating})
			if c.want != nil {
				s.refused(t, c.what, c.box, c.want)
				return
			}
			r, err := s.files.Open(t.Context(), s.license, c.box)
			if err != nil {
				t.Fatal(err)
			}
			if content, err := io.ReadAll(r); err != nil || string(content) != plaintext {
				t.Errorf("%q, %v", content, err)
			}
		})
	}
	s := newShelf(t, plain, unmarked, nil)
	s.refused(t, "what is not encrypted does not decrypt either", box, activestorage.ErrDecryptionFailed)
	if _, err := s.files.Open(t.Context(), s.license, box); !strings.Contains(err.Error(), "Options.Migrating") {
		t.Errorf("%v does not say what to do", err)
	}
	s = newShelf(t, plain, unmarked, &activestorage.Options{Migrating: true})
	s.license.Blob.Checksum = railsChecksum(nil)
	s.refused(t, "a plain file that is not the one of the row", box, activestorage.ErrDecryptionFailed)
}

func TestPlaintextDoesNotShow(t *testing.T) {
	s := newShelf(t, sealed(t, box, plaintext), marked, nil)
	r, err := s.files.Open(t.Context(), s.license, box)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&printed, verb, struct{ File io.Reader }{r})
	}
	log := slog.New(slog.NewJSONHandler(&printed, nil))
	log.Info("opened", "file", r)
	json.NewEncoder(&printed).Encode(r)
	start := plaintext[:8]
	for _, form := range []string{start, fmt.Sprintf("%x", start), strings.Trim(fmt.Sprint([]byte(start)), "[]")} {
		if strings.Contains(printed.String(), form) {
			t.Errorf("%q shows in %s", form, printed.String())
		}
	}
}

func TestAStorageIsCheckedWhenItIsMade(t *testing.T) {
	objects := &storetest.Memory{}
	for what, make := range map[string]func() (*activestorage.Storage, error){
		"no service": func() (*activestorage.Storage, error) {
			return activestorage.New("", objects, activestorage.MySQL, nil)
		},
		"no store": func() (*activestorage.Storage, error) {
			return activestorage.New("local", nil, activestorage.MySQL, nil)
		},
		"no dialect": func() (*activestorage.Storage, error) { return activestorage.New("local", objects, "", nil) },
		"a negative limit": func() (*activestorage.Storage, error) {
			return activestorage.New("local", objects, activestorage.MySQL, &activestorage.Options{Limit: -1})
		},
		"another service without a store": func() (*activestorage.Storage, error) {
			others := map[string]store.Store{"amazon": nil}
			return activestorage.New("local", objects, activestorage.MySQL, &activestorage.Options{Others: others})
		},
	} {
		if s, err := make(); s != nil || err == nil || !strings.HasPrefix(err.Error(), "activestorage: ") {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
}

// So large is the largest file of rowseal's Options.FileLimit where it is 0 too (lockbox.DefaultFileLimit).
func TestAFileOf64MiBIsWithinTheDefaultLimit(t *testing.T) {
	content := strings.Repeat("p", lockbox.DefaultFileLimit)
	s := newShelf(t, sealed(t, box, content), marked, nil)
	r, err := s.files.Open(t.Context(), s.license, box)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != lockbox.DefaultFileLimit || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	s.put(t, make([]byte, activestorage.DefaultLimit+1))
	s.refused(t, "an object above it", box, store.ErrTooLarge)
}

// In this mode the test binary runs itself once more under it; there this test only says that the mode is really on.
func TestThePackageWorksInFIPSMode(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		if !fips140.Enforced() {
			t.Error("the mode is not on")
		}
		return
	}
	child := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^(Test|Fuzz|Example)", "-test.count=1")
	child.Env = append(os.Environ(), "GODEBUG=fips140=only")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("under GODEBUG=fips140=only: %v\n%s", err, out)
	}
}

// brokenBox opens nothing, for a reason that is not in the object.
type brokenBox struct{ err error }

func (b brokenBox) Seal(io.Reader) ([]byte, error) { return nil, b.err }
func (b brokenBox) Open([]byte) ([]byte, error)    { return nil, b.err }
