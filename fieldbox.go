package rowseal

import (
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/lockbox"
)

// fieldBox seals and opens the fields that are sealed in one way, under one key.
type fieldBox interface {
	seal(f *Field, plaintext, ad []byte) (cells, error)
	// open tells report of a form that is not safe.
	open(f *Field, c cells, ad []byte, report func(form string)) ([]byte, error)
}

// cells are what the columns of a field hold: one of Lockbox, up to three of attr_encrypted.
type cells struct {
	value, iv, salt column
}

// scheme makes the box of a key.
type scheme func(key []byte) (fieldBox, error)

// lockboxField is the scheme of Lockbox.
func lockboxField(opts lockbox.Options) scheme {
	return func(key []byte) (fieldBox, error) {
		box, err := lockbox.New(key, &opts)
		return lockboxBox{box}, err
	}
}

type lockboxBox struct{ box *lockbox.Box }

func (b lockboxBox) seal(f *Field, plaintext, ad []byte) (cells, error) {
	sealed, err := b.box.WithFormat(f.Format).Encrypt(plaintext, ad)
	return cells{value: f.cell(string(sealed))}, err
}

func (b lockboxBox) open(f *Field, c cells, ad []byte, _ func(string)) ([]byte, error) {
	return b.box.WithFormat(f.Format).Decrypt([]byte(c.value.text), ad)
}

// attrEncryptedField is the scheme of attr_encrypted.
func attrEncryptedField(opts *attrencrypted.Options) scheme {
	return func(key []byte) (fieldBox, error) {
		box, err := attrencrypted.New(key, opts)
		return attrEncryptedBox{box}, err
	}
}

type attrEncryptedBox struct{ box *attrencrypted.Box }

func (b attrEncryptedBox) seal(f *Field, plaintext, _ []byte) (cells, error) {
	v, err := b.box.Encrypt(plaintext)
	if err != nil {
		return cells{}, err
	}
	c := cells{value: f.cell(v.Ciphertext), iv: column{kind: isNull}, salt: column{kind: isNull}}
	if v.HasIV {
		c.iv = partOf(f.AttrEncrypted.EncodeIV, v.IV)
	}
	if v.HasSalt {
		c.salt = partOf(f.AttrEncrypted.EncodeSalt, v.Salt)
	}
	return c, nil
}

func (b attrEncryptedBox) open(_ *Field, c cells, _ []byte, report func(string)) ([]byte, error) {
	plaintext, form, err := b.box.Decrypt(attrencrypted.Value{
		Ciphertext: c.value.text,
		IV:         c.iv.text, HasIV: !c.iv.isNone(),
		Salt: c.salt.text, HasSalt: !c.salt.isNone(),
	})
	if err == nil && form.Insecure() {
		report(form.String())
	}
	return plaintext, err
}

func partOf(e attrencrypted.Encoding, text string) column {
	if e == attrencrypted.Raw {
		return column{kind: isBytes, text: text}
	}
	return column{kind: isText, text: text}
}

// ivAndSalt tells which columns of their own a mode has.
func ivAndSalt(mode attrencrypted.Mode) (iv, salt bool) {
	switch mode {
	case attrencrypted.SingleIVAndSalt:
		return false, false
	case attrencrypted.PerAttributeIVAndSalt:
		return true, true
	default:
		return true, false
	}
}
