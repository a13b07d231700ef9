package rowseal_test

import (
	"fmt"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// Reading a row that is open is safe from any number of goroutines. These tests are for the race detector as much as for what
// they compare.

func TestFilesIndexesAndFieldsAreReadFromManyGoroutines(t *testing.T) {
	p := newPair(t)
	e := load[everything](t, 7, sealed(t, p.model, newEverything(7)))
	must(t, p.model.Open(t.Context(), e))
	record := newRecord(t, p)
	must(t, p.table.Seal(t.Context(), record))
	box, err := p.model.Box(t.Context(), e, "license")
	must(t, err)
	license := sealFile(t, box, "license")
	want := e.EmailIndex.Text()
	atOnce(16, func(int) {
		wantContent(t, "the scan", e.Scan, "scan of ada")
		if info, err := e.Scan.Info(); info.Name != "ada.pdf" || err != nil {
			t.Errorf("%+v, %v", info, err)
		}
		for what, got := range map[string]opened{"email": textOf(e.Email.Get()), "ssn": textOf(e.SSN.Get()), "city": textOf(e.City.Get())} {
			if got.err != nil || got.text == "" {
				t.Errorf("%s: %q, %v", what, got.text, got.err)
			}
		}
		if found, err := p.model.Lookup(t.Context(), "email_bidx", "ada@example.org"); err != nil || found[0] != want {
			t.Errorf("%v, %v", found, err)
		}
		if got, err := box.Open(license); string(got) != "license" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		wantRecord(t, record)
		_ = fmt.Sprintf("%v %+v", *e, record)
		p.model.Schema()
	})
}

func TestOneModelSealsAndRekeysFilesAndIndexesAtOnce(t *testing.T) {
	p := newPair(t)
	atOnce(8, func(i int) {
		e := newEverything(int64(i + 1))
		for _, call := range []func() error{
			func() error { return p.model.Seal(t.Context(), e) },
			func() error { return p.model.Committed(t.Context(), e) },
			func() error { return p.model.RekeyWith(t.Context(), e, noMove) },
			func() error { return p.model.Reindex(t.Context(), e) },
			func() error { return p.model.Committed(t.Context(), e) },
			func() error { return p.table.Open(t.Context()) },
		} {
			if err := call(); err != nil {
				t.Error(err)
				return
			}
		}
		again := load[everything](t, e.ID, save(t, e))
		if err := p.model.Open(t.Context(), again); err != nil {
			t.Error(err)
		}
		wantContent(t, "the scan", again.Scan, "scan of ada")
		p.model.Wipe(again)
		p.model.Clear(again)
	})
	if n := len(p.files.Keys()); n != 8 {
		t.Errorf("8 rows have %d objects", n)
	}
}

// Copies of a row share the handle of its data key, and each has its own files.
func TestCopiesOfARowWithFilesAreRekeyedAtOnce(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	atOnce(8, func(int) {
		copied := *l
		if err := letters.Rekey(t.Context(), &copied); err != nil {
			t.Error(err)
		}
		wantLetter(t, &copied, "ada")
		wantLetter(t, l, "ada")
	})
}

// Beside a Wipe of the data key a file is read whole or not at all.
func TestWipeBesideReadingAFile(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	for range 20 {
		l := load[letter](t, 1, row)
		must(t, letters.Open(t.Context(), l))
		copied := *l
		atOnce(4, func(i int) {
			if i == 0 {
				copied.EncryptedKMSKey.Wipe()
				return
			}
			if text, err := content(t, l.Scan); text != "scan of ada" && err == nil {
				t.Errorf("%q", text)
			} else if err != nil {
				wantErr(t, "beside Wipe", err, rowseal.ErrNotOpened)
			}
		})
	}
}
