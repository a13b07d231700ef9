package rowseal_test

import (
	"database/sql/driver"
	"reflect"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// member has a key column of each type.
type member struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey `rowseal:"bytes,attachments=photo"`
	Email           rowseal.Sealed[string]
	KMSKeyPhone     rowseal.DataKey        `rowseal:"name=phone"`
	Phone           rowseal.Sealed[string] `rowseal:"key=phone"`
}

// What is written into a key column has the column's type, whichever way the wrapped key came about: pgx refuses a string in
// a COPY to bytea, and in SQLite a BLOB equals no TEXT.
func TestAWrappedKeyHasTheTypeOfItsColumn(t *testing.T) {
	members := newModel[member](t, "members", ringOf(t, &kmstest.Fake{}), nil)
	m := &member{ID: 1}
	m.Email.Set("ada@example.org")
	m.Phone.Set("555")
	must(t, members.Seal(t.Context(), m))
	wantTypes(t, "new", m)

	must(t, m.EncryptedKMSKey.Scan(m.EncryptedKMSKey.Wrapped())) // from a driver that says text for everything
	must(t, members.Rewrap(t.Context(), m))
	wantTypes(t, "rewrapped", m)

	must(t, m.EncryptedKMSKey.Scan(m.EncryptedKMSKey.Wrapped()))
	must(t, m.KMSKeyPhone.Scan([]byte(m.KMSKeyPhone.Wrapped()))) // not declared, and found out
	var to driver.Value
	must(t, members.RekeyWith(t.Context(), m, func(_ string, _, box *rowseal.FileBox) error {
		_, _, _, _, to, _ = box.KeyColumn()
		return nil
	}))
	wantType(t, "rekeyed", m.EncryptedKMSKey, []byte(nil))
	wantType(t, "rekeyed, loaded as bytes", m.KMSKeyPhone, []byte(nil))
	if written, _ := m.EncryptedKMSKey.Value(); !reflect.DeepEqual(to, written) {
		t.Errorf("an attachment's box says that the key column will hold %q, and %q is written", to, written)
	}
}

func TestAWrappedKeyOfARecordHasTheTypeOfItsColumn(t *testing.T) {
	table, err := rowseal.NewTable(rowseal.Schema{
		Table: "members", Model: "Member", PrimaryKey: "id",
		Keys:   []rowseal.KeyColumn{{Column: "encrypted_kms_key", Bytes: true}},
		Fields: []rowseal.Field{{Column: "email_ciphertext"}},
	}, ringOf(t, &kmstest.Fake{}), nil)
	must(t, err)
	r, err := table.Record(map[string]any{"id": 1})
	must(t, err)
	must(t, r.Set("email_ciphertext", "ada@example.org"))
	must(t, table.Seal(t.Context(), r))
	sealed, err := r.Sealed()
	must(t, err)
	if _, ok := sealed["encrypted_kms_key"].([]byte); !ok {
		t.Errorf("the key is written as %T", sealed["encrypted_kms_key"])
	}
}

func TestOnlyADataKeyIsDeclaredBytes(t *testing.T) {
	type wrong struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"bytes"`
	}
	_, err := rowseal.NewModel[wrong]("members", ringOf(t, &kmstest.Fake{}), nil)
	if err == nil || !strings.Contains(err.Error(), "the option bytes is for DataKey") {
		t.Errorf("got %v", err)
	}
}

func wantTypes(t *testing.T, what string, m *member) {
	t.Helper()
	wantType(t, what, m.EncryptedKMSKey, []byte(nil))
	wantType(t, what, m.KMSKeyPhone, "")
}

func wantType(t *testing.T, what string, k rowseal.DataKey, want any) {
	t.Helper()
	if v, err := k.Value(); err != nil || reflect.TypeOf(v) != reflect.TypeOf(want) {
		t.Errorf("%s: the key is written as %T, %v, want %T", what, v, err, want)
	}
}
