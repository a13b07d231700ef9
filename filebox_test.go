package rowseal_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// keyPlace is what KeyColumn tells.
type keyPlace struct {
	table, primaryKey string
	id                any
	column            string
	wrapped           any
	ok                bool
}

func keyPlaceOf(b *rowseal.FileBox) (p keyPlace) {
	p.table, p.primaryKey, p.id, p.column, p.wrapped, p.ok = b.KeyColumn()
	return p
}

func TestKeyColumnIsThatOfTheBoxesKey(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	row, files := inHospital(t, patients)
	p := load[patient](t, 1, row.with("EncryptedKMSKey", []byte(textOfValue(row["EncryptedKMSKey"]))))
	for name, want := range map[string]keyPlace{
		"license": {"patients", "id", int64(1), "encrypted_kms_key", []byte(textOfValue(row["EncryptedKMSKey"])), true},
		"card":    {"patients", "id", int64(1), "encrypted_kms_key_card", row["KMSKeyCard"], true},
	} {
		if got := keyPlaceOf(boxOf(t, patients, p, name)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is under %+v, want %+v", name, got, want)
		}
	}

	p = load[patient](t, 1, row)
	under := map[string]keyPlace{}
	must(t, patients.RekeyWith(t.Context(), p, func(name string, from, to *rowseal.FileBox) error {
		under[name] = keyPlaceOf(to)
		if was := keyPlaceOf(from); name != "card" && was.wrapped != row["EncryptedKMSKey"] {
			t.Errorf("%s moves from %+v", name, was)
		}
		return files.move(blobs{})(name, from, to)
	}))
	if under["license"].wrapped != p.EncryptedKMSKey.Wrapped() || under["card"].wrapped != p.KMSKeyCard.Wrapped() {
		t.Errorf("attachments move to %+v", under)
	}
}

func TestABoxPrintsNothing(t *testing.T) {
	fake := &kmstest.Fake{}
	keys := watch(fake)
	patients := patientsOf(t, fake, rowseal.BindRow)
	p := admitted(t, patients, 1)
	box := boxOf(t, patients, p, "license")
	s := newSecrets(keys)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, box); got != "rowseal.FileBox" {
			t.Errorf("%s is %q", verb, got)
		}
	}
	for how, text := range logs(box) {
		s.mustNotShow(t, how, text)
		if !strings.Contains(text, "rowseal.FileBox") || strings.Contains(text, "patients") || strings.Contains(text, p.EncryptedKMSKey.Wrapped()) {
			t.Errorf("%s logs %s", how, text)
		}
	}
}
