package rowseal_test

import (
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// indexedLegacy reads CBC too, has an index of it, and another field under the key.
type indexedLegacy struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,allow=cbc"`
	SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	SSNIndex        blindindex.Index       `rowseal:"of=SSN,algorithm=hmac_sha256"`
	Email           rowseal.Sealed[string]
}

// Whoever counts the reports counts what is still to be moved: reads, and what moves or copies a value, not looks at the
// neighbours of a value that is sealed.
func TestInsecureFormsAreToldByWhatUsesTheValue(t *testing.T) {
	ring, told := ringOf(t, &kmstest.Fake{}), &reports{}
	rows := newModel[indexedLegacy](t, "rows", ring, &rowseal.Options{
		Model: "legacy", Binding: rowseal.BindNone, OnInsecure: told.add, MasterKeys: masterKeys(t, rowseal.DefaultIndexKey),
	})
	row := legacyRow(t, ring, 7).with("SSNIndex", nil).with("Email", nil)
	const report = `rows "7" encrypted_ssn: cbc`
	for what, test := range map[string]struct {
		do   func(*indexedLegacy) error
		want []string
	}{
		"Seal of a neighbour":    {func(l *indexedLegacy) error { l.Email.Set("ada@example.org"); return rows.Seal(t.Context(), l) }, nil},
		"Reindex":                {func(l *indexedLegacy) error { return rows.Reindex(t.Context(), l) }, []string{report}},
		"Rekey":                  {func(l *indexedLegacy) error { return rows.Rekey(t.Context(), l) }, []string{report}},
		"Get":                    {func(l *indexedLegacy) error { return second(l.SSN.Get()) }, []string{report}},
		"Rekey, Get":             {func(l *indexedLegacy) error { must(t, rows.Rekey(t.Context(), l)); return second(l.SSN.Get()) }, []string{report}},
		"Rekey of another value": {func(l *indexedLegacy) error { l.SSN.Set("new"); return rows.Rekey(t.Context(), l) }, nil},
	} {
		l := load[indexedLegacy](t, 7, row)
		open(t, rows, l)
		must(t, test.do(l))
		told.want(t, what, test.want...)
	}
}
