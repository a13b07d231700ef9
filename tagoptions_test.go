package rowseal_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// tagged has every option that a tag can have.
type tagged struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey        `rowseal:"attachments=license+photos"`
	KMSKeyPhone     rowseal.DataKey        `rowseal:"name=phone,attachments=card"`
	Email           rowseal.Sealed[string] `rowseal:"previous=app+old,padding=16,raw"`
	Phone           rowseal.Sealed[string] `rowseal:"key=phone,algorithm=aes-gcm"`
	City            rowseal.Sealed[string] `rowseal:"key=app,key_table=people,key_attribute=town_ciphertext"`
	SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=per_attribute_iv,algorithm=aes-128-gcm,empty,encode=m0,encode_iv=none,allow=cbc+ignored_iv"`
	SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	Data            rowseal.Sealed[any]    `rowseal:"codec=attr_encrypted,marshal=json,type=json"`
	OtherIV         rowseal.IV             `rowseal:"of=Data,column=data_vector"`
	Lock            rowseal.Sealed[string] `rowseal:"codec=lockbox"`
	EmailIndex      blindindex.Index       `rowseal:"of=Email,normalize=strip+lower,algorithm=hmac_sha256,size=16,raw,master=app,key_table=people,key_column=mail_bidx"`
	PhoneBidx       blindindex.Index       `rowseal:"of=Phone,algorithm=pbkdf2_sha256,slow"`
	Both            blindindex.Index       `rowseal:"of=Phone+City,join=|,algorithm=hmac_sha256,column=phone_and_city"`
	Scan            rowseal.File
	Stamp           rowseal.File `rowseal:"key=phone,algorithm=aes-gcm,padding=4096,ad=stamps,column=stamp_ref"`
}

func taggedOptions(tb testing.TB) *rowseal.Options {
	return &rowseal.Options{
		Binding: rowseal.BindNone, MasterKeys: masterKeys(tb, "app", "old", rowseal.DefaultIndexKey), Store: &objects{},
		OnInsecure: func(rowseal.InsecureForm) {}, Attachments: []rowseal.Attachment{{Name: "xray"}},
		Amend: func(s *rowseal.Schema) { s.Fields[3].AttrEncrypted.AllowIgnoredIV = false }, // which FIPS mode refuses
	}
}

func TestTagsSayWhatTheSchemaIs(t *testing.T) {
	s := newModel[tagged](t, "rows", ringOf(t, &kmstest.Fake{}), taggedOptions(t)).Schema()
	want := rowseal.Schema{
		Table: "rows", Model: "tagged", PrimaryKey: "id", Binding: rowseal.BindNone, MasterKeys: []string{"app", rowseal.DefaultIndexKey, "old"},
		Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}, {Column: "encrypted_kms_key_phone", Name: "phone"}},
		Fields: []rowseal.Field{
			{Column: "email_ciphertext", Type: lockbox.String, Format: lockbox.Format{Padding: 16, Raw: true},
				Previous: []rowseal.PreviousVersion{{MasterKey: "app"}, {MasterKey: "old"}}},
			{Column: "phone_ciphertext", Key: "phone", Type: lockbox.String, Algorithm: lockbox.AESGCM},
			{Column: "city_ciphertext", Key: "app", Type: lockbox.String, KeyTable: "people", KeyAttribute: "town_ciphertext"},
			{Column: "encrypted_ssn", Type: lockbox.String, IV: "encrypted_ssn_iv", AttrEncrypted: &attrencrypted.Options{
				Mode: attrencrypted.PerAttributeIV, Algorithm: "aes-128-gcm", AllowEmpty: true, Encode: attrencrypted.Strict,
				EncodeIV: attrencrypted.Raw, AllowCBC: true,
			}},
			{Column: "encrypted_data", Type: lockbox.JSON, IV: "data_vector", AttrEncrypted: &attrencrypted.Options{Marshal: attrencrypted.MarshalJSON}},
			{Column: "lock_ciphertext", Type: lockbox.String},
		},
		Files: []rowseal.FileColumn{
			{Column: "scan_file"}, {Column: "stamp_ref", Key: "phone", Algorithm: lockbox.AESGCM, Padding: 4096, AssociatedData: "stamps"},
		},
		Attachments: []rowseal.Attachment{{Name: "xray"}, {Name: "license"}, {Name: "photos"}, {Name: "card", Key: "phone"}},
		Indexes: []rowseal.Index{
			{Column: "email_bidx", Of: []string{"email_ciphertext"}, IndexKey: rowseal.IndexKey{MasterKey: "app", KeyTable: "people", KeyColumn: "mail_bidx"},
				Options: blindindex.Options{Algorithm: blindindex.HMACSHA256, Size: 16, Raw: true, Normalize: "strip+lower"}},
			{Column: "phone_bidx", Of: []string{"phone_ciphertext"}, Options: blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, Slow: true}},
			{Column: "phone_and_city", Of: []string{"phone_ciphertext", "city_ciphertext"}, Join: "|", Options: blindindex.Options{Algorithm: blindindex.HMACSHA256}},
		},
	}
	if !reflect.DeepEqual(s, want) {
		got, wanted := reflect.ValueOf(s), reflect.ValueOf(want)
		for i := range got.NumField() {
			if g, w := got.Field(i).Interface(), wanted.Field(i).Interface(); !reflect.DeepEqual(g, w) {
				t.Errorf("%s\n got %+v\nwant %+v", got.Type().Field(i).Name, g, w)
			}
		}
	}
}

// Where a table is read from a file, it must be the one that the struct says.
func TestASchemaGoesRoundThroughATable(t *testing.T) {
	opts, ring := taggedOptions(t), ringOf(t, &kmstest.Fake{})
	s := newModel[tagged](t, "rows", ring, opts).Schema()
	table, err := rowseal.NewTable(s, ring, &rowseal.Options{MasterKeys: opts.MasterKeys, Store: opts.Store, OnInsecure: opts.OnInsecure})
	must(t, err)
	if got := table.Schema(); !reflect.DeepEqual(got, s) {
		t.Errorf("got  %+v\nwant %+v", got, s)
	}
	changed := table.Schema()
	changed.Fields[0].Previous[0].MasterKey, changed.Fields[3].AttrEncrypted.Mode = "changed", "changed"
	changed.Indexes[0].Of[0], changed.Files[0].Column, changed.Attachments[0].Name, changed.MasterKeys[0] = "changed", "changed", "changed", "changed"
	want := newModel[tagged](t, "rows", ring, taggedOptions(t)).Schema() // which shares nothing with the one that was changed
	if got := table.Schema(); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(s, want) {
		t.Error("the Schema that a Table shows is not a copy, or that which it was made of")
	}
}

type (
	keyed[T any] struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Other           T
	}
	badAttachments struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=a+a"`
	}
	attachmentAsColumn struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=email_ciphertext"`
		Email           rowseal.Sealed[string]
	}
	emptyAttachment struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=a+"`
	}
	fieldOption struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"normalize=lower"`
	}
	fileOption struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Scan            rowseal.File `rowseal:"raw"`
	}
	fileKey struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Scan            rowseal.File `rowseal:"key=app"`
	}
	filePadding struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Scan            rowseal.File `rowseal:"padding=100000"`
	}
	indexOption struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,padding=16"`
	}
	indexOfNothing struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index
	}
	indexOfPlain struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=ID"`
	}
	indexSize struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,size=0"`
	}
	indexSlow struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,slow=yes"`
	}
	pointerFile struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Scan            *rowseal.File
	}
	pointerIndex struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      *blindindex.Index `rowseal:"of=Email"`
	}
	fileSlice struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Scans           []rowseal.File
	}
	hiddenFile struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		scan            rowseal.File //lint:ignore U1000 it is here to be refused
	}
	lockboxMode struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"mode=per_attribute_iv"`
	}
	unknownCodec struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"codec=tink"`
	}
	unknownForm struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,allow=ecb"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	}
	noIV struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
	}
	noSalt struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=per_attribute_iv_and_salt"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	}
	idleSalt struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
		SSNSalt         rowseal.Salt           `rowseal:"of=SSN"`
	}
	twoIVs struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
		OtherIV         rowseal.IV             `rowseal:"of=SSN,column=other"`
	}
	strayIV struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIV         rowseal.IV `rowseal:"of=Email"`
	}
	lostIV struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIV         rowseal.IV
	}
	attrPadding struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,padding=16"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	}
	attrType struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[int] `rowseal:"codec=attr_encrypted"`
		SSNIV           rowseal.IV          `rowseal:"of=SSN"`
	}
	attrBound struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	}
	unknownMode struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=per_row"`
		SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	}
	namesOfADataKey struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"key_table=people"`
	}
	unknownPrevious struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"previous=ap"`
	}
	masterAsKey struct {
		ID          int64
		KMSKeyPhone rowseal.DataKey        `rowseal:"name=app"`
		Email       rowseal.Sealed[string] `rowseal:"key=app"`
	}
	twoOfAName struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		secretBase
		Other struct{ Email string }
		secretBase3
		EmailIndex blindindex.Index `rowseal:"of=Email"`
	}
	secretBase3 struct {
		Email rowseal.Sealed[string] `rowseal:"column=other_email"`
	}
)

func TestTagsThatCannotBeAreRefusedWithFieldAndRemedy(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	for _, test := range []struct {
		refused func(*rowseal.Options) error
		want    []string
	}{
		{refused[badAttachments](ring), []string{"column or attachment a is there twice"}},
		{refused[attachmentAsColumn](ring), []string{"column or attachment email_ciphertext is there twice"}},
		{refused[emptyAttachment](ring), []string{`column or attachment "" needs a name`}},
		{refused[fieldOption](ring), []string{"field Email", "is a Sealed, and the option normalize is for blindindex.Index"}},
		{refused[fileOption](ring), []string{"field Scan", "is a File, and the option raw is for Sealed and blindindex.Index"}},
		{refused[fileKey](ring), []string{`scan_file is sealed under the key "app", which no key column has`}},
		{refused[filePadding](ring), []string{"scan_file: lockbox: padding of 100000 bytes: want 1 to 65536"}},
		{refused[indexOption](ring), []string{"field EmailIndex", "is a blindindex.Index, and the option padding is for Sealed and File"}},
		{refused[indexOfNothing](ring), []string{"field EmailIndex", `say of which field (` + "`" + `rowseal:"of=Email"`}},
		{refused[indexOfPlain](ring), []string{"field EmailIndex is of ID, and no field of that name is a Sealed"}},
		{refused[indexSize](ring), []string{"field EmailIndex", "size=0 is no number of bytes from 1"}},
		{refused[indexSlow](ring), []string{"option slow has no value"}},
		{refused[pointerFile](ring), []string{"field Scan", "is a pointer; use rowseal.File itself"}},
		{refused[pointerIndex](ring), []string{"field EmailIndex", "is a pointer; use blindindex.Index itself"}},
		{refused[fileSlice](ring), []string{"field Scans", "is a []rowseal.File, in which sealed values would be overlooked"}},
		{refused[hiddenFile](ring), []string{"field scan", "is not exported"}},
		{refused[lockboxMode](ring), []string{"field Email", "the option mode goes with codec=attr_encrypted"}},
		{refused[unknownCodec](ring), []string{"codec=tink is unknown; known are lockbox, which needs no saying, and attr_encrypted"}},
		{refused[unknownForm](ring), []string{"allow=ecb is unknown; known are cbc and ignored_iv"}},
		{refused[noIV](ring), []string{"encrypted_ssn", "needs a column for the IV"}},
		{refused[noSalt](ring), []string{"encrypted_ssn", "needs a column for the salt"}},
		{refused[idleSalt](ring), []string{"encrypted_ssn", "has no salt", "encrypted_ssn_salt"}},
		{refused[twoIVs](ring), []string{"field OtherIV is a second one of SSN"}},
		{refused[strayIV](ring), []string{"email_ciphertext has an IV or a salt column, which only attr_encrypted's format has"}},
		{refused[lostIV](ring), []string{"field EmailIV goes with a sealed field; say which"}},
		{refused[attrPadding](ring), []string{"encrypted_ssn is in attr_encrypted's format, and Algorithm, Format, AssociatedData and Previous are Lockbox's"}},
		{refused[attrType](ring), []string{"encrypted_ssn: attr_encrypted seals text, so its type is string, binary or, where it was marshalled, json; not integer"}},
		{refused[unknownMode](ring), []string{"encrypted_ssn: attrencrypted", `"per_row"`}},
		{refused[namesOfADataKey](ring), []string{"email_ciphertext: KeyTable and KeyAttribute are for a key that is derived from a master key"}},
		{refused[unknownPrevious](ring), []string{`email_ciphertext was sealed under the master key "ap", which is none of`}},
		{refused[masterAsKey](ring), []string{`a master key has the name "app", which must be neither empty nor that of another key`}},
		{refused[twoOfAName](ring), []string{"field EmailIndex is of Email, and two fields have that name"}},
	} {
		err := test.refused(&rowseal.Options{
			Binding: rowseal.BindNone, MasterKeys: masterKeys(t, "app", rowseal.DefaultIndexKey), Store: &objects{},
			OnInsecure: func(rowseal.InsecureForm) {},
		})
		wantErr(t, test.want[0], err, kms.ErrInvalidRequest)
		wantMessage(t, err, test.want...)
		if err != nil && strings.Count(err.Error(), "rowseal: ") != 1 {
			t.Errorf("the package's name is there more than once: %v", err)
		}
	}
	err := refused[attrBound](ring)(nil)
	wantErr(t, "a binding", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "encrypted_ssn is in attr_encrypted's format, which cannot be bound; use BindNone for the table")
}

func TestAmendChangesWhatTagsSayAndNotWhereColumnsAre(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	amended := func(amend func(*rowseal.Schema)) (*rowseal.Model[tagged], error) {
		opts := taggedOptions(t)
		opts.Amend = func(s *rowseal.Schema) {
			s.Fields[3].AttrEncrypted.AllowIgnoredIV = false
			amend(s)
		}
		return rowseal.NewModel[tagged]("rows", ring, opts)
	}
	m, err := amended(func(s *rowseal.Schema) {
		s.Fields[1].Previous = []rowseal.PreviousVersion{{Padding: 32}}
		s.Indexes[1].Options.Cost.Iterations = 1
		s.Attachments[0].Padding = 64
	})
	must(t, err)
	if s := m.Schema(); s.Fields[1].Previous[0].Padding != 32 || s.Indexes[1].Options.Cost.Iterations != 1 || s.Attachments[0].Padding != 64 {
		t.Errorf("got %+v", s)
	}
	for what, amend := range map[string]func(*rowseal.Schema){
		"a column renamed":  func(s *rowseal.Schema) { s.Fields[0].Column = "mail" },
		"a column added":    func(s *rowseal.Schema) { s.Fields = append(s.Fields, rowseal.Field{Column: "x"}) },
		"a column removed":  func(s *rowseal.Schema) { s.Fields = s.Fields[1:] },
		"columns exchanged": func(s *rowseal.Schema) { slices.Reverse(s.Fields[:2]) },
		"a key renamed":     func(s *rowseal.Schema) { s.Keys[0].Column = "key" },
		"an IV removed":     func(s *rowseal.Schema) { s.Fields[3].IV = "" },
		"a salt added":      func(s *rowseal.Schema) { s.Fields[3].Salt = "salt" },
		"an index removed":  func(s *rowseal.Schema) { s.Indexes = nil },
		"a file removed":    func(s *rowseal.Schema) { s.Files = s.Files[:1] },
		"a field made index": func(s *rowseal.Schema) { // the same columns in the same order
			last := len(s.Files) - 1
			s.Indexes = slices.Insert(s.Indexes, 0, rowseal.Index{Column: s.Files[last].Column, Of: []string{"email_ciphertext"}})
			s.Files = s.Files[:last]
		},
	} {
		_, err := amended(amend)
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "Options.Amend has added, removed or renamed a column; that is for the struct and its tags")
	}
	_, err = amended(func(s *rowseal.Schema) { s.Fields[0].Type = lockbox.Date })
	wantErr(t, "a type changed", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "Options.Amend has changed the type of email_ciphertext")
	_, err = amended(func(s *rowseal.Schema) { s.Fields[0].Key = "fone" })
	wantMessage(t, err, `email_ciphertext is sealed under the key "fone"`) // what it says is checked
}

// What tags can say and structs can be is not all refused.
func TestFieldsBesideEachOther(t *testing.T) {
	type keys struct {
		Born rowseal.Sealed[time.Time] `rowseal:"type=date"`
	}
	newModel[keyed[int]](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Model: "Row"})
	newModel[keyed[rowseal.File]](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Model: "Row", Store: &objects{}})
	_, err := rowseal.NewModel[keyed[keys]]("rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Model: "Row"})
	wantMessage(t, err, "in which sealed values would be overlooked")
}

func TestBindRowNeedsThePrimaryKeyOfATableWithoutKeyColumnsToo(t *testing.T) {
	type row struct {
		Name  string
		Email rowseal.Sealed[string] `rowseal:"key=app"`
	}
	err := refused[row](nil)(&rowseal.Options{Binding: rowseal.BindRow, MasterKeys: masterKeys(t, "app")})
	wantErr(t, "NewModel", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "BindRow needs the primary key id")
}
