package rowseal

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// File is the type of a column that refers to a file outside the database: an object of a store.Store that holds the
// file, sealed under the row's data key in Lockbox's format. The column holds the object's key and, sealed too, the
// file's name, content type and size. A file that shall stay in the row is a Sealed[[]byte] with the tag raw.
//
// Set takes a new file, which Model.Seal reads, seals and stores under a new key before any row refers to it. After the
// transaction that wrote the row, Model.Committed deletes the object that the row referred to before; if there was none,
// or the program dies, an object is left over that nobody refers to, and no row loses its file. Model.Abandoned deletes
// what Seal has stored for rows that will never be written.
//
// A File belongs to its row: in a struct that was copied to be another row, set it anew. Set and SetNull are followed by
// Seal, before the row is saved. Committed deletes only what has been shown to be the row's: an object that Seal has
// stored, or one whose description has opened under the row's key. So what Clear replaces in a row that was never opened
// stays in the store, where nobody can open it any more.
//
// A file is sealed and opened in memory, and nothing is delivered before all of it has been authenticated, so there is a
// limit: Options.FileLimit. Nothing prints what a File holds. Reading a File from several goroutines is safe; Set, Scan
// and the Model's methods change it and need the care of any struct field.
type File struct {
	c *fileCell // never changed, only replaced; nil: NULL
}

// FileInfo describes a file.
type FileInfo struct {
	Name        string `json:"filename"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"byte_size"` // in bytes, of the plaintext; set by Seal
}

// fileCell is the content of a File.
type fileCell struct {
	reference column      // what the column holds; not loaded while set
	set       *newFile    // nil: nothing to be sealed
	sealed    *sealedFile // how it opens; nil: not opened
	changed   bool        // Set or SetNull was called since the last Seal, so that nobody knows what the database has
	loaded    column      // what the database's column holds, as far as the row knows
	owner     string      // of the object that loaded refers to, "" while it is not known
	written   []object    // that Seal has stored since
	perhaps   []object    // that a Committed has seen while the file was changed: the database may have them
}

// object is one in a store, with the place that it belongs to: a column of a row. A struct may be copied to be another
// row, which then must not delete it.
type object struct{ key, owner string }

// newFile is a file that was set. It has closures, because printers and test diffs follow fields.
type newFile struct {
	info func() FileInfo
	// content is what was read. The file is read once, also for copies of the row, so that sealing can be tried again, and
	// what failed in the middle is not taken for a whole file then.
	content func(limit int64) ([]byte, error)
}

func newContent(r io.Reader, info FileInfo) *newFile {
	var once sync.Once
	var content []byte
	var err error
	return &newFile{info: func() FileInfo { return info }, content: func(limit int64) ([]byte, error) {
		once.Do(func() { content, err = readAll(r, limit) })
		return content, err
	}}
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	if r == nil {
		return nil, errNoReader
	}
	content, err := lockbox.ReadFile(r, limit)
	return content, limited(err)
}

var errNoReader = fmt.Errorf("the file was set without a reader: %w", kms.ErrInvalidRequest)

// limited says whose limit it is that a file exceeds.
func limited(err error) error {
	if errors.Is(err, lockbox.ErrTooLarge) {
		return fmt.Errorf("%w (Options.FileLimit is the limit)", err)
	}
	return err
}

// description is what is sealed of a file in its column: also the object's key, so that it describes no other object.
type description struct {
	FileInfo
	Object string `json:"key"`
}

// fileReference is what the column holds, as JSON.
type fileReference struct {
	Form string `json:"form,omitempty"` // "": the object is sealed in one piece; a streaming form will name itself here
	Key  string `json:"key"`            // of the object
	Info string `json:"info"`           // description as JSON, sealed
}

// Set sets a file to be sealed. Model.Seal reads r to its end and keeps the bytes until the file is sealed. Size is
// counted, whatever info says.
func (f *File) Set(r io.Reader, info FileInfo) {
	f.c = f.next(column{})
	f.c.set = newContent(r, info)
}

// SetNull sets NULL.
func (f *File) SetNull() { f.c = f.next(column{kind: isNull}) }

// IsNull tells whether there is no file.
func (f File) IsNull() bool { return !f.isSet() && f.sealed().isNone() }

// Info returns the file's name, content type and size, without reading the file: of NULL the zero FileInfo; ErrNotOpened
// before Model.Open.
func (f File) Info() (FileInfo, error) {
	switch {
	case f.IsNull():
		return FileInfo{}, nil
	case f.isSet():
		return f.c.set.info(), nil
	case f.c.sealed == nil:
		return FileInfo{}, errFileSealed
	}
	info, err := f.c.sealed.describe()
	return info, f.c.sealed.placed(err)
}

// Open reads the file from its store and opens it. Nothing is delivered unless every byte is what was sealed. NULL is an
// empty file; a file that was set and not sealed is ErrUnsealed; before Model.Open it is ErrNotOpened. An object that is
// not there any more, as when another writer has replaced the file since the row was loaded, is store.ErrNotFound.
func (f File) Open(ctx context.Context) (io.ReadSeekCloser, error) {
	switch {
	case f.IsNull():
		return newFileReader(nil), nil
	case f.isSet():
		return nil, fmt.Errorf("rowseal: the file is not sealed; call Model.Seal first: %w", ErrUnsealed)
	case f.c.sealed == nil:
		return nil, errFileSealed
	}
	content, err := f.c.sealed.read(ctx)
	if err != nil {
		return nil, f.c.sealed.placed(err)
	}
	return newFileReader(content), nil
}

var errFileSealed = fmt.Errorf("rowseal: the file is sealed; call Model.Open first: %w", ErrNotOpened)

// fileReader is a file in memory, behind a closure, because printers and test diffs follow fields.
type fileReader struct{ r func() *bytes.Reader }

func newFileReader(content []byte) fileReader {
	r := bytes.NewReader(content)
	return fileReader{func() *bytes.Reader { return r }}
}

func (f fileReader) Read(p []byte) (int, error)                 { return f.r().Read(p) }
func (f fileReader) Seek(offset int64, from int) (int64, error) { return f.r().Seek(offset, from) }
func (f fileReader) WriteTo(w io.Writer) (int64, error)         { return f.r().WriteTo(w) }
func (fileReader) Close() error                                 { return nil }

// Object returns the key of the object in the store that the column refers to, "" for NULL and for a file that is not
// sealed yet.
func (f File) Object() string { return objectOf(f.sealed()) }

// objectOf reads the key in a reference; what is no reference has none.
func objectOf(c column) string {
	var ref fileReference
	if json.Unmarshal([]byte(c.text), &ref) != nil {
		return ""
	}
	return ref.Key
}

// Scan implements sql.Scanner for NULL, text and bytes. It opens nothing.
func (f *File) Scan(src any) error {
	c, err := scanColumn(src)
	if err != nil {
		return err
	}
	f.c = &fileCell{reference: c, loaded: c}
	return nil
}

// Value implements driver.Valuer: the reference as text, NULL, or ErrUnsealed for a file that is set and not sealed.
func (f File) Value() (driver.Value, error) {
	if f.isSet() {
		return unsealed, fmt.Errorf("rowseal: the file is not sealed; call Model.Seal before saving: %w", ErrUnsealed)
	}
	return f.sealed().value(), nil
}

// GormDataType tells GORM the column's type.
func (File) GormDataType() string { return "text" }

func (f File) isSet() bool { return f.c != nil && f.c.set != nil }

func (f File) sealed() column {
	if f.c == nil {
		return column{}
	}
	return f.c.reference
}

// stored is what the database holds, as far as the row knows.
func (f File) stored() column {
	if f.c == nil {
		return column{}
	}
	return f.c.loaded
}

// next is the cell that follows, which remembers the objects of this one.
func (f *File) next(reference column) *fileCell {
	c := &fileCell{reference: reference, changed: true}
	if f.c != nil {
		c.loaded, c.owner, c.written, c.perhaps = f.c.loaded, f.c.owner, f.c.written, f.c.perhaps
	}
	return c
}

// change changes a copy of the cell, since copies of the File have it too.
func (f *File) change(do func(*fileCell)) {
	if f.c == nil {
		return
	}
	c := *f.c
	do(&c)
	f.c = &c
}

func (f *File) attach(s *sealedFile) { f.change(func(c *fileCell) { c.sealed = s }) }

// belongsTo tells which place the loaded object belongs to, when the row is first seen.
func (f *File) belongsTo(owner string) {
	if f.c != nil && f.c.owner == "" {
		f.change(func(c *fileCell) { c.owner = owner })
	}
}

// sure tells that the row is to be saved as it is.
func (f *File) sure() { f.change(func(c *fileCell) { c.changed = false }) }

// adopt refers to the object that was stored.
func (f *File) adopt(w *fileWrite, s *sealedFile) {
	c := f.next(w.reference)
	c.written = append(slices.Clip(c.written), object{w.object, s.owner})
	c.sealed, c.changed = s, false
	s.reference = w.reference
	f.c = c
}

// forget closes what was opened. A file that is set and not sealed has no other place, and stays.
func (f *File) forget() { f.attach(nil) }

// committed returns the objects of the place that nobody refers to any more, now that the database has what f has.
func (f *File) committed(owner string) (garbage []string) {
	if f.c == nil {
		return nil
	}
	if f.c.changed { // what the database has is not known: it is settled another time
		f.change(func(c *fileCell) { c.perhaps, c.written = slices.Concat(c.perhaps, c.written), nil })
		return nil
	}
	loaded := []object{{objectOf(f.c.loaded), f.c.owner}}
	garbage = of(owner, slices.Concat(f.c.perhaps, f.c.written, loaded), objectOf(f.c.reference))
	f.change(func(c *fileCell) { c.loaded, c.owner, c.written, c.perhaps = c.reference, owner, nil, nil })
	return garbage
}

// of lists the keys of the owner's objects but keep.
func of(owner string, objects []object, keep string) (keys []string) {
	for _, o := range objects {
		if o.key != "" && o.key != keep && o.owner == owner {
			keys = append(keys, o.key)
		}
	}
	return keys
}

// abandoned returns the objects that Seal has stored for the place, and puts back what was loaded.
func (f *File) abandoned(owner string) (garbage []string) {
	if f.c == nil {
		return nil
	}
	garbage = of(owner, f.c.written, objectOf(f.c.loaded))
	f.c = &fileCell{reference: f.c.loaded, loaded: f.c.loaded, owner: f.c.owner}
	return garbage
}

func (f File) redacted() redacted {
	switch {
	case f.IsNull():
		return "[null]"
	case f.c.set != nil:
		return unsealed
	case f.c.sealed != nil:
		return "[file: opened]"
	default:
		return "[file: sealed]"
	}
}

// Format implements fmt.Formatter: every verb prints the state, never the content.
func (f File) Format(s fmt.State, _ rune) { f.redacted().format(s) }

// LogValue implements slog.LogValuer with the state.
func (f File) LogValue() slog.Value { return f.redacted().logValue() }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too, with the state.
func (f File) MarshalText() ([]byte, error) { return f.redacted().text() }

// UnmarshalText refuses: use Set.
func (f *File) UnmarshalText([]byte) error { return errNotFromText("File; use Set") }
