package railstest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
)

// under lists the fields of each key column.
var under = map[string][]string{
	"encrypted_kms_key": {
		"email_ciphertext", "date_of_birth_ciphertext", "balance_ciphertext", "notes_ciphertext", "encrypted_ssn", "license",
	},
	"encrypted_kms_key_phone":  {"phone_ciphertext"},
	"encrypted_kms_key_street": {"street_ciphertext"},
}

// lostWith lists the fields that no longer open if a column has a wrong content.
func lostWith(column string) []string {
	if fields := under[column]; fields != nil {
		return fields
	}
	return []string{strings.TrimSuffix(column, "_iv")}
}

func keyOf(field string) string {
	for key, fields := range under {
		if slices.Contains(fields, field) {
			return key
		}
	}
	return ""
}

// cell names a place in the table.
func cell(id int64, column string) string { return fmt.Sprintf("%d %s", id, column) }

// harm is a change by somebody who has the database and no key, to the rows 2, 3 and 26.
type harm struct {
	name string
	do   func(two, three map[string]any)
	lost []string // cells
}

// exchange lets two columns of row 2, or one of it and one of row 3, exchange their contents.
func exchange(column string, otherRow bool, other string) harm {
	h := harm{name: column + " and " + other}
	id := int64(2)
	if otherRow {
		h.name += " of another row"
		id = 3
	}
	for _, field := range lostWith(column) {
		h.lost = append(h.lost, cell(2, field))
	}
	for _, field := range lostWith(other) {
		h.lost = append(h.lost, cell(id, field))
	}
	h.do = func(two, three map[string]any) {
		second := two
		if otherRow {
			second = three
		}
		two[column], second[other] = second[other], two[column]
	}
	return h
}

// exchanges leaves out what BindNone does not tell apart: two fields of one type, under one key of one row.
func exchanges() []harm {
	all := []harm{
		exchange("encrypted_kms_key", false, "encrypted_kms_key_phone"),
		exchange("encrypted_kms_key", false, "encrypted_kms_key_street"),
		exchange("encrypted_kms_key_phone", false, "encrypted_kms_key_street"),
		exchange("email_ciphertext", false, "phone_ciphertext"),           // other keys
		exchange("phone_ciphertext", false, "street_ciphertext"),          // other keys
		exchange("email_ciphertext", false, "notes_ciphertext"),           // other associated data
		exchange("email_ciphertext", false, "encrypted_ssn"),              // other formats
		exchange("license", false, "encrypted_ssn"),                       // other formats
		exchange("email_ciphertext", false, "license"),                    // other encodings
		exchange("balance_ciphertext", false, "street_ciphertext"),        // other keys
		exchange("date_of_birth_ciphertext", false, "balance_ciphertext"), // other types
		exchange("license", true, "email_ciphertext"),
	}
	for _, column := range sealed() {
		if column != "email_bidx" {
			all = append(all, exchange(column, true, column))
		}
	}
	return append(all, harm{
		name: "all columns of two rows", lost: append(cells(2), cells(3)...),
		do: func(two, three map[string]any) {
			for _, column := range sealed() {
				two[column], three[column] = three[column], two[column]
			}
		},
	}, harm{
		name: "the version of a key", lost: []string{cell(2, "street_ciphertext")},
		do: func(two, _ map[string]any) {
			const column = "encrypted_kms_key_street"
			two[column] = strings.Replace(two[column].(string), "v2:", "v1:", 1)
		},
	})
}

func cells(id int64) (all []string) {
	for _, field := range fieldColumns() {
		all = append(all, cell(id, field))
	}
	return all
}

func testExchanged(t *testing.T, d Database, p Program) {
	v := newVictims(t, d, p)
	for _, h := range exchanges() {
		v.want(t, h)
	}
}

func testDamaged(t *testing.T, d Database, p Program) {
	v := newVictims(t, d, p)
	for _, column := range sealed() {
		if column == "email_bidx" {
			continue
		}
		contents := damages(v.columns[0][column])
		for n, content := range contents {
			h := harm{name: fmt.Sprintf("%s, damage %d", column, n), do: func(two, _ map[string]any) { two[column] = content }}
			for _, field := range lostWith(column) {
				h.lost = append(h.lost, cell(2, field))
			}
			v.want(t, h)
		}
		if len(contents) < 16 {
			t.Errorf("%s: only %d damages", column, len(contents))
		}
	}
}

// damages are a column's content with each of its bytes changed, one at a time. Text that stands for the same bytes is left
// out: its spelling is not authenticated, and the gems read it as leniently as rowseal.
func damages(content any) (all []any) {
	if raw, isBytes := content.([]byte); isBytes {
		for i, b := range raw {
			all = append(all, slices.Concat(raw[:i], []byte{b ^ 1}, raw[i+1:]))
		}
		return all
	}
	text := content.(string)
	head := strings.Index(text, ":") + 1 // a key column's "v1:"
	for i := range len(text) {
		changed := text[:i] + next(text[i]) + text[i+1:]
		if i < head || decoded(changed[head:]) != decoded(text[head:]) {
			all = append(all, changed)
		}
	}
	return all
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// next is another letter of base64.
func next(c byte) string {
	i := (strings.IndexByte(alphabet, c) + 1) % len(alphabet)
	return alphabet[i : i+1]
}

// decoded is what Ruby decodes text to: it stops at "=", and skips what is not in the alphabet.
func decoded(text string) string {
	text, _, _ = strings.Cut(text, "=")
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune(alphabet, r) {
			return r
		}
		return -1
	}, text)
	if len(text)%4 == 1 {
		text = text[:len(text)-1]
	}
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		panic("railstest: " + err.Error())
	}
	return string(data)
}

// victims are the rows 2, 3 and 26, which are opened together.
type victims struct {
	users   Users
	columns []map[string]any
	values  map[int64]Values
}

func newVictims(t *testing.T, d Database, p Program) victims {
	t.Helper()
	db, _ := d.Copy(t)
	return victims{d.Users(t, p), Load(t, db, 2, 3, 26), d.expected(t)}
}

// want tests that what was harmed does not open, with the place in the error, and that all else opens.
func (v victims) want(t *testing.T, h harm) {
	t.Helper()
	columns := []map[string]any{maps.Clone(v.columns[0]), maps.Clone(v.columns[1]), maps.Clone(v.columns[2])}
	h.do(columns[0], columns[1])
	rows := rowsOf(t, v.users, columns)
	closed := v.closedKeys(t, h, v.users.Open(t.Context(), rows...))
	for i, row := range rows {
		id := columns[i]["id"].(int64)
		for _, field := range fieldColumns() {
			got, err := row.Get(field)
			place := cell(id, field)
			switch lost := slices.Contains(h.lost, place); {
			case !lost && (err != nil || inJSON(got) != v.values[id][field]):
				t.Errorf("%s: %s does not open any more: %v", h.name, place, err)
			case lost && err == nil:
				t.Errorf("%s: %s opens", h.name, place)
			case lost && closed[cell(id, keyOf(field))]:
				if !errors.Is(err, rowseal.ErrNotOpened) {
					t.Errorf("%s: %s, whose key did not open, is %v", h.name, place, err)
				}
			case lost && placeOf(err) != place, lost && !errors.Is(err, rowseal.ErrDecryptionFailed):
				t.Errorf("%s: %s is %v", h.name, place, err)
			}
		}
	}
}

// closedKeys are the key columns that Open names in its error.
func (v victims) closedKeys(t *testing.T, h harm, err error) map[string]bool {
	t.Helper()
	closed := map[string]bool{}
	if err == nil {
		return closed
	}
	var batch *rowseal.BatchError
	if !errors.As(err, &batch) || batch.Of != 3 {
		t.Fatalf("%s: Open returns %v", h.name, err)
	}
	for _, r := range batch.Rows {
		closed[placeOf(r.Err)] = true // a version that the keyring does not have is told apart: that is no secret
		if !errors.Is(r.Err, rowseal.ErrDecryptionFailed) && !errors.Is(r.Err, rowseal.ErrVersionNotActive) {
			t.Errorf("%s: Open returns %v", h.name, r.Err)
		}
	}
	for place := range closed {
		id, column, _ := strings.Cut(place, " ")
		for _, field := range under[column] {
			if !slices.Contains(h.lost, id+" "+field) {
				t.Errorf("%s: Open fails at %s", h.name, place)
			}
		}
	}
	return closed
}

// placeOf is the cell that an error names.
func placeOf(err error) string {
	var placed *rowseal.Error
	if !errors.As(err, &placed) || placed.Table != "users" {
		return ""
	}
	return placed.ID + " " + placed.Column
}
