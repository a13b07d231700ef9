package rowseal_test

import (
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
)

// What would be taken without a word, and do something else than its author meant.

func TestATableTakesCodecsOnlyOfTypesThatHaveNone(t *testing.T) {
	codec, err := lockbox.CodecOf[any](lockbox.JSON)
	must(t, err)
	table := func(typ, of lockbox.Type) error {
		s := rowseal.Schema{
			Table: "rows", Model: "Row", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "key"}},
			Fields: []rowseal.Field{{Column: "data", Type: of}},
		}
		return second(rowseal.NewTable(s, ringOf(t, &kmstest.Fake{}), &rowseal.Options{Codecs: map[lockbox.Type]lockbox.Codec[any]{typ: codec}}))
	}
	for _, typ := range []lockbox.Type{
		lockbox.String, lockbox.Binary, lockbox.Boolean, lockbox.Integer, lockbox.Float, lockbox.Date, lockbox.Datetime, lockbox.Time, lockbox.JSON, "",
	} {
		err := table(typ, "")
		wantErr(t, string(typ), err, kms.ErrInvalidRequest)
		wantMessage(t, err, `table "rows": Options.Codecs has a codec of the type "`+string(typ)+`"`)
	}
	for _, typ := range []lockbox.Type{lockbox.Hash, lockbox.Array, "money"} {
		must(t, table(typ, typ))
	}
}

func TestAStoreOfAColumnThatIsNotThereIsRefused(t *testing.T) {
	for _, column := range []string{"scan", "Scan", "subject_ciphertext", ""} {
		_, err := rowseal.NewModel[letter]("letters", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
			Store: &objects{}, Stores: map[string]store.Store{"scan_file": &objects{}, column: &objects{}},
		})
		wantErr(t, column, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `table "letters": Options.Stores has a store of `+column)
	}
}

func TestAMasterKeyThatIsMissingNamesOptionsMasterKeys(t *testing.T) {
	type plain struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	ring := ringOf(t, &kmstest.Fake{})
	amend := func(change func(*rowseal.Schema)) *rowseal.Options { return &rowseal.Options{Amend: change} }
	for what, opts := range map[string]*rowseal.Options{
		"a field's": amend(func(s *rowseal.Schema) {
			s.MasterKeys = []string{"app"}
			s.Fields[0].Key = "app"
			s.Attachments = []rowseal.Attachment{{Name: "a"}}
		}),
		"a Previous's": amend(func(s *rowseal.Schema) {
			s.MasterKeys = []string{"app"}
			s.Fields[0].Previous = []rowseal.PreviousVersion{{MasterKey: "app"}}
		}),
	} {
		_, err := rowseal.NewModel[plain]("plains", ring, opts)
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `"app"`, "Options.MasterKeys", "email_ciphertext")
	}
}

func TestNormalizersOfAnIndexsOwnAreRefused(t *testing.T) {
	_, err := rowseal.NewModel[contactRow]("contacts", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		MasterKeys: masterKeys(t, rowseal.DefaultIndexKey), Normalizers: map[string]func(string) (string, error){"e164": e164},
		Amend: func(s *rowseal.Schema) {
			s.Indexes[2].Options.Normalizers = map[string]func(string) (string, error){"e164": e164}
		},
	})
	wantErr(t, "NewModel", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "index phone_bidx has normalizers of its own", "Options.Normalizers")
}

// The key column that nothing uses then is a consequence, and not what its author can mend.
func TestAWrongKeyNamesTheFieldThatHasItAndNotTheKeyThatIsLeftOver(t *testing.T) {
	type wrongKeyName struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		KMSKeyPhone     rowseal.DataKey        `rowseal:"name=fone"`
		Phone           rowseal.Sealed[string] `rowseal:"key=phone"`
	}
	_, err := rowseal.NewModel[wrongKeyName]("t", ringOf(t, &kmstest.Fake{}), nil)
	wantErr(t, "NewModel", err, kms.ErrInvalidRequest)
	wantMessage(t, err, `phone_ciphertext is sealed under the key "phone"`, `name one of "", "fone"`)
	if strings.Contains(err.Error(), "nothing is sealed under") {
		t.Errorf("%v", err)
	}
}

// Under BindRow such a KMS opens the key of any row for any other, and the earlier form is not bound to the row.
func TestAPreviousUnderTheDataKeyNeedsAKMSThatEnforcesContexts(t *testing.T) {
	type account struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	amend := func(p ...rowseal.PreviousVersion) func(*rowseal.Schema) {
		return func(s *rowseal.Schema) { s.Fields[0].Previous = p }
	}
	try := func(enforced bool, binding rowseal.Binding, previous ...rowseal.PreviousVersion) error {
		_, err := rowseal.NewModel[account]("accounts", ringOf(t, &kmstest.Fake{IgnoreContext: !enforced}), &rowseal.Options{
			Binding: binding, Amend: amend(previous...), MasterKeys: masterKeys(t, "app"),
		})
		return err
	}
	for _, previous := range []rowseal.PreviousVersion{{}, {AssociatedData: "accounts.email_ciphertext"}, {Padding: 16}} {
		err := try(false, rowseal.BindRow, previous)
		wantErr(t, "a KMS that does not enforce contexts", err, kms.ErrInvalidRequest)
		wantMessage(t, err, "does not enforce the encryption context", "email_ciphertext", "Previous")
		must(t, try(true, rowseal.BindRow, previous))
		must(t, try(true, rowseal.BindColumn, previous))
	}
	must(t, try(false, rowseal.BindRow))
	must(t, try(false, rowseal.BindRow, rowseal.PreviousVersion{MasterKey: "app"}))
}
