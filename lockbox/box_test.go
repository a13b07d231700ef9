package lockbox_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/internal/errs"
	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/lockbox"
)

var testKey = []byte("a key of exactly 32 bytes, yes!!")

func TestABoxOpensWhatTheGemSealed(t *testing.T) {
	opened, refused := map[lockbox.Algorithm]int{}, map[lockbox.Algorithm]int{}
	for i, row := range gemBoxes.Box {
		format := lockbox.Format{Padding: row.Padding, Raw: !row.Encode}
		box, err := lockbox.New(row.Key, &lockbox.Options{Algorithm: row.Algorithm, Format: format})
		if refusedByFIPS(t, row.Algorithm, err) {
			refused[row.Algorithm]++
			continue
		}
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		ciphertext := row.sealed()
		got, err := box.Decrypt(ciphertext, row.AD)
		if err != nil || !bytes.Equal(got, row.Plaintext) {
			t.Errorf("row %d (%s, %+v) opens to %q, %v; want %q", i, row.Algorithm, format, got, err, row.Plaintext)
		}
		if ours := must(box.Encrypt(row.Plaintext, row.AD)); len(ours) != len(ciphertext) {
			t.Errorf("row %d (%s, %+v): we write %d bytes, the gem wrote %d", i, row.Algorithm, format, len(ours), len(ciphertext))
		}
		opened[row.Algorithm]++
	}
	want := map[lockbox.Algorithm]int{"aes-gcm": 59, "xchacha20": 59, "xsalsa20": 19}
	if fips140.Enforced() {
		opened["xchacha20"], opened["xsalsa20"] = refused["xchacha20"], refused["xsalsa20"]
	}
	if !reflect.DeepEqual(opened, want) {
		t.Errorf("opened %v and refused %v; want %v", opened, refused, want)
	}
}

func TestABoxOpensWhatAPreviousVersionOfTheGemsBoxSealed(t *testing.T) {
	for i, row := range gemBoxes.Rotation {
		opts := &lockbox.Options{}
		for _, p := range row.Previous {
			opts.Previous = append(opts.Previous, lockbox.Previous{Key: p.Key, Algorithm: p.Algorithm})
		}
		box, err := lockbox.New(row.Key, opts)
		if refusedByFIPS(t, row.Previous[0].Algorithm, err) {
			continue
		}
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		got, err := box.Decrypt([]byte(row.Ciphertext), nil)
		if err != nil || !bytes.Equal(got, row.Plaintext) {
			t.Errorf("row %d opens to %q, %v; want %q", i, got, err, row.Plaintext)
		}
		_, err = newBox(t, row.Key, nil).Decrypt([]byte(row.Ciphertext), nil)
		wantFailed(t, fmt.Sprintf("row %d without its previous version", i), nil, err)
	}
	if len(gemBoxes.Rotation) != 4 {
		t.Errorf("%d rows, want 4", len(gemBoxes.Rotation))
	}
}

func TestWhatABoxSealsItOpens(t *testing.T) {
	for algorithm, boxWith := range everyAlgorithm {
		ad, overhead := associatedData, 28
		if algorithm != lockbox.AESGCM {
			overhead = 40
		}
		if !takesAssociatedData(algorithm) {
			ad = nil
		}
		for _, raw := range []bool{false, true} {
			for _, padding := range []int{0, 1, 2, 15, 16, 17, 64, 256, 1000} {
				box, err := boxWith(&lockbox.Options{Format: lockbox.Format{Padding: padding, Raw: raw}})
				if refusedByFIPS(t, algorithm, err) {
					continue
				}
				for size := range 301 {
					plaintext := bytes.Repeat([]byte{0x80, 0, byte(size)}, size)[:size]
					ciphertext := must(box.Encrypt(plaintext, ad))
					got, err := box.Decrypt(ciphertext, ad)
					if err != nil || !bytes.Equal(got, plaintext) || got == nil {
						t.Fatalf("%s: %d bytes (padding %d, raw %v) come back as %x, %v", algorithm, size, padding, raw, got, err)
					}
					if want := ciphertextLen(size, padding, overhead, raw); len(ciphertext) != want {
						t.Fatalf("%s: %d bytes (padding %d, raw %v) take %d bytes, want %d",
							algorithm, size, padding, raw, len(ciphertext), want)
					}
				}
			}
		}
	}
}

// everyAlgorithm makes a box of each algorithm under a fixed key.
var everyAlgorithm = map[lockbox.Algorithm]func(*lockbox.Options) (*lockbox.Box, error){
	lockbox.AESGCM:    boxOf(lockbox.AESGCM),
	lockbox.XChaCha20: boxOf(lockbox.XChaCha20),
	lockbox.XSalsa20:  boxOf(lockbox.XSalsa20),
	lockbox.Hybrid: func(opts *lockbox.Options) (*lockbox.Box, error) {
		return lockbox.NewHybrid(naclHybridKeys, opts)
	},
}

func boxOf(algorithm lockbox.Algorithm) func(*lockbox.Options) (*lockbox.Box, error) {
	return func(opts *lockbox.Options) (*lockbox.Box, error) {
		own := *opts
		own.Algorithm = algorithm
		return lockbox.New(testKey, &own)
	}
}

func takesAssociatedData(algorithm lockbox.Algorithm) bool {
	return algorithm != lockbox.XSalsa20 && algorithm != lockbox.Hybrid
}

// ciphertextLen is the size that the package's documentation promises.
func ciphertextLen(n, padding, overhead int, raw bool) int {
	if padding > 0 {
		n = (n/padding + 1) * padding
	}
	if n += overhead; raw {
		return n
	}
	return (n + 2) / 3 * 4
}

func TestEncryptWritesStrictBase64(t *testing.T) {
	box := newBox(t, testKey, nil)
	for _, size := range []int{0, 1, 2, 3, 64, 355, 356, 357, 5000} { // around and beyond one chunk of the encoder
		text := must(box.Encrypt(make([]byte, size), nil))
		if _, err := base64.StdEncoding.Strict().DecodeString(string(text)); err != nil || bytes.ContainsAny(text, "\r\n") {
			t.Errorf("%d bytes are sealed as %q: %v", size, text, err)
		}
	}
}

func TestDecryptReadsBase64AsRubyDoes(t *testing.T) {
	box := newBox(t, testKey, nil)
	sealed := must(box.WithFormat(lockbox.Format{Raw: true}).Encrypt([]byte("hello!"), nil))
	text := base64.StdEncoding.EncodeToString(sealed)
	for _, form := range []string{
		mime64.Encode(sealed),
		strings.TrimRight(text, "="),
		" \x00" + text + "\r\nnot read after the padding",
		strings.ReplaceAll(text, text[:4], "-"+text[:4]+"_"),
	} {
		if got, err := box.Decrypt([]byte(form), nil); err != nil || string(got) != "hello!" {
			t.Errorf("%q opens to %q, %v; want hello!", form, got, err)
		}
	}
}

func TestEverySealIsUnlikeTheLast(t *testing.T) {
	for algorithm, boxWith := range everyAlgorithm {
		box, err := boxWith(&lockbox.Options{Format: lockbox.Format{Raw: true}})
		if refusedByFIPS(t, algorithm, err) {
			continue
		}
		size := 24
		if algorithm == lockbox.AESGCM {
			size = 12
		}
		first, second := map[string]bool{}, map[string]bool{}
		for range 1000 {
			sealed := must(box.Encrypt(nil, nil))
			first[string(sealed[:size/2])], second[string(sealed[size/2:size])] = true, true
		}
		if len(first) != 1000 || len(second) != 1000 {
			t.Errorf("%s: the halves of 1,000 messages' nonces have %d and %d values", algorithm, len(first), len(second))
		}
	}
}

func TestWhatWasChangedOpensNothing(t *testing.T) {
	for algorithm, boxWith := range everyAlgorithm {
		for _, padding := range []int{0, 16} {
			box, err := boxWith(&lockbox.Options{Format: lockbox.Format{Padding: padding, Raw: true}})
			if refusedByFIPS(t, algorithm, err) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", algorithm, padding), func(t *testing.T) {
				everyChangeOpensNothing(t, box, algorithm, padding)
			})
		}
	}
}

func everyChangeOpensNothing(t *testing.T, box *lockbox.Box, algorithm lockbox.Algorithm, padding int) {
	text := box.WithFormat(lockbox.Format{Padding: padding})
	var ad []byte
	if takesAssociatedData(algorithm) {
		ad = associatedData
	}
	sealed := must(box.Encrypt([]byte("a secret"), ad))

	for bit := range 8 * len(sealed) {
		changed := slices.Clone(sealed)
		changed[bit/8] ^= 1 << (bit % 8)
		got, err := box.Decrypt(changed, ad)
		wantFailed(t, fmt.Sprintf("bit %d flipped", bit), got, err)
		got, err = text.Decrypt([]byte(base64.StdEncoding.EncodeToString(changed)), ad)
		wantFailed(t, fmt.Sprintf("bit %d flipped, as text", bit), got, err)
		got, err = box.DecryptFile(bytes.NewReader(changed), 0, ad)
		wantFailed(t, fmt.Sprintf("bit %d flipped, as a file", bit), got, err)
	}
	for n := range sealed {
		got, err := box.Decrypt(sealed[:n], ad)
		wantFailed(t, fmt.Sprintf("truncated to %d bytes", n), got, err)
		got, err = box.Decrypt(sealed[len(sealed)-n:], ad)
		wantFailed(t, fmt.Sprintf("the last %d bytes", n), got, err)
		got, err = box.DecryptFile(bytes.NewReader(sealed[:n]), 0, ad)
		wantFailed(t, fmt.Sprintf("truncated to %d bytes, as a file", n), got, err)
	}
	got, err := box.Decrypt(append(slices.Clone(sealed), 0), ad)
	wantFailed(t, "a byte appended", got, err)
}

// Of a text, what counts is what it decodes to: the spelling is not authenticated.
func TestAChangedLetterOpensNothing(t *testing.T) {
	box := newBox(t, testKey, nil)
	text := must(box.Encrypt([]byte("a secret"), associatedData))
	sealed := mime64.Decode(string(text))
	for bit := range 8 * len(text) {
		changed := slices.Clone(text)
		changed[bit/8] ^= 1 << (bit % 8)
		if bytes.Equal(mime64.Decode(string(changed)), sealed) {
			continue
		}
		got, err := box.Decrypt(changed, associatedData)
		wantFailed(t, fmt.Sprintf("bit %d of the text flipped", bit), got, err)
	}
}

func TestAnotherKeyOrAnotherPlaceOpensNothing(t *testing.T) {
	for _, algorithm := range []lockbox.Algorithm{lockbox.AESGCM, lockbox.XChaCha20, lockbox.XSalsa20} {
		opts := &lockbox.Options{Algorithm: algorithm}
		box, err := lockbox.New(testKey, opts)
		if refusedByFIPS(t, algorithm, err) {
			continue
		}
		var ad []byte
		if takesAssociatedData(algorithm) {
			ad = associatedData
		}
		sealed := must(box.Encrypt([]byte("a secret"), ad))
		for bit := range 8 * lockbox.KeySize {
			key := slices.Clone(testKey)
			key[bit/8] ^= 1 << (bit % 8)
			got, err := newBox(t, key, opts).Decrypt(sealed, ad)
			wantFailed(t, fmt.Sprintf("%s: bit %d of the key flipped", algorithm, bit), got, err)
		}
		for _, other := range []string{"", "users.email", "users.email_ciphertext\x00", "Users.email_ciphertext"} {
			if !takesAssociatedData(algorithm) {
				break
			}
			got, err := box.Decrypt(sealed, []byte(other))
			wantFailed(t, fmt.Sprintf("%s: associated data %q", algorithm, other), got, err)
		}
	}
}

// A key that is right and a padding that is wrong must be told apart by nobody.
func TestAnotherPaddingOpensNothing(t *testing.T) {
	unpadded := newBox(t, testKey, nil)
	padded := unpadded.WithFormat(lockbox.Format{Padding: 16})
	got, err := padded.Decrypt(must(unpadded.Encrypt([]byte("no padding here"), nil)), nil)
	wantFailed(t, "an unpadded message", got, err)
	wide := unpadded.WithFormat(lockbox.Format{Padding: 64})
	got, err = padded.Decrypt(must(wide.Encrypt([]byte("padded to 64"), nil)), nil)
	wantFailed(t, "a message of larger blocks", got, err)
}

func TestPreviousVersionsHaveTheirOwnKeyAndPadding(t *testing.T) {
	const message = "short" // so that blocks of 64 end in more than 16 zeros, and do not unpad by 16
	otherKey := bytes.Repeat([]byte("o"), lockbox.KeySize)
	for _, raw := range []bool{false, true} {
		seal := func(key []byte, padding int) []byte {
			box := newBox(t, key, &lockbox.Options{Format: lockbox.Format{Padding: padding, Raw: raw}})
			return must(box.Encrypt([]byte(message), associatedData))
		}
		current := lockbox.Format{Padding: 16, Raw: raw}
		box := newBox(t, testKey, &lockbox.Options{Format: current, Previous: []lockbox.Previous{
			{Key: otherKey, Padding: 16},
			{Padding: 64}, // under the box's key, not that of the version before
			{Key: otherKey, Padding: 64},
		}})
		for name, ciphertext := range map[string][]byte{
			"the current version":           seal(testKey, 16),
			"another key":                   seal(otherKey, 16),
			"the same key, another padding": seal(testKey, 64),
			"both":                          seal(otherKey, 64),
		} {
			before := slices.Clone(ciphertext)
			got, err := box.Decrypt(ciphertext, associatedData)
			if err != nil || string(got) != message {
				t.Errorf("raw %v: %s opens to %q, %v", raw, name, got, err)
			}
			if !bytes.Equal(ciphertext, before) {
				t.Errorf("raw %v: %s: Decrypt changed its argument", raw, name)
			}
		}
		got, err := box.Decrypt(seal(bytes.Repeat([]byte("?"), lockbox.KeySize), 16), associatedData)
		wantFailed(t, "a key of no version", got, err)
		got, err = newBox(t, testKey, &lockbox.Options{Format: current}).Decrypt(must(box.Encrypt(nil, nil)), nil)
		if err != nil || len(got) != 0 {
			t.Errorf("raw %v: a box with previous versions does not seal under the current one: %v", raw, err)
		}
	}
}

func TestWithFormatChangesTheFormatAndNothingElse(t *testing.T) {
	box := newBox(t, testKey, nil)
	padded := box.WithFormat(lockbox.Format{Padding: 64, Raw: true})
	if n := len(must(padded.Encrypt(nil, nil))); n != 64+28 {
		t.Errorf("raw and padded to 64, nothing takes %d bytes, want 92", n)
	}
	if n := len(must(box.Encrypt(nil, nil))); n != 40 {
		t.Errorf("the box that it came from now writes %d bytes, want 40", n)
	}
	got, err := padded.Decrypt(must(newBox(t, testKey, &lockbox.Options{
		Format: lockbox.Format{Padding: 64, Raw: true},
	}).Encrypt([]byte("same key"), nil)), nil)
	if err != nil || string(got) != "same key" {
		t.Errorf("the same key in the same format opens to %q, %v", got, err)
	}
}

func TestAFieldInItsFormatAllocatesOnce(t *testing.T) {
	box := newBox(t, testKey, nil)
	if n := testing.AllocsPerRun(100, func() {
		sink = must(box.WithFormat(lockbox.Format{Padding: 16}).Encrypt(testKey, associatedData))
	}); n > 1 {
		t.Errorf("sealing a field in its format allocates %v times, want once, for its ciphertext", n)
	}
}

func TestWhatCannotWorkIsRefusedWithAWordOfAdvice(t *testing.T) {
	secretish := []byte("SHORTKEY")
	for _, c := range []struct {
		name string
		key  []byte
		opts *lockbox.Options
		want string
	}{
		{"no key", nil, nil, "a key of 0 bytes: want 32"},
		{"a short key", secretish, nil, "a key of 8 bytes: want 32"},
		{"a key in hex", bytes.Repeat([]byte("ab"), 32), nil, "ParseKey"},
		{"an algorithm of another name", testKey, &lockbox.Options{Algorithm: "AES"}, `"AES" is not known: use "aes-gcm"`},
		{"a negative padding", testKey, &lockbox.Options{Format: lockbox.Format{Padding: -1}}, "want 1 to 65536"},
		{"a vast padding", testKey, &lockbox.Options{Format: lockbox.Format{Padding: 65537}}, "want 1 to 65536"},
		{
			"a short previous key", testKey,
			&lockbox.Options{Previous: []lockbox.Previous{{}, {Key: secretish}}}, "8 bytes: want 32", // and which one
		},
		{"a bad previous padding", testKey, &lockbox.Options{Previous: []lockbox.Previous{{Padding: -4}}}, "previous version 0"},
		{"an unknown previous algorithm", testKey, &lockbox.Options{Previous: []lockbox.Previous{{Algorithm: "rot13"}}}, "rot13"},
	} {
		box, err := lockbox.New(c.key, c.opts)
		if err == nil || box != nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		if !strings.HasPrefix(err.Error(), "lockbox: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, want it to say %q", c.name, err, c.want)
		}
		if strings.Contains(err.Error(), string(secretish)) || strings.Contains(err.Error(), "abab") {
			t.Errorf("%s: the error shows the key: %q", c.name, err)
		}
	}
}

func TestAFormatThatCannotBeIsAnErrorAndNoPanic(t *testing.T) {
	sealed := must(newBox(t, testKey, nil).Encrypt(nil, nil))
	for name, box := range map[string]*lockbox.Box{
		"zero box": {},
		"negative": newBox(t, testKey, nil).WithFormat(lockbox.Format{Padding: -16}),
		"vast":     newBox(t, testKey, nil).WithFormat(lockbox.Format{Padding: lockbox.MaxPadding + 1}),
	} {
		if got, err := box.Encrypt([]byte("x"), nil); err == nil {
			t.Errorf("%s: Encrypt gives %q", name, got)
		}
		if got, err := box.Decrypt(sealed, nil); err == nil || errors.Is(err, lockbox.ErrDecryptionFailed) {
			t.Errorf("%s: Decrypt gives %q, %v; want an error that says what is wrong", name, got, err)
		}
	}
}

func TestGarbageOf100MBFailsInBoundedMemory(t *testing.T) {
	const size = 100_000_000
	box := newBox(t, testKey, nil)
	raw := box.WithFormat(lockbox.Format{Raw: true, Padding: 16})
	for _, c := range []struct {
		name    string
		box     *lockbox.Box
		garbage []byte
	}{
		{"base64", box, bytes.Repeat([]byte("A"), size)},
		{"not base64", box, bytes.Repeat([]byte("\xff"), size)},
		{"raw", raw, make([]byte, size)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := c.box.Decrypt(c.garbage, nil)
		runtime.ReadMemStats(&after)
		wantFailed(t, c.name, got, err)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > size+1<<20 {
			t.Errorf("%s: %d bytes of garbage took %d bytes of memory", c.name, size, taken)
		}
	}
}

func TestABoxServesManyAtOnce(t *testing.T) {
	box := newBox(t, testKey, &lockbox.Options{Previous: []lockbox.Previous{{Key: bytes.Repeat([]byte("o"), lockbox.KeySize)}}})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			mine := box.WithFormat(lockbox.Format{Padding: worker})
			for i := range 50 {
				message := fmt.Appendf(nil, "%d of %d", i, worker)
				got, err := mine.Decrypt(must(mine.Encrypt(message, associatedData)), associatedData)
				if err != nil || !bytes.Equal(got, message) {
					t.Errorf("%q comes back as %q, %v", message, got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestTheErrorIsTheOneOfEveryPackage(t *testing.T) {
	_, err := newBox(t, testKey, nil).Decrypt([]byte("nonsense"), nil)
	if err != errs.ErrDecryptionFailed || err != lockbox.ErrDecryptionFailed {
		t.Errorf("Decrypt fails with %v, want the shared value itself", err)
	}
}

func TestNothingPrintedShowsAKey(t *testing.T) {
	opts := &lockbox.Options{Previous: []lockbox.Previous{{Key: []byte("an older key of exactly 32 bytes")}}}
	box := newBox(t, testKey, opts)
	opts.Previous = append(opts.Previous, lockbox.Previous{Hybrid: &naclHybridKeys})
	holder := struct {
		Keys lockbox.HybridKeys
		Box  *lockbox.Box
		Copy lockbox.Box
		Opts lockbox.Options
		box  *lockbox.Box
		copy lockbox.Box
	}{naclHybridKeys, box, *box, *opts, box, *box}

	var printed bytes.Buffer
	for _, v := range []any{box, *box, opts, *opts, opts.Previous, naclHybridKeys, &naclHybridKeys, holder, &holder, []any{box, *opts}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
			slog.New(handler).Info("a box", "value", v)
		}
		if text, err := json.Marshal(v); err == nil {
			printed.Write(text)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for v, want := range map[any]string{
			box: "lockbox.Box", &opts.Previous[0]: "lockbox.Previous", &naclHybridKeys: "lockbox.HybridKeys",
		} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s prints %q, want %q", verb, got, want)
			}
			if got := slog.AnyValue(v).Resolve(); !got.Equal(slog.StringValue(want)) {
				t.Errorf("log/slog prints %v, want %q", got, want)
			}
		}
	}
	for _, key := range [][]byte{testKey, opts.Previous[0].Key, naclHybridKeys.Encryption, naclHybridKeys.Decryption} {
		for _, form := range []string{"%s", "%x", "%X", "%d", "%#v", "% x"} {
			if shown := strings.Trim(fmt.Sprintf(form, key), "[]"); strings.Contains(printed.String(), shown) {
				t.Errorf("a key was printed, as %s", form)
			}
		}
		if shown := base64.StdEncoding.EncodeToString(key); strings.Contains(printed.String(), shown) {
			t.Error("a key was printed, in base64")
		}
	}
}

func TestReflectionReachesNoKey(t *testing.T) {
	type leaky struct{ aead *cipher.AEAD }
	aead := newBare(testKey)
	if got := reach(reflect.ValueOf(leaky{&aead})); !slices.Contains(got, reflect.Uint32) {
		t.Fatalf("the walk does not see the key schedule of a bare cipher: %v", got)
	}
	for algorithm, boxWith := range everyAlgorithm {
		box, err := boxWith(&lockbox.Options{Previous: []lockbox.Previous{{Algorithm: algorithm, Padding: 16}}})
		if refusedByFIPS(t, algorithm, err) {
			continue
		}
		got := reach(reflect.ValueOf(must(box, err)))
		slices.Sort(got)
		want := []reflect.Kind{reflect.Bool, reflect.Int, reflect.Func} // raw, padding, and the closure
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("reflection reaches %v in a box of %s, want %v", got, algorithm, want)
		}
	}
}

// reach returns the kinds of all values that dumpers and test diffs find behind v, through unexported fields too.
func reach(v reflect.Value) (kinds []reflect.Kind) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return reach(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			kinds = append(kinds, reach(v.Field(i))...)
		}
		return kinds
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			kinds = append(kinds, reach(v.Index(i))...)
		}
		return kinds
	}
	return []reflect.Kind{v.Kind()}
}

// In this mode the test binary runs itself once more under it; there this test only says that the mode is really on.
func TestThePackageWorksInFIPSMode(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		if _, err := cipher.NewGCM(must(aes.NewCipher(testKey))); err == nil {
			t.Error("cipher.NewGCM works: the mode is not on")
		}
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^(Test|Fuzz|Example)", "-test.skip=Garbage|Allocates|Memory", "-test.count=1")
	child.Env = append(os.Environ(), "GODEBUG=fips140=only")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("under GODEBUG=fips140=only: %v\n%s", err, out)
	}
}

func wantFailed(t *testing.T, what string, got []byte, err error) {
	t.Helper()
	if err != lockbox.ErrDecryptionFailed || got != nil { // the value itself, nothing around it
		t.Errorf("%s opens to %q, %v; want %v", what, got, err, lockbox.ErrDecryptionFailed)
	}
}

// refusedByFIPS reports whether FIPS 140-3 mode keeps a box of that algorithm from being made, and fails where the error
// does not say so.
func refusedByFIPS(t testing.TB, algorithm lockbox.Algorithm, err error) bool {
	t.Helper()
	if !fips140.Enforced() || algorithm == "" || algorithm == lockbox.AESGCM {
		return false
	}
	named := err != nil && strings.Contains(err.Error(), string(algorithm)) && strings.Contains(err.Error(), "aes-gcm")
	if !errors.Is(err, lockbox.ErrNotFIPS) || !named {
		t.Errorf("algorithm %s in FIPS 140-3 mode: %v; want %v, with its name and what to use", algorithm, err, lockbox.ErrNotFIPS)
	}
	return true
}
