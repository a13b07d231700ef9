package lockbox_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/lockbox"
)

func fromHex(s string) []byte { return must(hex.DecodeString(strings.Join(strings.Fields(s), ""))) }

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
func TestXChaCha20OpensTheDraftsExample(t *testing.T) {
	key := fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
	sealed := fromHex(`404142434445464748494a4b4c4d4e4f5051525354555657
		bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb
		731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452
		2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
		21f9664c97637da9768812f615c68b13b52e
		c0875924c1c7987947deafd8780acf49`)
	box, err := lockbox.New(key, &lockbox.Options{Algorithm: lockbox.XChaCha20, Format: lockbox.Format{Raw: true}})
	if refusedByFIPS(t, lockbox.XChaCha20, err) {
		return
	}
	const want = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
		"sunscreen would be it."
	got, err := must(box, err).Decrypt(sealed, fromHex("50515253c0c1c2c3c4c5c6c7"))
	if err != nil || string(got) != want {
		t.Errorf("opens to %q, %v", got, err)
	}
}

// D. J. Bernstein, "Cryptography in NaCl" (2009), sections 2 to 10 (the keys also in RFC 7748 §6.1): keys, nonce and box, message.
var (
	naclHybridKeys = lockbox.HybridKeys{
		Encryption: fromHex(`de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f
			77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a`),
		Decryption: fromHex(`5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb
			8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a`),
	}
	naclKey    = fromHex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
	naclSealed = fromHex(`69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37
		f3ffc7703f9400e52a7dfb4b3d3305d9
		8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a
		c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738
		b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da
		99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74
		e355a5`)
	naclMessage = fromHex(`be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc
		e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31
		0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde
		048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864
		5e0705`)
)

func TestXSalsa20OpensTheExampleOfNaCl(t *testing.T) {
	box, err := lockbox.New(naclKey, &lockbox.Options{Algorithm: lockbox.XSalsa20, Format: lockbox.Format{Raw: true}})
	if refusedByFIPS(t, lockbox.XSalsa20, err) {
		return
	}
	if got, err := must(box, err).Decrypt(naclSealed, nil); err != nil || !bytes.Equal(got, naclMessage) {
		t.Errorf("opens to %x, %v", got, err)
	}
}

func TestHybridOpensTheExampleOfNaCl(t *testing.T) {
	box, err := lockbox.NewHybrid(naclHybridKeys, &lockbox.Options{Format: lockbox.Format{Raw: true}})
	if refusedByFIPS(t, lockbox.Hybrid, err) {
		return
	}
	if got, err := must(box, err).Decrypt(naclSealed, nil); err != nil || !bytes.Equal(got, naclMessage) {
		t.Errorf("opens to %x, %v", got, err)
	}
}

func TestAnAlgorithmWithoutAssociatedDataRefusesSome(t *testing.T) {
	const want = "takes no associated data"
	for _, algorithm := range []lockbox.Algorithm{lockbox.XSalsa20, lockbox.Hybrid} {
		box, err := everyAlgorithm[algorithm](&lockbox.Options{})
		if refusedByFIPS(t, algorithm, err) {
			continue
		}
		if got, err := box.Encrypt(nil, associatedData); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Encrypt gives %q, %v; want an error about associated data", algorithm, got, err)
		}
		sealed := must(box.Encrypt(nil, []byte{}))
		if got, err := box.Decrypt(sealed, associatedData); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Decrypt gives %q, %v; want an error about associated data", algorithm, got, err)
		}
		_, err = everyAlgorithm[algorithm](&lockbox.Options{AssociatedData: associatedData})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: a box with associated data: %v; want an error about it", algorithm, err)
		}
		current := newBox(t, testKey, &lockbox.Options{Previous: []lockbox.Previous{previousOf(algorithm)}})
		if got, err := current.Decrypt(must(current.Encrypt(nil, nil)), nil); err != nil {
			t.Errorf("%s as a previous version, without associated data: %q, %v", algorithm, got, err)
		}
		if got, err := current.Decrypt(sealed, associatedData); err == nil || !strings.Contains(err.Error(), "[]byte{}") {
			t.Errorf("%s as a previous version: Decrypt gives %q, %v; want an error that tells what to say", algorithm, got, err)
		}
		if _, err := lockbox.New(testKey, &lockbox.Options{
			AssociatedData: associatedData, Previous: []lockbox.Previous{previousOf(algorithm)},
		}); err == nil || !strings.Contains(err.Error(), "previous version 0") {
			t.Errorf("%s as a previous version of a box with associated data: %v", algorithm, err)
		}
		said := previousOf(algorithm)
		said.AssociatedData = []byte{}
		current = newBox(t, testKey, &lockbox.Options{Previous: []lockbox.Previous{said}})
		if got, err := current.Decrypt(sealed, associatedData); err != nil || len(got) != 0 {
			t.Errorf("%s as a previous version that says it has none: %q, %v", algorithm, got, err)
		}
	}
}

// previousOf is the version of everyAlgorithm's box.
func previousOf(algorithm lockbox.Algorithm) lockbox.Previous {
	if algorithm == lockbox.Hybrid {
		return lockbox.Previous{Hybrid: &naclHybridKeys}
	}
	return lockbox.Previous{Key: testKey, Algorithm: algorithm}
}

func TestABoxHasAssociatedDataOfItsOwn(t *testing.T) {
	box := newBox(t, testKey, &lockbox.Options{AssociatedData: associatedData})
	plain := newBox(t, testKey, nil)
	for _, c := range []struct {
		name          string
		given, really []byte
	}{
		{"nil is the box's own", nil, associatedData},
		{"empty is none", []byte{}, nil},
		{"another is that", []byte("another"), []byte("another")},
	} {
		got, err := plain.Decrypt(must(box.Encrypt([]byte("x"), c.given)), c.really)
		if err != nil || string(got) != "x" {
			t.Errorf("encrypting: %s: %q, %v", c.name, got, err)
		}
		got, err = box.Decrypt(must(plain.Encrypt([]byte("x"), c.really)), c.given)
		if err != nil || string(got) != "x" {
			t.Errorf("decrypting: %s: %q, %v", c.name, got, err)
		}
		got, err = box.Decrypt(must(plain.Encrypt([]byte("x"), []byte("wrong"))), c.given)
		wantFailed(t, c.name+", but wrong", got, err)
	}
}

func TestABoxKeepsItsOwnCopyOfAssociatedData(t *testing.T) {
	mine := []byte("users.email")
	box := newBox(t, testKey, &lockbox.Options{AssociatedData: mine})
	copy(mine, "XXXXX")
	got, err := box.Decrypt(must(newBox(t, testKey, nil).Encrypt([]byte("x"), []byte("users.email"))), nil)
	if err != nil || string(got) != "x" {
		t.Errorf("a box changed with its options: %q, %v", got, err)
	}
}

func TestAPreviousVersionHasItsOwnAssociatedData(t *testing.T) {
	box := newBox(t, testKey, &lockbox.Options{
		AssociatedData: []byte("new"),
		Previous: []lockbox.Previous{
			{AssociatedData: []byte("old")},
			{AssociatedData: []byte{}},
			{Padding: 16},
		},
	})
	for _, c := range []struct {
		sealed, given string
		padding       int
		opens         bool
	}{
		{"new", "", 0, true},
		{"old", "", 0, true},
		{"old", "given", 0, true},
		{"", "", 0, true},
		{"", "given", 0, true},
		{"given", "given", 0, true},
		{"new", "given", 0, false}, // the box's own is only what nil stands for
		{"given", "", 0, false},
		{"new", "", 16, true}, // nil inherits the box's own,
		{"given", "given", 16, true},
		{"new", "given", 16, false}, // or what is given
	} {
		writer := newBox(t, testKey, &lockbox.Options{Format: lockbox.Format{Padding: c.padding}})
		var given []byte
		if c.given != "" {
			given = []byte(c.given)
		}
		got, err := box.Decrypt(must(writer.Encrypt([]byte("x"), []byte(c.sealed))), given)
		if !c.opens {
			if err == nil && string(got) == "x" {
				t.Errorf("%+v opens", c)
			}
			continue
		}
		if err != nil || got[0] != 'x' {
			t.Errorf("%+v opens to %q, %v", c, got, err)
		}
	}
}

func TestOneBoxReadsEveryAlgorithmAsAPreviousVersion(t *testing.T) {
	for current, makeCurrent := range everyAlgorithm {
		for old, makeOld := range everyAlgorithm {
			for _, raw := range []bool{false, true} {
				format := lockbox.Format{Raw: raw}
				oldBox, err := makeOld(&lockbox.Options{Format: format})
				if refusedByFIPS(t, old, err) {
					continue
				}
				box, err := makeCurrent(&lockbox.Options{Format: format, Previous: []lockbox.Previous{{Key: naclKey}, previousOf(old)}})
				if refusedByFIPS(t, current, err) {
					continue
				}
				sealed := must(oldBox.Encrypt([]byte("old"), nil))
				before := bytes.Clone(sealed)
				if got, err := must(box, err).Decrypt(sealed, nil); err != nil || string(got) != "old" {
					t.Errorf("%s in a box of %s (raw %v) opens to %q, %v", old, current, raw, got, err)
				}
				if !bytes.Equal(sealed, before) {
					t.Errorf("%s in a box of %s (raw %v): Decrypt changed its argument", old, current, raw)
				}
			}
		}
	}
}
