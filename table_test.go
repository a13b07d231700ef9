package rowseal_test

import (
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// everything has a column of each kind that needs no more than the core.
type everything struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey           `rowseal:"attachments=license"`
	Email           rowseal.Sealed[string]    `rowseal:"padding=16"`
	EmailIndex      blindindex.Index          `rowseal:"of=Email,algorithm=hmac_sha256,normalize=lower"`
	Born            rowseal.Sealed[time.Time] `rowseal:"type=date"`
	Age             rowseal.Sealed[int64]
	Member          rowseal.Sealed[bool]
	Weight          rowseal.Sealed[float64]
	Photo           rowseal.Sealed[[]byte] `rowseal:"raw"`
	SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
	SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	Scan            rowseal.File
	City            rowseal.Sealed[string] `rowseal:"key=app"`
	KMSKeyPhone     rowseal.DataKey        `rowseal:"name=phone"`
	Phone           rowseal.Sealed[string] `rowseal:"key=phone"`
}

var birthday = time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)

func newEverything(id int64) *everything {
	e := &everything{ID: id}
	e.Email.Set("Ada@Example.org")
	e.Born.Set(birthday)
	e.Age.Set(36)
	e.Member.Set(true)
	e.Weight.Set(61.5)
	e.Photo.Set([]byte{0, 1, 255})
	e.SSN.Set("123-45-6789")
	setFile(&e.Scan, "scan of ada", "ada.pdf")
	e.City.Set("London")
	e.Phone.Set("phone of ada")
	return e
}

// plainOf is what a Record gives of everything.
var plainOf = map[string]any{
	"email_ciphertext": "Ada@Example.org", "born_ciphertext": birthday, "age_ciphertext": int64(36), "member_ciphertext": true,
	"weight_ciphertext": 61.5, "photo_ciphertext": []byte{0, 1, 255}, "encrypted_ssn": "123-45-6789", "city_ciphertext": "London",
	"phone_ciphertext": "phone of ada",
}

// columnsOf are the database's names of the struct's columns.
var columnsOf = map[string]string{
	"EncryptedKMSKey": "encrypted_kms_key", "Email": "email_ciphertext", "EmailIndex": "email_bidx", "Born": "born_ciphertext",
	"Age": "age_ciphertext", "Member": "member_ciphertext", "Weight": "weight_ciphertext", "Photo": "photo_ciphertext",
	"SSN": "encrypted_ssn", "SSNIV": "encrypted_ssn_iv", "Scan": "scan_file", "City": "city_ciphertext",
	"KMSKeyPhone": "encrypted_kms_key_phone", "Phone": "phone_ciphertext",
}

func driverValues(columns map[string]driver.Value) map[string]any {
	all := map[string]any{}
	for column, value := range columns {
		all[column] = value
	}
	return all
}

// pair is a Model and the Table of its Schema.
type pair struct {
	model *rowseal.Model[everything]
	table *rowseal.Table
	files *objects
	fake  *kmstest.Fake
}

func newPair(t *testing.T) pair {
	t.Helper()
	p := pair{files: &objects{}, fake: &kmstest.Fake{BatchSize: 10}}
	ring := ringOf(t, p.fake)
	opts := &rowseal.Options{Binding: rowseal.BindNone, MasterKeys: masterKeys(t, "app", rowseal.DefaultIndexKey), Store: p.files}
	p.model = newModel[everything](t, "things", ring, opts)
	table, err := rowseal.NewTable(p.model.Schema(), ring, &rowseal.Options{MasterKeys: opts.MasterKeys, Store: p.files})
	must(t, err)
	p.table = table
	return p
}

func wantRecord(t *testing.T, r *rowseal.Record) {
	t.Helper()
	for column, want := range plainOf {
		if got, err := r.Get(column); fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", want, want) || err != nil {
			t.Errorf("%s is %T %v, %v; want %T %v", column, got, got, err, want, want)
		}
	}
	f, err := r.File("scan_file")
	must(t, err)
	wantContent(t, "the scan", *f, "scan of ada")
}

func TestATableOpensWhatAModelSealed(t *testing.T) {
	p := newPair(t)
	columns := map[string]any{"id": int64(7)}
	for field, value := range sealed(t, p.model, newEverything(7)) {
		if value == nil {
			t.Errorf("%s is NULL", field)
		}
		columns[columnsOf[field]] = value
	}
	r, err := p.table.Record(columns)
	must(t, err)
	must(t, p.table.Open(t.Context(), r))
	wantRecord(t, r)
}

func newRecord(t *testing.T, p pair) *rowseal.Record {
	t.Helper()
	r, err := p.table.Record(map[string]any{"id": int64(7)})
	must(t, err)
	for column, value := range plainOf {
		must(t, r.Set(column, value))
	}
	f, err := r.File("scan_file")
	must(t, err)
	setFile(f, "scan of ada", "ada.pdf")
	return r
}

func TestAModelOpensWhatATableSealed(t *testing.T) {
	p := newPair(t)
	r := newRecord(t, p)
	must(t, p.table.Seal(t.Context(), r))
	wantRecord(t, r)
	columns, err := r.Sealed()
	must(t, err)
	row := stored{}
	for field, column := range columnsOf {
		value, ok := columns[column]
		if !ok || value == nil {
			t.Errorf("%s is %v", column, value)
		}
		row[field] = value
	}
	if len(columns) != len(columnsOf) {
		t.Errorf("%d columns: %v", len(columns), columns)
	}
	e := load[everything](t, 7, row)
	must(t, p.model.Open(t.Context(), e))
	email, err := e.Email.Get()
	born, err2 := e.Born.Get()
	age, err3 := e.Age.Get()
	ssn, err4 := e.SSN.Get()
	if email != "Ada@Example.org" || !born.Equal(birthday) || age != 36 || ssn != "123-45-6789" || err != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Errorf("%q, %v, %d, %q, %v, %v, %v, %v", email, born, age, ssn, err, err2, err3, err4)
	}
	wantContent(t, "the scan", e.Scan, "scan of ada")
	found, err := p.model.Lookup(t.Context(), "email_bidx", "ADA@example.org")
	if err != nil || len(found) != 1 || found[0] != e.EmailIndex.Text() {
		t.Errorf("the index is %v, and %v is looked for, %v", e.EmailIndex.Text(), found, err)
	}
}

// All that a Model can do with a row.
func TestATableRekeysRewrapsClearsAndWipes(t *testing.T) {
	p := newPair(t)
	r := newRecord(t, p)
	must(t, p.table.Seal(t.Context(), r))
	must(t, p.table.Committed(t.Context(), r))
	must(t, p.table.Rewrap(t.Context(), r))
	wantErr(t, "Rekey beside attachments", p.table.Rekey(t.Context(), r), kms.ErrInvalidRequest)
	box, err := p.table.Box(t.Context(), r, "license")
	must(t, err)
	license := sealFile(t, box, "license")
	must(t, p.table.RekeyWith(t.Context(), r, func(name string, from, to *rowseal.FileBox) error {
		plain, err := from.Open(license)
		if err != nil {
			return err
		}
		license = sealFile(t, to, string(plain))
		return nil
	}))
	wantRecord(t, r)
	wantErr(t, "an unfinished Rekey", p.table.Committed(t.Context(), r), nil)
	f, err := r.File("scan_file")
	must(t, err)
	wantObjects(t, "after Committed", p.files, f.Object())
	must(t, p.table.Reindex(t.Context(), r))

	p.table.Wipe(r)
	_, err = r.Get("email_ciphertext")
	wantErr(t, "after Wipe", err, rowseal.ErrNotOpened)
	must(t, p.table.Only("phone").Open(t.Context(), r))
	_, err = r.Get("email_ciphertext")
	wantErr(t, "after Only", err, rowseal.ErrNotOpened)
	must(t, p.table.Open(t.Context(), r))
	wantRecord(t, r)

	p.table.Clear(r)
	columns, err := r.Sealed()
	must(t, err)
	for column, value := range columns {
		if (value == nil) != (column != "city_ciphertext") { // which is under a master key
			t.Errorf("a cleared %s is %v", column, value)
		}
	}
	must(t, p.table.Abandoned(t.Context(), r))
}

func TestNULLIsNilInARecord(t *testing.T) {
	p := newPair(t)
	r := newRecord(t, p)
	for column := range plainOf {
		must(t, r.Set(column, nil))
	}
	f, err := r.File("scan_file")
	must(t, err)
	f.SetNull()
	must(t, p.table.Seal(t.Context(), r))
	wantRequests(t, "only NULL", p.fake, 0, 0)
	for column := range plainOf {
		if got, err := r.Get(column); got != nil || err != nil {
			t.Errorf("%s is %v, %v", column, got, err)
		}
	}
	columns, err := r.Sealed()
	must(t, err)
	for column, value := range columns {
		if value != nil {
			t.Errorf("%s is %v", column, value)
		}
	}
}

func TestWhatARecordRefuses(t *testing.T) {
	p := newPair(t)
	r := newRecord(t, p)
	for want, err := range map[string]error{
		"name is no sealed column; name one of email_ciphertext":     second(r.Get("name")),
		"email_bidx is no sealed column":                             r.Set("email_bidx", "x"),
		"email_ciphertext is no column of a file":                    second(r.File("email_ciphertext")),
		"scan_file is no sealed column":                              second(r.Field("scan_file")),
		`no key column has the name "fone"; name one of "", "phone"`: second(r.Key("fone")),
		"email_ciphertext is sealed; use Set":                        r.SetColumn("email_ciphertext", "x"),
		"encrypted_ssn_iv is sealed; use Set":                        r.SetColumn("encrypted_ssn_iv", "x"),
		"encrypted_kms_key is sealed; use Set":                       r.SetColumn("encrypted_kms_key", "x"),
	} {
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `table "things"`, want)
	}
	_, err := r.Sealed()
	wantErr(t, "Sealed before Seal", err, rowseal.ErrUnsealed)
	wantMessage(t, err, "things ")
	_, err = p.table.Record(map[string]any{"email_ciphertext": 7})
	wantErr(t, "a number as a ciphertext", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "things email_ciphertext")

	must(t, r.Set("age_ciphertext", "thirty-six"))
	err = p.table.Seal(t.Context(), r)
	wantPlace(t, err, "things", "7", "age_ciphertext", 0)
	if strings.Contains(err.Error(), "thirty") {
		t.Errorf("the error holds the value: %v", err)
	}
}

func TestTheColumnsThatNameTheRow(t *testing.T) {
	p := newPair(t)
	r, err := p.table.Record(nil)
	must(t, err)
	must(t, r.Set("email_ciphertext", "ada"))
	wantErr(t, "a row without an id", p.table.Seal(t.Context(), r), rowseal.ErrNotReady)
	must(t, r.SetColumn("id", int64(7)))
	must(t, p.table.Seal(t.Context(), r))
	must(t, r.SetColumn("id", int64(8)))
	wantErr(t, "another id", p.table.Open(t.Context(), r), rowseal.ErrContextChanged)
	wantRows(t, "a nil row", p.table.Open(t.Context(), nil), 1, 0)
}

// The caller's map stays the caller's.
func TestARecordCopiesItsColumns(t *testing.T) {
	p := newPair(t)
	columns := map[string]any{"id": int64(7)}
	r, err := p.table.Record(columns)
	must(t, err)
	columns["id"] = int64(8)
	must(t, r.SetColumn("name", "ada"))
	if len(columns) != 1 {
		t.Errorf("the caller's map is now %v", columns)
	}
	must(t, r.Set("email_ciphertext", "ada"))
	must(t, p.table.Seal(t.Context(), r))
	must(t, r.SetColumn("id", int64(7)))
	must(t, p.table.Open(t.Context(), r))
}

func TestAFieldWithoutATypeIsAStringInATable(t *testing.T) {
	s := rowseal.Schema{
		Table: "rows", Model: "Row", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "key"}}, Fields: []rowseal.Field{{Column: "email"}},
	}
	table, err := rowseal.NewTable(s, ringOf(t, &kmstest.Fake{}), nil)
	must(t, err)
	if got := table.Schema().Fields[0].Type; got != "string" {
		t.Errorf("the type is %q", got)
	}
	r, err := table.Record(map[string]any{"id": int64(1)})
	must(t, err)
	must(t, r.Set("email", "ada"))
	must(t, table.Seal(t.Context(), r))
	if got, err := r.Get("email"); got != "ada" || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if s.Fields[0].Type != "" {
		t.Error("NewTable changed the caller's Schema")
	}
}

func TestWhatNewTableRefuses(t *testing.T) {
	good := func() rowseal.Schema {
		return rowseal.Schema{
			Table: "rows", Model: "Row", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "key"}}, Fields: []rowseal.Field{{Column: "email"}},
		}
	}
	ring := ringOf(t, &kmstest.Fake{})
	for want, opts := range map[string]*rowseal.Options{
		"Options of a Table repeat what its Schema says":                  {Model: "Row"},
		"repeat what its Schema says":                                     {PrimaryKey: "id"},
		"of a Table repeat what":                                          {Binding: rowseal.BindRow},
		"a Table repeat what":                                             {Attachments: []rowseal.Attachment{{Name: "x"}}},
		"Table repeat what":                                               {Amend: func(*rowseal.Schema) {}},
		`options for the key "fone", which no column has; name one of ""`: {Keys: map[string]rowseal.KeyOptions{"fone": {}}},
		`the contexts of the key "" belong into the Schema`: {Keys: map[string]rowseal.KeyOptions{"": {
			Context: rowseal.ContextRule{Names: map[string]string{"a": "b"}},
		}}},
	} {
		_, err := rowseal.NewTable(good(), ring, opts)
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `table "rows"`, want)
	}
	for want, spoil := range map[string]func(*rowseal.Schema){
		"has no keyring":      func(*rowseal.Schema) {},
		`unknown type "text"`: func(s *rowseal.Schema) { s.Fields[0].Type = "text" },
		"railsyaml":           func(s *rowseal.Schema) { s.Fields[0].Type = "hash" },
		"a table needs":       func(s *rowseal.Schema) { s.Table = "" },
	} {
		s := good()
		spoil(&s)
		_, err := rowseal.NewTable(s, nil, nil)
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, want)
	}
}
