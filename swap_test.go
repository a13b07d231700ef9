package rowseal_test

import (
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// The swap matrix. Two tables with two rows of two data keys and four fields: whatever is stored is put into every other place,
// cell by cell and also each data key together with its fields. A second, independent account of the bindings says what may
// open. Everything else must not, must say where, and must never show what another cell holds.

// keyOf tells under which key column a field is sealed, and columnOf the names in the database.
var (
	keyOf = map[string]string{
		"Email": "EncryptedKMSKey", "Notes": "EncryptedKMSKey", "Phone": "KMSKeyPhone", "Code": "KMSKeyPhone",
	}
	columnOf = map[string]string{
		"EncryptedKMSKey": "encrypted_kms_key", "KMSKeyPhone": "encrypted_kms_key_phone", "Email": "email_ciphertext",
		"Notes": "notes_ciphertext", "Phone": "phone_ciphertext", "Code": "code_ciphertext",
	}
	rawOf = map[string]bool{"Notes": true, "Code": true} // and padded to 16 bytes
)

// origin is the cell that a value was stored in.
type origin struct {
	table  string
	id     int64
	column string
}

func (o origin) isKey() bool { return keyOf[o.column] == "" }

// key is the cell of the data key that a field was sealed under.
func (o origin) key() origin { return origin{o.table, o.id, keyOf[o.column]} }

type matrix struct {
	*testing.T
	binding  rowseal.Binding
	enforced bool // by the KMS
	models   map[string]*rowseal.Model[user]
	cells    map[origin]driver.Value
	plain    map[origin]string
	leaks    map[string]bool // the moves that the binding did not stop
	checks   int
}

func newMatrix(t *testing.T, binding rowseal.Binding, enforced bool) *matrix {
	m := &matrix{T: t, binding: binding, enforced: enforced, models: map[string]*rowseal.Model[user]{},
		cells: map[origin]driver.Value{}, plain: map[origin]string{}, leaks: map[string]bool{}}
	ring := ringOf(t, &kmstest.Fake{BatchSize: 10, IgnoreContext: !enforced})
	for table, model := range map[string]string{"users": "User", "admins": "Admin"} {
		m.models[table] = newModel[user](t, table, ring, &rowseal.Options{Model: model, Binding: binding})
		for id := int64(1); id <= 2; id++ {
			u := newUser(id, fmt.Sprintf("%s-%d", table, id))
			for column, value := range sealed(t, m.models[table], u) {
				m.cells[origin{table, id, column}] = value
			}
			for column, value := range get(u) {
				m.plain[origin{table, id, column}] = value.text
			}
		}
	}
	return m
}

// sameContext tells whether the KMS opens the data key of one cell in the place of another.
func (m *matrix) sameContext(a, b origin) bool {
	sameKey := a.column == b.column || m.binding == rowseal.BindNone // without binding the context has no key_name
	return a.isKey() && (!m.enforced || a.table == b.table && a.id == b.id && sameKey)
}

// sameBinding tells whether the associated data of two fields is the same.
func (m *matrix) sameBinding(a, b origin) bool {
	switch m.binding {
	case rowseal.BindNone:
		return true
	case rowseal.BindColumn:
		return a.table == b.table && a.column == b.column
	default:
		return a == b
	}
}

// moved is a value in a place that is not its own.
type moved struct {
	from    origin
	recoded bool // from base64 to raw bytes or back, as the place wants it
}

func (m *matrix) valueAt(v moved, column string) driver.Value {
	value := m.cells[v.from]
	switch {
	case !v.recoded:
		return value
	case rawOf[column]:
		return mime64.Decode(value.(string))
	default:
		return base64.StdEncoding.EncodeToString(value.([]byte))
	}
}

// check loads the row (table, id) with some of its cells replaced, opens it, and compares each field with what may open.
func (m *matrix) check(table string, id int64, replaced map[string]moved) {
	m.checks++
	at := func(column string) moved {
		if v, ok := replaced[column]; ok {
			return v
		}
		return moved{from: origin{table, id, column}}
	}
	row := stored{}
	for column := range columnOf {
		row[column] = m.valueAt(at(column), column)
	}
	u := load[user](m, id, row)
	openErr := m.models[table].Open(m.Context(), u)

	failed := map[string]bool{}
	for _, column := range []string{"EncryptedKMSKey", "KMSKeyPhone"} {
		if failed[column] = !m.sameContext(at(column).from, origin{table, id, column}); !failed[column] {
			continue
		}
		version := 0
		if at(column).from.isKey() {
			version = 1
		}
		wantErr(m, "Open", openErr, rowseal.ErrDecryptionFailed)
		wantPlace(m, errorAt(openErr, columnOf[column]), table, fmt.Sprint(id), columnOf[column], version)
	}
	if !failed["EncryptedKMSKey"] && !failed["KMSKeyPhone"] && openErr != nil {
		m.Errorf("%s %d with %v: %v", table, id, replaced, openErr)
	}
	for column, got := range get(u) {
		here, v := origin{table, id, column}, at(column)
		want, opens := m.opensTo(v, here, at(keyOf[column]).from)
		switch {
		case failed[keyOf[column]]:
			wantErr(m, column, got.err, rowseal.ErrNotOpened)
		case !opens:
			wantErr(m, fmt.Sprintf("%v in %v", v, here), got.err, rowseal.ErrDecryptionFailed)
			wantPlace(m, got.err, table, fmt.Sprint(id), columnOf[column], 1)
		case got.text != want || got.err != nil:
			m.Errorf("%v in %v: %q, %v; want %q", v, here, got.text, got.err, want)
		case v.from != here:
			m.leak(v, here, replaced)
		}
		if !opens && got.text != "" || failed[keyOf[column]] && got.text != "" {
			m.Errorf("%v in %v: %q came with the error", v, here, got.text)
		}
	}
}

// opensTo is what a value opens to in a field whose key column holds the wrapped key of another cell.
func (m *matrix) opensTo(v moved, here, key origin) (string, bool) {
	sealedThere := !v.from.isKey() && v.from.key() == key && m.sameBinding(v.from, here)
	switch sameForm := rawOf[v.from.column] == rawOf[here.column]; {
	case !sealedThere, !sameForm && !v.recoded:
		return "", false
	case sameForm:
		return m.plain[v.from], true
	case rawOf[here.column]:
		return "", false // it has no padding
	}
	text := m.plain[v.from] + "\x80"
	return text + strings.Repeat("\x00", (16-len(text)%16)%16), true
}

func (m *matrix) leak(v moved, here origin, replaced map[string]moved) {
	if v.from.table != here.table || v.from.id != here.id {
		m.Errorf("%v opens in another row, as %v", v.from, here)
	}
	what := v.from.column + " as " + here.column
	if _, ok := replaced[keyOf[here.column]]; ok {
		what += ", with its key"
	}
	m.leaks[what] = true
}

func errorAt(err error, column string) error {
	var batch *rowseal.BatchError
	if errors.As(err, &batch) {
		for _, r := range batch.Rows {
			if e := (*rowseal.Error)(nil); errors.As(r.Err, &e) && e.Column == column {
				return r.Err
			}
		}
	}
	return nil
}

// everyCell moves each stored cell to each other place, as it is and in the form that the place wants.
func (m *matrix) everyCell() {
	for from := range m.cells {
		for to := range m.cells {
			if from == to {
				continue
			}
			m.check(to.table, to.id, map[string]moved{to.column: {from: from}})
			if !from.isKey() && !to.isKey() && rawOf[from.column] != rawOf[to.column] {
				m.check(to.table, to.id, map[string]moved{to.column: {from: from, recoded: true}})
			}
		}
	}
}

// everyGroup moves each data key together with its fields to each other data key's place.
func (m *matrix) everyGroup() {
	groups := map[string][]string{"EncryptedKMSKey": {"Email", "Notes"}, "KMSKeyPhone": {"Phone", "Code"}}
	for from := range m.cells {
		for to := range m.cells {
			if from == to || !from.isKey() || !to.isKey() {
				continue
			}
			replaced := map[string]moved{to.column: {from: from}}
			for i, column := range groups[to.column] {
				replaced[column] = moved{from: origin{from.table, from.id, groups[from.column][i]}}
			}
			m.check(to.table, to.id, replaced)
		}
	}
}

func TestAMovedCiphertextOpensNowhere(t *testing.T) {
	for _, test := range []struct {
		binding  rowseal.Binding
		enforced bool
		leaks    []string // all within one row; nothing ever opens in another
	}{
		{rowseal.BindColumn, true, nil},
		{rowseal.BindRow, true, nil},
		{rowseal.BindRow, false, nil},
		// Without binding nothing but the data key holds the fields of one key apart: a shorter name for a padded field's
		// plaintext, and a data key with all its fields as those of another key of the same row.
		{rowseal.BindNone, true, []string{
			"Code as Notes, with its key", "Code as Phone", "Email as Phone, with its key",
			"Notes as Code, with its key", "Notes as Email", "Phone as Email, with its key",
		}},
	} {
		t.Run(fmt.Sprintf("%v, context enforced %v", test.binding, test.enforced), func(t *testing.T) {
			m := newMatrix(t, test.binding, test.enforced)
			m.check("users", 1, nil) // nothing moved: everything opens
			m.everyCell()
			m.everyGroup()
			if leaks := slices.Sorted(maps.Keys(m.leaks)); !slices.Equal(leaks, test.leaks) {
				t.Errorf("what the binding does not stop: %q, want %q", leaks, test.leaks)
			}
			if want := 1 + 24*23 + 2*8*8 + 8*7; m.checks != want { // cells, those recoded, and groups
				t.Errorf("%d checks, want %d", m.checks, want)
			}
		})
	}
}

// flipped calls visit with each bit of b flipped.
func flipped(b []byte, visit func(bit int, b []byte)) {
	for bit := range 8 * len(b) {
		c := slices.Clone(b)
		c[bit/8] ^= 1 << (bit % 8)
		visit(bit, c)
	}
}

func TestNoFlippedBitOpens(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	row := sealed(t, users, newUser(1, "ada"))
	fails := func(column string, bit int, value driver.Value) {
		u := load[user](t, 1, row.with(column, value))
		err := users.Open(t.Context(), u)
		if got, ok := get(u)[column]; ok {
			must(t, err)
			err = got.err
			if got.text != "" {
				t.Errorf("%s, bit %d: %q", column, bit, got.text)
			}
		}
		wantErr(t, fmt.Sprintf("%s, bit %d", column, bit), err, rowseal.ErrDecryptionFailed)
		wantPlace(t, err, "users", "1", columnOf[column], 1)
	}
	for column, value := range row {
		switch text := value.(type) {
		case []byte:
			flipped(text, func(bit int, b []byte) { fails(column, bit, b) })
		case string:
			prefix := ""
			if keyOf[column] == "" {
				prefix = "v1:"
			}
			sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, prefix))
			must(t, err)
			flipped(sealed, func(bit int, b []byte) { fails(column, bit, prefix+base64.StdEncoding.EncodeToString(b)) })
		}
	}
}

// Base64 has texts for the same bytes, and reading is lenient, as the gem's: a changed text opens only as the same bytes.
func TestAFlippedBitOfTheTextOpensOnlyAsTheSameBytes(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	row := sealed(t, users, newUser(1, "ada"))
	for column, value := range row {
		text, ok := value.(string)
		if !ok {
			continue
		}
		flipped([]byte(text), func(bit int, b []byte) {
			u := load[user](t, 1, row.with(column, string(b)))
			err := users.Open(t.Context(), u)
			for _, got := range get(u) {
				err = errors.Join(err, got.err)
			}
			prefix, _, _ := strings.Cut(text, ":")
			same := strings.HasPrefix(string(b), prefix+":") || keyOf[column] != ""
			same = same && string(mime64.Decode(string(b)[strings.Index(text, ":")+1:])) == string(mime64.Decode(text[strings.Index(text, ":")+1:]))
			if (err == nil) != same {
				t.Errorf("%s, bit %d: %v", column, bit, err)
			}
			if err == nil {
				wantUser(t, u, "ada")
			}
		})
	}
}
