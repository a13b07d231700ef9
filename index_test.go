package rowseal_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// contactRow can be found by its email in two ways, by its phone, and by name and city together, which are under two keys.
type contactRow struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index `rowseal:"of=Email,algorithm=hmac_sha256,normalize=strip+lower"`
	EmailShort      blindindex.Index `rowseal:"of=Email,algorithm=hmac_sha256,size=2,raw"`
	Phone           rowseal.Sealed[string]
	PhoneIndex      blindindex.Index `rowseal:"of=Phone,algorithm=hmac_sha256,normalize=e164"`
	Name            rowseal.Sealed[string]
	KMSKeyCity      rowseal.DataKey        `rowseal:"name=city"`
	City            rowseal.Sealed[string] `rowseal:"key=city"`
	NameCity        blindindex.Index       `rowseal:"of=Name+City,algorithm=hmac_sha256,normalize=lower"`
}

var errNoPhone = errors.New("not a phone number")

// e164 takes digits with a plus, leaves the empty text out, and refuses the rest.
func e164(s string) (string, error) {
	switch {
	case s == "":
		return "", blindindex.ErrNull
	case !strings.HasPrefix(s, "+"):
		return "", errNoPhone
	}
	return strings.ReplaceAll(s, " ", ""), nil
}

func contactsOf(tb testing.TB, s kms.Service, amend func(*rowseal.Schema)) *rowseal.Model[contactRow] {
	tb.Helper()
	return newModel[contactRow](tb, "contacts", ringOf(tb, s), &rowseal.Options{
		MasterKeys: masterKeys(tb, rowseal.DefaultIndexKey, "new"), Amend: amend,
		Normalizers: map[string]func(string) (string, error){"e164": e164},
	})
}

func newContact(id int64) *contactRow {
	c := &contactRow{ID: id}
	c.Email.Set(" Ada@Example.org ")
	c.Phone.Set("+44 20 7946 0958")
	c.Name.Set("Ada")
	c.City.Set("London")
	return c
}

// indexOf computes an index with package blindindex alone.
func indexOf(tb testing.TB, master, table, column, value string, opts blindindex.Options) string {
	tb.Helper()
	key, err := blindindex.KeyOf(masterSecret(master), table, column)
	must(tb, err)
	x, err := blindindex.New(key, &opts)
	must(tb, err)
	text, err := x.Compute(value)
	must(tb, err)
	return text
}

func hmacIndex(tb testing.TB, column, value string) string {
	tb.Helper()
	return indexOf(tb, rowseal.DefaultIndexKey, "contacts", column, value, blindindex.Options{Algorithm: blindindex.HMACSHA256})
}

func TestSealFillsTheIndexesOfWhatWasSet(t *testing.T) {
	c := newContact(1)
	row := sealed(t, contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil), c)
	for field, want := range map[string]string{
		"EmailIndex": hmacIndex(t, "email_bidx", "ada@example.org"),
		"EmailShort": indexOf(t, rowseal.DefaultIndexKey, "contacts", "email_short_bidx", " Ada@Example.org ",
			blindindex.Options{Algorithm: blindindex.HMACSHA256, Size: 2, Raw: true}),
		"PhoneIndex": hmacIndex(t, "phone_bidx", "+442079460958"),
		"NameCity":   hmacIndex(t, "name_city_bidx", "ada\x1flondon"),
	} {
		if got := textOfValue(row[field]); got != want || got == "" {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if short, ok := row["EmailShort"].([]byte); !ok || len(short) != 2 {
		t.Errorf("a raw index of 2 bytes is %v", row["EmailShort"])
	}
}

func TestIndexesWithTheDefaultAlgorithmAreTheGems(t *testing.T) {
	needUnapproved(t)
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,normalize=lower"`
	}
	rows := newModel[row](t, "users", ringOf(t, &kmstest.Fake{}), &rowseal.Options{MasterKeys: masterKeys(t, rowseal.DefaultIndexKey)})
	r := &row{ID: 1}
	r.Email.Set("Ada@example.org")
	must(t, rows.Seal(t.Context(), r))
	if want := indexOf(t, rowseal.DefaultIndexKey, "users", "email_bidx", "ada@example.org", blindindex.Options{}); r.EmailIndex.Text() != want {
		t.Errorf("got %q, want %q", r.EmailIndex.Text(), want)
	}
}

func TestIndexesFollowTheirField(t *testing.T) {
	contacts := contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil)
	before := sealed(t, contacts, newContact(1))
	same := func(columns ...string) func(stored) bool {
		return func(after stored) bool {
			return !slices.ContainsFunc(columns, func(c string) bool { return textOfValue(after[c]) != textOfValue(before[c]) })
		}
	}
	for what, test := range map[string]struct {
		change func(*contactRow)
		check  func(after stored) bool
	}{
		"nothing set": {func(*contactRow) {}, same("EmailIndex", "EmailShort", "PhoneIndex", "NameCity")},
		"equal value": {func(c *contactRow) { c.Email.Set("ADA@example.org") }, same("EmailIndex", "PhoneIndex", "NameCity")},
		"other value": {func(c *contactRow) { c.Email.Set("eve@example.org") }, func(s stored) bool {
			return s["EmailIndex"] == hmacIndex(t, "email_bidx", "eve@example.org") && same("PhoneIndex", "NameCity")(s)
		}},
		"NULL":             {func(c *contactRow) { c.Email.SetNull() }, func(s stored) bool { return s["EmailIndex"] == nil && s["EmailShort"] == nil }},
		`""`:               {func(c *contactRow) { c.Email.Set("") }, func(s stored) bool { return s["EmailIndex"] == hmacIndex(t, "email_bidx", "") }},
		"left out":         {func(c *contactRow) { c.Phone.Set("") }, func(s stored) bool { return s["PhoneIndex"] == nil && s["Phone"] == "" }},
		"one of two":       {func(c *contactRow) { open(t, contacts, c); c.City.Set("PARIS") }, func(s stored) bool { return s["NameCity"] == hmacIndex(t, "name_city_bidx", "ada\x1fparis") }},
		"one of two, NULL": {func(c *contactRow) { c.City.SetNull() }, func(s stored) bool { return s["NameCity"] == nil && s["EmailIndex"] != nil }},
		"Clear":            {func(c *contactRow) { contacts.Clear(c) }, func(s stored) bool { return s["EmailIndex"] == nil && s["PhoneIndex"] == nil && s["NameCity"] == nil }},
		"Clear of one key": {func(c *contactRow) { contacts.Only("city").Clear(c) }, func(s stored) bool { return s["NameCity"] == nil && s["EmailIndex"] != nil }},
		"Rekey":            {func(c *contactRow) { must(t, contacts.Rekey(t.Context(), c)) }, same("EmailIndex", "EmailShort", "PhoneIndex", "NameCity")},
		"Rekey of one key": {func(c *contactRow) { must(t, contacts.Only("city").Rekey(t.Context(), c)) }, same("EmailIndex", "EmailShort", "PhoneIndex", "NameCity")},
		"Rekey of what was set": {func(c *contactRow) { c.Name.Set("Eve"); must(t, contacts.Rekey(t.Context(), c)) }, func(s stored) bool {
			return s["NameCity"] == hmacIndex(t, "name_city_bidx", "eve\x1flondon") && same("EmailIndex")(s)
		}},
	} {
		c := load[contactRow](t, 1, before)
		test.change(c)
		if after := sealed(t, contacts, c); !test.check(after) {
			t.Errorf("%s: the row is %v, and was %v", what, after, before)
		}
	}
}

func open[T any](t *testing.T, m *rowseal.Model[T], rows ...*T) {
	t.Helper()
	must(t, m.Open(t.Context(), rows...))
}

func TestEqualValuesHaveEqualIndexesInEveryRowAndThroughATable(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	contacts := contactsOf(t, fake, nil)
	a, b := newContact(1), newContact(2)
	must(t, contacts.Seal(t.Context(), a, b))
	table, err := rowseal.NewTable(contacts.Schema(), ringOf(t, fake), &rowseal.Options{
		MasterKeys: masterKeys(t, rowseal.DefaultIndexKey, "new"), Normalizers: map[string]func(string) (string, error){"e164": e164},
	})
	must(t, err)
	r, err := table.Record(map[string]any{"id": int64(3)})
	must(t, err)
	for column, value := range map[string]any{
		"email_ciphertext": "ada@example.org", "phone_ciphertext": "+442079460958", "name_ciphertext": "ADA", "city_ciphertext": "london",
	} {
		must(t, r.Set(column, value))
	}
	must(t, table.Seal(t.Context(), r))
	columns, err := r.Sealed()
	must(t, err)
	for column, x := range map[string][2]blindindex.Index{
		"email_bidx": {a.EmailIndex, b.EmailIndex}, "phone_bidx": {a.PhoneIndex, b.PhoneIndex}, "name_city_bidx": {a.NameCity, b.NameCity},
	} {
		if x[0] != x[1] || x[0].Text() == "" || columns[column] != x[0].Text() {
			t.Errorf("%s: %q, %q, %v", column, x[0].Text(), x[1].Text(), columns[column])
		}
	}
	// And no column's index is another's, though the master key is one.
	if a.EmailIndex.Text() == hmacIndex(t, "phone_bidx", "ada@example.org") {
		t.Error("two columns share a key")
	}
}

func TestLookupIsWhatTheColumnHolds(t *testing.T) {
	contacts := contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil)
	row := sealed(t, contacts, newContact(1))
	for _, test := range []struct {
		column, field string
		values        []any
	}{
		{"email_bidx", "EmailIndex", []any{"ADA@EXAMPLE.ORG\n"}},
		{"email_short_bidx", "EmailShort", []any{" Ada@Example.org "}},
		{"phone_bidx", "PhoneIndex", []any{"+4420 7946 0958"}},
		{"name_city_bidx", "NameCity", []any{"ADA", "london"}},
	} {
		found, err := contacts.Lookup(t.Context(), test.column, test.values...)
		if err != nil || len(found) != 1 || fmt.Sprintf("%T%v", found[0], found[0]) != fmt.Sprintf("%T%v", row[test.field], row[test.field]) {
			t.Errorf("%s: %v, %v; the column holds %v", test.column, found, err, row[test.field])
		}
	}
	found, err := contacts.Lookup(t.Context(), "phone_bidx", "")
	if len(found) != 0 || err != nil {
		t.Errorf("a value that has no index: %v, %v", found, err)
	}
	found, err = contacts.Lookup(t.Context(), "email_bidx", "eve@example.org")
	if err != nil || len(found) != 1 || found[0] == row["EmailIndex"] {
		t.Errorf("another value: %v, %v", found, err)
	}
}

func TestWhatLookupRefuses(t *testing.T) {
	contacts := contactsOf(t, &kmstest.Fake{}, nil)
	for want, lookup := range map[string]func() error{
		"email_ciphertext is no index":                                     func() error { return second(contacts.Lookup(t.Context(), "email_ciphertext", "x")) },
		"index name_city_bidx is of 2 field(s), and 1 value(s) were given": func() error { return second(contacts.Lookup(t.Context(), "name_city_bidx", "x")) },
		"index email_bidx is of 1 field(s), and 0 value(s) were given":     func() error { return second(contacts.Lookup(t.Context(), "email_bidx")) },
		"index name_city_bidx: a value contains the text that joins":       func() error { return second(contacts.Lookup(t.Context(), "name_city_bidx", "a\x1fb", "c")) },
	} {
		err := lookup()
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "rowseal: ", want)
	}
	err := second(contacts.Lookup(t.Context(), "phone_bidx", "secret-number"))
	wantErr(t, "a value that the normalizer refuses", err, errNoPhone)
	if strings.Contains(err.Error(), "secret-number") {
		t.Errorf("the error holds the value: %v", err)
	}
	for _, value := range []any{7, nil, []int{1}, "a\xff"} {
		if found, err := contacts.Lookup(t.Context(), "email_bidx", value); err == nil {
			t.Errorf("%v is looked for as %v", value, found)
		}
	}
}

func TestIntegersDatesAndBooleansAreIndexedByTheirTextInRuby(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Age             rowseal.Sealed[int]
		AgeIndex        blindindex.Index          `rowseal:"of=Age,algorithm=hmac_sha256"`
		Born            rowseal.Sealed[time.Time] `rowseal:"type=date"`
		BornIndex       blindindex.Index          `rowseal:"of=Born,algorithm=hmac_sha256"`
		Member          rowseal.Sealed[bool]
		MemberIndex     blindindex.Index `rowseal:"of=Member,algorithm=hmac_sha256"`
		Token           rowseal.Sealed[[]byte]
		TokenIndex      blindindex.Index `rowseal:"of=Token,algorithm=hmac_sha256"`
	}
	rows := newModel[row](t, "contacts", ringOf(t, &kmstest.Fake{}), &rowseal.Options{MasterKeys: masterKeys(t, rowseal.DefaultIndexKey)})
	for _, member := range []bool{true, false} {
		r := &row{ID: 1}
		r.Age.Set(-12345)
		r.Born.Set(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC))
		r.Member.Set(member)
		r.Token.Set([]byte{0xff, 0})
		must(t, rows.Seal(t.Context(), r))
		for column, test := range map[string]struct {
			index blindindex.Index
			text  string
			value any
		}{
			"age_bidx": {r.AgeIndex, "-12345", -12345}, "born_bidx": {r.BornIndex, "2024-02-29", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
			"member_bidx": {r.MemberIndex, fmt.Sprint(member), member}, "token_bidx": {r.TokenIndex, "\xff\x00", []byte{0xff, 0}},
		} {
			found, err := rows.Lookup(t.Context(), column, test.value)
			if want := hmacIndex(t, column, test.text); test.index.Text() != want || len(found) != 1 || found[0] != want || err != nil {
				t.Errorf("%s is %q and %v, %v is looked for; want %q", column, test.index.Text(), found, err, want)
			}
		}
		// Reading it back from the column gives the same text as setting it.
		before := values(r)
		must(t, rows.Reindex(t.Context(), r))
		if !sameValues(before, values(r)) {
			t.Error("Reindex gives other indexes than Seal")
		}
	}
}

// The new key fills, both are looked for, and Reindex moves the rows.
func TestAnIndexKeyIsRotated(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	old := contactsOf(t, fake, nil)
	row := sealed(t, old, newContact(1))
	rotated := contactsOf(t, fake, func(s *rowseal.Schema) {
		s.Indexes[0].Previous = []rowseal.IndexKey{s.Indexes[0].IndexKey, {KeyTable: "people", KeyColumn: "mail_bidx"}}
		s.Indexes[0].IndexKey = rowseal.IndexKey{MasterKey: "new"}
	})
	found, err := rotated.Lookup(t.Context(), "email_bidx", "ada@example.org")
	must(t, err)
	opts := blindindex.Options{Algorithm: blindindex.HMACSHA256}
	want := []string{
		indexOf(t, "new", "contacts", "email_bidx", "ada@example.org", opts), textOfValue(row["EmailIndex"]),
		indexOf(t, rowseal.DefaultIndexKey, "people", "mail_bidx", "ada@example.org", opts),
	}
	if len(found) != 3 || found[0] != want[0] || found[1] != want[1] || found[2] != want[2] {
		t.Errorf("%v is looked for, want %q", found, want)
	}
	c := load[contactRow](t, 1, row)
	wantErr(t, "Reindex of a closed row", rotated.Reindex(t.Context(), c), rowseal.ErrNotOpened)
	must(t, rotated.Open(t.Context(), c))
	fake.Reset()
	must(t, rotated.Reindex(t.Context(), c))
	wantRequests(t, "Reindex", fake, 0, 0)
	after := save(t, c)
	if after["EmailIndex"] != want[0] {
		t.Errorf("the index is %v", after["EmailIndex"])
	}
	for _, column := range []string{"Email", "EmailShort", "PhoneIndex", "NameCity", "EncryptedKMSKey"} {
		if textOfValue(after[column]) != textOfValue(row[column]) {
			t.Errorf("%s changed", column)
		}
	}
}

func TestAnIndexWithTheKeyOfItsEarlierNames(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,algorithm=hmac_sha256,master=new,key_table=people,key_column=mail_bidx"`
	}
	rows := newModel[row](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{MasterKeys: masterKeys(t, "new")})
	r := &row{ID: 1}
	r.Email.Set("ada")
	must(t, rows.Seal(t.Context(), r))
	if want := indexOf(t, "new", "people", "mail_bidx", "ada", blindindex.Options{Algorithm: blindindex.HMACSHA256}); r.EmailIndex.Text() != want {
		t.Errorf("%q, want %q", r.EmailIndex.Text(), want)
	}
}

func TestAnIndexOfAFieldUnderAMasterKey(t *testing.T) {
	type row struct {
		ID         int64
		Email      rowseal.Sealed[string] `rowseal:"key=new"`
		EmailIndex blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256"`
	}
	rows := newModel[row](t, "contacts", nil, &rowseal.Options{MasterKeys: masterKeys(t, "new", rowseal.DefaultIndexKey)})
	r := &row{ID: 1}
	r.Email.Set("ada")
	saved := sealed(t, rows, r)
	r = load[row](t, 1, saved.with("EmailIndex", nil))
	must(t, rows.Reindex(t.Context(), r)) // which is open without a KMS
	if r.EmailIndex.Text() != hmacIndex(t, "email_bidx", "ada") {
		t.Errorf("%q", r.EmailIndex.Text())
	}
}

func TestAnIndexOverTwoKeysOpensTheKeyOfTheFieldThatStays(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	contacts := contactsOf(t, fake, nil)
	row := sealed(t, contacts, newContact(1))
	c := load[contactRow](t, 1, row)
	c.Name.Set("Eve")
	unchangedRow(t, "Only", c, kms.ErrInvalidRequest, func() error {
		err := contacts.Only("").Seal(t.Context(), c)
		wantMessage(t, err, "it is made of city_ciphertext too, which Only has left out")
		return err
	})
	unchangedRow(t, "a Sealer", c, kms.ErrAccessDenied, func() error { return contacts.Sealer().Seal(t.Context(), c) })
	fake.Reset()
	must(t, contacts.Seal(t.Context(), c))
	wantRequests(t, "both keys in one batch", fake, 0, 1)
	if c.NameCity.Text() != hmacIndex(t, "name_city_bidx", "eve\x1flondon") {
		t.Errorf("%q", c.NameCity.Text())
	}
}

func TestAnIndexThatFailsFailsItsRowAndNoOther(t *testing.T) {
	for what, spoil := range map[string]struct {
		set    func(*contactRow)
		column string
		want   error
	}{
		"a normalizer refuses": {func(c *contactRow) { c.Phone.Set("secret-number") }, "phone_bidx", errNoPhone},
		"not UTF-8":            {func(c *contactRow) { c.Email.Set("secret-\xff") }, "email_bidx", blindindex.ErrNotUTF8},
		"the joining text":     {func(c *contactRow) { c.City.Set("secret-\x1f") }, "name_city_bidx", kms.ErrInvalidRequest},
	} {
		t.Run(what, func(t *testing.T) {
			contacts := contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil)
			loaded := load[contactRow](t, 2, sealed(t, contacts, newContact(2)))
			must(t, contacts.Open(t.Context(), loaded))
			rows := []*contactRow{newContact(1), loaded, newContact(3)}
			rows[1].Name.Set("Eve")
			spoil.set(rows[1])
			unchangedRow(t, "Seal", rows[1], spoil.want, func() error {
				err := contacts.Seal(t.Context(), rows...)
				wantRows(t, "Seal", err, 3, 1)
				wantPlace(t, err, "contacts", "2", spoil.column, 1)
				if err != nil && strings.Contains(err.Error(), "secret-") {
					t.Errorf("the error holds the value: %v", err)
				}
				return err
			})
			for _, c := range []*contactRow{rows[0], rows[2]} {
				if save(t, c); c.EmailIndex.Text() != hmacIndex(t, "email_bidx", "ada@example.org") {
					t.Errorf("%q", c.EmailIndex.Text())
				}
			}
			rows[1].Phone.Set("+1")
			rows[1].Email.Set("eve@example.org")
			rows[1].City.Set("Paris")
			must(t, contacts.Seal(t.Context(), rows[1]))
			if rows[1].NameCity.Text() != hmacIndex(t, "name_city_bidx", "eve\x1fparis") {
				t.Errorf("%q", rows[1].NameCity.Text())
			}
		})
	}
}

// What a column holds already may be refused too, by a normalizer that was stricter than before.
func TestAReindexThatFailsLeavesItsRowAsItWasAndMakesTheOthers(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	lenient := contactsOf(t, fake, func(s *rowseal.Schema) { s.Indexes[2].Options.Normalize = "" })
	strange := newContact(2)
	strange.Phone.Set("call me")
	var rows []*contactRow
	for _, c := range []*contactRow{newContact(1), strange, newContact(3)} {
		row := sealed(t, lenient, c).with("EmailIndex", nil)
		rows = append(rows, load[contactRow](t, c.ID, row))
	}
	contacts := contactsOf(t, fake, nil)
	must(t, contacts.Open(t.Context(), rows...))
	unchangedRow(t, "Reindex", rows[1], errNoPhone, func() error {
		err := contacts.Reindex(t.Context(), rows...)
		wantRows(t, "Reindex", err, 3, 1)
		wantPlace(t, err, "contacts", "2", "phone_bidx", 1)
		return err
	})
	for _, c := range []*contactRow{rows[0], rows[2]} {
		if c.EmailIndex.IsNull() {
			t.Errorf("row %d has no index", c.ID)
		}
	}
}

func TestACancelledIndexLeavesTheRowAsItWas(t *testing.T) {
	contacts := contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil)
	c := load[contactRow](t, 1, sealed(t, contacts, newContact(1)))
	must(t, contacts.Open(t.Context(), c))
	unchangedRow(t, "Reindex", c, context.Canceled, func() error { return contacts.Reindex(cancelled(t), c) })
	c.Email.Set("new@example.org")
	unchangedRow(t, "Seal", c, context.Canceled, func() error { return contacts.Seal(cancelled(t), c) })
	unchangedRow(t, "Reindex before Seal", c, rowseal.ErrUnsealed, func() error { return contacts.Reindex(t.Context(), c) })
	must(t, contacts.Seal(t.Context(), c))
	if c.EmailIndex.Text() != hmacIndex(t, "email_bidx", "new@example.org") {
		t.Errorf("%q", c.EmailIndex.Text())
	}
}

// Neither an index without its file, nor a file whose row is not written.
func TestAnIndexAndAFileOfARowAreMadeBothOrNeither(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,algorithm=hmac_sha256,normalize=lower"`
		Scan            rowseal.File
	}
	files := &objects{}
	rows := newModel[row](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{MasterKeys: masterKeys(t, rowseal.DefaultIndexKey), Store: files})
	r := &row{ID: 1}
	r.Email.Set("ada")
	must(t, rows.Seal(t.Context(), r))
	r.Email.Set("eve")
	setFile(&r.Scan, "scan", "")
	broken := errors.New("broken")
	files.put = func(string) error { return broken }
	unchangedRow(t, "a Put that fails", r, broken, func() error { return rows.Seal(t.Context(), r) })

	files.put = nil
	r.Email.Set("not UTF-8: \xff")
	unchangedRow(t, "an index that fails", r, blindindex.ErrNotUTF8, func() error { return rows.Seal(t.Context(), r) })
	wantObjects(t, "an index that fails", files)
}

func TestIndexesThatCannotBeAreRefused(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	amended := func(amend func(*rowseal.Schema)) error {
		_, err := rowseal.NewModel[contactRow]("contacts", ring, &rowseal.Options{
			MasterKeys: masterKeys(t, rowseal.DefaultIndexKey), Amend: amend, Normalizers: map[string]func(string) (string, error){"e164": e164},
		})
		return err
	}
	must(t, amended(nil))
	for want, amend := range map[string]func(*rowseal.Schema){
		"index email_bidx is of no field": func(s *rowseal.Schema) { s.Indexes[0].Of = nil },
		"index email_bidx is of mail, which is no sealed column; name one of email_ciphertext": func(s *rowseal.Schema) { s.Indexes[0].Of = []string{"mail"} },
		`index email_bidx needs the master key "old"; give it in Options.MasterKeys`:           func(s *rowseal.Schema) { s.Indexes[0].MasterKey = "old" },
		`needs the master key "older"`: func(s *rowseal.Schema) { s.Indexes[0].Previous = []rowseal.IndexKey{{MasterKey: "older"}} },
		`email_bidx: blindindex`:       func(s *rowseal.Schema) { s.Indexes[0].Options.Normalize = "upper" },
		`phone_bidx: blindindex`:       func(s *rowseal.Schema) { s.Indexes[2].Options.Algorithm = "md5" },
		`name_city_bidx: blindindex`:   func(s *rowseal.Schema) { s.Indexes[3].Options.Size = -1 },
	} {
		err := amended(amend)
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `rowseal: schema of table "contacts": `, want)
	}
	type floats struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Weight          rowseal.Sealed[float64]
		WeightIndex     blindindex.Index `rowseal:"of=Weight"`
	}
	err := refused[floats](ring)(&rowseal.Options{MasterKeys: masterKeys(t, rowseal.DefaultIndexKey)})
	wantMessage(t, err, "index weight_bidx is of weight_ciphertext, whose type float has no one text; index a string, binary, integer, date or boolean")
	err = refused[contactRow](ring)(nil)
	wantMessage(t, err, `needs the master key "blind_index"; give it in Options.MasterKeys`)
}

func TestALongIndexIsStrictBase64(t *testing.T) {
	c := newContact(1)
	must(t, contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil).Seal(t.Context(), c))
	if b, err := base64.StdEncoding.Strict().DecodeString(c.EmailIndex.Text()); len(b) != 32 || err != nil {
		t.Errorf("%q: %d bytes, %v", c.EmailIndex.Text(), len(b), err)
	}
}

func TestAnIndexOverMasterKeysIsNotLostWithAFieldThatWasNotLoaded(t *testing.T) {
	type person struct {
		ID        int64
		First     rowseal.Sealed[string] `rowseal:"key=app"`
		Last      rowseal.Sealed[string] `rowseal:"key=app"`
		NameIndex blindindex.Index       `rowseal:"of=First+Last,algorithm=hmac_sha256"`
	}
	people := newModel[person](t, "people", nil, &rowseal.Options{MasterKeys: masterKeys(t, "app", rowseal.DefaultIndexKey)})
	p := &person{ID: 1}
	p.First.Set("Ada")
	p.Last.Set("Lovelace")
	s := sealed(t, people, p)
	delete(s, "Last") // the SELECT leaves it out
	partial := load[person](t, 1, s)
	partial.First.Set("Augusta")
	err := people.Seal(t.Context(), partial)
	wantErr(t, "Seal", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "name_bidx", "last_ciphertext, which was not loaded")
}

func TestAnIndexOverTwoKeysReadsAFieldFromBeforeTheTableHadDataKeys(t *testing.T) {
	type person struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		First           rowseal.Sealed[string] `rowseal:"previous=app"`
		KMSKeyLast      rowseal.DataKey        `rowseal:"name=last"`
		Last            rowseal.Sealed[string] `rowseal:"key=last"`
		NameIndex       blindindex.Index       `rowseal:"of=First+Last,algorithm=hmac_sha256"`
	}
	type old struct {
		ID    int64
		First rowseal.Sealed[string] `rowseal:"key=app"`
	}
	opts := rowseal.Options{MasterKeys: masterKeys(t, "app", rowseal.DefaultIndexKey), Binding: rowseal.BindNone}
	opts.Model = "Person"
	people := newModel[person](t, "people", ringOf(t, &kmstest.Fake{}), &opts)
	before := &old{ID: 1}
	before.First.Set("Ada")
	s := sealed(t, newModel[old](t, "people", nil, &opts), before)
	s["EncryptedKMSKey"], s["KMSKeyLast"] = nil, nil
	p := load[person](t, 1, s)
	p.Last.Set("Lovelace")
	must(t, people.Seal(t.Context(), p))
	want, err := people.Lookup(t.Context(), "name_bidx", "Ada", "Lovelace")
	must(t, err)
	if p.NameIndex.Text() != want[0] {
		t.Error("the index is not that of the two values")
	}
}

func TestReindexNeedsTheKeyColumn(t *testing.T) {
	type person struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"previous=app"`
		EmailIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256"`
	}
	people := newModel[person](t, "people", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		MasterKeys: masterKeys(t, "app", rowseal.DefaultIndexKey), Binding: rowseal.BindNone,
	})
	p := &person{ID: 1}
	p.Email.Set("ada@example.org")
	s := sealed(t, people, p)
	delete(s, "EncryptedKMSKey")
	wantErr(t, "Reindex", people.Reindex(t.Context(), load[person](t, 1, s)), rowseal.ErrNoKey)
}
