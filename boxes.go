package rowseal

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/lockbox"
)

// openedKey is an unwrapped data key: the boxes of everything that is sealed under it. A master key has the boxes of its
// derived keys instead.
type openedKey struct {
	boxes []fieldBox // by boxNumbers; nil where nothing opens
	row   identity
	print *fingerprint
}

// fingerprint is nil for a key that is not open, and for master keys.
func (k *openedKey) fingerprint() *fingerprint {
	if k == nil {
		return nil
	}
	return k.print
}

// in is the same key in a row that is named in another way.
func (k *openedKey) in(row identity) *openedKey {
	return &openedKey{boxes: k.boxes, row: row, print: k.print}
}

// fingerprint tells data keys apart, and is the same for every wrapping of one. A hash of 256 random bits gives none of them away.
type fingerprint [sha256.Size]byte

func (p *fingerprint) isSame(other *fingerprint) bool {
	return p == other || p != nil && other != nil && subtle.ConstantTimeCompare(p[:], other[:]) == 1
}

func fingerprintOf(secret []byte) *fingerprint {
	const label = "rowseal data key"
	labelled := append(make([]byte, 0, len(label)+lockbox.KeySize), label...)
	labelled = append(labelled, secret...)
	defer clear(labelled)
	print := fingerprint(sha256.Sum256(labelled))
	return &print
}

// newOpenedKey does not keep secret: the caller clears it.
func newOpenedKey(secret []byte, schemes []scheme, row identity) (*openedKey, error) {
	if len(secret) != lockbox.KeySize {
		return nil, fmt.Errorf("the wrapped key holds %d bytes and a data key has %d: %w", len(secret), lockbox.KeySize, ErrDecryptionFailed)
	}
	boxes := make([]fieldBox, len(schemes))
	for i, s := range schemes {
		box, err := s(secret)
		if err != nil {
			return nil, err
		}
		boxes[i] = box
	}
	return &openedKey{boxes, row, fingerprintOf(secret)}, nil
}

// target is something sealed: a field, a file or an attachment.
type target struct {
	name   string // its column or, of an attachment, its name
	key    string
	scheme scheme
	share  string             // targets of one key with the same share have one box; "": its own
	derive [2]string          // the names of which a master key's key is derived
	early  []lockbox.Previous // how it opens in rows that have no data key yet
}

// plainTarget is sealed in Lockbox's format with nothing special.
func (s *Schema) plainTarget(name, key string, a lockbox.Algorithm) target {
	return target{
		name: name, key: key, share: "lockbox " + string(cmp.Or(a, lockbox.AESGCM)),
		scheme: lockboxField(lockbox.Options{Algorithm: a}), derive: [2]string{s.Table, name},
	}
}

// makeBoxes finds out which boxes each key needs, and makes those of master keys. A scheme that cannot work, or may not
// under FIPS 140-3, is refused here and not with the first row.
func (e *engine) makeBoxes(opts *Options) error {
	for i := range e.schema.Fields {
		t, err := e.fieldTarget(&e.schema.Fields[i], opts)
		if err != nil {
			return err
		}
		k, err := e.addBox(t, &e.boxOf.field, opts)
		if err != nil {
			return err
		}
		k.fields = append(k.fields, i)
	}
	for i, f := range e.schema.Files {
		k, err := e.addBox(e.schema.plainTarget(f.Column, f.Key, f.Algorithm), &e.boxOf.file, opts)
		if err != nil {
			return err
		}
		k.files = append(k.files, i)
	}
	for _, a := range e.schema.Attachments {
		t := e.schema.plainTarget(a.Name, a.Key, a.Algorithm)
		t.derive = [2]string{cmp.Or(a.KeyTable, e.schema.Table), cmp.Or(a.KeyAttribute, a.Name)}
		if _, err := e.addBox(t, &e.boxOf.attachment, opts); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) fieldTarget(f *Field, opts *Options) (target, error) {
	t := e.schema.plainTarget(f.Column, f.Key, f.Algorithm)
	t.derive = [2]string{cmp.Or(f.KeyTable, e.schema.Table), cmp.Or(f.KeyAttribute, f.Column)}
	if f.AttrEncrypted != nil {
		t.share, t.scheme = "", attrEncryptedField(f.AttrEncrypted)
		if (f.AttrEncrypted.AllowCBC || f.AttrEncrypted.AllowIgnoredIV) && opts.OnInsecure == nil {
			return t, e.schema.invalid("%s allows a form that is not safe, whose use is told to Options.OnInsecure, which is nil", f.Column)
		}
		return t, nil
	}
	previous := make([]lockbox.Previous, len(f.Previous))
	for i, p := range f.Previous {
		v := lockbox.Previous{Algorithm: p.Algorithm, Padding: p.Padding, AssociatedData: append([]byte{}, p.AssociatedData...)}
		if p.MasterKey != "" {
			key, err := opts.attributeKey(p.MasterKey, [2]string{cmp.Or(p.KeyTable, e.schema.Table), cmp.Or(p.KeyAttribute, f.Column)})
			if err != nil {
				return t, e.schema.invalid("%s: %w", f.Column, err)
			}
			v.Key = key
			t.early = append(t.early, v)
		}
		previous[i] = v
	}
	if len(previous) > 0 {
		t.share, t.scheme = "", lockboxField(lockbox.Options{Algorithm: f.Algorithm, Previous: previous})
	}
	return t, nil
}

// addBox gives the target a box of its key and notes the box's number.
func (e *engine) addBox(t target, numbers *[]int, opts *Options) (*engineKey, error) {
	k := &e.keys[slices.IndexFunc(e.keys, func(k engineKey) bool { return k.name == t.key })]
	secret := make([]byte, lockbox.KeySize)
	if k.master != nil {
		var err error
		if secret, err = opts.attributeKey(t.key, t.derive); err != nil {
			return nil, e.schema.invalid("%s: %w", t.name, err)
		}
	}
	box, err := t.scheme(secret) // of a key column: to see that it can be made
	if err != nil {
		return nil, e.schema.invalid("%s: %w", t.name, err)
	}
	if k.master != nil {
		k.master.boxes = append(k.master.boxes, box)
		*numbers = append(*numbers, len(k.master.boxes)-1)
		return k, nil
	}
	number := slices.Index(k.shares, t.share)
	if number < 0 || t.share == "" {
		number = len(k.schemes)
		k.schemes, k.shares = append(k.schemes, t.scheme), append(k.shares, t.share)
	}
	*numbers = append(*numbers, number)
	return k, k.addEarly(number, t)
}

// addEarly makes the box of a field in rows that have no data key yet.
func (k *engineKey) addEarly(number int, t target) error {
	if len(t.early) == 0 {
		return nil
	}
	nobodys := make([]byte, lockbox.KeySize) // the box needs a key, and nothing was sealed under this one
	rand.Read(nobodys)
	box, err := lockboxField(lockbox.Options{Previous: t.early})(nobodys)
	if err != nil {
		return err
	}
	if k.early == nil {
		k.early = &openedKey{}
	}
	for len(k.early.boxes) <= number {
		k.early.boxes = append(k.early.boxes, nil)
	}
	k.early.boxes[number] = box
	return nil
}

// master returns a master key by name.
func (o *Options) master(name string) (*MasterKey, error) {
	if key := o.MasterKeys[name]; key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("the master key %q is not in Options.MasterKeys", name)
}

// attributeKey is the key that is derived of a named master key.
func (o *Options) attributeKey(master string, derive [2]string) ([]byte, error) {
	key, err := o.master(master)
	if err != nil {
		return nil, err
	}
	attribute, err := key.attributeKey(derive[0], derive[1])
	if err != nil {
		return nil, fmt.Errorf("master key %q: %w", master, err)
	}
	return attribute, nil
}

// boxNumbers say which of its key's boxes a field, file or attachment has.
type boxNumbers struct {
	field, file, attachment []int
}

// box returns a box by number, nil if the key has none there.
func (k *openedKey) box(number int) fieldBox {
	if k == nil || number >= len(k.boxes) {
		return nil
	}
	return k.boxes[number]
}

// fileBox is the box of a file or attachment, whose format is always Lockbox's.
func (k *openedKey) fileBox(number int) (*lockbox.Box, error) {
	box, ok := k.box(number).(lockboxBox)
	if !ok {
		return nil, ErrNoKey
	}
	return box.box, nil
}
