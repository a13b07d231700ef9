package rowseal_test

import (
	"reflect"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// Columns that were sealed in another way before: rows move one by one, and none is lost on the way.

// client is a row of a table that had Lockbox.master_key before it had data keys.
type client struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string] `rowseal:"previous=app"`
	Notes           rowseal.Sealed[[]byte] `rowseal:"previous=app"`
	City            rowseal.Sealed[string] // new, and never under the master key
}

func clientsOf(tb testing.TB, s kms.Service, amend func(*rowseal.Schema)) *rowseal.Model[client] {
	tb.Helper()
	return newModel[client](tb, "clients", ringOf(tb, s), &rowseal.Options{MasterKeys: masterKeys(tb, "app"), Amend: amend})
}

// underMaster is what Lockbox wrote under a master key.
func underMaster(tb testing.TB, table, attribute, text string, opts *lockbox.Options) string {
	tb.Helper()
	key, err := lockbox.AttributeKey(masterSecret("app"), table, attribute)
	must(tb, err)
	box, err := lockbox.New(key, opts)
	must(tb, err)
	ciphertext, err := box.Encrypt([]byte(text), nil)
	must(tb, err)
	return string(ciphertext)
}

// early is a row of before the table had data keys.
func early(tb testing.TB) stored {
	tb.Helper()
	return stored{
		"EncryptedKMSKey": nil, "City": nil,
		"Email": underMaster(tb, "clients", "email_ciphertext", "ada@example.org", nil),
		"Notes": underMaster(tb, "clients", "notes_ciphertext", "notes of ada", nil),
	}
}

func wantClient(t *testing.T, what string, c *client, email, notes string) {
	t.Helper()
	gotEmail, err := c.Email.Get()
	gotNotes, err2 := c.Notes.Get()
	if gotEmail != email || string(gotNotes) != notes || err != nil || err2 != nil {
		t.Errorf("%s: %q, %q, %v, %v; want %q, %q", what, gotEmail, gotNotes, err, err2, email, notes)
	}
}

func TestARowWhoseKeyColumnIsNULLOpensByTheMasterKey(t *testing.T) {
	fake := &kmstest.Fake{}
	clients := clientsOf(t, fake, nil)
	c := load[client](t, 1, early(t))
	must(t, clients.Open(t.Context(), c))
	wantClient(t, "opened", c, "ada@example.org", "notes of ada")
	must(t, clients.Seal(t.Context(), c)) // nothing was set: nothing changes
	if row := save(t, c); row["EncryptedKMSKey"] != nil {
		t.Error("the row got a data key")
	}
	wantRequests(t, "no data key", fake, 0, 0)
}

func TestSealGivesSuchARowADataKeyAndLosesNoField(t *testing.T) {
	for what, open := range map[string]bool{"opened": true, "loaded": false} {
		t.Run(what, func(t *testing.T) {
			fake := &kmstest.Fake{}
			clients := clientsOf(t, fake, nil)
			before := early(t)
			c := load[client](t, 1, before)
			if open {
				must(t, clients.Open(t.Context(), c))
			}
			c.Email.Set("new@example.org")
			after := sealed(t, clients, c)
			wantRequests(t, "Seal", fake, 1, 0)
			if after["EncryptedKMSKey"] == nil || after["Notes"] != before["Notes"] {
				t.Errorf("the row is now %v", after)
			}
			c = load[client](t, 1, after)
			must(t, clients.Open(t.Context(), c))
			wantClient(t, "after Seal", c, "new@example.org", "notes of ada")
		})
	}
}

func TestRekeyBringsTheWholeRowUnderADataKey(t *testing.T) {
	fake := &kmstest.Fake{}
	ring := ringOf(t, fake)
	before := early(t)
	c := load[client](t, 1, before)
	moving := newModel[client](t, "clients", ring, &rowseal.Options{MasterKeys: masterKeys(t, "app")})
	must(t, moving.Rekey(t.Context(), c))
	wantRequests(t, "Rekey", fake, 1, 0)
	wantClient(t, "after Rekey", c, "ada@example.org", "notes of ada")
	row := save(t, c)
	for _, column := range []string{"EncryptedKMSKey", "Email", "Notes"} {
		if row[column] == nil || reflect.DeepEqual(row[column], before[column]) {
			t.Errorf("%s stayed as it was", column)
		}
	}
	// The master key can go.
	without := newModel[client](t, "clients", ring, &rowseal.Options{
		MasterKeys: masterKeys(t, "app"), Amend: func(s *rowseal.Schema) { s.Fields[0].Previous, s.Fields[1].Previous = nil, nil },
	})
	c = load[client](t, 1, row)
	must(t, without.Open(t.Context(), c))
	wantClient(t, "without the master key", c, "ada@example.org", "notes of ada")
}

func TestAFailureLeavesSuchARowUnderItsMasterKey(t *testing.T) {
	fake := &kmstest.Fake{}
	clients := clientsOf(t, fake, nil)
	fake.Deny(kms.OpEncrypt)
	for what, call := range map[string]func(*client) error{
		"Seal":  func(c *client) error { c.City.Set("London"); return clients.Seal(t.Context(), c) },
		"Rekey": func(c *client) error { return clients.Rekey(t.Context(), c) },
	} {
		c := load[client](t, 1, early(t))
		must(t, clients.Open(t.Context(), c))
		before := c.EncryptedKMSKey.IsNull()
		wantErr(t, what, call(c), kms.ErrAccessDenied)
		if !before || !c.EncryptedKMSKey.IsNull() {
			t.Error("the row has a data key")
		}
		wantClient(t, what, c, "ada@example.org", "notes of ada")
	}
}

// What was not loaded is no NULL: the database may have a data key there.
func TestARowWhoseKeyColumnWasNotLoadedIsRefused(t *testing.T) {
	fake := &kmstest.Fake{}
	clients := clientsOf(t, fake, nil)
	for what, row := range map[string]stored{"under the master key": early(t), "under a data key": func() stored {
		c := &client{ID: 1}
		c.Email.Set("ada@example.org")
		return sealed(t, clients, c)
	}()} {
		delete(row, "EncryptedKMSKey")
		fake.Reset()
		for call, do := range map[string]func(*client) error{
			"Open":  func(c *client) error { return clients.Open(t.Context(), c) },
			"Seal":  func(c *client) error { c.City.Set("London"); return clients.Seal(t.Context(), c) },
			"Rekey": func(c *client) error { return clients.Rekey(t.Context(), c) },
		} {
			c := load[client](t, 1, row)
			err := do(c)
			wantErr(t, what+", "+call, err, rowseal.ErrNoKey)
			wantPlace(t, err, "clients", "1", "email_ciphertext", 0)
			wantMessage(t, err, "key column encrypted_kms_key was not loaded beside a ciphertext")
			_, err = c.Email.Get()
			wantErr(t, what+", "+call+", Get", err, rowseal.ErrNotOpened)
			refuses(t, what+", "+call+", the key", values(c)["EncryptedKMSKey"])
		}
		wantRequests(t, what, fake, 0, 0)
	}
}

// A field that never was under a master key has no other way to open than the data key that is gone.
func TestAFieldWithoutAPreviousVersionBesideANULLKeyIsRefused(t *testing.T) {
	clients := clientsOf(t, &kmstest.Fake{}, nil)
	c := &client{ID: 1}
	c.City.Set("London")
	row := early(t).with("City", sealed(t, clients, c)["City"])
	for what, do := range map[string]func(*client) error{
		"Open":  func(c *client) error { return clients.Open(t.Context(), c) },
		"Seal":  func(c *client) error { c.Email.Set("new@example.org"); return clients.Seal(t.Context(), c) },
		"Rekey": func(c *client) error { return clients.Rekey(t.Context(), c) },
	} {
		err := do(load[client](t, 1, row))
		wantErr(t, what, err, rowseal.ErrNoKey)
		wantPlace(t, err, "clients", "1", "city_ciphertext", 0)
	}
}

// A ciphertext of the data key that was lost must not be saved beside a new one.
func TestADataKeysFieldBesideANULLKeyIsNotTakenForTheMasterKeys(t *testing.T) {
	clients := clientsOf(t, &kmstest.Fake{}, nil)
	c := &client{ID: 1}
	c.Email.Set("ada@example.org")
	row := early(t).with("Email", sealed(t, clients, c)["Email"])
	c = load[client](t, 1, row)
	must(t, clients.Open(t.Context(), c))
	_, err := c.Email.Get()
	wantErr(t, "Get", err, rowseal.ErrDecryptionFailed)
	if notes, err := c.Notes.Get(); string(notes) != "notes of ada" || err != nil {
		t.Errorf("the other field: %q, %v", notes, err)
	}
	c.Notes.Set([]byte("new"))
	unchangedRow(t, "Seal", c, rowseal.ErrDecryptionFailed, func() error { return clients.Seal(t.Context(), c) })
	unchangedRow(t, "Rekey", c, rowseal.ErrDecryptionFailed, func() error { return clients.Rekey(t.Context(), c) })
}

func TestAMasterKeysFieldsThatWereRenamedOpenUnderTheirEarlierNames(t *testing.T) {
	fake := &kmstest.Fake{}
	clients := clientsOf(t, fake, func(s *rowseal.Schema) {
		s.Fields[0].Previous = []rowseal.PreviousVersion{
			{MasterKey: "app", KeyTable: "customers", KeyAttribute: "mail_ciphertext"},
			{MasterKey: "app", KeyTable: "customers"},
			{MasterKey: "app"},
		}
	})
	for what, name := range map[string][2]string{
		"both": {"customers", "mail_ciphertext"}, "the table": {"customers", "email_ciphertext"}, "none": {"clients", "email_ciphertext"},
	} {
		row := early(t).with("Email", underMaster(t, name[0], name[1], "ada@example.org", nil))
		c := load[client](t, 1, row)
		must(t, clients.Open(t.Context(), c))
		wantClient(t, what, c, "ada@example.org", "notes of ada")
		must(t, clients.Rekey(t.Context(), c))
		wantClient(t, what+", rekeyed", c, "ada@example.org", "notes of ada")
	}
}

// Lockbox's previous_versions under the same data key.
func TestEarlierAlgorithmsPaddingsAndAssociatedDataOfTheDataKeyOpen(t *testing.T) {
	needUnapproved(t)
	type before struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `rowseal:"algorithm=xchacha20,padding=16,ad=old.email"`
		Phone           rowseal.Sealed[string]
	}
	type now struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Phone           rowseal.Sealed[string]
	}
	ring := ringOf(t, &kmstest.Fake{})
	opts := func(previous ...rowseal.PreviousVersion) *rowseal.Options {
		return &rowseal.Options{Model: "Row", Amend: func(s *rowseal.Schema) { s.Fields[0].Previous = previous }}
	}
	b := &before{ID: 1}
	b.Email.Set("ada@example.org")
	b.Phone.Set("123")
	row := sealed(t, newModel[before](t, "rows", ring, opts()), b)

	old := rowseal.PreviousVersion{Algorithm: lockbox.XChaCha20, Padding: 16, AssociatedData: "old.email"}
	for what, wrong := range map[string]rowseal.PreviousVersion{
		"no previous version": {Algorithm: lockbox.AESGCM},
		"another algorithm":   {Algorithm: lockbox.AESGCM, Padding: 16, AssociatedData: "old.email"},
		"another padding":     {Algorithm: lockbox.XChaCha20, AssociatedData: "old.email"},
		"no associated data":  {Algorithm: lockbox.XChaCha20, Padding: 16},
		"the binding's":       {Algorithm: lockbox.XChaCha20, Padding: 16, AssociatedData: "rows.email_ciphertext"},
	} {
		n := load[now](t, 1, row)
		must(t, newModel[now](t, "rows", ring, opts(wrong)).Open(t.Context(), n))
		if got, err := n.Email.Get(); err == nil && got == "ada@example.org" {
			t.Errorf("%s: the value opens", what)
		}
	}

	rows := newModel[now](t, "rows", ring, opts(rowseal.PreviousVersion{}, old))
	n := load[now](t, 1, row)
	must(t, rows.Open(t.Context(), n))
	if got, err := n.Email.Get(); got != "ada@example.org" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	n.Phone.Set("456")
	must(t, rows.Seal(t.Context(), n)) // beside a field that stays in its earlier form
	if save(t, n)["Email"] != row["Email"] {
		t.Error("a field that was not set was sealed anew")
	}
	must(t, rows.Rekey(t.Context(), n))
	n = load[now](t, 1, save(t, n))
	must(t, newModel[now](t, "rows", ring, opts()).Open(t.Context(), n)) // in today's form
	if got, err := n.Email.Get(); got != "ada@example.org" || err != nil {
		t.Errorf("after Rekey: %q, %v", got, err)
	}
}

func TestPreviousVersionsNeverSeal(t *testing.T) {
	fake := &kmstest.Fake{}
	keys := watch(fake)
	clients := clientsOf(t, fake, nil)
	c := load[client](t, 1, early(t))
	c.Email.Set("new@example.org")
	row := sealed(t, clients, c)
	box, err := lockbox.New(keys.seen[0], nil)
	must(t, err)
	if got, err := box.Decrypt([]byte(textOfValue(row["Email"])), []byte("clients.email_ciphertext")); string(got) != "new@example.org" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPreviousVersionsThatCannotBeAreRefused(t *testing.T) {
	for want, previous := range map[string]rowseal.PreviousVersion{
		`email_ciphertext was sealed under the master key "ap", which is none of ["app"]`: {MasterKey: "ap"},
		`"aes"`:         {Algorithm: "aes"},
		`padding of -1`: {Padding: -1},
	} {
		_, err := rowseal.NewModel[client]("clients", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
			MasterKeys: masterKeys(t, "app"), Amend: func(s *rowseal.Schema) { s.Fields[0].Previous = []rowseal.PreviousVersion{previous} },
		})
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "rowseal: schema of table", "email_ciphertext", want)
	}
}
