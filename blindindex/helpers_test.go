package blindindex_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/vectors"
)

var testKey = bytes.Repeat([]byte{0xa7}, blindindex.KeySize)

// approved are the algorithms that a test may use in every mode.
var approved = []blindindex.Algorithm{blindindex.PBKDF2SHA256, blindindex.HMACSHA256}

var unapproved = []blindindex.Algorithm{"", blindindex.Argon2id, blindindex.Argon2i, blindindex.Scrypt}

var algorithms = append([]blindindex.Algorithm{blindindex.Argon2id, blindindex.Argon2i, blindindex.Scrypt}, approved...)

// cheap are costs at which an algorithm takes no time.
func cheap(a blindindex.Algorithm) blindindex.Cost {
	switch a {
	case blindindex.PBKDF2SHA256:
		return blindindex.Cost{Iterations: 1}
	case blindindex.Scrypt:
		return blindindex.Cost{N: 2, R: 1}
	case blindindex.HMACSHA256:
		return blindindex.Cost{}
	default:
		return blindindex.Cost{M: 3}
	}
}

func newIndexer(tb testing.TB, opts *blindindex.Options) *blindindex.Indexer {
	tb.Helper()
	x, err := blindindex.New(testKey, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// newHMAC returns the fastest Indexer, for tests of everything around the algorithm.
func newHMAC(tb testing.TB, normalize string) *blindindex.Indexer {
	tb.Helper()
	return newIndexer(tb, &blindindex.Options{Algorithm: blindindex.HMACSHA256, Normalize: normalize})
}

func needUnapproved(tb testing.TB) {
	tb.Helper()
	if fips140.Enforced() {
		tb.Skip("GODEBUG=fips140=only refuses this algorithm, which TestUnapprovedAlgorithmsAreRefusedInFIPSMode asserts")
	}
}

// wantRefused wants an error that says all of what, and shows nothing of the key.
func wantRefused(t *testing.T, x *blindindex.Indexer, err error, what ...string) {
	t.Helper()
	if err == nil || x != nil {
		t.Fatalf("no error, want one that says %q", what)
	}
	for _, w := range append(what, "blindindex: ") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func wantNotFIPS(t *testing.T, x *blindindex.Indexer, err error) {
	t.Helper()
	if !errors.Is(err, blindindex.ErrNotFIPS) {
		t.Errorf("got %v, want ErrNotFIPS", err)
	}
	wantRefused(t, x, err, "pbkdf2_sha256 or hmac_sha256")
}

// gem is vectors/blind_index.json.
var gem struct {
	Source string
	Values []struct {
		Options struct {
			Algorithm string
			Slow      bool
			Size      int
			Cost      blindindex.Cost // encoding/json ignores the case of names
		}
		Key   string
		Value any
		Bidx  *string
	}
	IndexKeys []struct {
		MasterKey     string `json:"master_key"`
		Table         string
		BidxAttribute string `json:"bidx_attribute"`
		Key           string
	} `json:"index_keys"`
}

func init() {
	d := json.NewDecoder(bytes.NewReader(must(vectors.FS.ReadFile("blind_index.json"))))
	d.UseNumber()
	d.DisallowUnknownFields() // no option of a vector is passed over
	check(d.Decode(&gem))
}

func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("a step that cannot fail failed: %v", err))
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}
