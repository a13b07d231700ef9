package rowseal

import "fmt"

// InsecureForm is a value that opened, and whose form does not protect it: attr_encrypted's CBC, which nothing
// authenticates, or one with the same nonce in every row. Options.OnInsecure is told of each. Set the field and seal the
// row to bring it into a safe form.
type InsecureForm struct {
	Table, ID, Column string
	Form              string // attrencrypted.Form in words
}

// String implements fmt.Stringer.
func (f InsecureForm) String() string {
	return fmt.Sprintf("%s %q %s: %s", f.Table, f.ID, f.Column, f.Form)
}
