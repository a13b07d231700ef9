package rowseal_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A File in a copied struct remembers the objects of the row that it was copied from.

func TestACopyThatBecomesAnotherRowDeletesNothingOfTheFirst(t *testing.T) {
	for state, make := range map[string]func(*rowseal.Model[letter], stored) *letter{
		"loaded": func(_ *rowseal.Model[letter], row stored) *letter { return load[letter](t, 1, row) },
		"opened": func(m *rowseal.Model[letter], row stored) *letter {
			l := load[letter](t, 1, row)
			must(t, m.Open(t.Context(), l))
			return l
		},
	} {
		for how, copied := range map[string]func(*rowseal.Model[letter], *letter) *letter{
			"cleared":                  func(m *rowseal.Model[letter], l *letter) *letter { v := *l; m.Clear(&v); v.ID = 2; return &v },
			"made another and cleared": func(m *rowseal.Model[letter], l *letter) *letter { v := *l; v.ID = 2; m.Clear(&v); return &v },
			"a File":                   func(_ *rowseal.Model[letter], l *letter) *letter { return &letter{ID: 2, Scan: l.Scan} },
			"all its Files": func(_ *rowseal.Model[letter], l *letter) *letter {
				return &letter{ID: 2, Scan: l.Scan, Photo: l.Photo, Stamp: l.Stamp}
			},
		} {
			for end, settle := range map[string]func(*rowseal.Model[letter], *letter) error{
				"Committed": func(m *rowseal.Model[letter], v *letter) error { return m.Committed(t.Context(), v) },
				"Abandoned": func(m *rowseal.Model[letter], v *letter) error { return m.Abandoned(t.Context(), v) },
				"Committed twice": func(m *rowseal.Model[letter], v *letter) error {
					must(t, m.Committed(t.Context(), v))
					setFile(&v.Scan, "third", "")
					must(t, m.Seal(t.Context(), v))
					return m.Committed(t.Context(), v)
				},
			} {
				t.Run(fmt.Sprint(state, ", ", how, ", ", end), func(t *testing.T) {
					files := &objects{}
					letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
					_, row := sentLetter(t, letters, 1, "ada")
					v := copied(letters, make(letters, row))
					v.Subject.Set("copy")
					setFile(&v.Scan, "scan of the copy", "2.pdf")
					v.Photo.SetNull()
					setFile(&v.Stamp, "stamp of the copy", "2.png")
					must(t, letters.Seal(t.Context(), v))
					must(t, settle(letters, v))
					first := load[letter](t, 1, row)
					must(t, letters.Open(t.Context(), first))
					wantLetter(t, first, "ada")
				})
			}
		}
	}
}

func TestACopyAfterSealThatBecomesAnotherRowDeletesNothingOfTheFirst(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	l := newLetter(1, "ada")
	row := sealed(t, letters, l)
	v := *l
	letters.Clear(&v)
	v.ID = 2
	setFile(&v.Scan, "scan of the copy", "2.pdf")
	second := sealed(t, letters, &v)
	must(t, letters.Committed(t.Context(), &v))
	must(t, letters.Committed(t.Context(), l))
	first, copied := load[letter](t, 1, row), load[letter](t, 2, second)
	must(t, letters.Open(t.Context(), first, copied))
	wantLetter(t, first, "ada")
	wantContent(t, "the copy's scan", copied.Scan, "scan of the copy")
}

func TestAFileThatWasAssignedToAnotherColumnIsNotDeletedWithIt(t *testing.T) {
	for _, opened := range []bool{true, false} {
		t.Run(fmt.Sprint("opened: ", opened), func(t *testing.T) {
			letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
			_, row := sentLetter(t, letters, 1, "ada")
			l := load[letter](t, 1, row)
			if opened {
				must(t, letters.Open(t.Context(), l))
			}
			l.Photo = l.Scan
			setFile(&l.Photo, "photo of ada", "ada.jpg")
			row = sealed(t, letters, l)
			must(t, letters.Committed(t.Context(), l))
			l = load[letter](t, 1, row)
			must(t, letters.Open(t.Context(), l))
			wantLetter(t, l, "ada")
		})
	}
}

func TestCopiesOfARowWithASetFileReadItsReaderOnceAndWhole(t *testing.T) {
	const piece, pieces, copies = "ten bytes.", 100, 4
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, &objects{})
	r, w := io.Pipe() // which several goroutines may read, as they may a connection
	go func() {
		defer w.Close()
		for range pieces {
			io.WriteString(w, piece)
		}
	}()
	first := &letter{}
	first.Scan.Set(r, rowseal.FileInfo{Name: "scan.pdf"})
	rows := make([]letter, copies)
	for i := range rows {
		rows[i] = *first
		rows[i].ID = int64(i + 1)
	}
	atOnce(copies, func(i int) {
		if err := letters.Seal(t.Context(), &rows[i]); err != nil {
			t.Error(err)
		}
	})
	for i := range rows {
		wantContent(t, fmt.Sprint("copy ", i), rows[i].Scan, strings.Repeat(piece, pieces))
		if info, err := rows[i].Scan.Info(); info.Size != int64(len(piece)*pieces) || err != nil {
			t.Errorf("copy %d is described as %+v, %v", i, info, err)
		}
	}
}
