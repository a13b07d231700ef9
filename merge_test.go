package rowseal_test

import (
	"errors"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// ward is in the encryption context of a row, beside its id.
type ward struct {
	ID              int64
	Clinic          string
	EncryptedKMSKey rowseal.DataKey
	Reason          rowseal.Sealed[string]
}

func wardsOf(t *testing.T, f *kmstest.Fake) *rowseal.Model[ward] {
	t.Helper()
	return newModel[ward](t, "wards", ringOf(t, f), &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: map[string]string{"ward": "{id}", "clinic": "{clinic}"}}},
	}})
}

// A row that others have given another context is another row, however alike the texts are; what was set stays set.
func TestMergeRefusesARowWhoseContextIsAnother(t *testing.T) {
	for what, c := range map[string]struct {
		clinic any
		want   error
	}{
		"the same":          {"north", nil},
		"another":           {"south", rowseal.ErrContextChanged},
		"in other letters":  {"NORTH", rowseal.ErrContextChanged},
		"a part":            {"nort", rowseal.ErrContextChanged},
		"a blank more":      {"north ", rowseal.ErrContextChanged},
		"empty":             {"", rowseal.ErrContextChanged},
		"NULL":              {nil, rowseal.ErrContextChanged},
		"no text but bytes": {[]byte("north"), rowseal.ErrContextChanged}, // which Merge does not guess at
	} {
		t.Run(what, func(t *testing.T) {
			fake := &kmstest.Fake{}
			wards := wardsOf(t, fake)
			given := &ward{ID: 1, Clinic: "north"}
			given.Reason.Set("cough")
			row := sealed(t, wards, given)
			mine, theirs := load[ward](t, 1, row), load[ward](t, 1, row)
			mine.Clinic, theirs.Clinic = "north", "north"
			must(t, wards.Rekey(t.Context(), theirs)) // so that mine has lost
			after := save(t, theirs)
			mine.Reason.Set("fever")
			fake.Reset()

			err := wards.Rows().Merge(t.Context(), mine, map[string]any{
				"encrypted_kms_key": after["EncryptedKMSKey"], "reason_ciphertext": after["Reason"], "clinic": c.clinic, "id": "1",
			})
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if reason, err := mine.Reason.Get(); reason != "fever" || err != nil {
				t.Errorf("the value that was set is %q, %v", reason, err)
			}
			decrypts := 0
			if c.want == nil {
				decrypts = 1
			}
			wantRequests(t, "Merge", fake, 0, decrypts)
		})
	}
}

// Nothing is sealed in such a row, so that there is nothing to be bound to its context.
func TestMergeOfARowWithoutADataKeyLetsItsContextChange(t *testing.T) {
	fake := &kmstest.Fake{}
	wards := wardsOf(t, fake)
	null := stored{"EncryptedKMSKey": nil, "Reason": nil}
	mine := load[ward](t, 1, null)
	mine.Clinic = "north"
	mine.Reason.Set("fever")
	must(t, wards.Rows().Merge(t.Context(), mine, map[string]any{"encrypted_kms_key": nil, "reason_ciphertext": nil, "clinic": "south", "id": "1"}))
	must(t, wards.Seal(t.Context(), mine))
	change, err := wards.Rows().Change(mine, nil, nil)
	must(t, err)
	for _, m := range change.Match { // the statement finds out: it compares the column for which the key was wrapped
		if m.Column == "clinic" && m.Text && m.Value == "north" {
			return
		}
	}
	t.Errorf("the change compares %v", change.Match)
}
