package rowseal_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// patient has attachments, as Active Storage keeps them, under each of two keys.
type patient struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=license+xrays"`
	Name            rowseal.Sealed[string]
	KMSKeyCard      rowseal.DataKey `rowseal:"name=card,attachments=card"`
}

func patientsOf(tb testing.TB, s kms.Service, binding rowseal.Binding) *rowseal.Model[patient] {
	tb.Helper()
	return newModel[patient](tb, "patients", ringOf(tb, s), &rowseal.Options{Binding: binding})
}

func newPatient(id int64) *patient {
	p := &patient{ID: id}
	p.Name.Set("ada")
	return p
}

// admitted is a new patient that has been sealed, and so has its first data key; that of the card is NULL.
func admitted(tb testing.TB, m *rowseal.Model[patient], id int64) *patient {
	tb.Helper()
	p := newPatient(id)
	must(tb, m.Seal(tb.Context(), p))
	return p
}

func boxOf(tb testing.TB, m *rowseal.Model[patient], p *patient, name string) *rowseal.FileBox {
	tb.Helper()
	box, err := m.Box(tb.Context(), p, name)
	must(tb, err)
	return box
}

func sealFile(tb testing.TB, box *rowseal.FileBox, text string) []byte {
	tb.Helper()
	sealed, err := box.Seal(strings.NewReader(text))
	must(tb, err)
	return sealed
}

func TestABoxOpensWhatItSealedAndWhatTheRowsLaterBoxSealed(t *testing.T) {
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow, rowseal.BindNone} {
		patients := patientsOf(t, &kmstest.Fake{}, binding)
		p := newPatient(1)
		row := sealed(t, patients, p)
		ciphertext := sealFile(t, boxOf(t, patients, p, "license"), "the license")
		got, err := boxOf(t, patients, load[patient](t, 1, row), "license").Open(ciphertext)
		if string(got) != "the license" || err != nil {
			t.Errorf("%v: %q, %v", binding, got, err)
		}
	}
}

// What Ruby's Lockbox opens with the data key and this associated data, a Rails program reads.
func TestAnAttachmentIsLockboxesUnderTheDataKey(t *testing.T) {
	for binding, ad := range map[rowseal.Binding]string{
		rowseal.BindColumn: "patients.license", rowseal.BindRow: "patients.license:7", rowseal.BindNone: "",
	} {
		fake := &kmstest.Fake{}
		keys := watch(fake)
		patients := patientsOf(t, fake, binding)
		ciphertext := sealFile(t, boxOf(t, patients, admitted(t, patients, 7), "license"), "the license")
		box, err := lockbox.New(keys.seen[0], &lockbox.Options{Format: lockbox.Format{Raw: true}})
		must(t, err)
		got, err := box.Decrypt(ciphertext, []byte(ad))
		if string(got) != "the license" || err != nil {
			t.Errorf("%v: %q, %v", binding, got, err)
		}
	}
}

func TestARowWhoseKeyIsNULLGetsOneThatIsSavedWithIt(t *testing.T) {
	fake := &kmstest.Fake{}
	patients := patientsOf(t, fake, rowseal.BindColumn)
	p := load[patient](t, 1, stored{"EncryptedKMSKey": nil, "Name": nil, "KMSKeyCard": nil})
	ciphertext := sealFile(t, boxOf(t, patients, p, "xrays"), "x-ray")
	wantRequests(t, "Box of a row without a key", fake, 1, 0)
	boxOf(t, patients, p, "license")
	p.Name.Set("ada")
	must(t, patients.Seal(t.Context(), p)) // under the key that the row has by now
	wantRequests(t, "Box and Seal after it", fake, 0, 0)

	p = load[patient](t, 1, save(t, p))
	got, err := boxOf(t, patients, p, "xrays").Open(ciphertext)
	if string(got) != "x-ray" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	wantRequests(t, "Box of a loaded row", fake, 0, 1)
	must(t, patients.Open(t.Context(), p))
	if name, err := p.Name.Get(); name != "ada" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	wantRequests(t, "Open after Box", fake, 0, 0)
}

// Its key may be in the database, where a second one would be of no use.
func TestARowWhoseKeyColumnWasNotLoadedGetsNone(t *testing.T) {
	fake := &kmstest.Fake{}
	patients := patientsOf(t, fake, rowseal.BindColumn)
	for what, p := range map[string]*patient{"a new row": newPatient(1), "a loaded one": load[patient](t, 1, stored{"Name": nil})} {
		_, err := patients.Box(t.Context(), p, "license")
		wantErr(t, what, err, rowseal.ErrNoKey)
		wantMessage(t, err, "encrypted_kms_key", "was not loaded", "call Seal first")
	}
	wantRequests(t, "a key column that was not loaded", fake, 0, 0)
	p := newPatient(2)
	must(t, patients.Seal(t.Context(), p))
	boxOf(t, patients, p, "license")
	boxOf(t, patients, p, "card") // the second key is NULL after Seal, and known to be
	wantRequests(t, "after Seal", fake, 2, 0)
}

func TestNoFlippedBitOfAnAttachmentOpens(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{}, rowseal.BindColumn)
	box := boxOf(t, patients, admitted(t, patients, 1), "license")
	fails := func(what string, b []byte) {
		got, err := box.Open(b)
		wantErr(t, what, err, rowseal.ErrDecryptionFailed)
		wantPlace(t, err, "patients", "1", "license", 1)
		if got != nil {
			t.Errorf("%s: %q", what, got)
		}
	}
	good := sealFile(t, box, "the license")
	flipped(good, func(bit int, b []byte) { fails(fmt.Sprint("bit ", bit), b) })
	for n := range good {
		fails(fmt.Sprint("cut to ", n), good[:n])
	}
	fails("nothing", nil)
	if got, err := box.Open(good); string(got) != "the license" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAMovedAttachmentOpensNowhere(t *testing.T) {
	for _, test := range []struct {
		binding  rowseal.Binding
		enforced bool
	}{{rowseal.BindColumn, true}, {rowseal.BindRow, false}} {
		patients := newModel[patient](t, "patients", ringOf(t, &kmstest.Fake{IgnoreContext: !test.enforced}), &rowseal.Options{Binding: test.binding})
		type place struct {
			id   int64
			name string
		}
		boxes, ciphertexts := map[place]*rowseal.FileBox{}, map[place][]byte{}
		for id := int64(1); id <= 2; id++ {
			p := admitted(t, patients, id)
			for _, name := range []string{"license", "xrays", "card"} {
				boxes[place{id, name}] = boxOf(t, patients, p, name)
				ciphertexts[place{id, name}] = sealFile(t, boxes[place{id, name}], name)
			}
		}
		for from, ciphertext := range ciphertexts {
			for to, box := range boxes {
				got, err := box.Open(ciphertext)
				if from == to {
					must(t, err)
				} else if err == nil || got != nil {
					t.Errorf("%v opens as %v", from, to)
				}
			}
		}
	}
}

func TestWhatBoxRefuses(t *testing.T) {
	fake := &kmstest.Fake{}
	patients := patientsOf(t, fake, rowseal.BindColumn)
	row := sealed(t, patients, newPatient(1))
	fake.Reset()
	for want, call := range map[string]func() (*rowseal.FileBox, error){
		`there is no attachment "licence"; name it in the tag of its DataKey (rowseal:"attachments=licence") or in Options.Attachments`: func() (*rowseal.FileBox, error) {
			return patients.Box(t.Context(), newPatient(1), "licence")
		},
		`attachment card is sealed under a key that Only has left out`: func() (*rowseal.FileBox, error) {
			return patients.Only("").Box(t.Context(), newPatient(1), "card")
		},
		`the row is a nil pointer`: func() (*rowseal.FileBox, error) { return patients.Box(t.Context(), nil, "card") },
		`"fone"`:                   func() (*rowseal.FileBox, error) { return patients.Only("fone").Box(t.Context(), newPatient(1), "card") },
	} {
		box, err := call()
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, want)
		if box != nil {
			t.Errorf("%s: a box came with the error", want)
		}
	}
	_, err := patients.Box(t.Context(), load[patient](t, 0, stored{"EncryptedKMSKey": nil}), "license")
	wantErr(t, "a row without an id", err, rowseal.ErrNotReady)
	for what, spoil := range map[string]func(stored) stored{
		"NULL": func(s stored) stored { return s.with("EncryptedKMSKey", nil) },
		"not loaded": func(s stored) stored {
			s = s.with("EncryptedKMSKey", nil)
			delete(s, "EncryptedKMSKey")
			return s
		},
	} {
		_, err := patients.Box(t.Context(), load[patient](t, 1, spoil(row)), "license")
		wantErr(t, "a key column that is "+what+" beside a ciphertext", err, rowseal.ErrNoKey)
	}
	wantRequests(t, "what is refused", fake, 0, 0)
	p := load[patient](t, 1, row)
	must(t, patients.Open(t.Context(), p))
	p.ID = 2
	_, err = patients.Box(t.Context(), p, "license")
	wantErr(t, "a row that became another", err, rowseal.ErrContextChanged)
	fake.Deny(kms.OpDecrypt)
	_, err = patients.Box(t.Context(), load[patient](t, 1, row), "license")
	wantErr(t, "a KMS that denies", err, kms.ErrAccessDenied)
}

func TestAnAttachmentAboveTheLimitIsNotSealed(t *testing.T) {
	patients := newModel[patient](t, "patients", ringOf(t, &kmstest.Fake{}), &rowseal.Options{FileLimit: 10})
	box := boxOf(t, patients, admitted(t, patients, 1), "license")
	got, err := box.Seal(strings.NewReader("12345678901"))
	wantErr(t, "11 bytes", err, lockbox.ErrTooLarge)
	wantMessage(t, err, "license", "Options.FileLimit")
	if got != nil {
		t.Errorf("%q", got)
	}
	sealFile(t, box, "1234567890")
	broken := errors.New("connection reset")
	got, err = box.Seal(&failing{strings.NewReader("half"), broken})
	wantErr(t, "a broken reader", err, broken)
	if got != nil {
		t.Errorf("%q", got)
	}
}

func TestABoxOpensReadersWithinTheLimit(t *testing.T) {
	patients := newModel[patient](t, "patients", ringOf(t, &kmstest.Fake{}), &rowseal.Options{FileLimit: 10})
	box := boxOf(t, patients, admitted(t, patients, 1), "license")
	sealed := sealFile(t, box, "1234567890")
	if got, err := box.OpenReader(bytes.NewReader(sealed)); string(got) != "1234567890" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	broken := errors.New("reset")
	for what, test := range map[string]struct {
		open func() ([]byte, error)
		want error
	}{
		"too large":       {func() ([]byte, error) { return box.OpenReader(strings.NewReader(strings.Repeat("x", 1000))) }, lockbox.ErrTooLarge},
		"cut":             {func() ([]byte, error) { return box.OpenReader(bytes.NewReader(sealed[:20])) }, rowseal.ErrDecryptionFailed},
		"a broken reader": {func() ([]byte, error) { return box.OpenReader(&failing{bytes.NewReader(sealed), broken}) }, broken},
		"no reader":       {func() ([]byte, error) { return box.OpenReader(nil) }, kms.ErrInvalidRequest},
		"nothing to seal": {func() ([]byte, error) { return box.Seal(nil) }, kms.ErrInvalidRequest},
	} {
		got, err := test.open()
		wantErr(t, what, err, test.want)
		wantPlace(t, err, "patients", "1", "license", 1)
		if got != nil {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestAnAttachmentHasItsOwnAlgorithmPaddingAndAssociatedData(t *testing.T) {
	fake := &kmstest.Fake{}
	keys := watch(fake)
	patients := newModel[patient](t, "patients", ringOf(t, fake), &rowseal.Options{Attachments: []rowseal.Attachment{
		{Name: "scan", Padding: 64, AssociatedData: "own"},
	}})
	ciphertext := sealFile(t, boxOf(t, patients, admitted(t, patients, 1), "scan"), "x")
	if len(ciphertext) != 12+64+16 {
		t.Errorf("%d bytes", len(ciphertext))
	}
	box, err := lockbox.New(keys.seen[0], &lockbox.Options{Format: lockbox.Format{Raw: true, Padding: 64}})
	must(t, err)
	if got, err := box.Decrypt(ciphertext, []byte("own")); string(got) != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// An attachment of a Rails app that has Lockbox.master_key and no KMS.
func TestAnAttachmentUnderAMasterKeyHasLockboxesDerivedKey(t *testing.T) {
	for what, test := range map[string]struct {
		a                rowseal.Attachment
		table, attribute string
	}{
		"today's names": {rowseal.Attachment{Name: "license", Key: "app"}, "patients", "license"},
		"earlier names": {rowseal.Attachment{Name: "license", Key: "app", KeyTable: "persons", KeyAttribute: "licence"}, "persons", "licence"},
	} {
		fake := &kmstest.Fake{}
		ones := newModel[one](t, "patients", ringOf(t, fake), &rowseal.Options{
			Binding: rowseal.BindNone, Attachments: []rowseal.Attachment{test.a}, MasterKeys: masterKeys(t, "app"),
		})
		box, err := ones.Box(t.Context(), newOne(1), "license")
		must(t, err)
		ciphertext := sealFile(t, box, "the license")
		wantRequests(t, what, fake, 0, 0)
		key, err := lockbox.AttributeKey(masterSecret("app"), test.table, test.attribute)
		must(t, err)
		rubys, err := lockbox.New(key, &lockbox.Options{Format: lockbox.Format{Raw: true}})
		must(t, err)
		if got, err := rubys.Decrypt(ciphertext, nil); string(got) != "the license" || err != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

func TestRekeyOfARowWithAttachmentsIsRefused(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	patients := patientsOf(t, fake, rowseal.BindColumn)
	p := load[patient](t, 1, sealed(t, patients, newPatient(1)))
	fake.Reset()
	unchangedRow(t, "Rekey", p, kms.ErrInvalidRequest, func() error {
		err := patients.Rekey(t.Context(), p)
		wantMessage(t, err, "attachments are sealed under the key too, and would be lost; use Model.RekeyWith")
		return err
	})
	wantRequests(t, "Rekey", fake, 0, 0)
}

func TestRekeyWithMovesEachAttachmentAfterTheNewKeyWasWrappedAndBeforeTheRowChanges(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	patients := patientsOf(t, fake, rowseal.BindRow)
	p := admitted(t, patients, 1)
	files := map[string][]byte{}
	for _, name := range []string{"license", "xrays", "card"} {
		files[name] = sealFile(t, boxOf(t, patients, p, name), name)
	}
	row := sealed(t, patients, p)
	p = load[patient](t, 1, row)
	before := values(p)
	fake.Reset()
	var moved []string
	must(t, patients.RekeyWith(t.Context(), p, func(name string, from, to *rowseal.FileBox) error {
		moved = append(moved, name)
		wantRequestsSoFar(t, fake, 1, 1)
		if !sameValues(before, values(p)) {
			t.Errorf("the row changed before %s was moved", name)
		}
		content, err := from.Open(files[name])
		if err != nil {
			return err
		}
		_, err = to.Open(files[name])
		wantErr(t, "the new box on the old file", err, rowseal.ErrDecryptionFailed)
		resealed, err := to.Seal(bytes.NewReader(content))
		if err != nil {
			return err
		}
		_, err = from.Open(resealed)
		wantErr(t, "the old box on the new file", err, rowseal.ErrDecryptionFailed)
		files[name] = resealed
		return nil
	}))
	if !slices.Equal(moved, []string{"license", "xrays", "card"}) {
		t.Errorf("moved %q", moved)
	}
	p = load[patient](t, 1, save(t, p))
	for name, file := range files {
		if got, err := boxOf(t, patients, p, name).Open(file); string(got) != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	must(t, patients.Open(t.Context(), p))
	if name, err := p.Name.Get(); name != "ada" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}

func wantRequestsSoFar(t *testing.T, fake *kmstest.Fake, encrypt, decrypt int) {
	t.Helper()
	if e, d := fake.Requests(kms.OpEncrypt), fake.Requests(kms.OpDecrypt); e != encrypt || d != decrypt {
		t.Errorf("%d requests encrypted and %d decrypted by then, want %d and %d", e, d, encrypt, decrypt)
	}
}

func TestAnAttachmentThatDoesNotMoveLeavesTheRowAsItWas(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	p := admitted(t, patients, 1)
	license := sealFile(t, boxOf(t, patients, p, "license"), "the license")
	boxOf(t, patients, p, "card")
	row := sealed(t, patients, p)
	broken := errors.New("the store is gone")
	for _, failing := range []string{"license", "xrays", "card"} {
		p := load[patient](t, 1, row)
		unchangedRow(t, "RekeyWith", p, broken, func() error {
			err := patients.RekeyWith(t.Context(), p, func(name string, _, _ *rowseal.FileBox) error {
				if name == failing {
					return broken
				}
				return nil
			})
			wantPlace(t, err, "patients", "1", failing, 1)
			return err
		})
		if got, err := boxOf(t, patients, p, "license").Open(license); string(got) != "the license" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// Nothing was sealed under a key that there was not.
func TestRekeyWithMovesNothingOfARowWithoutAKey(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	p := newPatient(1)
	must(t, patients.RekeyWith(t.Context(), p, func(name string, _, _ *rowseal.FileBox) error {
		t.Errorf("%s is moved", name)
		return nil
	}))
	if p.EncryptedKMSKey.IsNull() || !p.KMSKeyCard.IsNull() {
		t.Errorf("keys: %v, %v", p.EncryptedKMSKey, p.KMSKeyCard)
	}
}
