package rowseal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/store"
)

// Whatever fails and whenever, no row refers to an object that is not there, and what failed leaves no object.

func TestObjectsAreStoredBeforeTheRowChangesAndDeletedAfterItWasCommitted(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, row := sentLetter(t, letters, 1, "ada")
	old := l.Scan.Object()
	files.since()

	l = load[letter](t, 1, row)
	setFile(&l.Scan, "new scan", "new.pdf")
	files.put = func(string) error {
		refuses(t, "the row while its object is stored", values(l)["Scan"])
		return nil
	}
	must(t, letters.Seal(t.Context(), l))
	if calls := files.since(); !slices.Equal(calls, []string{"put " + l.Scan.Object()}) || l.Scan.Object() == old {
		t.Errorf("Seal called %q, and the column refers to %s", calls, l.Scan.Object())
	}
	must(t, letters.Committed(t.Context(), l))
	if calls := files.since(); !slices.Equal(calls, []string{"delete " + old}) {
		t.Errorf("Committed called %q", calls)
	}
	must(t, letters.Committed(t.Context(), l))
	if calls := files.since(); calls != nil {
		t.Errorf("a second Committed called %q", calls)
	}
}

// failNth lets the n-th Put fail, from 1; a failed key fails for good.
func failNth(n int) func(string) error {
	return func(string) error {
		if n--; n == 0 {
			return store.ErrUnavailable
		}
		return nil
	}
}

func TestARowWithAPutThatFailsIsAsItWasAndHasNoObject(t *testing.T) {
	for nth := 1; nth <= 3; nth++ {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("Put %d, stored all the same: %v", nth, late), func(t *testing.T) {
				files := &objects{late: late}
				letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
				sent, row := sentLetter(t, letters, 1, "ada")
				before := sent.objects()

				l := load[letter](t, 1, row)
				l.Subject.Set("subject of eve")
				for column, f := range newLetter(1, "eve").files() {
					*l.files()[column] = *f
				}
				files.put = failNth(nth)
				unchangedRow(t, "Seal", l, store.ErrUnavailable, func() error {
					err := letters.Seal(t.Context(), l)
					wantRows(t, "Seal", err, 1, 0)
					return err
				})
				wantObjects(t, "after the failure", files, before...)
				refuses(t, "the field beside the files", values(l)["Subject"])

				files.put = nil
				must(t, letters.Seal(t.Context(), l)) // the same files, which are not read again
				wantLetter(t, l, "eve")
			})
		}
	}
}

func TestTheOtherRowsOfACallAreSealedAndKeepTheirObjects(t *testing.T) {
	fake, files := &kmstest.Fake{BatchSize: 10}, &objects{}
	letters := lettersOf(t, fake, files)
	rows := []*letter{newLetter(1, "ada"), newLetter(2, "eve"), newLetter(3, "bob")}
	failFor(fake, kms.Context{"model_id": "2", "key_name": "stamp"})
	unchangedRow(t, "Seal", rows[1], kms.ErrDecryptionFailed, func() error {
		err := letters.Seal(t.Context(), rows...)
		wantRows(t, "Seal", err, 3, 1)
		return err
	})
	if calls := files.since(); len(calls) != 6 {
		t.Errorf("the store was called for the row that failed before: %q", calls)
	}
	wantLetter(t, rows[0], "ada")
	wantLetter(t, rows[2], "bob")
	wantObjects(t, "of the two", files, append(rows[0].objects(), rows[2].objects()...)...)
}

// Even a call that was cancelled cleans up.
func TestACancelledSealLeavesNoObject(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l := newLetter(1, "ada")
	ctx, cancel := context.WithCancel(t.Context())
	files.put = func(string) error { // the second object fails, after the first was stored
		if len(files.Keys()) > 0 {
			cancel()
			return context.Canceled
		}
		return nil
	}
	unchangedRow(t, "Seal", l, context.Canceled, func() error { return letters.Seal(ctx, l) })
	wantObjects(t, "after the cancellation", files)
}

func TestAFailureToDeleteIsToldAndNoRowIsWorseForIt(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, row := sentLetter(t, letters, 1, "ada")
	old := l.Scan.Object()
	l = load[letter](t, 1, row)
	setFile(&l.Scan, "new scan", "new.pdf")
	setFile(&l.Photo, "new photo", "new.jpg")
	after := sealed(t, letters, l)
	files.del = func(key string) error {
		if key == old {
			return store.ErrAccessDenied
		}
		return nil
	}
	err := letters.Committed(t.Context(), l)
	wantErr(t, "Committed", err, store.ErrAccessDenied)
	wantPlace(t, err, "letters", "1", "scan_file", 1)
	wantObjects(t, "only the garbage is left over", files, append(l.objects(), old)...)
	if held, _ := l.EncryptedKMSKey.Stored(); held != after["EncryptedKMSKey"] {
		t.Errorf("the key that the database holds is told as %v", held)
	}
	files.del = nil
	must(t, letters.Committed(t.Context(), l))
	wantObjects(t, "a second time", files, l.objects()...)
}

// A struct is often copied to make a similar row of it.
func TestARowThatWasCopiedToBeAnotherTakesNoObjectOfTheFirst(t *testing.T) {
	for what, make := range map[string]func(*testing.T, *rowseal.Model[letter], stored) *letter{
		"opened": func(t *testing.T, letters *rowseal.Model[letter], row stored) *letter {
			l := load[letter](t, 1, row)
			must(t, letters.Open(t.Context(), l))
			return l
		},
		"sealed": func(t *testing.T, letters *rowseal.Model[letter], _ stored) *letter {
			l := newLetter(1, "ada")
			must(t, letters.Seal(t.Context(), l))
			return l
		},
		"committed": func(t *testing.T, letters *rowseal.Model[letter], _ stored) *letter {
			l, _ := sentLetter(t, letters, 1, "ada")
			return l
		},
	} {
		for how, settle := range map[string]func(*rowseal.Model[letter], context.Context, ...*letter) error{
			"Committed": (*rowseal.Model[letter]).Committed, "Abandoned": (*rowseal.Model[letter]).Abandoned,
		} {
			t.Run(what+", "+how, func(t *testing.T) {
				files := &objects{}
				letters := lettersOf(t, &kmstest.Fake{}, files)
				_, row := sentLetter(t, letters, 1, "ada")
				first := make(t, letters, row)
				second := *first
				second.ID = 2
				letters.Clear(&second)
				for column, f := range second.files() {
					setFile(f, strings.ToLower(column)+" of eve", "eve.pdf")
				}
				second.Subject.Set("subject of eve")
				must(t, letters.Seal(t.Context(), &second))
				must(t, settle(letters, t.Context(), &second))
				wantLetter(t, first, "ada")
			})
		}
	}
}

func TestARetryAfterARolledBackTransactionWorks(t *testing.T) {
	for what, again := range map[string]func(*letter){
		"as it is": func(*letter) {},
		"set anew": func(l *letter) { setFile(&l.Scan, "new scan", "new.pdf") },
	} {
		t.Run(what, func(t *testing.T) {
			files := &objects{}
			letters := lettersOf(t, &kmstest.Fake{}, files)
			_, row := sentLetter(t, letters, 1, "ada")
			l := load[letter](t, 1, row)
			setFile(&l.Scan, "new scan", "new.pdf")
			must(t, letters.Seal(t.Context(), l))
			// The transaction is rolled back: the row is still the old one, and opens.
			wantOld := load[letter](t, 1, row)
			must(t, letters.Open(t.Context(), wantOld))
			wantLetter(t, wantOld, "ada")

			again(l)
			row = sealed(t, letters, l)
			must(t, letters.Committed(t.Context(), l))
			wantObjects(t, "after the retry", files, l.objects()...)
			l = load[letter](t, 1, row)
			must(t, letters.Open(t.Context(), l))
			wantContent(t, "the scan", l.Scan, "new scan")
			wantContent(t, "the photo", l.Photo, "photo of ada")
		})
	}
}

func TestAbandonedDeletesWhatWasStoredAndNothingThatTheRowRefersTo(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	_, row := sentLetter(t, letters, 1, "ada")
	before := files.Keys()
	l := load[letter](t, 1, row)
	setFile(&l.Scan, "first", "")
	must(t, letters.Seal(t.Context(), l))
	setFile(&l.Scan, "second", "")
	setFile(&l.Stamp, "stamp", "")
	must(t, letters.Seal(t.Context(), l))
	must(t, letters.Rekey(t.Context(), l))
	must(t, letters.Abandoned(t.Context(), l))
	wantObjects(t, "an old row", files, before...)

	eve := newLetter(2, "eve")
	must(t, letters.Seal(t.Context(), eve))
	must(t, letters.Abandoned(t.Context(), eve))
	wantObjects(t, "a new row", files, before...)

	l = load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	wantLetter(t, l, "ada")
}

// Which of its objects the database's row has cannot be known then.
func TestCommittedBesideAFileThatIsNotSealedDeletesNothingOfIt(t *testing.T) {
	for what, seal := range map[string]bool{"stored": false, "written": true} {
		t.Run(what, func(t *testing.T) {
			files := &objects{}
			letters := lettersOf(t, &kmstest.Fake{}, files)
			_, row := sentLetter(t, letters, 1, "ada")
			want := "scan of ada"
			l := load[letter](t, 1, row)
			if seal {
				want = "second scan"
				setFile(&l.Scan, want, "")
				row = sealed(t, letters, l)
			}
			setFile(&l.Scan, "third scan", "")
			must(t, letters.Committed(t.Context(), l))
			written := load[letter](t, 1, row)
			must(t, letters.Open(t.Context(), written))
			wantContent(t, "the scan", written.Scan, want)

			must(t, letters.Seal(t.Context(), l))
			must(t, letters.Committed(t.Context(), l))
			wantObjects(t, "after the third was committed", files, l.objects()...)
		})
	}
}

func TestOneRowTwiceInACallRefersToAnObjectThatIsThere(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	l := newLetter(1, "ada")
	must(t, letters.Seal(t.Context(), l, l))
	must(t, letters.Rekey(t.Context(), l, l))
	wantLetter(t, l, "ada")
	row := save(t, l)
	must(t, letters.Committed(t.Context(), l, l))
	wantObjects(t, "after Committed", files, l.objects()...)
	l = load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	wantLetter(t, l, "ada")
}

// Who can write to the database must not be able to have another row's object deleted by the next one who replaces a file.
func TestAReferenceThatSomebodyPutIntoTheColumnTakesNoObjectOfAnotherRow(t *testing.T) {
	for what, change := range map[string]func(*testing.T, *rowseal.Model[letter], *letter){
		"Set":     func(_ *testing.T, _ *rowseal.Model[letter], l *letter) { setFile(&l.Scan, "new scan", "new.pdf") },
		"SetNull": func(_ *testing.T, _ *rowseal.Model[letter], l *letter) { l.Scan.SetNull() },
		"Clear":   func(_ *testing.T, letters *rowseal.Model[letter], l *letter) { letters.Clear(l) },
		"Open and Set": func(t *testing.T, letters *rowseal.Model[letter], l *letter) {
			must(t, letters.Open(t.Context(), l))
			setFile(&l.Scan, "new scan", "new.pdf")
		},
	} {
		letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
		victim, adas := sentLetter(t, letters, 1, "ada")
		_, eves := sentLetter(t, letters, 2, "eve")
		for from, f := range victim.files() {
			l := load[letter](t, 2, eves.with("Scan", adas[from]))
			change(t, letters, l)
			must(t, letters.Seal(t.Context(), l))
			must(t, letters.Committed(t.Context(), l))
			wantContent(t, what+", "+from, *f, strings.ToLower(from)+" of ada")
		}
	}
}

// A Model that sees one key settles the files under that key only.
func TestCommittedSettlesOnlyTheKeysThatAreSeen(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	_, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	stamp := l.Stamp.Object()
	setFile(&l.Scan, "new scan", "")
	setFile(&l.Stamp, "new stamp", "")
	must(t, letters.Seal(t.Context(), l))
	must(t, letters.Only("").Committed(t.Context(), l))
	wantObjects(t, "Only", files, append(l.objects(), stamp)...)
	must(t, letters.Committed(t.Context(), l))
	wantObjects(t, "all", files, l.objects()...)
}

func TestManyRowsWithFilesAreStoredAllOrEachByItself(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 100}, files)
	var rows []*letter
	for i := range 20 {
		rows = append(rows, newLetter(int64(i+1), fmt.Sprint("row", i)))
	}
	odd := errors.New("odd")
	files.put = func(key string) error {
		if strings.ContainsAny(key[:1], "13579bdfhjlnprtvxz") {
			return odd
		}
		return nil
	}
	err := letters.Seal(t.Context(), rows...)
	var batch *rowseal.BatchError
	if !errors.As(err, &batch) {
		t.Fatal("no row failed", err)
	}
	failed := map[int]bool{}
	for _, r := range batch.Rows {
		failed[r.Index] = true
		wantErr(t, "the row", r.Err, odd)
	}
	var want []string
	for i, l := range rows {
		if failed[i] {
			refuses(t, "Scan", values(l)["Scan"])
			refuses(t, "Subject", values(l)["Subject"])
			continue
		}
		want = append(want, l.objects()...)
		wantLetter(t, l, fmt.Sprint("row", i))
	}
	wantObjects(t, "of the rows that succeeded", files, want...)
}
