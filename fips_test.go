package rowseal_test

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// Under GODEBUG=fips140=only the core works, and what FIPS 140-3 does not approve is refused when a Model is made, with what
// to use instead: golang.org/x/crypto itself refuses nothing.
func TestAModelThatUsesWhatFIPSDoesNotApproveIsRefused(t *testing.T) {
	type xchacha struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"algorithm=xchacha20"`
	}
	type xsalsa struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"algorithm=xsalsa20"`
	}
	type argon2 struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email"`
	}
	type scrypt struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,algorithm=scrypt"`
	}
	type file struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Scan            rowseal.File `rowseal:"algorithm=xchacha20"`
	}
	type single struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=single_iv_and_salt,algorithm=aes-256-cbc,allow=cbc"`
	}
	type underMaster struct {
		ID    int64
		Email rowseal.Sealed[string] `rowseal:"key=app,algorithm=xchacha20"`
	}
	ring := ringOf(t, &kmstest.Fake{})
	opts := func() *rowseal.Options {
		return &rowseal.Options{
			Binding: rowseal.BindNone, MasterKeys: masterKeys(t, "app", rowseal.DefaultIndexKey), Store: &objects{}, OnInsecure: func(rowseal.InsecureForm) {},
		}
	}
	with := func(change func(*rowseal.Options)) *rowseal.Options {
		o := opts()
		change(o)
		return o
	}
	previous := with(func(o *rowseal.Options) {
		o.Amend = func(s *rowseal.Schema) {
			s.Fields[0].Previous = []rowseal.PreviousVersion{{Algorithm: lockbox.XChaCha20}}
		}
	})
	attachment := with(func(o *rowseal.Options) {
		o.Attachments = []rowseal.Attachment{{Name: "license", Algorithm: lockbox.XSalsa20}}
	})
	ignored := with(func(o *rowseal.Options) {
		o.Amend = func(s *rowseal.Schema) { s.Fields[0].AttrEncrypted.AllowIgnoredIV = true }
	})
	for _, test := range []struct {
		what, instead string
		err           error
	}{
		{"email_ciphertext", "aes-gcm", refused[xchacha](ring)(opts())},
		{"email_ciphertext", "aes-gcm", refused[xsalsa](ring)(opts())},
		{"email_bidx", "pbkdf2_sha256", refused[argon2](ring)(opts())},
		{"email_bidx", "pbkdf2_sha256", refused[scrypt](ring)(opts())},
		{"scan_file", "aes-gcm", refused[file](ring)(opts())},
		{"encrypted_ssn", "per_attribute_iv", refused[single](ring)(opts())},
		{"encrypted_pin", "per_attribute_iv", refused[salted](ring)(opts())},
		{"email_ciphertext", "aes-gcm", refused[underMaster](ring)(opts())},
		{"email_ciphertext", "aes-gcm", refused[one](ring)(previous)},
		{"license", "aes-gcm", refused[one](ring)(attachment)},
		{"encrypted_ssn", "", refused[legacy](ring)(ignored)},
	} {
		if !fips140.Enforced() {
			must(t, test.err)
			continue
		}
		for _, want := range []error{lockbox.ErrNotFIPS, attrencrypted.ErrNotFIPS, blindindex.ErrNotFIPS} {
			wantErr(t, test.what, test.err, want)
		}
		wantMessage(t, test.err, "rowseal: schema of table", test.what, "fips140=only", test.instead)
	}
	for what, err := range map[string]error{ // in either mode
		"AES-GCM": refused[one](ring)(opts()), "files": refused[letter](ring)(opts()), "attr_encrypted": refused[citizen](ring)(opts()),
		"CBC that is read": refused[legacy](ring)(opts()), "a master key": refused[account](ring)(opts()),
		"HMAC": refused[everything](ring)(opts()),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The whole package's tests run in the mode, in a process of their own.
func TestTheCoreWorksInFIPSMode(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "fips140=only") {
		if !fips140.Enforced() {
			t.Error("the mode is set and not enforced")
		}
		return
	}
	if testing.Short() {
		t.Skip("runs all tests of the package once more")
	}
	child := exec.Command(os.Args[0], "-test.short", "-test.timeout=5m")
	child.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Errorf("under GODEBUG=fips140=only: %v\n%s", err, out)
	}
}
