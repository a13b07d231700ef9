package rowseal_test

import (
	"crypto/fips140"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// needUnapproved skips what uses an algorithm that the mode refuses; fips_test.go holds the refusals.
func needUnapproved(t *testing.T) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("GODEBUG=fips140=only refuses an algorithm that this test seals with")
	}
}

// ciphers has a field of each algorithm under one data key.
type ciphers struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	GCM             rowseal.Sealed[string]
	Named           rowseal.Sealed[string] `rowseal:"algorithm=aes-gcm"`
	XChaCha         rowseal.Sealed[string] `rowseal:"algorithm=xchacha20"`
	Padded          rowseal.Sealed[[]byte] `rowseal:"algorithm=xchacha20,padding=32,raw"`
}

// boxes is of a table without binding, where XSalsa20 may be.
type boxes struct {
	ciphers
	XSalsa rowseal.Sealed[string] `rowseal:"algorithm=xsalsa20"`
}

func newCiphers(id int64) ciphers {
	c := ciphers{ID: id}
	c.GCM.Set("gcm")
	c.Named.Set("named")
	c.XChaCha.Set("xchacha")
	c.Padded.Set([]byte("padded"))
	return c
}

func TestFieldsOfSeveralAlgorithmsShareADataKey(t *testing.T) {
	needUnapproved(t)
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow, rowseal.BindNone} {
		t.Run(binding.String(), func(t *testing.T) {
			fake := &kmstest.Fake{}
			keys := watch(fake)
			rows := newModel[ciphers](t, "rows", ringOf(t, fake), &rowseal.Options{Binding: binding})
			c := newCiphers(7)
			row := sealed(t, rows, &c)
			wantRequests(t, "Seal", fake, 1, 0)

			for _, test := range []struct {
				field, column, plain string
				opts                 lockbox.Options
			}{
				{"GCM", "gcm_ciphertext", "gcm", lockbox.Options{}},
				{"Named", "named_ciphertext", "named", lockbox.Options{}},
				{"XChaCha", "x_cha_cha_ciphertext", "xchacha", lockbox.Options{Algorithm: lockbox.XChaCha20}},
				{"Padded", "padded_ciphertext", "padded", lockbox.Options{Algorithm: lockbox.XChaCha20, Format: lockbox.Format{Padding: 32, Raw: true}}},
			} {
				box, err := lockbox.New(keys.seen[0], &test.opts)
				must(t, err)
				ad := map[rowseal.Binding]string{rowseal.BindColumn: "rows." + test.column, rowseal.BindRow: "rows." + test.column + ":7"}[binding]
				if got, err := box.Decrypt([]byte(textOfValue(row[test.field])), []byte(ad)); string(got) != test.plain || err != nil {
					t.Errorf("%s: %q, %v", test.field, got, err)
				}
			}
			again := load[ciphers](t, 7, row)
			must(t, rows.Open(t.Context(), again))
			for field, got := range map[string]opened{
				"gcm": textOf(again.GCM.Get()), "named": textOf(again.Named.Get()),
				"xchacha": textOf(again.XChaCha.Get()), "padded": bytesOf(again.Padded.Get()),
			} {
				if got.text != field || got.err != nil {
					t.Errorf("%s: %q, %v", field, got.text, got.err)
				}
			}
		})
	}
}

func TestXSalsa20SealsWhereNothingIsBound(t *testing.T) {
	needUnapproved(t)
	fake := &kmstest.Fake{}
	keys := watch(fake)
	rows := newModel[boxes](t, "rows", ringOf(t, fake), &rowseal.Options{Binding: rowseal.BindNone})
	b := &boxes{ciphers: newCiphers(7)}
	b.XSalsa.Set("xsalsa")
	must(t, rows.Seal(t.Context(), b))
	box, err := lockbox.New(keys.seen[0], &lockbox.Options{Algorithm: lockbox.XSalsa20})
	must(t, err)
	if got, err := box.Decrypt([]byte(b.XSalsa.Ciphertext()), nil); string(got) != "xsalsa" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	rows.Wipe(b)
	must(t, rows.Rekey(t.Context(), b))
	if got, err := b.XSalsa.Get(); got != "xsalsa" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// XSalsa20 takes no associated data: a binding that it ignored would be a promise that nobody keeps.
func TestXSalsa20IsRefusedWhereAnythingIsBound(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey        `rowseal:"attachments=scan"`
		Email           rowseal.Sealed[string] `rowseal:"algorithm=xsalsa20"`
	}
	type withAD struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"algorithm=xsalsa20,ad=users.email"`
	}
	type file struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Scan            rowseal.File `rowseal:"algorithm=xsalsa20"`
	}
	ring := ringOf(t, &kmstest.Fake{})
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow} {
		for what, refused := range map[string]func(*rowseal.Options) error{
			"email_ciphertext": refused[row](ring), "scan_file": refused[file](ring),
		} {
			err := refused(&rowseal.Options{Binding: binding, Store: &objects{}})
			wantErr(t, what, err, kms.ErrInvalidRequest)
			wantMessage(t, err, what+": xsalsa20 takes no associated data and cannot be bound; use another algorithm, or BindNone for the table")
		}
		err := refused[one](ring)(&rowseal.Options{Binding: binding, Attachments: []rowseal.Attachment{{Name: "scan", Algorithm: lockbox.XSalsa20}}})
		wantMessage(t, err, "attachment scan: xsalsa20 takes no associated data")
	}
	err := refused[withAD](ring)(&rowseal.Options{Binding: rowseal.BindNone})
	wantMessage(t, err, "email_ciphertext: xsalsa20 takes no associated data")
}

func TestAlgorithmsThatNoFieldCanHaveAreRefused(t *testing.T) {
	type hybrid struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"algorithm=hybrid"`
	}
	type unknown struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"algorithm=aes"`
	}
	ring := ringOf(t, &kmstest.Fake{})
	for want, refused := range map[string]func(*rowseal.Options) error{"hybrid": refused[hybrid](ring), `"aes"`: refused[unknown](ring)} {
		err := refused(nil)
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `rowseal: schema of table "t": email_ciphertext: lockbox`, want)
	}
}

func TestFilesHaveTheirOwnAlgorithmToo(t *testing.T) {
	needUnapproved(t)
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Scan            rowseal.File `rowseal:"algorithm=xchacha20"`
		Photo           rowseal.File `rowseal:"padding=100"`
	}
	fake, files := &kmstest.Fake{}, &objects{}
	keys := watch(fake)
	rows := newModel[row](t, "rows", ringOf(t, fake), &rowseal.Options{Store: files})
	r := &row{ID: 1}
	setFile(&r.Scan, "scan", "scan.pdf")
	setFile(&r.Photo, "photo", "photo.jpg")
	must(t, rows.Seal(t.Context(), r))
	box, err := lockbox.New(keys.seen[0], &lockbox.Options{Algorithm: lockbox.XChaCha20, Format: lockbox.Format{Raw: true}})
	must(t, err)
	if got, err := box.Decrypt(files.bytes(t, r.Scan.Object()), []byte("rows.scan_file/"+r.Scan.Object())); string(got) != "scan" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if n := len(files.bytes(t, r.Photo.Object())); n != 12+100+16 {
		t.Errorf("a file that is padded to 100 bytes is stored in %d", n)
	}
	r = load[row](t, 1, save(t, r))
	must(t, rows.Open(t.Context(), r))
	wantContent(t, "the scan", r.Scan, "scan")
	wantContent(t, "the photo", r.Photo, "photo")
}
