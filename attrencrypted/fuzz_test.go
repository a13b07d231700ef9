package attrencrypted_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/rowseal/rowseal/attrencrypted"
)

// seedMessage is what every seed of FuzzDecrypt seals under testKey.
const seedMessage = "message"

// readable are the options of the boxes that FuzzDecrypt asks, as many as the uint8 of a seed counts. They read all forms.
func readable() (all []attrencrypted.Options) {
	for _, mode := range []attrencrypted.Mode{attrencrypted.PerAttributeIV, salted, single} {
		for _, algorithm := range []string{"aes-128-gcm", "aes-256-gcm", "aes-256-cbc"} {
			all = append(all, attrencrypted.Options{
				Mode: mode, Algorithm: algorithm, AllowCBC: true, AllowIgnoredIV: !inFIPSMode(),
				Encode: []attrencrypted.Encoding{"", attrencrypted.Raw}[len(all)%2],
			})
		}
	}
	return all
}

// Nobody forges a tag, so whatever opens in GCM is a seed's message.
func FuzzDecrypt(f *testing.F) {
	needSeeds(f)
	options := readable()
	boxes := make([]*attrencrypted.Box, len(options))
	for i := range options {
		box, err := attrencrypted.New(testKey, &options[i])
		if err != nil && !inFIPSMode() {
			f.Fatal(err)
		}
		boxes[i] = box
	}
	f.Fuzz(func(t *testing.T, ciphertext, iv, salt string, hasIV, hasSalt bool, choice uint8) {
		box, opts := boxes[int(choice)%len(boxes)], options[int(choice)%len(boxes)]
		if box == nil {
			t.Skip("FIPS 140-3 mode refuses these options, as it must")
		}
		v := attrencrypted.Value{Ciphertext: ciphertext, IV: iv, HasIV: hasIV, Salt: salt, HasSalt: hasSalt}
		got, form, err := box.Decrypt(v)
		if detected, _ := box.Detect(v); detected != form {
			t.Errorf("%+v is %v, and detected as %v", v, form, detected)
		}
		switch {
		case errors.Is(err, attrencrypted.ErrRubyMarshal) && form&attrencrypted.CBC != 0: // garbage that looks so
		case err != nil:
			if err != attrencrypted.ErrDecryptionFailed || got != nil || form != 0 {
				t.Errorf("%+v: %q, %v, %v", v, got, form, err)
			}
		case form == attrencrypted.Empty:
			if ciphertext != "" || len(got) > 0 {
				t.Errorf("%+v opens to %q as %v", v, got, form)
			}
		case form&attrencrypted.GCM != 0 && string(got) != seedMessage:
			t.Errorf("%+v was never sealed and opens to %q as %v", v, got, form)
		case !slices.Contains(attrencrypted.Detect(seenIn(opts.Mode, v), &opts), form):
			t.Errorf("%+v is %v, which Detect without a key does not think of", v, form)
		}
	})
}

// seenIn is v without the columns that the mode does not have.
func seenIn(mode attrencrypted.Mode, v attrencrypted.Value) attrencrypted.Value {
	v.HasIV = v.HasIV && mode != single
	v.HasSalt = v.HasSalt && mode == salted
	return v
}

func FuzzDetect(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, ciphertext, iv, salt string, hasIV, hasSalt, raw bool) {
		var opts attrencrypted.Options
		if raw {
			opts = attrencrypted.Options{Encode: attrencrypted.Raw, EncodeIV: attrencrypted.Raw, EncodeSalt: attrencrypted.Raw}
		}
		v := attrencrypted.Value{Ciphertext: ciphertext, IV: iv, HasIV: hasIV, Salt: salt, HasSalt: hasSalt}
		for _, form := range attrencrypted.Detect(v, &opts) {
			isEmpty, isGCM, isCBC := form == attrencrypted.Empty, form&attrencrypted.GCM != 0, form&attrencrypted.CBC != 0
			if isEmpty != (ciphertext == "") || isEmpty == (isGCM != isCBC) {
				t.Errorf("%+v is %v", v, form)
			}
			if form&attrencrypted.Salted != 0 && !hasSalt || form&attrencrypted.Single == 0 && !hasIV && !isEmpty {
				t.Errorf("%+v is %v", v, form)
			}
			if raw && isCBC && len(ciphertext)%16 != 0 || raw && isGCM && len(ciphertext) < 16 {
				t.Errorf("%+v is %v", v, form)
			}
		}
	})
}

var harmless = regexp.MustCompile(`^[ -~…]*$`)

// What is refused after opening is refused before sealing; the error is one line, and short.
func FuzzMarshal(f *testing.F) {
	needSeeds(f)
	newBox := func(m attrencrypted.Marshal) *attrencrypted.Box {
		return newBox(f, testKey, attrencrypted.Options{Marshal: m, AllowEmpty: true})
	}
	sealer := newBox(attrencrypted.MarshalBytes)
	boxes := []*attrencrypted.Box{newBox(attrencrypted.MarshalNone), newBox(attrencrypted.MarshalJSON)}
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		v := must(sealer.Encrypt(plaintext))
		for i, box := range boxes {
			got, form, err := box.Decrypt(v)
			if form != attrencrypted.GCM {
				t.Errorf("%q opens as %v", plaintext, form)
			}
			_, encryptErr := box.Encrypt(plaintext)
			if err == nil {
				if encryptErr != nil || !bytes.Equal(got, plaintext) || i == 1 && !json.Valid(plaintext) {
					t.Errorf("%q opens to %q, and is sealed with %v", plaintext, got, encryptErr)
				}
				continue
			}
			if encryptErr == nil || encryptErr.Error() != err.Error() || got != nil {
				t.Errorf("%q opens to %q, %v, and is sealed with %v", plaintext, got, err, encryptErr)
			}
			if !harmless.MatchString(err.Error()) || len(err.Error()) > 400 {
				t.Errorf("%q: %q", plaintext, err)
			}
			if errors.Is(err, attrencrypted.ErrRubyMarshal) != bytes.HasPrefix(plaintext, []byte("\x04\b")) && i == 0 {
				t.Errorf("%q: %v", plaintext, err)
			}
		}
	})
}

func FuzzEncrypt(f *testing.F) {
	needSeeds(f)
	options := writable()
	boxes := make([]*attrencrypted.Box, len(options))
	for i := range options {
		options[i].opts.Marshal = attrencrypted.MarshalBytes
		box, err := attrencrypted.New(testKey, &options[i].opts)
		if err != nil && !inFIPSMode() {
			f.Fatal(err)
		}
		boxes[i] = box
	}
	f.Fuzz(func(t *testing.T, plaintext []byte, choice uint8) {
		box, opts := boxes[int(choice)%len(boxes)], options[int(choice)%len(boxes)].opts
		if box == nil {
			t.Skip("FIPS 140-3 mode refuses these options, as it must")
		}
		v := must(box.Encrypt(plaintext))
		got, form, err := box.Decrypt(v)
		if err != nil || !bytes.Equal(got, plaintext) || form != formOf(opts) {
			t.Errorf("%x comes back as %x, %v, %v", plaintext, got, form, err)
		}
		if !slices.Contains(attrencrypted.Detect(v, &opts), form) {
			t.Errorf("%+v is %v, which Detect does not think of", v, form)
		}
	})
}

// needSeeds fails where the committed corpus is missing: without seeds, go test would pass and try nothing.
func needSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
}
