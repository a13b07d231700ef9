package rowseal_test

import (
	"errors"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// After each of these the row in the database opens, and nothing else is left but what it refers to.

func wantInDatabase(t *testing.T, letters *rowseal.Model[letter], row stored, name string) {
	t.Helper()
	l := load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	wantLetter(t, l, name)
}

func TestAbandonedPutsBackTheReferenceThatWasLoaded(t *testing.T) {
	for what, change := range map[string]func(*rowseal.Model[letter], *letter) error{
		"Seal": func(m *rowseal.Model[letter], l *letter) error {
			setFile(&l.Scan, "new", "")
			return m.Seal(t.Context(), l)
		},
		"two Seals": func(m *rowseal.Model[letter], l *letter) error {
			setFile(&l.Scan, "new", "")
			must(t, m.Seal(t.Context(), l))
			setFile(&l.Scan, "newer", "")
			return m.Seal(t.Context(), l)
		},
		"Rekey":     func(m *rowseal.Model[letter], l *letter) error { return m.Rekey(t.Context(), l) },
		"SetNull":   func(m *rowseal.Model[letter], l *letter) error { l.Scan.SetNull(); return m.Seal(t.Context(), l) },
		"Set alone": func(_ *rowseal.Model[letter], l *letter) error { setFile(&l.Scan, "new", ""); return nil },
	} {
		t.Run(what, func(t *testing.T) {
			files := &objects{}
			letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
			sent, row := sentLetter(t, letters, 1, "ada")
			l := load[letter](t, 1, row)
			must(t, change(letters, l))
			must(t, letters.Abandoned(t.Context(), l))
			wantObjects(t, "after Abandoned", files, sent.objects()...)
			now := values(l)
			for _, column := range []string{"Scan", "Photo", "Stamp"} {
				if now[column].err != nil || now[column].v != row[column] {
					t.Errorf("%s is %v, want what was loaded", column, now[column])
				}
			}
			wantInDatabase(t, letters, row, "ada")
		})
	}
}

func TestAbandonedOfANewRowLeavesNoReference(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	l := newLetter(1, "ada")
	must(t, letters.Seal(t.Context(), l))
	must(t, letters.Abandoned(t.Context(), l))
	wantObjects(t, "after Abandoned", files)
	for column, f := range l.files() {
		if !f.IsNull() || f.Object() != "" {
			t.Errorf("%s refers to %q", column, f.Object())
		}
	}
}

// What a program has changed since it wrote the row is not in the database.
func TestAChangeBetweenSealAndCommittedDeletesNothingThatTheDatabaseHas(t *testing.T) {
	for what, change := range map[string]func(*letter){
		"SetNull": func(l *letter) { l.Scan.SetNull() },
		"Set":     func(l *letter) { setFile(&l.Scan, "later", "") },
		"both":    func(l *letter) { l.Scan.SetNull(); setFile(&l.Scan, "later", "") },
	} {
		for end, settle := range map[string]func(*rowseal.Model[letter], *letter) error{
			"nothing":   func(*rowseal.Model[letter], *letter) error { return nil },
			"Committed": func(m *rowseal.Model[letter], l *letter) error { return m.Committed(t.Context(), l) },
			"Abandoned": func(m *rowseal.Model[letter], l *letter) error { return m.Abandoned(t.Context(), l) },
			"Seal, Abandoned": func(m *rowseal.Model[letter], l *letter) error {
				must(t, m.Seal(t.Context(), l))
				return m.Abandoned(t.Context(), l)
			},
		} {
			t.Run(what+", then "+end, func(t *testing.T) {
				letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
				_, row := sentLetter(t, letters, 1, "eve")
				l := load[letter](t, 1, row)
				must(t, letters.Open(t.Context(), l))
				l.Subject.Set("subject of ada")
				setFile(&l.Scan, "scan of ada", "ada.pdf")
				setFile(&l.Photo, "photo of ada", "ada.jpg")
				setFile(&l.Stamp, "stamp of ada", "ada.png")
				row = sealed(t, letters, l)
				change(l)
				must(t, letters.Committed(t.Context(), l))
				wantInDatabase(t, letters, row, "ada")
				must(t, settle(letters, l))
				wantInDatabase(t, letters, row, "ada")
			})
		}
	}
}

func TestCommittedThatFailedToDeleteTriesAgainTheNextTime(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	sent, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	must(t, letters.Rekey(t.Context(), l))
	broken := errors.New("the store does not answer")
	files.del = func(string) error { return broken }
	for range 2 {
		wantErr(t, "Committed", letters.Committed(t.Context(), l), broken)
	}
	wantObjects(t, "after the failures", files, append(l.objects(), sent.objects()...)...)
	setFile(&l.Scan, "scan of ada", "ada.pdf") // a change in between does not make it forget
	row = sealed(t, letters, l)
	files.del = nil
	must(t, letters.Committed(t.Context(), l))
	wantObjects(t, "after one that worked", files, l.objects()...)
	files.since()
	must(t, letters.Committed(t.Context(), l))
	if calls := files.since(); calls != nil {
		t.Errorf("what is deleted is deleted again: %q", calls)
	}
	wantInDatabase(t, letters, row, "ada")
}

func TestAbandonedThatFailedToDeleteTriesAgainTheNextTime(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	sent, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	must(t, letters.Rekey(t.Context(), l))
	broken := errors.New("the store does not answer")
	files.del = func(string) error { return broken }
	wantErr(t, "Abandoned", letters.Abandoned(t.Context(), l), broken)
	files.del = nil
	must(t, letters.Abandoned(t.Context(), l))
	wantObjects(t, "after one that worked", files, sent.objects()...)
}

// A row that was abandoned may be sealed again as it was loaded.
func TestAnAbandonedRowThatIsSealedAgainRefersToWhatIsThere(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	_, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	setFile(&l.Scan, "new", "")
	must(t, letters.Seal(t.Context(), l))
	must(t, letters.Abandoned(t.Context(), l))
	l.Subject.Set("subject of ada")
	row = sealed(t, letters, l)
	must(t, letters.Committed(t.Context(), l))
	wantInDatabase(t, letters, row, "ada")
	wantObjects(t, "after Committed", files, l.objects()...)
}
