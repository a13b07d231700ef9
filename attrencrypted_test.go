package rowseal_test

import (
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/vectors"
)

// citizen has fields in attr_encrypted's format with columns for IV and salt, and one of Lockbox under the same data key.
type citizen struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
	SSNIV           rowseal.IV             `rowseal:"of=SSN"`
	Tax             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,empty,encode=m0,encode_iv=none"`
	TaxIV           rowseal.IV             `rowseal:"of=Tax"`
	Email           rowseal.Sealed[string]
}

// salted is refused in FIPS mode, where PBKDF2 with SHA-1 is.
type salted struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	PIN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=per_attribute_iv_and_salt"`
	PINIV           rowseal.IV             `rowseal:"of=PIN"`
	PINSalt         rowseal.Salt           `rowseal:"of=PIN"`
}

var unbound = &rowseal.Options{Binding: rowseal.BindNone}

func newCitizen(id int64, name string) *citizen {
	c := &citizen{ID: id}
	c.SSN.Set("ssn of " + name)
	c.Tax.Set("tax of " + name)
	c.Email.Set("email of " + name)
	return c
}

func wantCitizen(t *testing.T, c *citizen, name string) {
	t.Helper()
	for field, got := range map[string]opened{"ssn": textOf(c.SSN.Get()), "tax": textOf(c.Tax.Get()), "email": textOf(c.Email.Get())} {
		if got.text != field+" of "+name || got.err != nil {
			t.Errorf("%s is %q, %v", field, got.text, got.err)
		}
	}
}

func TestFieldsInAttrEncryptedsFormatAreWhatTheGemReads(t *testing.T) {
	fake := &kmstest.Fake{}
	keys := watch(fake)
	citizens := newModel[citizen](t, "citizens", ringOf(t, fake), unbound)
	row := sealed(t, citizens, newCitizen(1, "ada"))
	ssn, err := attrencrypted.New(keys.seen[0], nil)
	must(t, err)
	got, _, err := ssn.Decrypt(attrencrypted.Value{Ciphertext: row["SSN"].(string), IV: row["SSNIV"].(string), HasIV: true})
	if string(got) != "ssn of ada" || err != nil || !strings.HasSuffix(row["SSN"].(string), "\n") {
		t.Errorf("%q, %v", got, err)
	}
	opts := attrencrypted.Options{AllowEmpty: true, Encode: attrencrypted.Strict, EncodeIV: attrencrypted.Raw}
	tax, err := attrencrypted.New(keys.seen[0], &opts)
	must(t, err)
	got, _, err = tax.Decrypt(attrencrypted.Value{Ciphertext: row["Tax"].(string), IV: string(row["TaxIV"].([]byte)), HasIV: true})
	if string(got) != "tax of ada" || err != nil || len(row["TaxIV"].([]byte)) != 12 {
		t.Errorf("%q, %v, IV %v", got, err, row["TaxIV"])
	}
	c := load[citizen](t, 1, row)
	must(t, citizens.Open(t.Context(), c))
	wantCitizen(t, c, "ada")
}

func TestASaltedFieldHasThreeColumns(t *testing.T) {
	needUnapproved(t)
	rows := newModel[salted](t, "rows", ringOf(t, &kmstest.Fake{}), unbound)
	s := &salted{ID: 1}
	s.PIN.Set("1234")
	row := sealed(t, rows, s)
	if row["PINIV"] == nil || !strings.HasPrefix(textOfValue(row["PINSalt"]), "_") {
		t.Errorf("stored %v", row)
	}
	s = load[salted](t, 1, row)
	must(t, rows.Open(t.Context(), s))
	if pin, err := s.PIN.Get(); pin != "1234" || err != nil {
		t.Errorf("%q, %v", pin, err)
	}
	s.PIN.SetNull()
	if row := sealed(t, rows, s); row["PIN"] != nil || row["PINIV"] != nil || row["PINSalt"] != nil {
		t.Errorf("NULL is stored as %v", row)
	}
}

// The gem's default before 2.0: key and IV both come from the key, and there is no other column.
func TestAFieldOfOneColumn(t *testing.T) {
	needUnapproved(t)
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=single_iv_and_salt,algorithm=aes-256-cbc,allow=cbc"`
	}
	told := &reports{}
	rows := newModel[row](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Binding: rowseal.BindNone, OnInsecure: told.add})
	r := &row{ID: 1}
	r.SSN.Set("ssn of ada")
	saved := sealed(t, rows, r)
	told.want(t, "Seal")
	r = load[row](t, 1, saved)
	must(t, rows.Open(t.Context(), r))
	if ssn, err := r.SSN.Get(); ssn != "ssn of ada" || err != nil {
		t.Errorf("%q, %v", ssn, err)
	}
	told.want(t, "Get", `rows "1" encrypted_ssn: `+(attrencrypted.CBC|attrencrypted.Single).String())
}

func TestIVAndSaltFollowTheirField(t *testing.T) {
	citizens := newModel[citizen](t, "citizens", ringOf(t, &kmstest.Fake{}), unbound)
	before := sealed(t, citizens, newCitizen(1, "ada"))
	for what, test := range map[string]struct {
		change func(*citizen)
		check  func(after stored) bool
	}{
		"set":                   {func(c *citizen) { c.SSN.Set("new") }, func(s stored) bool { return s["SSNIV"] != nil && s["SSNIV"] != before["SSNIV"] }},
		"not set":               {func(c *citizen) { c.Email.Set("new") }, func(s stored) bool { return s["SSNIV"] == before["SSNIV"] && s["SSN"] == before["SSN"] }},
		"NULL":                  {func(c *citizen) { c.SSN.SetNull() }, func(s stored) bool { return s["SSN"] == nil && s["SSNIV"] == nil }},
		`""`:                    {func(c *citizen) { c.SSN.Set("") }, func(s stored) bool { return s["SSN"] == "" && s["SSNIV"] == nil }},
		`"" where it is sealed`: {func(c *citizen) { c.Tax.Set("") }, func(s stored) bool { return s["Tax"] != "" && s["TaxIV"] != nil }},
		"Clear":                 {func(c *citizen) { citizens.Clear(c) }, func(s stored) bool { return s["SSN"] == nil && s["SSNIV"] == nil && s["TaxIV"] == nil }},
		"Rekey": {func(c *citizen) { must(t, citizens.Rekey(t.Context(), c)) }, func(s stored) bool {
			return s["SSNIV"] != nil && s["SSNIV"] != before["SSNIV"] && s["SSN"] != before["SSN"]
		}},
		"Rewrap": {func(c *citizen) { must(t, citizens.Rewrap(t.Context(), c)) }, func(s stored) bool { return s["SSNIV"] == before["SSNIV"] }},
	} {
		c := load[citizen](t, 1, before)
		test.change(c)
		after := sealed(t, citizens, c)
		if !test.check(after) {
			t.Errorf("%s: the row is %v, and was %v", what, after, before)
		}
		c = load[citizen](t, 1, after)
		must(t, citizens.Open(t.Context(), c))
		for field, got := range map[string]opened{"SSN": textOf(c.SSN.Get()), "Tax": textOf(c.Tax.Get())} {
			if got.err != nil {
				t.Errorf("%s: %s: %v", what, field, got.err)
			}
		}
	}
}

func TestAFailedSealLeavesIVAndSaltAsTheyWere(t *testing.T) {
	fake := &kmstest.Fake{}
	citizens := newModel[citizen](t, "citizens", ringOf(t, fake), unbound)
	c := load[citizen](t, 1, sealed(t, citizens, newCitizen(1, "ada")))
	c.SSN.SetNull()
	c.Tax.Set("new")
	fake.Deny(kms.OpDecrypt)
	unchangedRow(t, "Seal", c, kms.ErrAccessDenied, func() error { return citizens.Seal(t.Context(), c) })
}

func TestNoFlippedBitOfAFieldOrItsIVOpens(t *testing.T) {
	citizens := newModel[citizen](t, "citizens", ringOf(t, &kmstest.Fake{}), unbound)
	row := sealed(t, citizens, newCitizen(1, "ada"))
	fails := func(what string, row stored) {
		c := load[citizen](t, 1, row)
		must(t, citizens.Open(t.Context(), c))
		got, err := c.SSN.Get()
		wantErr(t, what, err, rowseal.ErrDecryptionFailed)
		wantPlace(t, err, "citizens", "1", "encrypted_ssn", 1)
		if got != "" {
			t.Errorf("%s: %q", what, got)
		}
	}
	for _, column := range []string{"SSN", "SSNIV"} {
		b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(row[column].(string), "\n", ""))
		must(t, err)
		flipped(b, func(bit int, b []byte) {
			fails(fmt.Sprint(column, " bit ", bit), row.with(column, base64.StdEncoding.EncodeToString(b)+"\n"))
		})
	}
	fails("without its IV", row.with("SSNIV", nil))
	fails("with an empty IV", row.with("SSNIV", ""))
	fails("with another field's IV", row.with("SSNIV", base64.StdEncoding.EncodeToString(row["TaxIV"].([]byte))))
	fails("Lockbox's ciphertext", row.with("SSN", row["Email"]))
}

func TestARowWithoutItsIVIsNotSavedAsIfItWereWhole(t *testing.T) {
	citizens := newModel[citizen](t, "citizens", ringOf(t, &kmstest.Fake{}), unbound)
	row := sealed(t, citizens, newCitizen(1, "ada"))
	delete(row, "SSNIV") // the SELECT left it out
	c := load[citizen](t, 1, row)
	c.Email.Set("new")
	unchangedRow(t, "Seal", c, rowseal.ErrDecryptionFailed, func() error { return citizens.Seal(t.Context(), c) })
	unchangedRow(t, "Rekey", c, kms.ErrInvalidRequest, func() error { return citizens.Rekey(t.Context(), c) })
}

type attrVector struct {
	Mode, Algorithm     string
	Key                 []byte
	AllowEmpty          bool `json:"allow_empty_value"`
	Marshal             any
	Encode              attrencrypted.Encoding
	EncodeIV            attrencrypted.Encoding `json:"encode_iv"`
	Value               []byte
	Encrypted, IV, Salt *string
}

func (v attrVector) options() *attrencrypted.Options {
	o := &attrencrypted.Options{
		Mode: attrencrypted.Mode(v.Mode), Algorithm: v.Algorithm, AllowEmpty: v.AllowEmpty, Encode: v.Encode, EncodeIV: v.EncodeIV,
		AllowCBC: strings.HasSuffix(v.Algorithm, "cbc"),
	}
	if v.Marshal == true {
		o.Marshal = attrencrypted.MarshalJSON
	}
	return o
}

// wrappedAs wraps a data key that is known, as the gem's.
func wrappedAs(tb testing.TB, ring *rowseal.Keyring, key []byte, ec kms.Context) string {
	tb.Helper()
	wrapped, err := ring.Encrypt(tb.Context(), key, ec)
	must(tb, err)
	return wrapped
}

func nullable(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func TestRowsThatTheGemWroteOpenAndCloseAgain(t *testing.T) {
	data, err := vectors.FS.ReadFile("attr_encrypted.json")
	must(t, err)
	var file struct{ Values []attrVector }
	must(t, json.Unmarshal(data, &file))
	if len(file.Values) < 40 {
		t.Fatalf("%d vectors", len(file.Values))
	}
	ring := ringOf(t, &kmstest.Fake{})
	reported, read := 0, 0
	for i, v := range file.Values {
		i++                   // an id of 0 is none
		if len(v.Key) != 32 { // a password, as single_iv_and_salt takes; a data key has 32 bytes
			continue
		}
		opts := v.options()
		unapproved := opts.Mode != attrencrypted.PerAttributeIV
		s := rowseal.Schema{
			Table: "rows", Model: "Row", PrimaryKey: "id", Binding: rowseal.BindNone, Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}},
			Fields: []rowseal.Field{{Column: "encrypted_ssn", AttrEncrypted: opts, Type: "binary"}},
		}
		if opts.Mode != attrencrypted.SingleIVAndSalt {
			s.Fields[0].IV = "encrypted_ssn_iv"
		}
		if opts.Mode == attrencrypted.PerAttributeIVAndSalt {
			s.Fields[0].Salt = "encrypted_ssn_salt"
		}
		table, err := rowseal.NewTable(s, ring, &rowseal.Options{OnInsecure: func(rowseal.InsecureForm) { reported++ }})
		if unapproved && fips140.Enforced() {
			wantErr(t, v.Mode, err, attrencrypted.ErrNotFIPS)
			continue
		}
		must(t, err)
		columns := map[string]any{
			"id": int64(i), "encrypted_kms_key": wrappedAs(t, ring, v.Key, kms.Context{"model_name": "Row", "model_id": fmt.Sprint(i)}),
			"encrypted_ssn": nullable(v.Encrypted), "encrypted_ssn_iv": nullable(v.IV), "encrypted_ssn_salt": nullable(v.Salt),
		}
		r, err := table.Record(columns)
		must(t, err)
		must(t, table.Open(t.Context(), r))
		got, err := r.Get("encrypted_ssn")
		if b, _ := got.([]byte); string(b) != string(v.Value) || err != nil {
			t.Errorf("vector %d, %s, %s: %q, %v; want %q", i, v.Mode, v.Algorithm, got, err, v.Value)
		}
		must(t, table.Rekey(t.Context(), r))
		now, err := r.Sealed()
		must(t, err)
		now["id"] = int64(i)
		again, err := table.Record(driverValues(now))
		must(t, err)
		must(t, table.Open(t.Context(), again))
		got, err = again.Get("encrypted_ssn")
		if b, _ := got.([]byte); string(b) != string(v.Value) || err != nil {
			t.Errorf("vector %d, rekeyed: %q, %v; want %q", i, got, err, v.Value)
		}
		read++
	}
	if reported == 0 || read < 20 {
		t.Errorf("%d vectors read, %d insecure ones reported", read, reported)
	}
}

// reports collects what Options.OnInsecure is told.
type reports struct {
	mu  sync.Mutex
	all []string
}

func (r *reports) add(f rowseal.InsecureForm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, f.String())
}

func (r *reports) want(t *testing.T, what string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.all, want) {
		t.Errorf("%s: reported %q, want %q", what, r.all, want)
	}
	r.all = nil
}

// legacy reads what the app wrote in CBC before, and writes GCM.
type legacy struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	SSN             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,allow=cbc"`
	SSNIV           rowseal.IV             `rowseal:"of=SSN"`
}

func legacyRow(t *testing.T, ring *rowseal.Keyring, id int64) stored {
	t.Helper()
	key := masterSecret("data key")
	box, err := attrencrypted.New(key, &attrencrypted.Options{Algorithm: "aes-256-cbc", AllowCBC: true})
	must(t, err)
	v, err := box.Encrypt([]byte("ssn of ada"))
	must(t, err)
	wrapped := wrappedAs(t, ring, key, kms.Context{"model_name": "legacy", "model_id": fmt.Sprint(id)})
	return stored{"EncryptedKMSKey": wrapped, "SSN": v.Ciphertext, "SSNIV": v.IV}
}

func TestInsecureFormsAreReportedOnceAndOnlyWhereTheyWereRead(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	told := &reports{}
	rows := newModel[legacy](t, "rows", ring, &rowseal.Options{Binding: rowseal.BindNone, OnInsecure: told.add})
	row := legacyRow(t, ring, 7)
	l := load[legacy](t, 7, row)
	must(t, rows.Open(t.Context(), l))
	told.want(t, "Open")
	for range 3 {
		if got, err := l.SSN.Get(); got != "ssn of ada" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	told.want(t, "three Gets", `rows "7" encrypted_ssn: cbc`)

	l = load[legacy](t, 7, row)
	must(t, rows.Rekey(t.Context(), l)) // and this is what mends it
	told.want(t, "Rekey", `rows "7" encrypted_ssn: cbc`)
	l = load[legacy](t, 7, save(t, l))
	must(t, rows.Open(t.Context(), l))
	if got, err := l.SSN.Get(); got != "ssn of ada" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	told.want(t, "a Get after Rekey")

	l = load[legacy](t, 7, row)
	l.SSN.Set("new")
	must(t, rows.Seal(t.Context(), l))
	told.want(t, "Seal of another value")
}

func TestAFormThatIsNotAllowedDoesNotOpen(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	opts := &rowseal.Options{Binding: rowseal.BindNone, Amend: func(s *rowseal.Schema) { s.Fields[0].AttrEncrypted.AllowCBC = false }}
	rows := newModel[legacy](t, "rows", ring, opts)
	l := load[legacy](t, 7, legacyRow(t, ring, 7))
	must(t, rows.Open(t.Context(), l))
	_, err := l.SSN.Get()
	wantErr(t, "CBC", err, rowseal.ErrDecryptionFailed)
}

func TestWhatAllowsInsecureFormsNeedsSomebodyToTell(t *testing.T) {
	_, err := rowseal.NewModel[legacy]("rows", ringOf(t, &kmstest.Fake{}), unbound)
	wantErr(t, "NewModel", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "encrypted_ssn allows a form that is not safe, whose use is told to Options.OnInsecure, which is nil")
}

func TestMarshalledValuesAreJSON(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Data            rowseal.Sealed[map[string]int] `rowseal:"codec=attr_encrypted,marshal=json,type=json"`
		DataIV          rowseal.IV                     `rowseal:"of=Data"`
	}
	fake := &kmstest.Fake{}
	keys := watch(fake)
	rows := newModel[row](t, "rows", ringOf(t, fake), unbound)
	r := &row{ID: 1}
	r.Data.Set(map[string]int{"a": 1})
	saved := sealed(t, rows, r)
	box, err := attrencrypted.New(keys.seen[0], &attrencrypted.Options{Marshal: attrencrypted.MarshalJSON})
	must(t, err)
	got, _, err := box.Decrypt(attrencrypted.Value{Ciphertext: saved["Data"].(string), IV: saved["DataIV"].(string), HasIV: true})
	if string(got) != `{"a":1}` || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	r = load[row](t, 1, saved)
	must(t, rows.Open(t.Context(), r))
	if data, err := r.Data.Get(); data["a"] != 1 || err != nil {
		t.Errorf("%v, %v", data, err)
	}
}
