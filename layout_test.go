package rowseal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// refused tells why NewModel refuses T.
func refused[T any](ring *rowseal.Keyring) func(*rowseal.Options) error {
	return func(opts *rowseal.Options) error {
		_, err := rowseal.NewModel[T]("t", ring, opts)
		return err
	}
}

type (
	embeddedID  struct{ ID int64 }
	secretBase  struct{ Email rowseal.Sealed[string] }
	wrongKeyTag struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey `rowseal:"padding=16"`
		Email           rowseal.Sealed[string]
	}
	wrongFieldTag struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"name=phone"`
	}
	wrongPlainTag struct {
		ID              int64 `rowseal:"key=phone"`
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	unknownOption struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"pading=16"`
	}
	twiceOption struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"raw,raw"`
	}
	rawValue struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"raw=true"`
	}
	noValue struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"key="`
	}
	wrongPadding struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"padding=0"`
	}
	hugePadding struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"padding=65537"`
	}
	unknownType struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"type=text"`
	}
	wrongType struct {
		EncryptedKMSKey rowseal.DataKey
		Born            rowseal.Sealed[string] `rowseal:"type=date"`
	}
	noSuchType struct {
		EncryptedKMSKey rowseal.DataKey
		Set             rowseal.Sealed[map[string]int]
	}
	pointerField struct {
		EncryptedKMSKey rowseal.DataKey
		Email           *rowseal.Sealed[string]
	}
	pointerKey struct {
		EncryptedKMSKey *rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	embeddedPointer struct {
		EncryptedKMSKey rowseal.DataKey
		*secretBase
	}
	hiddenField struct {
		EncryptedKMSKey rowseal.DataKey
		email           rowseal.Sealed[string] //lint:ignore U1000 it is here to be refused
	}
	generic[T any] struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Value           rowseal.Sealed[T]
	}
	noKey    struct{ Email rowseal.Sealed[string] }
	noFields struct{ EncryptedKMSKey rowseal.DataKey }
	emptyKey struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		KMSKeyPhone     rowseal.DataKey `rowseal:"name=phone"`
		Email           rowseal.Sealed[string]
	}
	unknownKey struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"key=phone"`
		Name            rowseal.Sealed[string]
	}
	twoMainKeys struct {
		EncryptedKMSKey rowseal.DataKey
		OtherKey        rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	sameColumn struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Mail            rowseal.Sealed[string] `rowseal:"column=email_ciphertext"`
	}
	dottedColumn struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"column=users.email"`
	}
	noID struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	sealedID struct {
		ID              rowseal.Sealed[int64] `rowseal:"column=id"`
		EncryptedKMSKey rowseal.DataKey
	}
	twoIDs struct {
		embeddedID
		OtherBase       struct{}
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		otherID
	}
	otherID struct{ ID int64 }
	deep    struct {
		secretBase2
		EncryptedKMSKey rowseal.DataKey
	}
	secretBase2 struct {
		Email rowseal.Sealed[string] `rowseal:"keys=phone"`
	}
)

func TestAStructThatDoesNotFitIsRefusedWithFieldAndRemedy(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	for _, test := range []struct {
		refused func(*rowseal.Options) error
		want    string
	}{
		{refused[int](ring), `a model needs a struct type, not int`},
		{refused[*user](ring), `a model needs a struct type, not *rowseal_test.user`},
		{refused[any](ring), `a model needs a struct type, not interface {}`},
		{refused[struct {
			EncryptedKMSKey rowseal.DataKey
			Email           rowseal.Sealed[string]
		}](ring), `give one in Options.Model`},
		{refused[generic[string]](ring), `generic[string] has no name that can be the context's model_name; give one in Options.Model`},
		{refused[wrongKeyTag](ring), `field EncryptedKMSKey of rowseal_test.wrongKeyTag: is a DataKey, and the option padding is for Sealed and File`},
		{refused[wrongFieldTag](ring), `field Email of rowseal_test.wrongFieldTag: is sealed, and name is for a DataKey; key=phone tells`},
		{refused[wrongPlainTag](ring), `field ID of rowseal_test.wrongPlainTag: is a column that is not sealed, and the option key is for Sealed and File`},
		{refused[unknownOption](ring), "field Email of rowseal_test.unknownOption: tag `rowseal:\"pading=16\"`: unknown option \"pading\"; known are ad, algorithm,"},
		{refused[twiceOption](ring), `option "raw" is there twice`},
		{refused[rawValue](ring), `option raw has no value`},
		{refused[noValue](ring), `option "key" needs a value`},
		{refused[wrongPadding](ring), `padding=0 is no number of bytes from 1`},
		{refused[hugePadding](ring), `email_ciphertext: lockbox: padding of 65537 bytes: want 1 to 65536`},
		{refused[unknownType](ring), `field Email of rowseal_test.unknownType: lockbox: unknown type "text" for a Go string: use string`},
		{refused[wrongType](ring), `field Born of rowseal_test.wrongType: lockbox: type "date" does not fit a Go string: use type string`},
		{refused[noSuchType](ring), `field Set of rowseal_test.noSuchType: lockbox: a Go map[string]int has no type of its own: say type json`},
		{refused[pointerField](ring), `field Email of rowseal_test.pointerField: is a pointer; use rowseal.Sealed[string] itself`},
		{refused[pointerKey](ring), `field EncryptedKMSKey of rowseal_test.pointerKey: is a pointer; use rowseal.DataKey itself`},
		{refused[embeddedPointer](ring), `field secretBase of rowseal_test.embeddedPointer: is a *rowseal_test.secretBase, in which sealed values would be overlooked; embed its struct by value`},
		{refused[nestedPointer](ring), `is a *rowseal_test.deepBase, in which sealed values would be overlooked`},
		{refused[embeddedModel](ring), `field secretModel of rowseal_test.embeddedModel: is a *rowseal_test.secretModel, in which`},
		{refused[gormEmbedded](ring), `field Friend of rowseal_test.gormEmbedded: is a rowseal_test.user, in which`},
		{refused[gormPrefix](ring), `field contact of rowseal_test.gormPrefix: has gorm's embeddedPrefix`},
		{refused[sealedSlice](ring), `field Emails of rowseal_test.sealedSlice: is a []rowseal.Sealed[string], in which sealed values would be overlooked`},
		{refused[nestedStruct](ring), `field Contact of rowseal_test.nestedStruct: is a rowseal_test.contact, in which`},
		{refused[nestedMap](ring), `field Contacts of rowseal_test.nestedMap: is a map[string]*rowseal_test.contact, in which`},
		{refused[hiddenField](ring), `field email of rowseal_test.hiddenField: is not exported`},
		{refused[noKey](ring), `rowseal_test.noKey has no data key; add a field EncryptedKMSKey rowseal.DataKey`},
		{refused[noFields](ring), `rowseal_test.noFields has nothing to seal; add a field of type rowseal.Sealed`},
		{refused[emptyKey](ring), `nothing is sealed under key column encrypted_kms_key_phone`},
		{refused[unknownKey](ring), `email_ciphertext is sealed under the key "phone", which no key column has; name one of ""`},
		{refused[twoMainKeys](ring), `two key columns have the name ""; give one of them another (rowseal:"name=…")`},
		{refused[sameColumn](ring), `column or attachment email_ciphertext is there twice`},
		{refused[dottedColumn](ring), `column or attachment "users.email" needs a name without dots and colons`},
		{refused[noID](ring), `encrypted_kms_key needs column id for its context or keyring, and the struct has no such field`},
		{refused[sealedID](ring), `encrypted_kms_key needs column id for its context`},
		{refused[twoIDs](ring), `encrypted_kms_key needs column id for its context or keyring, and the struct has no such field that is not sealed, or two`},
		{refused[deep](ring), `rowseal: field secretBase2 of rowseal_test.deep: field Email of rowseal_test.secretBase2: tag`},
	} {
		err := test.refused(nil)
		wantErr(t, test.want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, test.want)
		if err != nil && strings.Count(err.Error(), "rowseal: ") != 1 {
			t.Errorf("the package's name is there more than once: %v", err)
		}
	}
}

func TestTablesWhoseAssociatedDataWouldBeAmbiguousAreRefused(t *testing.T) {
	for _, table := range []string{"", "users:1", ":"} {
		_, err := rowseal.NewModel[user](table, ringOf(t, &kmstest.Fake{}), nil)
		wantErr(t, table, err, kms.ErrInvalidRequest)
	}
	newModel[user](t, "public.users", ringOf(t, &kmstest.Fake{}), nil)
}

type named struct {
	EncryptedKMSKey rowseal.DataKey `rowseal:"name=HTTP"`
	HTTPServerID    rowseal.Sealed[string]
	Plain           string
	DBTag           rowseal.Sealed[string] `db:"from_db,omitempty"`
	DBNoName        rowseal.Sealed[string] `db:",omitempty"`
	GormTag         rowseal.Sealed[string] `gorm:"index; Column : from_gorm ;size:255"`
	GormOther       rowseal.Sealed[string] `gorm:"index"`
	Both            rowseal.Sealed[string] `rowseal:"column=own" db:"from_db2"`
	ID2             rowseal.Sealed[string]
	X               rowseal.Sealed[string]
	Snake_Case      rowseal.Sealed[string] //lint:ignore ST1003 as generated code has it
	Größe           rowseal.Sealed[string]
	MainKey         rowseal.DataKey
	A1B2            rowseal.Sealed[string]    `rowseal:"key=HTTP"`
	ID              int64                     `db:"user_id"`
	Hidden          rowseal.Sealed[string]    `rowseal:"-"`
	HiddenDB        rowseal.Sealed[string]    `db:"-"`
	Born            rowseal.Sealed[time.Time] `rowseal:"type=date,padding=16,raw,ad=users.born"`
}

func TestColumnsAreNamedAsRailsAndGORMNameThem(t *testing.T) {
	s := newModel[named](t, "t", ringOf(t, &kmstest.Fake{}), &rowseal.Options{PrimaryKey: "user_id"}).Schema()
	var columns []string
	for _, k := range s.Keys {
		columns = append(columns, k.Column)
	}
	for _, f := range s.Fields {
		columns = append(columns, f.Column)
	}
	want := []string{
		"encrypted_kms_key_HTTP", "encrypted_kms_key", "http_server_id_ciphertext", "from_db", "db_no_name_ciphertext", "from_gorm",
		"gorm_other_ciphertext", "own", "id2_ciphertext", "x_ciphertext", "snake_case_ciphertext",
		"größe_ciphertext", "a1_b2_ciphertext", "born_ciphertext",
	}
	for i := range max(len(columns), len(want)) {
		if i >= len(columns) || i >= len(want) || columns[i] != want[i] {
			t.Fatalf("got  %q\nwant %q", columns, want)
		}
	}
	born := s.Fields[len(s.Fields)-1]
	if born.Type != "date" || born.Format.Padding != 16 || !born.Format.Raw || born.AssociatedData != "users.born" || born.Key != "" {
		t.Errorf("born is %+v", born)
	}
	if s.Table != "t" || s.Model != "named" || s.PrimaryKey != "user_id" {
		t.Errorf("schema of %q, %q, %q", s.Table, s.Model, s.PrimaryKey)
	}
}

// embedding is the gem's inheritance: a base type's keys and fields stand in the table of the one that embeds it.
type (
	base struct {
		embeddedID
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	Base2 struct {
		base
		Phone rowseal.Sealed[string]
	}
	customer struct {
		Base2
		Notes rowseal.Sealed[string]
	}
	shadowed struct {
		ID string `db:"id"` // hides base's
		base
	}
)

func TestEmbeddedStructsCountAsIfTheirFieldsStoodThere(t *testing.T) {
	fake := &kmstest.Fake{}
	customers := newModel[customer](t, "customers", ringOf(t, fake), nil)
	c := customer{}
	c.ID = 7
	c.Email.Set("ada@example.org")
	c.Phone.Set("123")
	c.Notes.Set("notes")
	must(t, customers.Seal(t.Context(), &c))
	customers.Wipe(&c)
	must(t, customers.Open(t.Context(), &c))
	email, err := c.Email.Get()
	phone, err2 := c.Phone.Get()
	if email != "ada@example.org" || phone != "123" || err != nil || err2 != nil {
		t.Errorf("%q, %q, %v, %v", email, phone, err, err2)
	}
	wantRequests(t, "one data key", fake, 1, 1)
}

func TestEmbeddedPointersToOtherThingsAreFine(t *testing.T) {
	type row struct {
		*embeddedID
		*time.Time
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	newModel[row](t, "rows", ringOf(t, &kmstest.Fake{}), nil)
}

func TestTheShallowerFieldHidesTheDeeper(t *testing.T) {
	fake := &kmstest.Fake{}
	var ids []string
	fake.Fault = func(_ kmstest.Request, it kms.Item) error { ids = append(ids, it.Context["model_id"]); return nil }
	rows := newModel[shadowed](t, "t", ringOf(t, fake), nil)
	row := shadowed{ID: "outer"}
	row.base.ID = 5
	row.Email.Set("x")
	must(t, rows.Seal(t.Context(), &row))
	if !slices.Equal(ids, []string{"outer"}) {
		t.Errorf("the KMS was told %q", ids)
	}
}

func TestASchemaIsValidatedWithoutAStruct(t *testing.T) {
	good := func() *rowseal.Schema {
		return &rowseal.Schema{Table: "users", Model: "User", PrimaryKey: "id",
			Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}}, Fields: []rowseal.Field{{Column: "email_ciphertext"}}}
	}
	must(t, good().Validate())
	for want, spoil := range map[string]func(*rowseal.Schema){
		"a table needs a name":                    func(s *rowseal.Schema) { s.Table = "" },
		"without a colon":                         func(s *rowseal.Schema) { s.Table = "users:1" },
		"a table needs a primary key":             func(s *rowseal.Schema) { s.PrimaryKey = "" },
		"a table needs a key column":              func(s *rowseal.Schema) { s.Keys = nil },
		"binding 7 is none of":                    func(s *rowseal.Schema) { s.Binding = 7 },
		`column or attachment "" needs a name`:    func(s *rowseal.Schema) { s.Fields[0].Column = "" },
		`column or attachment "a:b" needs a name`: func(s *rowseal.Schema) { s.Fields[0].Column = "a:b" },
		`under the key "x"`:                       func(s *rowseal.Schema) { s.Fields = append(s.Fields, rowseal.Field{Column: "c", Key: "x"}) },
		"padding of -1":                           func(s *rowseal.Schema) { s.Fields[0].Format.Padding = -1 },
		"nothing is sealed":                       func(s *rowseal.Schema) { s.Fields = nil },
		"neither a literal":                       func(s *rowseal.Schema) { s.Model = "User{type}" },
	} {
		s := good()
		spoil(s)
		err := s.Validate()
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `rowseal: schema of table`, want)
	}
}

type (
	contact  struct{ Phone rowseal.Sealed[string] }
	deepBase struct{ secretBase }

	nestedPointer struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		*deepBase
	}
	secretModel struct {
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	embeddedModel struct {
		ID          int64
		KMSKeyPhone rowseal.DataKey        `rowseal:"name=phone"`
		Phone       rowseal.Sealed[string] `rowseal:"key=phone"`
		*secretModel
	}
	gormEmbedded struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Friend          user `gorm:"embedded;embeddedPrefix:friend_"`
	}
	gormPrefix struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		contact         `gorm:"embeddedPrefix:contact_"`
	}
	sealedSlice struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Emails          []rowseal.Sealed[string]
	}
	nestedStruct struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Contact         contact `gorm:"embedded"`
	}
	nestedMap struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Contacts        map[string]*contact
	}
	related struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Friend          *related               // a model of its own
		Users           []user                 // as well
		Contact         contact                `rowseal:"-"`
		Virtual         rowseal.Sealed[string] `gorm:"-"`
	}
)

func TestRelationsAndHiddenFieldsAreNoneOfTheModels(t *testing.T) {
	m := newModel[related](t, "related", ringOf(t, &kmstest.Fake{}), nil)
	if s := m.Schema(); len(s.Keys) != 1 || len(s.Fields) != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestTheSchemaThatAModelShowsIsACopy(t *testing.T) {
	names := map[string]string{"purpose": "users", "id": "{id}"}
	versions := map[int]rowseal.ContextRule{1: {Names: map[string]string{"id": "{id}"}}}
	fake := &kmstest.Fake{}
	m := newModel[user](t, "users", ringOf(t, fake), &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: names}, Versions: versions},
	}})
	row := sealed(t, m, newUser(1, "ada"))
	names["purpose"], versions[1].Names["id"] = "changed", "changed"
	s := m.Schema()
	s.Keys[0].Context.Names["purpose"], s.Keys[0].Versions[1].Names["id"] = "changed", "changed"
	s.Keys[0].Column, s.Fields[0].Column = "changed", "changed"
	if s := m.Schema(); s.Keys[0].Column == "changed" || s.Fields[0].Column == "changed" {
		t.Error("the Model's Schema was changed")
	}
	u := load[user](t, 1, row)
	must(t, m.Open(t.Context(), u))
	wantUser(t, u, "ada")
}

func TestABindingThatIsNoneIsNamed(t *testing.T) {
	if got := rowseal.Binding(9).String(); got != "Binding(9)" {
		t.Errorf("got %s", got)
	}
}

type noIDButTenant struct {
	Tenant          string
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

func TestBindRowNeedsThePrimaryKeyWhateverTheContextIs(t *testing.T) {
	_, err := rowseal.NewModel[noIDButTenant]("rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		Binding: rowseal.BindRow,
		Keys:    map[string]rowseal.KeyOptions{"": {Context: rowseal.ContextRule{Names: map[string]string{"tenant": "{tenant}"}}}},
	})
	wantMessage(t, err, "BindRow needs the primary key id")
}
