package attrencrypted_test

import (
	"bytes"
	"cmp"
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
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/lockbox"
)

var testKey = sequence(0x40, 40) // more than any algorithm takes

// rawCBC is the option for CBC in binary columns.
var rawCBC = attrencrypted.Options{
	Algorithm: "aes-256-cbc", AllowCBC: true, Encode: attrencrypted.Raw, EncodeIV: attrencrypted.Raw,
}

const (
	salted = attrencrypted.PerAttributeIVAndSalt
	single = attrencrypted.SingleIVAndSalt
)

func TestWhatABoxSealsItOpens(t *testing.T) {
	for _, c := range writable() {
		t.Run(c.name, func(t *testing.T) {
			box := newBox(t, testKey, c.opts)
			for _, n := range []int{0, 1, 15, 16, 17, 1000} {
				message := bytes.Repeat([]byte("m"), n)
				got, form, err := box.Decrypt(must(box.Encrypt(message)))
				if err != nil || got == nil || !bytes.Equal(got, message) || form != formOf(c.opts) {
					t.Errorf("%d bytes come back as %q, %v, %v; want the form %v", n, got, form, err, formOf(c.opts))
				}
			}
		})
	}
}

func TestEverySealHasAnIVAndASaltOfItsOwn(t *testing.T) {
	for _, opts := range []attrencrypted.Options{{}, {Mode: salted}, {Algorithm: "aes-256-cbc", AllowCBC: true}} {
		t.Run(nameOf(opts), func(t *testing.T) {
			box := newBox(t, testKey, opts)
			seen := map[string]bool{}
			for range 20 {
				v := must(box.Encrypt([]byte("the same")))
				for _, column := range []string{v.Ciphertext, v.IV, v.Salt} {
					if column != "" && seen[column] {
						t.Fatalf("%q comes twice", column)
					}
					seen[column] = true
				}
			}
		})
	}
}

func TestAnyWrongBitOpensNothing(t *testing.T) {
	for mode, step := range map[attrencrypted.Mode]int{"": 1, salted: 7} { // each salted try costs a PBKDF2
		t.Run(string(mode), func(t *testing.T) {
			const raw = attrencrypted.Raw
			box := newBox(t, testKey, attrencrypted.Options{Mode: mode, Encode: raw, EncodeIV: raw, EncodeSalt: raw})
			good := must(box.Encrypt([]byte("message")))
			for _, column := range []func(*attrencrypted.Value) *string{
				func(v *attrencrypted.Value) *string { return &v.Ciphertext },
				func(v *attrencrypted.Value) *string { return &v.IV },
				func(v *attrencrypted.Value) *string { return &v.Salt },
			} {
				for bit := 0; bit < 8*len(*column(&good)); bit += step {
					bad := good
					changed := []byte(*column(&bad))
					changed[bit/8] ^= 1 << (bit % 8)
					*column(&bad) = string(changed)
					wantFailed(t, box, bad)
				}
				for n := range len(*column(&good)) {
					bad := good
					*column(&bad) = (*column(&bad))[:n]
					if n > 0 || column(&bad) != &bad.Ciphertext { // "" is an empty value
						wantFailed(t, box, bad)
					}
				}
			}
			noIV := good
			noIV.HasIV = false
			wantFailed(t, box, noIV)
			if mode == salted {
				noSalt := good
				noSalt.HasSalt = false
				wantFailed(t, box, noSalt)
			}
			other := newBox(t, sequence(1, 40), attrencrypted.Options{Mode: mode, Encode: raw, EncodeIV: raw, EncodeSalt: raw})
			wantFailed(t, other, good)
		})
	}
}

func TestCBCIsNotAuthenticatedAndSaysSo(t *testing.T) {
	box := newBox(t, testKey, rawCBC)
	v := must(box.Encrypt([]byte("pay 100")))
	v.IV = flip(v.IV, 4, '1'^'9')
	got, form, err := box.Decrypt(v)
	if err != nil || string(got) != "pay 900" || !form.Insecure() {
		t.Errorf("a changed IV gives %q as %v (insecure: %v), %v", got, form, form.Insecure(), err)
	}
}

// What CBC can notice: lengths, and padding that is none.
func TestBrokenCBCIsTheSameErrorAsAnythingElse(t *testing.T) {
	box := newBox(t, testKey, rawCBC)
	good := must(box.Encrypt([]byte("twelve bytes"))) // and four bytes 4
	for mask := range 256 {
		bad := good
		bad.IV = flip(good.IV, 15, byte(mask))
		if mask == 0 || 4^mask == 1 { // no change, and one byte 1
			continue
		}
		wantFailed(t, box, bad)
	}
	for n := 1; n < 16; n++ {
		bad := good
		bad.Ciphertext = good.Ciphertext[:n]
		wantFailed(t, box, bad)
		bad = good
		bad.IV = good.IV[:n]
		wantFailed(t, box, bad)
	}
	text := newBox(t, testKey, attrencrypted.Options{Algorithm: "aes-256-cbc", AllowCBC: true, EncodeIV: attrencrypted.Raw})
	wantFailed(t, text, attrencrypted.Value{Ciphertext: "!", IV: good.IV, HasIV: true}) // no block at all
	inner := good
	inner.IV = flip(good.IV, 13, 1) // 4 5 4 4
	wantFailed(t, box, inner)
}

func TestABoxForGCMReadsTheCBCOfBeforeOnlyWhereTold(t *testing.T) {
	old := newBox(t, testKey, attrencrypted.Options{Algorithm: "aes-256-cbc", AllowCBC: true})
	strict, moving := newBox(t, testKey, attrencrypted.Options{}), newBox(t, testKey, attrencrypted.Options{AllowCBC: true})
	cbc := must(old.Encrypt([]byte("message")))
	wantFailed(t, strict, cbc)
	wantOpens(t, moving, cbc, "message", attrencrypted.CBC)
	gcm := must(moving.Encrypt([]byte("message")))
	wantOpens(t, moving, gcm, "message", attrencrypted.GCM)
	wantOpens(t, strict, gcm, "message", attrencrypted.GCM)
	wantFailed(t, old, gcm)
	gcm.Ciphertext = must(moving.Encrypt([]byte("message"))).Ciphertext
	wantFailed(t, moving, gcm) // its IV is too short for CBC, so nothing weaker is tried
}

func TestTheIgnoredIVIsReadOnlyWhereToldAndNeverWritten(t *testing.T) {
	needSecondReader(t)
	aead := must(cipher.NewGCM(must(aes.NewCipher(testKey[:32]))))
	sealed := base64.StdEncoding.EncodeToString(aead.Seal(nil, make([]byte, 12), []byte("message"), nil))
	v := attrencrypted.Value{Ciphertext: sealed, IV: "YFQ4l87YMy/qQNc10AvmtQ==", HasIV: true}
	strict := newBox(t, testKey, attrencrypted.Options{})
	moving := newBox(t, testKey, attrencrypted.Options{AllowIgnoredIV: true})
	wantFailed(t, strict, v)
	wantOpens(t, moving, v, "message", attrencrypted.GCM|attrencrypted.IgnoredIV)
	wantOpens(t, strict, must(moving.Encrypt([]byte("message"))), "message", attrencrypted.GCM)

	zero := base64.StdEncoding.EncodeToString(make([]byte, 12))
	v = attrencrypted.Value{Ciphertext: sealed, IV: zero, HasIV: true} // both forms open it
	wantOpens(t, moving, v, "message", attrencrypted.GCM)
}

func TestGCMUnderOneNonceIsNeverWritten(t *testing.T) {
	box := newBox(t, testKey, attrencrypted.Options{Mode: single, AllowIgnoredIV: true})
	v, err := box.Encrypt([]byte("message"))
	if err == nil || v != (attrencrypted.Value{}) || !strings.Contains(err.Error(), "per_attribute_iv") {
		t.Errorf("%+v, %v; want nothing, and an error that names the way out", v, err)
	}
}

func TestAModeDoesNotLookAtColumnsThatItDoesNotHave(t *testing.T) {
	for _, opts := range []attrencrypted.Options{{}, {Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true}} {
		t.Run(nameOf(opts), func(t *testing.T) {
			box := newBox(t, testKey, opts)
			v := must(box.Encrypt([]byte("message")))
			v.Salt, v.HasSalt = "left behind", true
			if opts.Mode == single {
				v.IV, v.HasIV = "left behind", true
			}
			wantOpens(t, box, v, "message", formOf(opts))
		})
	}
}

func TestAValueWithoutASaltHasTheKeyAsItIs(t *testing.T) {
	plain, box := newBox(t, testKey, attrencrypted.Options{}), newBox(t, testKey, attrencrypted.Options{Mode: salted})
	v := must(plain.Encrypt([]byte("message")))
	wantOpens(t, box, v, "message", attrencrypted.GCM)
	v.HasSalt = true // and it is ""
	wantOpens(t, box, v, "message", attrencrypted.GCM)

	short := newBox(t, []byte("short"), attrencrypted.Options{Mode: salted, AllowShortKey: true})
	wantFailed(t, short, v)
	wantOpens(t, short, must(short.Encrypt([]byte("message"))), "message", attrencrypted.GCM|attrencrypted.Salted)
}

func TestAValueWithoutAnIVOpensInItsOwnModeOnly(t *testing.T) {
	old := newBox(t, testKey, attrencrypted.Options{Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true})
	v := must(old.Encrypt([]byte("message")))
	for _, mode := range []attrencrypted.Mode{"", salted} {
		box := newBox(t, testKey, attrencrypted.Options{Mode: mode, AllowCBC: true, AllowIgnoredIV: true})
		wantFailed(t, box, v)
		v.HasIV = true // and it is ""
		wantFailed(t, box, v)
	}
}

func TestSaltsAreMarkedUnlessTheyAreText(t *testing.T) {
	for _, c := range []struct {
		name     string
		encoding attrencrypted.Encoding
		column   string
		bytes    string
	}{
		{"attr_encrypted 1.x writes text", "", "adcd833001a873db", "adcd833001a873db"},
		{"later ones mark their base64", "", "_AAECAwQFBgcICQoLDA0ODw==\n", string(sequence(0, 16))},
		{"m0", attrencrypted.Strict, "_AAECAwQFBgcICQoLDA0ODw==", string(sequence(0, 16))},
		{"a raw one may begin like a mark", attrencrypted.Raw, "_AAECAwQFBgcICQo", "_AAECAwQFBgcICQo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			needSecondReader(t)
			box := newBox(t, testKey, attrencrypted.Options{Mode: salted, EncodeSalt: c.encoding})
			aead := must(cipher.NewGCM(must(aes.NewCipher(pbkdf2SHA1(testKey, []byte(c.bytes))[:32]))))
			sealed := base64.StdEncoding.EncodeToString(aead.Seal(nil, sequence(0, 12), []byte("message"), nil))
			v := attrencrypted.Value{Ciphertext: sealed, IV: "AAECAwQFBgcICQoL", HasIV: true, Salt: c.column, HasSalt: true}
			wantOpens(t, box, v, "message", attrencrypted.GCM|attrencrypted.Salted)
		})
	}
}

func TestBase64IsReadAsRubyReadsIt(t *testing.T) {
	for _, encoding := range []attrencrypted.Encoding{attrencrypted.MIME, attrencrypted.Strict} {
		box := newBox(t, testKey, attrencrypted.Options{Encode: encoding, EncodeIV: encoding})
		message := strings.Repeat("m", 60)
		v := must(box.Encrypt([]byte(message)))
		joined := strings.ReplaceAll(v.Ciphertext, "\n", "")
		for _, text := range []string{
			joined, strings.TrimRight(joined, "="), joined[:7] + "\r\n" + joined[7:] + "\n", "  " + joined, joined + "\x00!",
		} {
			v.Ciphertext = text
			wantOpens(t, box, v, message, attrencrypted.GCM)
		}
	}
}

func TestAnEmptyPlaintextIsSealedOnlyWhereTold(t *testing.T) {
	for _, empty := range [][]byte{nil, {}} {
		if v := must(newBox(t, testKey, attrencrypted.Options{}).Encrypt(empty)); v != (attrencrypted.Value{}) {
			t.Errorf("sealed as %+v", v)
		}
		box := newBox(t, testKey, attrencrypted.Options{AllowEmpty: true})
		v := must(box.Encrypt(empty))
		if v.Ciphertext == "" || !v.HasIV {
			t.Errorf("with AllowEmpty it is stored as %+v", v)
		}
		wantOpens(t, box, v, "", attrencrypted.GCM)
	}
	for _, opts := range []attrencrypted.Options{{}, {AllowEmpty: true}, {Marshal: attrencrypted.MarshalJSON}} {
		box := newBox(t, testKey, opts)
		wantOpens(t, box, attrencrypted.Value{}, "", attrencrypted.Empty)
		wantOpens(t, box, attrencrypted.Value{IV: "AAECAwQFBgcICQoL", HasIV: true}, "", attrencrypted.Empty)
	}
	json := newBox(t, testKey, attrencrypted.Options{Marshal: attrencrypted.MarshalJSON})
	wantOpens(t, json, must(json.Encrypt([]byte(`""`))), `""`, attrencrypted.GCM) // marshalled, "" is not empty
}

func TestABoxKeepsAKeyOfItsOwn(t *testing.T) {
	for _, opts := range []attrencrypted.Options{
		{}, {Mode: salted}, {Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true},
	} {
		t.Run(nameOf(opts), func(t *testing.T) {
			key := bytes.Clone(testKey)
			box := newBox(t, key, opts)
			clear(key)
			wantOpens(t, newBox(t, testKey, opts), must(box.Encrypt([]byte("message"))), "message", formOf(opts))
		})
	}
}

func TestABoxServesManyAtOnce(t *testing.T) {
	for _, opts := range []attrencrypted.Options{
		{}, {Mode: salted}, {Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true},
	} {
		t.Run(nameOf(opts), func(t *testing.T) {
			box := newBox(t, testKey, opts)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for j := range 10 {
						message := fmt.Sprint(i, j)
						if got, _, err := box.Decrypt(must(box.Encrypt([]byte(message)))); err != nil || string(got) != message {
							t.Errorf("%s comes back as %q, %v", message, got, err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestWhatCannotWorkIsRefusedWithAWordOfAdvice(t *testing.T) {
	type o = attrencrypted.Options
	for _, c := range []struct {
		name string
		key  int // bytes
		opts o
		want string
	}{
		{"unknown algorithm", 32, o{Algorithm: "des-ede3-cbc"}, "aes-128, aes-192 or aes-256, and -gcm or -cbc"},
		{"algorithm in capitals", 32, o{Algorithm: "AES-256-GCM"}, "aes-256"},
		{"CBC without AllowCBC", 32, o{Algorithm: "aes-256-cbc"}, "AllowCBC"},
		{"one nonce without AllowIgnoredIV", 32, o{Mode: single}, "aes-256-cbc"},
		{"one nonce with AllowCBC only", 32, o{Mode: single, AllowCBC: true}, "AllowIgnoredIV"},
		{"unknown mode", 32, o{Mode: "per_row"}, `"per_attribute_iv_and_salt"`},
		{"unknown encoding", 32, o{Encode: "u"}, `"m0"`},
		{"unknown encoding of the IV", 32, o{EncodeIV: "u"}, `"m0"`},
		{"unknown encoding of the salt", 32, o{EncodeSalt: "u"}, `"m0"`},
		{"unknown marshalling", 32, o{Marshal: "yaml"}, `"json"`},
		{"no key", 0, o{}, "32 or more"},
		{"short key", 31, o{}, "32 or more"},
		{"short key of AES-128", 15, o{Algorithm: "aes-128-gcm"}, "16 or more"},
		{"AllowShortKey is of salts only", 31, o{AllowShortKey: true}, "32 or more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			box, err := attrencrypted.New(testKey[:c.key], &c.opts)
			if box != nil || err == nil || !strings.HasPrefix(err.Error(), "attrencrypted: ") ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want an error that says %q", box, err, c.want)
			}
		})
	}
}

func TestShortKeysOfOldModes(t *testing.T) {
	for _, c := range []struct {
		key   int
		opts  attrencrypted.Options
		works bool
	}{
		{31, attrencrypted.Options{Mode: salted}, false},
		{31, attrencrypted.Options{Mode: salted, AllowShortKey: true}, true},
		{1, attrencrypted.Options{Mode: salted, AllowShortKey: true}, true},
		{0, attrencrypted.Options{Mode: salted, AllowShortKey: true}, false},
		{1, attrencrypted.Options{Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true}, true},
		{0, attrencrypted.Options{Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true}, false},
	} {
		t.Run(fmt.Sprintf("%d bytes, %s", c.key, nameOf(c.opts)), func(t *testing.T) {
			newBox(t, testKey, c.opts) // skips in FIPS mode
			if _, err := attrencrypted.New(testKey[:c.key], &c.opts); (err == nil) != c.works {
				t.Errorf("a key of %d bytes: %v", c.key, err)
			}
		})
	}
}

func TestTheZeroBoxIsAnErrorAndNoPanic(t *testing.T) {
	var box attrencrypted.Box
	if _, err := box.Encrypt([]byte("message")); err == nil || !strings.Contains(err.Error(), "New") {
		t.Errorf("Encrypt: %v", err)
	}
	_, _, err := box.Decrypt(attrencrypted.Value{Ciphertext: "AAAA"})
	if err == nil || errors.Is(err, attrencrypted.ErrDecryptionFailed) {
		t.Errorf("Decrypt: %v", err)
	}
	if _, err := box.Detect(attrencrypted.Value{}); err == nil {
		t.Error("Detect says nothing")
	}
}

func TestTheErrorIsTheOneOfEveryPackage(t *testing.T) {
	if attrencrypted.ErrDecryptionFailed != lockbox.ErrDecryptionFailed {
		t.Error("attrencrypted.ErrDecryptionFailed is a value of its own")
	}
}

func TestNothingPrintedShowsAKey(t *testing.T) {
	key := "my-secret-key-of-more-than-32-bytes"
	for _, opts := range []attrencrypted.Options{{}, {Mode: salted}} {
		t.Run(nameOf(opts), func(t *testing.T) {
			box := newBox(t, []byte(key), opts)
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("", "box", box, "copy", *box)
			slog.New(slog.NewJSONHandler(&log, nil)).Info("", "box", box, "copy", *box)
			log.Write(must(json.Marshal(map[string]any{"box": box})))
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
				fmt.Fprintf(&log, verb+verb+verb, box, *box, struct{ b attrencrypted.Box }{*box})
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				if got := fmt.Sprintf(verb, box) + fmt.Sprintf(verb, *box); got != "attrencrypted.Boxattrencrypted.Box" {
					t.Errorf("%s prints %s", verb, got)
				}
			}
			for _, form := range []string{key, key[:8], fmt.Sprintf("%x", key[:8]), fmt.Sprintf("%d", []byte(key[:4]))[1:10]} {
				if strings.Contains(strings.ToLower(log.String()), form) {
					t.Errorf("%q shows in %s", form, log.String())
				}
			}
			for _, kind := range reach(reflect.ValueOf(box)) {
				if kind == reflect.Uint8 || kind == reflect.Uintptr {
					t.Errorf("reflection reaches %v in a box", kind)
				}
			}
		})
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

func TestFIPSModeRefusesWhatIsNotApprovedAndNamesTheAlternative(t *testing.T) {
	if !inFIPSMode() {
		t.Skip("only under GODEBUG=fips140=only, in which TestThePackageWorksInFIPSMode runs it")
	}
	for _, c := range []struct {
		opts    attrencrypted.Options
		refused string
	}{
		{attrencrypted.Options{}, ""},
		{attrencrypted.Options{Algorithm: "aes-128-gcm"}, ""},
		{attrencrypted.Options{Algorithm: "aes-256-cbc", AllowCBC: true}, ""},
		{attrencrypted.Options{Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true}, "MD5"},
		{attrencrypted.Options{Mode: salted}, "SHA-1"},
		{attrencrypted.Options{AllowIgnoredIV: true}, "AllowIgnoredIV"},
	} {
		box, err := attrencrypted.New(testKey, &c.opts)
		if c.refused == "" {
			wantOpens(t, must(box, err), must(box.Encrypt([]byte("message"))), "message", formOf(c.opts))
			continue
		}
		if !errors.Is(err, attrencrypted.ErrNotFIPS) || !strings.Contains(err.Error(), c.refused) ||
			!strings.Contains(err.Error(), "per_attribute_iv with an aes-…-gcm") {
			t.Errorf("%+v: %v", c.opts, err)
		}
	}
}

// In this mode the test binary runs itself once more under it; there this test only says that the mode is really on.
func TestThePackageWorksInFIPSMode(t *testing.T) {
	if inFIPSMode() {
		if _, err := cipher.NewGCM(must(aes.NewCipher(testKey[:32]))); err == nil {
			t.Error("cipher.NewGCM works: the mode is not on")
		}
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^(Test|Fuzz|Example)", "-test.skip=Allocates", "-test.count=1", "-test.v")
	child.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("under GODEBUG=fips140=only: %v\n%s", err, out)
	}
	for _, name := range []string{
		"TestFIPSModeRefusesWhatIsNotApprovedAndNamesTheAlternative", "TestThePackageWorksInFIPSMode", "Example",
		"TestABoxOpensWhatTheGemsSealed/attr_encrypted_4/0_per_attribute_iv_aes-256-gcm_m",
	} {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("under GODEBUG=fips140=only, %s does not pass", name)
		}
	}
}

func nameOf(o attrencrypted.Options) string {
	return string(cmp.Or(o.Mode, attrencrypted.PerAttributeIV)) + " " + cmp.Or(o.Algorithm, attrencrypted.DefaultAlgorithm)
}

func inFIPSMode() bool { return fips140.Enforced() }

// newBox skips the test in FIPS mode where the options need what is refused there.
func newBox(t testing.TB, key []byte, opts attrencrypted.Options) *attrencrypted.Box {
	t.Helper()
	box, err := attrencrypted.New(key, &opts)
	if inFIPSMode() && errors.Is(err, attrencrypted.ErrNotFIPS) {
		t.Skip("FIPS 140-3 mode refuses these options, as it must")
	}
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func wantOpens(t *testing.T, box *attrencrypted.Box, v attrencrypted.Value, want string, form attrencrypted.Form) {
	t.Helper()
	got, gotForm, err := box.Decrypt(v)
	if err != nil || got == nil || string(got) != want || gotForm != form {
		t.Errorf("%+v opens to %q as %v, %v; want %q as %v", v, got, gotForm, err, want, form)
	}
}

func wantFailed(t *testing.T, box *attrencrypted.Box, v attrencrypted.Value) {
	t.Helper()
	got, form, err := box.Decrypt(v)
	if err != attrencrypted.ErrDecryptionFailed || got != nil || form != 0 { // the value itself, nothing around it
		t.Errorf("%+v opens to %q as %v, %v; want %v", v, got, form, err, attrencrypted.ErrDecryptionFailed)
	}
	if form, err := box.Detect(v); err != attrencrypted.ErrDecryptionFailed || form != 0 {
		t.Errorf("Box.Detect of %+v: %v, %v; want %v", v, form, err, attrencrypted.ErrDecryptionFailed)
	}
}

func flip(s string, at int, mask byte) string {
	b := []byte(s)
	b[at] ^= mask
	return string(b)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("a step that cannot fail failed: %v", err))
	}
	return v
}
