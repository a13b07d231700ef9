// Package s3 tests store/s3store against a server of the protocol in this process, and against Amazon S3 or another server
// where environment variables name it.
package s3

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/internal/e2e/s3test"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/s3store"
	"github.com/rowseal/rowseal/store/storetest"
	"github.com/rowseal/rowseal/vectors"
)

const limit = 1 << 20

var sealed = []byte("what was sealed, 28 bytes longer than its plaintext")

func TestABucketKeepsThePromisesOfAStore(t *testing.T) {
	for name, prefix := range map[string]string{"with a prefix": "sealed/", "with an unusual prefix": "a b+ö%2F/v1.2-", "without one": ""} {
		t.Run(name, func(t *testing.T) {
			server := s3test.New(t)
			storetest.Run(t, func(t *testing.T) store.Store { return newStore(t, server.Client(t), server.Bucket, prefix, nil) })
			if left := server.Objects(t); len(left) > 0 {
				t.Errorf("the suite left %q behind", left)
			}
		})
	}
}

func TestObjectsHaveThePrefixTheKeyAndNothingThatTellsOfTheirContent(t *testing.T) {
	for _, prefix := range []string{"", "sealed/", "sealed-"} {
		server, key := s3test.New(t), store.NewKey()
		put(t, newStore(t, server.Client(t), server.Bucket, prefix, nil), key, sealed)
		if names := server.Objects(t); !slices.Equal(names, []string{prefix + key}) {
			t.Fatalf("%q", names)
		}
		content, header := server.Object(t, prefix+key)
		if !bytes.Equal(content, sealed) || header["Content-Type"] != "application/octet-stream" || header["Content-Disposition"] != "" {
			t.Errorf("%q, %v", content, header)
		}
		for name := range header {
			if strings.HasPrefix(name, "X-Amz-Meta-") {
				t.Errorf("%s: %s", name, header[name])
			}
		}
	}
}

func TestStoresOfTwoPrefixesDoNotSeeEachOther(t *testing.T) {
	server, key := s3test.New(t), store.NewKey()
	a := newStore(t, server.Client(t), server.Bucket, "a/", nil)
	b := newStore(t, server.Client(t), server.Bucket, "b/", nil)
	put(t, a, key, sealed)
	if _, err := b.Get(t.Context(), key, limit); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := b.Delete(t.Context(), key); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if got, err := a.Get(t.Context(), key, limit); err != nil || !bytes.Equal(got, sealed) {
		t.Errorf("Get: %q, %v", got, err)
	}
}

func TestABucketOfActiveStorageIsRead(t *testing.T) {
	server := s3test.New(t)
	files := newStore(t, server.Client(t), server.Bucket, "", nil)
	n := 0
	err := fs.WalkDir(vectors.FS, "activestorage/storage", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		n++
		content, err := fs.ReadFile(vectors.FS, name)
		if err != nil {
			return err
		}
		key := path.Base(name)
		server.SetObject(t, key, content)
		if got, err := files.Get(t.Context(), key, limit); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d objects, %v", n, err)
	}
}

func TestWhoMayOnlyPutSealsAndReadsNothing(t *testing.T) {
	server, key := s3test.New(t), store.NewKey()
	files := newStore(t, server.Client(t, http.MethodPut), server.Bucket, "", nil)
	put(t, files, key, sealed)
	if err := files.Put(t.Context(), key, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("Put again: %v", err)
	}
	if want := []string{"PUT /my-bucket/" + key, "PUT /my-bucket/" + key}; !slices.Equal(server.Requests(), want) {
		t.Errorf("the requests are not %q", want)
	}
	if got, err := files.Get(t.Context(), key, limit); got != nil || !errors.Is(err, store.ErrAccessDenied) {
		t.Errorf("Get: %q, %v", got, err)
	}
	if err := files.Delete(t.Context(), key); !errors.Is(err, store.ErrAccessDenied) {
		t.Errorf("Delete: %v", err)
	}
	if got, _ := server.Object(t, key); !bytes.Equal(got, sealed) {
		t.Errorf("the object: %q", got)
	}
}

func TestAWrongSecretKeyIsDeniedAccess(t *testing.T) {
	server := s3test.New(t)
	client := server.Client(t)
	wrong, err := client.Options().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wrong.SecretAccessKey = "not-the-secret-key"
	client = sdk.New(client.Options(), func(o *sdk.Options) {
		o.Credentials = credentials.StaticCredentialsProvider{Value: wrong}
	})
	wantErrors(t, newStore(t, client, server.Bucket, "", nil), store.ErrAccessDenied)
}

func TestAMissingBucketIsNotAnEmptyOne(t *testing.T) {
	server := s3test.New(t)
	wantErrors(t, newStore(t, server.Client(t), "no-such-bucket", "", nil), store.ErrUnavailable)
	wantErrors(t, newStore(t, server.Client(t), "no-such-bucket", "", &s3store.Options{NoConditionalWrites: true}), store.ErrUnavailable)
}

func TestAServerWithoutConditionalWritesNeedsTheOption(t *testing.T) {
	server, key := s3test.New(t), store.NewKey()
	server.IgnoreConditions()
	put(t, newStore(t, server.Client(t), server.Bucket, "", nil), key, []byte("overwritten, as the package's documentation warns"))
	put(t, newStore(t, server.Client(t), server.Bucket, "", nil), key, sealed)

	files := newStore(t, server.Client(t), server.Bucket, "", &s3store.Options{NoConditionalWrites: true})
	if err := files.Put(t.Context(), key, []byte("another")); !errors.Is(err, store.ErrExists) {
		t.Errorf("Put: %v", err)
	}
	if got, _ := server.Object(t, key); !bytes.Equal(got, sealed) {
		t.Errorf("the object: %q", got)
	}
	put(t, files, store.NewKey(), sealed)
}

func TestBytesThatChangeOnTheWayThereAreNotStored(t *testing.T) {
	server := s3test.New(t)
	client := sdk.New(server.Client(t).Options(), func(o *sdk.Options) { o.HTTPClient = altering{o.HTTPClient} })
	err := newStore(t, client, server.Bucket, "", nil).Put(t.Context(), store.NewKey(), sealed)
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put: %v", err)
	}
	if names := server.Objects(t); len(names) > 0 {
		t.Errorf("stored: %q", names)
	}
}

func TestBytesThatChangeInTheBucketAreNotDelivered(t *testing.T) {
	server, key := s3test.New(t), store.NewKey()
	files := newStore(t, server.Client(t), server.Bucket, "", nil)
	put(t, files, key, sealed)
	server.SetObject(t, key, bytes.ToUpper(sealed))
	if got, err := files.Get(t.Context(), key, limit); got != nil || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Get: %q, %v", got, err)
	}
}

// The server repeats the Authorization header in its answers.
func TestErrorsShowNoCredentials(t *testing.T) {
	server, key := s3test.New(t), store.NewKey()
	client := server.Client(t, http.MethodOptions)
	secrets, err := client.Options().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = newStore(t, client, server.Bucket, "", nil).Put(t.Context(), key, sealed)
	if !errors.Is(err, store.ErrAccessDenied) {
		t.Fatalf("Put: %v", err)
	}
	for _, secret := range []string{
		secrets.AccessKeyID, secrets.SecretAccessKey, secrets.SessionToken, "Signature", string(sealed),
		base64.StdEncoding.EncodeToString(sealed),
	} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q in %v", secret, err)
		}
	}
}

// altering changes the first byte of every body.
type altering struct{ sdk.HTTPClient }

func (a altering) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body[0] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
	return a.HTTPClient.Do(r)
}

func newStore(t *testing.T, client *sdk.Client, bucket, prefix string, opts *s3store.Options) store.Store {
	t.Helper()
	files, err := s3store.New(client, bucket, prefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func put(t *testing.T, files store.Store, key string, data []byte) {
	t.Helper()
	if err := files.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

// wantErrors wants the same error of every method: what cannot be reached is neither missing nor deleted.
func wantErrors(t *testing.T, files store.Store, want error) {
	t.Helper()
	key := store.NewKey()
	if err := files.Put(t.Context(), key, sealed); !errors.Is(err, want) {
		t.Errorf("Put: %v, want %q", err, want)
	}
	if got, err := files.Get(t.Context(), key, limit); !errors.Is(err, want) || errors.Is(err, store.ErrNotFound) || got != nil {
		t.Errorf("Get: %q, %v, want %q", got, err, want)
	}
	if err := files.Delete(t.Context(), key); !errors.Is(err, want) {
		t.Errorf("Delete: %v, want %q", err, want)
	}
}
