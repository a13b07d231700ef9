package rowseal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
)

func TestAFileComesBackByteForByteWithItsNameTypeAndSize(t *testing.T) {
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow, rowseal.BindNone} {
		for _, size := range []int{0, 1, 63, 64, 70_000} {
			t.Run(fmt.Sprint(binding, " ", size), func(t *testing.T) {
				files := &objects{}
				letters := newModel[letter](t, "letters", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Binding: binding, Store: files})
				text := strings.Repeat("µ", size/2) + strings.Repeat("x", size%2)
				l := &letter{ID: 1}
				for column, f := range l.files() {
					f.Set(strings.NewReader(text), rowseal.FileInfo{Name: column + " 漢.pdf", ContentType: letterType, Size: 99})
				}
				row := sealed(t, letters, l)
				l = load[letter](t, 1, row)
				must(t, letters.Open(t.Context(), l))
				for column, f := range l.files() {
					wantContent(t, column, *f, text)
					want := rowseal.FileInfo{Name: column + " 漢.pdf", ContentType: letterType, Size: int64(size)}
					if info, err := f.Info(); info != want || err != nil {
						t.Errorf("%s is described as %+v, %v", column, info, err)
					}
				}
			})
		}
	}
}

func TestAFileSeeks(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	l, _ := sentLetter(t, letters, 1, "ada")
	r, err := l.Scan.Open(t.Context())
	must(t, err)
	_, err = r.Seek(-3, io.SeekEnd)
	must(t, err)
	if tail, err := io.ReadAll(r); string(tail) != "ada" || err != nil {
		t.Errorf("%q, %v", tail, err)
	}
}

// What Ruby's Lockbox opens with the data key and this associated data, a Rails program reads.
func TestAFilesObjectIsLockboxesUnderTheDataKey(t *testing.T) {
	fake, files := &kmstest.Fake{}, &objects{}
	keys := watch(fake)
	l := &letter{ID: 1}
	setFile(&l.Scan, "scan of ada", "ada.pdf")
	setFile(&l.Photo, "photo of ada", "ada.jpg")
	sealed(t, lettersOf(t, fake, files), l)
	for _, test := range []struct {
		f         rowseal.File
		padding   int
		ad, plain string
	}{{l.Scan, 0, "letters.scan_file", "scan of ada"}, {l.Photo, 64, "letters.photo_file", "photo of ada"}} {
		box, err := lockbox.New(keys.seen[0], &lockbox.Options{Format: lockbox.Format{Raw: true, Padding: test.padding}})
		must(t, err)
		plaintext, err := box.Decrypt(files.bytes(t, test.f.Object()), []byte(test.ad+"/"+test.f.Object()))
		if string(plaintext) != test.plain || err != nil {
			t.Errorf("%q, %v", plaintext, err)
		}
	}
}

func TestNeitherColumnNorStoreShowsWhatAFileIs(t *testing.T) {
	files := &objects{}
	l, row := sentLetter(t, lettersOf(t, &kmstest.Fake{}, files), 1, "ada")
	texts := []string{textOfValue(row["Scan"]), textOfValue(row["Photo"]), textOfValue(row["Stamp"])}
	for _, object := range l.objects() {
		texts = append(texts, object, string(files.bytes(t, object)))
	}
	for _, text := range texts {
		for _, secret := range []string{"ada", letterType, "scan of"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows in %q", secret, text)
			}
		}
	}
}

func TestAFileCanBeReadAfterSeal(t *testing.T) {
	l := newLetter(1, "ada")
	must(t, lettersOf(t, &kmstest.Fake{}, &objects{}).Seal(t.Context(), l))
	wantLetter(t, l, "ada")
}

func TestAFileIsReadOnlyWhenItIsAskedFor(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	_, row := sentLetter(t, letters, 1, "ada")
	files.since()
	l := load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	_, err := l.Scan.Info()
	must(t, err)
	if calls := files.since(); calls != nil {
		t.Errorf("Model.Open and Info called the store: %q", calls)
	}
}

func TestWhatIsAskedOfAFileBeforeItIsOpenedOrSealed(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	_, err := l.Scan.Info()
	wantErr(t, "Info of a sealed file", err, rowseal.ErrNotOpened)
	_, err = content(t, l.Scan)
	wantErr(t, "Open of a sealed file", err, rowseal.ErrNotOpened)

	setFile(&l.Scan, "new", "new.pdf")
	info, err := l.Scan.Info()
	if info.Name != "new.pdf" || err != nil {
		t.Errorf("a file that was set is described as %+v, %v", info, err)
	}
	_, err = content(t, l.Scan)
	wantErr(t, "Open of a file that was set", err, rowseal.ErrUnsealed)
	refuses(t, "a file that was set", values(l)["Scan"])
	if l.Scan.Object() != "" || l.Scan.IsNull() {
		t.Errorf("object %q, null %v", l.Scan.Object(), l.Scan.IsNull())
	}
}

func TestWipeClosesFilesAndKeepsThoseThatWereSet(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	l := load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	setFile(&l.Photo, "photo of eve", "eve.jpg")
	letters.Wipe(l)
	if state := fmt.Sprint(l.Scan, l.Photo); state != "[file: sealed] [unsealed]" {
		t.Errorf("the files are %s", state)
	}
	for what, err := range map[string]error{"Info": second(l.Scan.Info()), "Open": second(content(t, l.Scan))} {
		wantErr(t, what, err, rowseal.ErrNotOpened)
	}
	must(t, letters.Seal(t.Context(), l))
	wantContent(t, "the photo", l.Photo, "photo of eve")

	must(t, letters.Open(t.Context(), l))
	wantContent(t, "the scan", l.Scan, "scan of ada")
	l.EncryptedKMSKey.Wipe()
	_, err := content(t, l.Scan)
	wantErr(t, "Open after DataKey.Wipe", err, rowseal.ErrNotOpened)
}

func TestNoFileIsNULL(t *testing.T) {
	fake, files := &kmstest.Fake{}, &objects{}
	letters := lettersOf(t, fake, files)
	l := &letter{ID: 1}
	must(t, letters.Seal(t.Context(), l))
	if row := save(t, l); row["Scan"] != nil || row["EncryptedKMSKey"] != nil {
		t.Errorf("stored %v", row)
	}
	wantRequests(t, "no file", fake, 0, 0)
	info, err := l.Scan.Info()
	if info != (rowseal.FileInfo{}) || err != nil || !l.Scan.IsNull() {
		t.Errorf("%+v, %v, null %v", info, err, l.Scan.IsNull())
	}
	wantContent(t, "NULL", l.Scan, "")
	if calls := files.since(); calls != nil {
		t.Errorf("the store was called: %q", calls)
	}
}

func TestSetNullTakesTheFileAwayAndCommittedItsObject(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, row := sentLetter(t, letters, 1, "ada")
	photo, stamp := l.Photo.Object(), l.Stamp.Object()
	l = load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	l.Scan.SetNull()
	after := sealed(t, letters, l)
	if after["Scan"] != nil || after["Photo"] != row["Photo"] {
		t.Errorf("stored %v", after)
	}
	must(t, letters.Committed(t.Context(), l))
	wantObjects(t, "after Committed", files, photo, stamp)
}

func TestClearTakesTheFilesUnderTheKeyAwayAndCommittedTheirObjects(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, row := sentLetter(t, letters, 1, "ada")
	stamp := l.Stamp.Object()
	l = load[letter](t, 1, row)
	must(t, letters.Open(t.Context(), l))
	letters.Only("").Clear(l)
	after := save(t, l)
	if after["Scan"] != nil || after["Photo"] != nil || after["Stamp"] != row["Stamp"] {
		t.Errorf("stored %v", after)
	}
	if len(files.Keys()) != 3 {
		t.Error("Clear deleted an object before the row was written")
	}
	must(t, letters.Committed(t.Context(), l))
	wantObjects(t, "after Committed", files, stamp)
}

func TestNoFlippedBitOfAnObjectIsDelivered(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, _ := sentLetter(t, letters, 1, "ada")
	for column, f := range l.files() {
		good := files.bytes(t, f.Object())
		fails := func(what string, b []byte) {
			t.Helper()
			files.replace(t, f.Object(), b)
			text, err := content(t, *f)
			wantErr(t, column+" "+what, err, rowseal.ErrDecryptionFailed)
			wantPlace(t, err, "letters", "1", strings.ToLower(column)+"_file", 1)
			if text != "" {
				t.Errorf("%s, %s: %q", column, what, text)
			}
		}
		flipped(good, func(bit int, b []byte) { fails(fmt.Sprint("bit ", bit), b) })
		for n := range good {
			fails(fmt.Sprint("cut to ", n), good[:n])
		}
		fails("with a byte more", append(bytes.Clone(good), 0))
		files.replace(t, f.Object(), good)
		wantContent(t, column, *f, strings.ToLower(column)+" of ada")
	}
}

// A reference is JSON and has base64 in it, which have other spellings; what opens is what was sealed, with its own name.
func TestAFlippedBitOfAReferenceOpensOnlyAsTheSameFile(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	l, row := sentLetter(t, letters, 1, "ada")
	want, err := l.Scan.Info()
	must(t, err)
	opened := 0
	flipped([]byte(textOfValue(row["Scan"])), func(bit int, b []byte) {
		l := load[letter](t, 1, row.with("Scan", string(b)))
		must(t, letters.Open(t.Context(), l))
		info, infoErr := l.Scan.Info()
		if infoErr == nil && info != want {
			t.Errorf("bit %d: %+v", bit, info)
		}
		text, err := content(t, l.Scan)
		switch {
		case err == nil && (text != "scan of ada" || infoErr != nil):
			t.Errorf("bit %d: %q with %+v, %v", bit, text, info, infoErr)
		case err == nil:
			opened++
		case !errors.Is(err, rowseal.ErrDecryptionFailed) && !errors.Is(err, store.ErrNotFound):
			t.Errorf("bit %d: %v", bit, err)
		}
	})
	if opened > 8*len(textOfValue(row["Scan"]))/10 {
		t.Errorf("%d of the flipped references opened", opened)
	}
}

func TestWhatIsNoReferenceIsNoFile(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	for _, text := range []string{"garbage", "{}", "[]", "null", `{"key":""}`, `{"key":"../../etc/passwd","info":""}`, textOfValue(row["Subject"])} {
		l := load[letter](t, 1, row.with("Scan", text))
		must(t, letters.Open(t.Context(), l))
		for what, err := range map[string]error{"Info": second(l.Scan.Info()), "Open": second(content(t, l.Scan))} {
			wantErr(t, what+" of "+text, err, rowseal.ErrDecryptionFailed)
			wantPlace(t, err, "letters", "1", "scan_file", 1)
		}
	}
}

// The files of two rows, two columns under one key and a third under another: each reference in each other place, and each
// object under each other's key.
func TestAMovedFileOpensNowhere(t *testing.T) {
	type place struct {
		id     int64
		column string
	}
	for _, test := range []struct {
		binding  rowseal.Binding
		enforced bool
	}{{rowseal.BindColumn, true}, {rowseal.BindRow, true}, {rowseal.BindRow, false}} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			files := &objects{}
			letters := newModel[letter](t, "letters", ringOf(t, &kmstest.Fake{IgnoreContext: !test.enforced}),
				&rowseal.Options{Binding: test.binding, Store: files})
			rows, references, contents := map[int64]stored{}, map[place]any{}, map[place][]byte{}
			for id := int64(1); id <= 2; id++ {
				l, row := sentLetter(t, letters, id, fmt.Sprint("row", id))
				rows[id] = row
				for column, f := range l.files() {
					references[place{id, column}], contents[place{id, column}] = row[column], files.bytes(t, f.Object())
				}
			}
			for from := range references {
				for to := range references {
					if from == to {
						continue
					}
					l := load[letter](t, to.id, rows[to.id].with(to.column, references[from]))
					must(t, letters.Open(t.Context(), l))
					wantErr(t, fmt.Sprint(from, " as ", to), second(content(t, *l.files()[to.column])), rowseal.ErrDecryptionFailed)
					wantErr(t, fmt.Sprint(from, " as ", to), second(l.files()[to.column].Info()), rowseal.ErrDecryptionFailed)

					l = load[letter](t, to.id, rows[to.id])
					must(t, letters.Open(t.Context(), l))
					f := l.files()[to.column]
					files.replace(t, f.Object(), contents[from])
					wantErr(t, fmt.Sprint("object of ", from, " as ", to), second(content(t, *f)), rowseal.ErrDecryptionFailed)
					files.replace(t, f.Object(), contents[to])
				}
			}
		})
	}
}

// Under one key and in one column: who can write to the store or the column cannot give a file the bytes or the name of the one
// before it. The whole reference of an older one is another matter, as long as its object is there.
func TestTheOlderFileOfTheSameColumnDoesNotStandInForTheNewer(t *testing.T) {
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow} {
		files := &objects{}
		letters := newModel[letter](t, "letters", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Binding: binding, Store: files})
		l, before := sentLetter(t, letters, 1, "ada")
		old := files.bytes(t, l.Scan.Object())
		setFile(&l.Scan, "scan of eve", "eve.pdf") // of the same length
		after := sealed(t, letters, l)
		fails := func(what string, row stored) {
			t.Helper()
			l := load[letter](t, 1, row)
			must(t, letters.Open(t.Context(), l))
			wantErr(t, what, second(content(t, l.Scan)), rowseal.ErrDecryptionFailed)
		}
		var older, newer struct{ Key, Info string }
		must(t, json.Unmarshal([]byte(textOfValue(before["Scan"])), &older))
		must(t, json.Unmarshal([]byte(textOfValue(after["Scan"])), &newer))
		fails("the older object under the newer description", after.with("Scan", fmt.Sprintf(`{"key":%q,"info":%q}`, older.Key, newer.Info)))
		fails("the newer object under the older description", after.with("Scan", fmt.Sprintf(`{"key":%q,"info":%q}`, newer.Key, older.Info)))
		files.replace(t, l.Scan.Object(), old)
		fails("the older object under the newer key", after)
	}
}

func TestAFilesDescriptionIsNotAFileNorAFileADescription(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, row := sentLetter(t, letters, 1, "ada")
	var reference struct{ Key, Info string }
	must(t, json.Unmarshal([]byte(textOfValue(row["Scan"])), &reference))
	object, info := files.bytes(t, l.Scan.Object()), mime64.Decode(reference.Info)
	files.replace(t, l.Scan.Object(), info)
	_, err := content(t, l.Scan)
	wantErr(t, "the description as the file", err, rowseal.ErrDecryptionFailed)

	files.replace(t, l.Scan.Object(), object)
	l = load[letter](t, 1, row.with("Scan", fmt.Sprintf(`{"key":%q,"info":%q}`, reference.Key, base64.StdEncoding.EncodeToString(object))))
	must(t, letters.Open(t.Context(), l))
	_, err = l.Scan.Info()
	wantErr(t, "the file as its description", err, rowseal.ErrDecryptionFailed)
}

func TestAMissingObjectSaysWhatToDo(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, _ := sentLetter(t, letters, 1, "ada")
	must(t, files.Memory.Delete(t.Context(), l.Scan.Object()))
	_, err := content(t, l.Scan)
	wantErr(t, "Open", err, store.ErrNotFound)
	wantPlace(t, err, "letters", "1", "scan_file", 1)
	wantMessage(t, err, l.Scan.Object(), "if the file was replaced since, load the row again")
	_, err = l.Scan.Info()
	must(t, err)
}

func TestAStoreThatFailsIsNotTakenForAMissingFile(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{}, files)
	l, _ := sentLetter(t, letters, 1, "ada")
	files.get = func(string) error { return store.ErrUnavailable }
	_, err := content(t, l.Scan)
	wantErr(t, "Open", err, store.ErrUnavailable)
	wantPlace(t, err, "letters", "1", "scan_file", 1)
	files.get = nil
	_, err = l.Scan.Open(cancelled(t))
	wantErr(t, "Open", err, context.Canceled)
}

func TestAFileAboveTheLimitIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	fake, files := &kmstest.Fake{}, &objects{}
	letters := newModel[letter](t, "letters", ringOf(t, fake), &rowseal.Options{Store: files, FileLimit: 100})
	l := &letter{ID: 1}
	l.Subject.Set("subject")
	setFile(&l.Scan, strings.Repeat("x", 101), "")
	unchangedRow(t, "101 bytes", l, lockbox.ErrTooLarge, func() error {
		err := letters.Seal(t.Context(), l)
		wantPlace(t, err, "letters", "1", "scan_file", 0)
		wantMessage(t, err, "100 bytes", "Options.FileLimit")
		return err
	})
	wantRequests(t, "101 bytes", fake, 0, 0)
	wantObjects(t, "101 bytes", files)

	for column := range l.files() { // at the limit, also where the file is padded
		setFile(l.files()[column], strings.Repeat("x", 100), "")
	}
	must(t, letters.Seal(t.Context(), l))
	for column, f := range l.files() {
		wantContent(t, column, *f, strings.Repeat("x", 100))
	}
}

func TestAnObjectAboveALowerLimitIsRefusedBeforeItIsRead(t *testing.T) {
	fake, files := &kmstest.Fake{}, &objects{}
	ring := ringOf(t, fake)
	l := &letter{ID: 1}
	setFile(&l.Scan, strings.Repeat("x", 1000), "")
	row := sealed(t, newModel[letter](t, "letters", ring, &rowseal.Options{Store: files}), l)
	low := newModel[letter](t, "letters", ring, &rowseal.Options{Store: files, FileLimit: 100})
	l = load[letter](t, 1, row)
	must(t, low.Open(t.Context(), l))
	_, err := content(t, l.Scan)
	wantErr(t, "Open", err, store.ErrTooLarge)
}

// failing gives some bytes and then an error.
type failing struct {
	text io.Reader
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.text.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func TestAReaderThatFailsMidwayIsNeverTakenForTheWholeFile(t *testing.T) {
	fake, files := &kmstest.Fake{}, &objects{}
	letters := lettersOf(t, fake, files)
	broken := errors.New("connection reset")
	reader := &failing{strings.NewReader("half of the f"), broken}
	l := &letter{ID: 1}
	l.Scan.Set(reader, rowseal.FileInfo{})
	for range 2 { // the second time the reader is at its end
		unchangedRow(t, "Seal", l, broken, func() error {
			err := letters.Seal(t.Context(), l)
			wantPlace(t, err, "letters", "1", "scan_file", 0)
			return err
		})
		reader.err = io.EOF
	}
	wantErr(t, "Rekey", letters.Rekey(t.Context(), l), broken)
	wantObjects(t, "a broken reader", files)
	wantRequests(t, "a broken reader", fake, 0, 0)

	setFile(&l.Scan, "the whole file", "")
	must(t, letters.Seal(t.Context(), l))
	wantContent(t, "set again", l.Scan, "the whole file")
}

func TestEachColumnCanHaveAStoreOfItsOwn(t *testing.T) {
	files, stamps := &objects{}, &objects{}
	letters := newModel[letter](t, "letters", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		Store: files, Stores: map[string]store.Store{"stamp_file": stamps},
	})
	l, _ := sentLetter(t, letters, 1, "ada")
	wantObjects(t, "the others", files, l.Scan.Object(), l.Photo.Object())
	wantObjects(t, "the stamps", stamps, l.Stamp.Object())
	wantLetter(t, l, "ada")
}

func TestAFileLimitIsANumberOfBytes(t *testing.T) {
	for _, limit := range []int64{-1, math.MinInt64, math.MaxInt64} {
		_, err := rowseal.NewModel[letter]("letters", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Store: &objects{}, FileLimit: limit})
		wantErr(t, fmt.Sprint(limit), err, kms.ErrInvalidRequest)
		wantMessage(t, err, "Options.FileLimit is", fmt.Sprint(limit))
	}
}

func TestAFileColumnNeedsAStore(t *testing.T) {
	_, err := rowseal.NewModel[letter]("letters", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		Stores: map[string]store.Store{"scan_file": &storetest.Memory{}},
	})
	wantErr(t, "NewModel", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "photo_file refers to files; give their store in Options.Store")
}

func TestAFileColumnThatWasNotLoadedOpensNothing(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	for name, spoil := range map[string]func(stored){
		"is NULL":        func(s stored) { s["EncryptedKMSKey"] = nil },
		"was not loaded": func(s stored) { delete(s, "EncryptedKMSKey") },
	} {
		row := row.with("Subject", nil)
		spoil(row)
		err := letters.Open(t.Context(), load[letter](t, 1, row))
		wantErr(t, name, err, rowseal.ErrNoKey)
		wantPlace(t, err, "letters", "1", "scan_file", 0)
		wantMessage(t, err, "key column encrypted_kms_key "+name+" beside a ciphertext")
	}
}

func TestAFileThatIsNotTheRowsIsNotSavedBesideItsKey(t *testing.T) {
	files := &objects{}
	letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
	_, adas := sentLetter(t, letters, 1, "ada")
	_, eves := sentLetter(t, letters, 2, "eve")
	eve := load[letter](t, 2, eves.with("Scan", adas["Scan"]))
	eve.Subject.Set("new")
	unchangedRow(t, "Seal", eve, rowseal.ErrDecryptionFailed, func() error {
		err := letters.Seal(t.Context(), eve)
		wantPlace(t, err, "letters", "2", "scan_file", 1)
		wantMessage(t, err, "load the row again, or set the field too")
		return err
	})
	setFile(&eve.Scan, "scan of eve", "eve.pdf")
	must(t, letters.Seal(t.Context(), eve))
}

func TestFilesAreNotReadFromText(t *testing.T) {
	var f rowseal.File
	wantErr(t, "UnmarshalText", f.UnmarshalText([]byte("[file: sealed]")), kms.ErrInvalidRequest)
	wantErr(t, "JSON", json.Unmarshal([]byte(`"[file: sealed]"`), &f), kms.ErrInvalidRequest)
	wantErr(t, "Scan", f.Scan(7), kms.ErrInvalidRequest)
}

func TestSettingAFileWithoutAReaderIsAnError(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	l := &letter{ID: 1}
	l.Scan.Set(nil, rowseal.FileInfo{Name: "nothing"})
	err := letters.Seal(t.Context(), l)
	wantErr(t, "Seal", err, kms.ErrInvalidRequest)
	wantPlace(t, err, "letters", "1", "scan_file", 0)
}
