package rowseal_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/store/storetest"
)

// objects is a store that notes its calls and fails as it is told.
type objects struct {
	storetest.Memory
	put, get, del func(key string) error // nil: none fails
	late          bool                   // a Put that fails has stored all the same

	mu    sync.Mutex
	calls []string
}

func (o *objects) Put(ctx context.Context, key string, data []byte) error {
	err := o.note("put", key, o.put)
	if err == nil || o.late {
		if stored := o.Memory.Put(ctx, key, data); stored != nil {
			return stored
		}
	}
	return err
}

func (o *objects) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := o.note("get", key, o.get); err != nil {
		return nil, err
	}
	return o.Memory.Get(ctx, key, limit)
}

func (o *objects) Delete(ctx context.Context, key string) error {
	if err := o.note("delete", key, o.del); err != nil {
		return err
	}
	return o.Memory.Delete(ctx, key)
}

func (o *objects) note(op, key string, fault func(string) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, op+" "+key)
	if fault == nil {
		return nil
	}
	return fault(key)
}

// since returns the calls since the last time.
func (o *objects) since() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls
	o.calls = nil
	return calls
}

// replace puts other bytes under a key, as whoever can write to the store can.
func (o *objects) replace(tb testing.TB, key string, data []byte) {
	tb.Helper()
	must(tb, o.Memory.Delete(tb.Context(), key))
	must(tb, o.Memory.Put(tb.Context(), key, data))
}

func (o *objects) bytes(tb testing.TB, key string) []byte {
	tb.Helper()
	data, err := o.Memory.Get(tb.Context(), key, 1<<30)
	must(tb, err)
	return data
}

// wantObjects demands that the store has these objects and no others.
func wantObjects(tb testing.TB, what string, o *objects, want ...string) {
	tb.Helper()
	slices.Sort(want)
	if got := o.Keys(); !slices.Equal(got, want) {
		tb.Errorf("%s: the store has %q, want %q", what, got, want)
	}
}

// letter has two files and a field under one key, and a file under another.
type letter struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Subject         rowseal.Sealed[string]
	Scan            rowseal.File
	Photo           rowseal.File    `rowseal:"padding=64"`
	KMSKeyStamp     rowseal.DataKey `rowseal:"name=stamp"`
	Stamp           rowseal.File    `rowseal:"key=stamp"`
}

const letterType = "application/pdf"

func newLetter(id int64, name string) *letter {
	l := &letter{ID: id}
	l.Subject.Set("subject of " + name)
	setFile(&l.Scan, "scan of "+name, name+".pdf")
	setFile(&l.Photo, "photo of "+name, name+".jpg")
	setFile(&l.Stamp, "stamp of "+name, name+".png")
	return l
}

func setFile(f *rowseal.File, content, name string) {
	f.Set(strings.NewReader(content), rowseal.FileInfo{Name: name, ContentType: letterType})
}

func lettersOf(tb testing.TB, s kms.Service, o *objects) *rowseal.Model[letter] {
	tb.Helper()
	return newModel[letter](tb, "letters", ringOf(tb, s), &rowseal.Options{Store: o})
}

// sentLetter is a letter that was sealed and committed.
func sentLetter(tb testing.TB, letters *rowseal.Model[letter], id int64, name string) (*letter, stored) {
	tb.Helper()
	l := newLetter(id, name)
	row := sealed(tb, letters, l)
	must(tb, letters.Committed(tb.Context(), l))
	return l, row
}

func (l *letter) objects() []string {
	return []string{l.Scan.Object(), l.Photo.Object(), l.Stamp.Object()}
}

func (l *letter) files() map[string]*rowseal.File {
	return map[string]*rowseal.File{"Scan": &l.Scan, "Photo": &l.Photo, "Stamp": &l.Stamp}
}

// content is what File.Open gives.
func content(tb testing.TB, f rowseal.File) (string, error) {
	tb.Helper()
	r, err := f.Open(tb.Context())
	if err != nil {
		if r != nil {
			tb.Errorf("a reader came with %v", err)
		}
		return "", err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	must(tb, err)
	must(tb, r.Close())
	return b.String(), nil
}

func wantContent(tb testing.TB, what string, f rowseal.File, want string) {
	tb.Helper()
	if got, err := content(tb, f); got != want || err != nil {
		tb.Errorf("%s is %.40q, %v; want %.40q", what, got, err, want)
	}
}

// wantLetter demands that everything of a letter opens to what newLetter has set.
func wantLetter(tb testing.TB, l *letter, name string) {
	tb.Helper()
	if subject, err := l.Subject.Get(); subject != "subject of "+name || err != nil {
		tb.Errorf("the subject is %q, %v", subject, err)
	}
	for column, f := range l.files() {
		wantContent(tb, column, *f, strings.ToLower(column)+" of "+name)
		info, err := f.Info()
		if err != nil || !strings.HasPrefix(info.Name, name+".") || info.ContentType != letterType {
			tb.Errorf("%s is described as %+v, %v", column, info, err)
		}
	}
}

// unchangedRow runs a call that must fail and demands that every column would be written, or refused, as before.
func unchangedRow(tb testing.TB, what string, row any, want error, call func() error) {
	tb.Helper()
	before := values(row)
	wantErr(tb, what, call(), want)
	if now := values(row); !sameValues(before, now) {
		tb.Errorf("%s: the row is now %v, and was %v", what, now, before)
	}
}
