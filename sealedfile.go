package rowseal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
)

// sealedFile is how a file opens.
type sealedFile struct {
	reference column
	schema    FileColumn
	ad        []byte
	adErr     error
	source    func() *openedKey
	number    int // of the box
	store     store.Store
	limit     int64
	place     *Error
	owner     string // of the object: its place
}

func (s *sealedFile) placed(err error) error {
	if err == nil {
		return nil
	}
	return s.place.at(s.schema.Column, err)
}

// format is that of the object.
func (s *sealedFile) format() lockbox.Format {
	return lockbox.Format{Raw: true, Padding: s.schema.Padding}
}

// about is the associated data of a part of the file: that of the column with the part's name. The object's part is its
// own key, so that an older object under another key does not open in its place.
func (s *sealedFile) about(part string) []byte {
	if s.ad == nil {
		return nil
	}
	return append(s.ad[:len(s.ad):len(s.ad)], "/"+part...)
}

func (s *sealedFile) box() (*lockbox.Box, error) {
	if s.adErr != nil {
		return nil, s.adErr
	}
	key := s.source()
	if key == nil {
		return nil, ErrNotOpened // wiped since
	}
	return key.fileBox(s.number)
}

// describe opens what the column says of the file.
func (s *sealedFile) describe() (info FileInfo, err error) {
	box, err := s.box()
	if err != nil {
		return info, err
	}
	var ref fileReference
	switch {
	case json.Unmarshal([]byte(s.reference.text), &ref) != nil:
		return info, fmt.Errorf("the column holds no reference to a file: %w", ErrDecryptionFailed)
	case ref.Form != "":
		return info, fmt.Errorf("the file has the form %.20q, which only a later version of rowseal reads: %w", ref.Form, kms.ErrInvalidRequest)
	}
	text, err := box.Decrypt([]byte(ref.Info), s.about("info"))
	if err != nil {
		return info, err
	}
	var d description
	if json.Unmarshal(text, &d) != nil || d.Object != ref.Key {
		return info, ErrDecryptionFailed
	}
	return d.FileInfo, nil
}

// read gets the object and opens it.
func (s *sealedFile) read(ctx context.Context) ([]byte, error) {
	box, err := s.box()
	if err != nil {
		return nil, err
	}
	info, err := s.describe()
	if err != nil {
		return nil, err
	}
	object := objectOf(s.reference)
	ciphertext, err := s.store.Get(ctx, object, s.limit+fileOverhead+int64(s.schema.Padding))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w; if the file was replaced since, load the row again", err)
	}
	if err != nil {
		return nil, limited(err)
	}
	content, err := box.WithFormat(s.format()).Decrypt(ciphertext, s.about(object))
	if err == nil && int64(len(content)) != info.Size {
		err = ErrDecryptionFailed
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

// fileOverhead is more than any algorithm adds to a file, in bytes.
const fileOverhead = 64

// fileWrite is a file on its way to its store.
type fileWrite struct {
	file      int  // of schema.Files
	kept      bool // the file is the one that the row had
	info      FileInfo
	content   []byte
	object    string // its key, once stored
	sealed    []byte
	reference column
}

// readFile reads a file that was set.
func (k *rowKey) readFile(i int) (*fileWrite, error) {
	set := k.rec.file(i).c.set
	content, err := set.content(k.limit)
	if err != nil {
		return nil, err
	}
	w := &fileWrite{file: i, info: set.info(), content: content}
	w.info.Size = int64(len(content))
	return w, nil
}

// fileOf says how a file of the row opens: under key or, if that is nil, under the one that the row has when it is asked.
func (k *rowKey) fileOf(i int, key *openedKey) *sealedFile {
	source := func() *openedKey { return key }
	if key == nil {
		source = k.source()
	}
	s := &sealedFile{
		reference: k.rec.file(i).sealed(), schema: k.schema.Files[i], source: source, number: k.boxOf.file[i],
		store: k.stores[i], limit: k.limit, place: k.where(),
	}
	s.ad, s.adErr = k.schema.bound(s.schema.Column, s.schema.AssociatedData, k.id)
	s.owner = k.owner(i)
	return s
}

// showOwner notes that the object which the row was loaded with is the row's, if its description opens under the key.
func (k *rowKey) showOwner(i int, key *openedKey) {
	file := k.rec.file(i)
	if key == nil || file.c == nil || file.c.owner != "" || !file.c.loaded.filled() {
		return
	}
	s := k.fileOf(i, key)
	s.reference = file.c.loaded
	if _, err := s.describe(); err == nil {
		file.belongsTo(k.owner(i))
	}
}

// owner names the column and the row of a file, "" for a row that has no id yet.
func (k *rowKey) owner(i int) string {
	id, err := k.id()
	if err != nil {
		return ""
	}
	return k.schema.Files[i].Column + ":" + id
}

func (k *rowKey) sealFile(w *fileWrite) error {
	s := k.fileOf(w.file, k.opened)
	box, err := s.box()
	if err != nil {
		return err
	}
	w.object = store.NewKey()
	info, err := json.Marshal(description{w.info, w.object})
	if err != nil {
		return err
	}
	sealedInfo, err := box.Encrypt(info, s.about("info"))
	if err != nil {
		return err
	}
	if w.sealed, err = box.WithFormat(s.format()).Encrypt(w.content, s.about(w.object)); err != nil {
		return err
	}
	reference, err := json.Marshal(fileReference{Key: w.object, Info: string(sealedInfo)})
	w.reference = column{kind: isText, text: string(reference)}
	return err
}

// findStores finds the store of every file column.
func (e *engine) findStores(opts *Options) error {
	switch {
	case e.limit == 0:
		e.limit = lockbox.DefaultFileLimit
	case e.limit < 0 || e.limit > maxFileLimit:
		return e.schema.invalid("Options.FileLimit is %d; give a number of bytes from 1 to %d, or 0 for %d", e.limit, maxFileLimit, lockbox.DefaultFileLimit)
	}
	for column := range opts.Stores {
		if !slices.ContainsFunc(e.schema.Files, func(f FileColumn) bool { return f.Column == column }) {
			return e.schema.invalid("Options.Stores has a store of %s, which is no column of a file", column)
		}
	}
	for _, f := range e.schema.Files {
		s := opts.Stores[f.Column]
		if s == nil {
			s = opts.Store
		}
		if s == nil {
			return e.schema.invalid("%s refers to files; give their store in Options.Store", f.Column)
		}
		e.stores = append(e.stores, s)
	}
	return nil
}

// maxFileLimit is beyond what any machine holds in memory, in bytes.
const maxFileLimit = 1 << 40

// filesAtOnce bounds how many objects of a call are on their way.
const filesAtOnce = 8

// putFiles stores the objects of rows that have no error so far. Of a row that gets one now, none stays.
func (e *engine) putFiles(ctx context.Context, work []*rowKey) {
	failed := failedRows(work)
	var keys []*rowKey
	for _, k := range work {
		if !failed[k.row] && len(k.loads) > 0 {
			keys = append(keys, k)
		}
	}
	atOnce(len(keys), filesAtOnce, func(i int) {
		k := keys[i]
		for _, w := range k.loads {
			if err := k.stores[w.file].Put(ctx, w.object, w.sealed); err != nil {
				k.err = k.at(k.schema.Files[w.file].Column, err)
				return
			}
		}
	})
	failed = failedRows(work)
	for _, k := range keys {
		if failed[k.row] {
			k.removeFiles(ctx)
		}
	}
}

// removeFiles deletes what was stored for a row that is not changed. What cannot be deleted is garbage and no harm.
func (k *rowKey) removeFiles(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	for _, w := range k.loads {
		if w.object != "" {
			_ = k.stores[w.file].Delete(ctx, w.object) // also of a Put that failed: it may have stored all the same
		}
	}
}

// names tells whether a file column of the row refers to an object.
func (k *rowKey) names(key string) bool {
	for i := range k.schema.Files {
		if c := k.rec.file(i).c; c != nil && (objectOf(c.reference) == key || objectOf(c.loaded) == key) {
			return true
		}
	}
	return false
}

// settle tells the rows that the database has what they have or, with abandoned, never will, and deletes the objects
// that nobody refers to any more.
func (e *engine) settle(ctx context.Context, records []record, abandoned bool) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, func(k *rowKey) error {
		var errs []error
		for _, i := range k.files() {
			garbage := (*File).committed
			if abandoned {
				garbage = (*File).abandoned
			}
			file := k.rec.file(i)
			for _, key := range garbage(file, k.owner(i)) {
				if k.names(key) {
					continue
				}
				if err := k.stores[i].Delete(ctx, key); err != nil {
					errs = append(errs, k.at(k.schema.Files[i].Column, err))
					file.change(func(c *fileCell) { c.written = append(slices.Clip(c.written), object{key, k.owner(i)}) }) // for the next time
				}
			}
		}
		if !abandoned {
			k.committed()
		}
		return errors.Join(errs...)
	})
	return batchError(work, len(records))
}
