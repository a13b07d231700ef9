package blindindex_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/blindindex"
)

func TestUnapprovedAlgorithmsAreRefusedInFIPSMode(t *testing.T) {
	for _, a := range unapproved {
		x, err := blindindex.New(testKey, &blindindex.Options{Algorithm: a})
		if fips140.Enforced() {
			wantNotFIPS(t, x, err)
		} else if err != nil {
			t.Errorf("%q: %v", a, err)
		}
	}
	for _, a := range approved {
		for _, size := range []int{1, 32} { // crypto/pbkdf2 by itself refuses to derive less than 14 bytes
			x := newIndexer(t, &blindindex.Options{Algorithm: a, Size: size, Cost: cheap(a), Raw: true})
			if index, err := x.Compute("v"); err != nil || len(index) != size {
				t.Errorf("%s: %d bytes, %v", a, len(index), err)
			}
		}
	}
	short := &blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, InsecureKey: true}
	if x, err := blindindex.New(testKey[:15], short); fips140.Enforced() != errors.Is(err, blindindex.ErrNotFIPS) {
		t.Errorf("a key of 15 bytes: %v, %v", x, err)
	}
	if index, err := must(blindindex.New(testKey[:16], short)).Compute("v"); err != nil || index == "" {
		t.Errorf("a key of 16 bytes: %v", err)
	}
}

func TestAnIndexHasTheSizeThatIsAskedFor(t *testing.T) {
	for _, a := range algorithms {
		t.Run(string(a), func(t *testing.T) {
			if slices.Contains(unapproved, a) {
				needUnapproved(t)
			}
			index := func(size int, raw bool) string {
				return must(newIndexer(t, &blindindex.Options{Algorithm: a, Cost: cheap(a), Size: size, Raw: raw}).Compute("v"))
			}
			for size := 1; size <= 32; size++ {
				raw := index(size, true)
				if len(raw) != size {
					t.Errorf("size %d: %d bytes", size, len(raw))
				}
				if text := index(size, false); text != base64.StdEncoding.EncodeToString([]byte(raw)) {
					t.Errorf("size %d: %q is not the base64 of %x", size, text, raw)
				}
				// Argon2 hashes the size too. The others cut.
				isPrefix := strings.HasPrefix(index(32, true), raw)
				if argon2 := a == blindindex.Argon2id || a == blindindex.Argon2i; size > 3 && size < 32 && isPrefix == argon2 {
					t.Errorf("size %d: is a prefix of the whole index: %v", size, isPrefix)
				}
			}
			if index(0, true) != index(32, true) {
				t.Error("size 0 is not 32")
			}
		})
	}
}

func TestAnIndexDependsOnEverythingThatMakesIt(t *testing.T) {
	seen := make(map[string]string)
	unique := func(what, index string) {
		if other, ok := seen[index]; ok {
			t.Errorf("%s has the index of %s", what, other)
		}
		seen[index] = what
	}
	otherKey := bytes.Clone(testKey)
	otherKey[31] ^= 1
	for _, a := range approved {
		opts := &blindindex.Options{Algorithm: a, Cost: cheap(a)}
		for _, value := range []string{"", "a", "A", "a ", "\x00a", "\xff", "ä"} {
			unique(fmt.Sprintf("%s of %q", a, value), must(newIndexer(t, opts).Compute(value)))
			unique(fmt.Sprintf("%s of %q, another key", a, value), must(must(blindindex.New(otherKey, opts)).Compute(value)))
		}
	}
	for _, c := range []blindindex.Options{
		{Algorithm: blindindex.PBKDF2SHA256}, {Algorithm: blindindex.PBKDF2SHA256, Slow: true},
		{Algorithm: blindindex.PBKDF2SHA256, Cost: blindindex.Cost{Iterations: 2}},
	} {
		unique(fmt.Sprintf("%+v", c), must(newIndexer(t, &c).Compute("a")))
	}
}

// The documentation of PBKDF2SHA256 and Scrypt says so; HMAC pads its key, here the value, with NULs (RFC 2104 §2).
func TestPBKDF2DoesNotSeeNULsAtTheEnd(t *testing.T) {
	for _, a := range approved {
		x := newIndexer(t, &blindindex.Options{Algorithm: a, Cost: cheap(a)})
		if same := must(x.Compute("a")) == must(x.Compute("a\x00")); same != (a == blindindex.PBKDF2SHA256) {
			t.Errorf("%s: the same index: %v", a, same)
		}
	}
}

func TestCostOverridesSlow(t *testing.T) {
	opts := blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, Cost: blindindex.Cost{Iterations: 3}}
	slow := opts
	slow.Slow = true
	if must(newIndexer(t, &opts).Compute("v")) != must(newIndexer(t, &slow).Compute("v")) {
		t.Error("slow changes a cost that is set")
	}
}

// The gem's legacy: true and insecure_key: true (blind_index lib/blind_index.rb) came before its vectors.
func TestLegacyIndexesAreTheGems(t *testing.T) {
	hexKey := []byte(hex.EncodeToString(testKey))
	plain := must(newIndexer(t, &blindindex.Options{Algorithm: blindindex.PBKDF2SHA256}).Compute("v"))
	if got := must(newIndexer(t, &blindindex.Options{Legacy: true}).Compute("v")); got != plain+"\n" {
		t.Errorf("legacy: %q, want PBKDF2 and a line end: %q", got, plain+"\n")
	}
	insecure := must(blindindex.New(hexKey, &blindindex.Options{Legacy: true, InsecureKey: true}))
	want := must(blindindex.HashOf(blindindex.PBKDF2SHA256, blindindex.Cost{Iterations: 10_000}, "v", string(hexKey), 32))
	if got := must(insecure.Compute("v")); got != base64.StdEncoding.EncodeToString(want)+"\n" {
		t.Errorf("an insecure key is not taken as it is: %q", got)
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	type options = blindindex.Options
	const argon2id, pbkdf2, hmac = blindindex.Argon2id, blindindex.PBKDF2SHA256, blindindex.HMACSHA256
	cost := func(a blindindex.Algorithm, c blindindex.Cost) options { return options{Algorithm: a, Cost: c} }
	for _, c := range []struct {
		opts options
		says string
	}{
		{options{Algorithm: "argon2"}, `unknown algorithm "argon2": want argon2id, argon2i, pbkdf2_sha256, scrypt or hmac_sha256`},
		{options{Algorithm: hmac, Size: -1}, "an index of -1 bytes: want 1 to 32"},
		{options{Algorithm: hmac, Size: 33}, "an index of 33 bytes: want 1 to 32"},

		{options{Algorithm: hmac, Slow: true}, "hmac_sha256 has no slow form"},
		{options{Algorithm: blindindex.Scrypt, Slow: true}, "scrypt has no slow form"},
		{options{Algorithm: blindindex.Argon2i, Slow: true}, "argon2i has no slow form"},
		{cost(hmac, blindindex.Cost{Iterations: 1}), "hmac_sha256 has no cost Iterations"},
		{cost(pbkdf2, blindindex.Cost{T: 3}), "pbkdf2_sha256 has no cost T"},
		{cost(argon2id, blindindex.Cost{N: 2}), "argon2id has no cost N"},

		{cost(argon2id, blindindex.Cost{T: 2}), "argon2id with T 2: want 3 to 10"},
		{cost(argon2id, blindindex.Cost{T: 11}), "argon2id with T 11: want 3 to 10"},
		{cost(argon2id, blindindex.Cost{M: 2}), "argon2id with M 2: want 3 to 22"},
		{cost(argon2id, blindindex.Cost{M: 23}), "argon2id with M 23: want 3 to 22"},
		{cost(argon2id, blindindex.Cost{T: -1}), "argon2id with T -1: want 3 to 10"},
		{cost(blindindex.Argon2i, blindindex.Cost{M: 23}), "argon2i with M 23: want 3 to 22"},
		{cost(pbkdf2, blindindex.Cost{Iterations: -1}), "pbkdf2_sha256 with Iterations -1: want 1 to"},
		{cost(blindindex.Scrypt, blindindex.Cost{N: 1}), "scrypt with N 1: want 2 to"},
		{cost(blindindex.Scrypt, blindindex.Cost{N: 4097}), "a power of two"},
		{cost(blindindex.Scrypt, blindindex.Cost{N: 1 << 16, R: 1}), "a power of two below 2^(16·R)"},
		{cost(blindindex.Scrypt, blindindex.Cost{R: -1}), "scrypt with R -1"},
		{cost(blindindex.Scrypt, blindindex.Cost{P: -1}), "scrypt with P -1"},
		{cost(blindindex.Scrypt, blindindex.Cost{N: 1 << 22}), "more than 4 GiB"},
		{cost(blindindex.Scrypt, blindindex.Cost{P: 1 << 22}), "more than 4 GiB"},
		{cost(blindindex.Scrypt, blindindex.Cost{N: 1 << 40}), "scrypt with N"},

		{options{Algorithm: hmac, InsecureKey: true}, "hmac_sha256 takes no insecure key"},
	} {
		if fips140.Enforced() && slices.Contains(unapproved, c.opts.Algorithm) {
			continue // refused for that
		}
		x, err := blindindex.New(testKey, &c.opts)
		wantRefused(t, x, err, c.says)
	}
}

func TestTheBoundsThemselvesAreAllowed(t *testing.T) {
	needUnapproved(t)
	for _, c := range []blindindex.Options{
		{Cost: blindindex.Cost{T: 3, M: 3}}, {Cost: blindindex.Cost{T: 10, M: 22}}, {Slow: true, Cost: blindindex.Cost{M: 16}},
		{Algorithm: blindindex.Argon2i, Cost: blindindex.Cost{T: 10, M: 22}},
		{Algorithm: blindindex.Scrypt, Cost: blindindex.Cost{N: 2, R: 1}},
		{Algorithm: blindindex.Scrypt, Cost: blindindex.Cost{N: 1 << 15, R: 1}},
		{Algorithm: blindindex.Scrypt, Cost: blindindex.Cost{N: 1 << 21, R: 8}},
		{Algorithm: blindindex.PBKDF2SHA256, Cost: blindindex.Cost{Iterations: 1}},
	} {
		if _, err := blindindex.New(testKey, &c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAKeyHas32Bytes(t *testing.T) {
	for _, key := range [][]byte{nil, {}, testKey[:31], append(bytes.Clone(testKey), 1), []byte(hex.EncodeToString(testKey))} {
		x, err := blindindex.New(key, &blindindex.Options{Algorithm: blindindex.HMACSHA256})
		wantRefused(t, x, err, fmt.Sprintf("an index key of %d bytes: want 32", len(key)))
		if _, err := blindindex.KeyOf(key, "users", "email_bidx"); err == nil {
			t.Errorf("a master key of %d bytes: no error", len(key))
		}
	}
	x, err := blindindex.New(nil, &blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, InsecureKey: true})
	wantRefused(t, x, err, "0 bytes")
}

func TestADerivedKeyNeedsATableAndAColumnAndTellsThemApart(t *testing.T) {
	for _, c := range [][2]string{{"", "email_bidx"}, {"users", ""}} {
		if key, err := blindindex.KeyOf(testKey, c[0], c[1]); err == nil || key != nil {
			t.Errorf("table %q, column %q: no error", c[0], c[1])
		}
	}
	if bytes.Equal(must(blindindex.KeyOf(testKey, "ab", "c")), must(blindindex.KeyOf(testKey, "a", "bc"))) {
		t.Error("the names run together")
	}
}

func TestAnIndexerKeepsWhatItWasMadeOf(t *testing.T) {
	key, opts := bytes.Clone(testKey), blindindex.Options{Algorithm: blindindex.HMACSHA256}
	x := must(blindindex.New(key, &opts))
	before := must(x.Compute("v"))
	clear(key)
	opts.Raw, opts.Size = true, 1
	if must(x.Compute("v")) != before {
		t.Error("the caller's key or options are used after New")
	}
}

func TestTheZeroIndexerIsAnError(t *testing.T) {
	var x blindindex.Indexer
	for _, f := range []func() error{
		func() error { _, err := x.Compute("v"); return err },
		func() error { _, err := x.Index("v"); return err },
		func() error { _, err := x.ComputeAll(t.Context(), []string{"v"}); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "make one with New") {
			t.Errorf("got %v", err)
		}
	}
}

func TestTheIndexColumnIsTextOrBytesAsTheIndexIs(t *testing.T) {
	for _, raw := range []bool{false, true} {
		x := newIndexer(t, &blindindex.Options{Algorithm: blindindex.HMACSHA256, Raw: raw, Normalize: "presence"})
		index := must(x.Index("v"))
		value := must(index.Value())
		if _, isBytes := value.([]byte); isBytes != raw || index.Text() != must(x.Compute("v")) {
			t.Errorf("raw %v: %T", raw, value)
		}
		if null := must(x.Index("")); !null.IsNull() || !null.IsLoaded() || must(null.Value()) != nil {
			t.Errorf("raw %v: what has no index is not NULL", raw)
		}
	}
}

func TestNothingPrintsTheKey(t *testing.T) {
	x := newHMAC(t, "lower")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "x", x, "y", *x)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "x", x, "y", *x)
	printed := log.String() + string(must(json.Marshal(struct{ X *blindindex.Indexer }{x}))) + fmt.Sprint(x.String(), x.GoString())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		hidden := struct{ x blindindex.Indexer }{*x} // fmt does not ask what is in an unexported field
		printed += fmt.Sprintf(verb+verb+verb, x, *x, hidden)
	}
	for _, form := range []string{
		string(testKey), hex.EncodeToString(testKey[:4]), strings.ToUpper(hex.EncodeToString(testKey[:4])),
		base64.StdEncoding.EncodeToString(testKey[:6]), "167 167", "0xa7, 0xa7",
	} {
		if strings.Contains(printed, form) {
			t.Errorf("%q shows in %s", form, printed)
		}
	}
	if strings.Count(log.String(), "blindindex.Indexer") != 4 || fmt.Sprintf("%v %#v", x, x) != "blindindex.Indexer blindindex.Indexer" {
		t.Errorf("it does not say what it is: %s", printed)
	}
}

func TestNoErrorShowsTheKeyOrTheValue(t *testing.T) {
	const value = "\xffada@secret.example"
	_, err := newHMAC(t, "lower").Compute(value)
	_, errAll := newHMAC(t, "lower").ComputeAll(t.Context(), []string{"a", value})
	_, errKey := blindindex.New([]byte("ada@secret.example"), &blindindex.Options{Algorithm: blindindex.HMACSHA256})
	_, errMaster := blindindex.KeyOf([]byte("ada@secret.example"), "users", "email_bidx")
	for _, err := range []error{err, errAll, errKey, errMaster} {
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "secret") {
			t.Errorf("got %#v", err)
		}
	}
}
