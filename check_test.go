package rowseal_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// catalogue is a database with one table.
type catalogue struct {
	columns []rowseal.TableColumn
	err     error
	asked   int
}

func (c *catalogue) TableColumns(ctx context.Context, table string) ([]rowseal.TableColumn, error) {
	c.asked++
	return c.columns, errors.Join(c.err, ctx.Err())
}

func (c *catalogue) Tables(context.Context) ([]string, error) { return []string{"app.users"}, nil }

// usersTable is the table of user.
func usersTable() *catalogue {
	text := func(name string) rowseal.TableColumn {
		return rowseal.TableColumn{Name: name, Type: "text", Kind: rowseal.TextColumn, Bytewise: true, Nullable: true}
	}
	raw := func(name string) rowseal.TableColumn {
		return rowseal.TableColumn{Name: name, Type: "bytea", Kind: rowseal.BytesColumn, Bytewise: true}
	}
	return &catalogue{columns: []rowseal.TableColumn{
		{Name: "id", Type: "bigint", PrimaryKey: true}, text("encrypted_kms_key"), text("email_ciphertext"), raw("notes_ciphertext"),
		text("encrypted_kms_key_phone"), text("phone_ciphertext"), raw("code_ciphertext"),
	}}
}

// with changes one column.
func (c *catalogue) with(name string, change func(*rowseal.TableColumn)) *catalogue {
	other := *c
	other.columns = slices.Clone(c.columns)
	for i := range other.columns {
		if other.columns[i].Name == name {
			change(&other.columns[i])
		}
	}
	return &other
}

func wantFindings(tb testing.TB, what string, err error, want ...string) {
	tb.Helper()
	var got []string
	if e := (*rowseal.CheckError)(nil); errors.As(err, &e) {
		for _, f := range e.Findings {
			got = append(got, f.Column)
		}
	} else if err != nil {
		tb.Errorf("%s: %v", what, err)
	}
	if !slices.Equal(got, want) {
		tb.Errorf("%s: found something in %q, want %q: %v", what, got, want, err)
	}
}

func TestCheckAsksOnce(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users, table := usersOf(t, fake), usersTable()
	must(t, users.Check(t.Context(), table, nil))
	wantRequests(t, "Check", fake, 1, 1)
	must(t, users.Sealer().Check(t.Context(), table, nil))
	wantRequests(t, "Check of a Sealer", fake, 1, 0)
	must(t, users.Check(t.Context(), table, &rowseal.CheckOptions{OpenOnly: true}))
	if n := fake.Items(kms.OpDecrypt); n != 2 || fake.Requests(kms.OpEncrypt) != 0 {
		t.Errorf("OpenOnly asked %d times to open, and %d times to seal", n, fake.Requests(kms.OpEncrypt))
	}
	fake.Reset()
	must(t, users.Check(t.Context(), table, &rowseal.CheckOptions{NoKMS: true}))
	wantRequests(t, "Check without the KMS", fake, 0, 0)
	must(t, users.Only("phone").Rows().Check(t.Context(), table, nil))
	if n := fake.Items(); n != 2 {
		t.Errorf("Check of one key of two has %d items, want 2", n)
	}
	if table.asked != 5 {
		t.Errorf("the database was asked %d times, want 5", table.asked)
	}
}

func TestCheckNamesItselfAndNoRowToTheKMS(t *testing.T) {
	seen := map[string]int{}
	fake := &kmstest.Fake{Fault: func(_ kmstest.Request, it kms.Item) error {
		ec, err := it.Context.Canonical()
		seen[string(ec)]++
		return err
	}}
	rule := rowseal.ContextRule{Names: map[string]string{"app": "crm", "who": "{id}"}}
	users := newModel[user](t, "users", newRing(t, rowseal.Version{Number: 2, Key: kms.NewKey(fake, &kms.KeyOptions{Parallel: 1})}),
		&rowseal.Options{Keys: map[string]rowseal.KeyOptions{"phone": {Context: rule}}})
	must(t, users.Check(t.Context(), usersTable(), nil))
	want := map[string]int{`{"model_id":"rowseal-check","model_name":"user"}`: 2, `{"app":"crm","who":"rowseal-check"}`: 2}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("the KMS saw %v, want %v", seen, want)
	}
	clear(seen)
	must(t, users.Only("phone").Check(t.Context(), usersTable(), &rowseal.CheckOptions{Row: map[string]any{"id": 12}}))
	if seen[`{"app":"crm","who":"12"}`] != 2 {
		t.Errorf("with a Row, the KMS saw %v", seen)
	}
}

func TestCheckFindsMissingRights(t *testing.T) {
	openOnly := &rowseal.CheckOptions{OpenOnly: true}
	const key = "encrypted_kms_key"
	for _, c := range []struct {
		name                 string
		harm                 func(now, before *kmstest.Fake)
		both, reader, sealer []string
		is                   error
	}{
		{"all is well", func(_, _ *kmstest.Fake) {}, nil, nil, nil, nil},
		{"no right to seal", func(now, _ *kmstest.Fake) { now.Deny(kms.OpEncrypt) }, []string{key}, nil, []string{key}, kms.ErrAccessDenied},
		{"no right to open", func(now, _ *kmstest.Fake) { now.Deny(kms.OpDecrypt) }, []string{key}, []string{key}, nil, kms.ErrAccessDenied},
		{"neither", func(now, _ *kmstest.Fake) { now.Deny(kms.OpEncrypt, kms.OpDecrypt) }, []string{key, key}, []string{key}, []string{key},
			kms.ErrAccessDenied},
		{"no right to seal with the version before", func(_, before *kmstest.Fake) { before.Deny(kms.OpEncrypt) }, nil, nil, nil, nil},
		{"no right to open with the version before", func(_, before *kmstest.Fake) { before.Deny(kms.OpDecrypt) }, []string{key}, []string{key}, nil,
			kms.ErrAccessDenied},
		{"a disabled key", func(now, _ *kmstest.Fake) { now.Disable() }, []string{key}, []string{key}, []string{key}, kms.ErrKeyDisabled},
		{"a disabled key before", func(_, before *kmstest.Fake) { before.Disable() }, []string{key}, []string{key}, nil, kms.ErrKeyDisabled},
		{"a KMS that opens to something else", func(now, _ *kmstest.Fake) {
			now.After = func(_ context.Context, r kmstest.Request, results []kms.Result) []kms.Result {
				if r.Op == kms.OpDecrypt && results[0].Err == nil {
					results[0].Data[0]++
				}
				return results
			}
		}, []string{key}, nil, nil, kms.ErrUnavailable},
	} {
		now, before := &kmstest.Fake{ID: "now"}, &kmstest.Fake{ID: "before"}
		c.harm(now, before)
		ring := newRing(t, rowseal.Version{Number: 2, Key: kms.NewKey(now, nil)}, rowseal.Version{Number: 1, Key: kms.NewKey(before, nil)})
		users := newModel[user](t, "users", ring, nil).Only("")
		check := func(who string, err error, want []string) {
			t.Helper()
			wantFindings(t, c.name+", "+who, err, want...)
			if len(want) > 0 {
				wantErr(t, c.name+", "+who, err, c.is)
			}
			if n := max(now.Requests(), before.Requests()); n > 2 {
				t.Errorf("%s, %s: %d requests for a key", c.name, who, n)
			}
			now.Reset()
			before.Reset()
		}
		check("who seals and opens", users.Check(t.Context(), usersTable(), nil), c.both)
		check("who opens", users.Check(t.Context(), usersTable(), openOnly), c.reader)
		check("who seals", users.Sealer().Check(t.Context(), usersTable(), nil), c.sealer)
	}
}

func TestCheckCallsAFunctionOnlyWithTheColumnsThatItUses(t *testing.T) {
	fake, acme := kmstest.NewFake(), kmstest.NewFake()
	acme.Deny(kms.OpDecrypt)
	ring, acmes := ringOf(t, fake), ringOf(t, acme)
	type tenanted struct {
		ID              int64
		Tenant          string
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	table := usersTable()
	table.columns = append(table.columns[:3:3], rowseal.TableColumn{Name: "tenant", Kind: rowseal.TextColumn})
	rule := rowseal.ContextRule{Columns: []string{"tenant"}, Func: func(row rowseal.Row) (kms.Context, error) {
		tenant, err := row.Column("tenant")
		if tenant != "acme" {
			t.Errorf("the function was called for the tenant %q", tenant)
		}
		return kms.Context{"tenant": tenant}, err
	}}
	keyringFor := func(row rowseal.Row) (*rowseal.Keyring, error) {
		if tenant, err := row.Column("tenant"); tenant != "acme" || err != nil {
			t.Errorf("the function was called for the tenant %q, %v", tenant, err)
		}
		return acmes, nil
	}
	for name, o := range map[string]rowseal.KeyOptions{
		"a context":           {Context: rule, Keyring: acmes},
		"a keyring":           {KeyringFor: keyringFor, KeyringColumns: []string{"tenant"}},
		"keyring and context": {Context: rule, KeyringFor: keyringFor, KeyringColumns: []string{"tenant"}},
	} {
		m := newModel[tenanted](t, "users", ring, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{"": o}})
		var notes []rowseal.Finding
		opts := &rowseal.CheckOptions{Note: func(f rowseal.Finding) { notes = append(notes, f) }}
		must(t, m.Check(t.Context(), table, opts))
		if len(notes) != 1 || notes[0].Column != "encrypted_kms_key" || fake.Requests()+acme.Requests() != 0 {
			t.Errorf("%s: %d requests, and noted %v", name, fake.Requests()+acme.Requests(), notes)
		}
		opts.Row = map[string]any{"tenant": "acme"}
		err := m.Check(t.Context(), table, opts)
		wantFindings(t, name, err, "encrypted_kms_key")
		wantErr(t, name, err, kms.ErrAccessDenied)
		acme.Reset()
	}
}

func TestCheckComparesWidthsWithWhatIsReallyWritten(t *testing.T) {
	type widths struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Age             rowseal.Sealed[int]
		Born            rowseal.Sealed[time.Time] `rowseal:"type=date"`
		Seen            rowseal.Sealed[time.Time]
		Yes             rowseal.Sealed[bool]
		Name            rowseal.Sealed[string] `rowseal:"padding=32"`
		Raw             rowseal.Sealed[[]byte] `rowseal:"raw"`
		Old             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,column=encrypted_old"`
		OldIV           rowseal.IV             `rowseal:"of=Old"`
		Master          rowseal.Sealed[string] `rowseal:"key=own"`
		Photo           rowseal.File
		Index           blindindex.Index `rowseal:"of=Name,algorithm=hmac_sha256,master=own"`
		Short           blindindex.Index `rowseal:"of=Yes,algorithm=hmac_sha256,size=3,master=own"`
		Bytes           blindindex.Index `rowseal:"of=Raw,algorithm=hmac_sha256,size=7,raw,master=own"`
	}
	fake := kmstest.NewFake()
	own, err := rowseal.NewMasterKey(bytes.Repeat([]byte{1}, 32))
	must(t, err)
	opts := &rowseal.Options{
		Binding: rowseal.BindNone, Store: &objects{},
		MasterKeys: map[string]*rowseal.MasterKey{"own": own},
		Amend: func(s *rowseal.Schema) {
			for i := range s.Indexes {
				s.Indexes[i].Options.Legacy = s.Indexes[i].Options.Size == 3
			}
		},
	}
	m := newModel[widths](t, "things", ringOf(t, fake), opts)
	row := &widths{ID: 1}
	row.Age.Set(7)
	row.Born.Set(time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC))
	row.Seen.Set(time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC))
	row.Yes.Set(true)
	row.Name.Set("n")
	row.Raw.Set([]byte{1})
	row.Old.Set("o")
	row.Master.Set("m")
	row.Photo.Set(strings.NewReader(""), rowseal.FileInfo{Name: "n"})
	fits := wantExactWidths(t, m, row, 14)
	for column, want := range map[string]string{
		"name_ciphertext": "up to 31 bytes", "raw_ciphertext": "up to 1 bytes", "master_ciphertext": "up to 2 bytes", "encrypted_old": "up to 2 bytes",
		"age_ciphertext": "", "index_bidx": "",
	} {
		if got := fits[column]; !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: noted %q, want %q", column, got, want)
		}
	}
}

func TestCheckComparesTheWidthsOfSaltsToo(t *testing.T) {
	if fips140.Enforced() {
		return // NewModel refuses salts, as another test has it
	}
	type salted struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Old             rowseal.Sealed[string] `rowseal:"codec=attr_encrypted,mode=per_attribute_iv_and_salt,column=encrypted_old"`
		OldIV           rowseal.IV             `rowseal:"of=Old"`
		OldSalt         rowseal.Salt           `rowseal:"of=Old"`
	}
	m := newModel[salted](t, "things", ringOf(t, kmstest.NewFake()), &rowseal.Options{Binding: rowseal.BindNone})
	row := &salted{ID: 1}
	row.Old.Set("o")
	wantExactWidths(t, m, row, 4)
}

// wantExactWidths demands that Check is content with columns that just take what Seal makes of a row, and with none that is
// narrower. It returns what Check noted.
func wantExactWidths[T any](t *testing.T, m *rowseal.Model[T], row *T, columns int) map[string]string {
	t.Helper()
	must(t, m.Seal(t.Context(), row))
	written, err := m.Rows().Values(row)
	must(t, err)
	exact := &catalogue{columns: []rowseal.TableColumn{{Name: "id", PrimaryKey: true}}}
	for _, w := range written {
		c := rowseal.TableColumn{Name: w.Column, Kind: rowseal.TextColumn, Bytewise: true}
		switch v := w.Value.(type) {
		case string:
			c.Size = len(v)
		case []byte:
			c.Kind, c.Size = rowseal.BytesColumn, len(v)
		default:
			t.Fatalf("%s is a %T", w.Column, v)
		}
		exact.columns = append(exact.columns, c)
	}
	if len(written) != columns {
		t.Fatalf("%d columns were written, want %d", len(written), columns)
	}
	fits := map[string]string{}
	check := &rowseal.CheckOptions{Note: func(f rowseal.Finding) { fits[f.Column] = f.Problem }}
	wantFindings(t, "columns that are just wide enough", m.Check(t.Context(), exact, check))
	for _, w := range written {
		table := exact.with(w.Column, func(c *rowseal.TableColumn) { c.Size-- })
		wantFindings(t, w.Column+" without its last byte", m.Check(t.Context(), table, nil), w.Column)
	}
	return fits
}

func TestCheckOfAnIndexKnowsItsLength(t *testing.T) {
	type indexed struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index `rowseal:"of=Email,master=own"`
	}
	own, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	for _, o := range []blindindex.Options{
		{}, {Size: 1}, {Size: 31}, {Raw: true}, {Raw: true, Size: 2}, {Legacy: true}, {Legacy: true, Size: 5}, {Legacy: true, Raw: true},
	} {
		o.Algorithm = blindindex.PBKDF2SHA256
		m := newModel[indexed](t, "users", ringOf(t, kmstest.NewFake()), &rowseal.Options{
			MasterKeys: map[string]*rowseal.MasterKey{"own": own},
			Amend:      func(s *rowseal.Schema) { s.Indexes[0].Options = o },
		})
		found, err := m.Lookup(t.Context(), "email_bidx", "a@example.org")
		must(t, err)
		n := len(fmt.Sprintf("%s", found[0]))
		for size, want := range map[int][]string{n: nil, n - 1: {"email_bidx"}} {
			table := usersTable()
			table.columns = append(table.columns[:3:3], rowseal.TableColumn{
				Name: "email_bidx", Kind: rowseal.AnyColumn, Size: size, Fixed: true, Bytewise: true,
			})
			if size > 0 {
				wantFindings(t, fmt.Sprintf("%+v in %d", o, size), m.Check(t.Context(), table, nil), want...)
			}
		}
	}
}

func TestCheckOfOneKeyLeavesOutIndexesOfOthers(t *testing.T) {
	type person struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		EmailIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256,master=own"`
		KMSKeyPhone     rowseal.DataKey        `rowseal:"name=phone"`
		Phone           rowseal.Sealed[string] `rowseal:"key=phone"`
		PhoneIndex      blindindex.Index       `rowseal:"of=Phone,algorithm=hmac_sha256,master=own"`
	}
	own, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	people := newModel[person](t, "users", ringOf(t, kmstest.NewFake()),
		&rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"own": own}, Unsealed: []string{"notes_ciphertext", "code_ciphertext"}})
	wantFindings(t, "Check", people.Check(t.Context(), usersTable(), nil), "email_bidx", "phone_bidx")
	wantFindings(t, "Check of one key", people.Only("phone").Check(t.Context(), usersTable(), nil), "phone_bidx")
}

func TestCheckWantsBytesForAKeyThatIsDeclaredSo(t *testing.T) {
	schema := usersOf(t, kmstest.NewFake()).Schema()
	schema.Keys[1].Bytes = true
	table, err := rowseal.NewTable(schema, ringOf(t, kmstest.NewFake()), nil)
	must(t, err)
	wantFindings(t, "text", table.Check(t.Context(), usersTable(), nil), "encrypted_kms_key_phone")
	columns := usersTable().with("encrypted_kms_key_phone", func(c *rowseal.TableColumn) { c.Kind = rowseal.BytesColumn })
	wantFindings(t, "bytes", table.Check(t.Context(), columns, nil))
}

func TestCheckIsSilentAboutWhatItsProgramDoesNotDo(t *testing.T) {
	users := usersOf(t, kmstest.NewFake())
	openOnly := &rowseal.CheckOptions{OpenOnly: true}
	for _, c := range []struct {
		name                 string
		change               func(*rowseal.TableColumn)
		both, reader, sealer []string
	}{
		{"unreadable", func(c *rowseal.TableColumn) { c.Unreadable = true }, []string{"email_ciphertext"}, []string{"email_ciphertext"}, nil},
		{"unwritable", func(c *rowseal.TableColumn) { c.Unwritable = true }, []string{"email_ciphertext"}, nil, []string{"email_ciphertext"}},
		{"generated", func(c *rowseal.TableColumn) { c.Generated = true }, []string{"email_ciphertext"}, nil, []string{"email_ciphertext"}},
	} {
		table := usersTable().with("email_ciphertext", c.change)
		wantFindings(t, c.name+", who does both", users.Check(t.Context(), table, nil), c.both...)
		wantFindings(t, c.name+", who opens", users.Check(t.Context(), table, openOnly), c.reader...)
		wantFindings(t, c.name+", who seals", users.Sealer().Check(t.Context(), table, nil), c.sealer...)
		wantFindings(t, c.name+", who uses another key", users.Only("phone").Check(t.Context(), table, nil))
	}
}

func TestCheckTellsAllInOneLineAndAsJSON(t *testing.T) {
	fake := kmstest.NewFake()
	fake.Deny(kms.OpEncrypt)
	table := usersTable().with("phone_ciphertext", func(c *rowseal.TableColumn) { c.Type, c.Kind = "integer", rowseal.OtherColumn })
	err := usersOf(t, fake).Check(t.Context(), table, nil)
	wantFindings(t, "Check", err, "encrypted_kms_key", "encrypted_kms_key_phone", "phone_ciphertext")
	wantMessage(t, err, "rowseal: check of users: (1) encrypted_kms_key: new rows cannot be sealed with version 1, fake-key: access denied",
		"rowseal policy --key-id fake-key --seal", "(3) phone_ciphertext: it is integer", "make it text")
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has several lines", err)
	}
	var e *rowseal.CheckError
	errors.As(err, &e)
	text, err := json.Marshal(e.Findings[2])
	must(t, err)
	if want := `{"column":"phone_ciphertext","problem":"it is integer, which does not hold a sealed string; make it text"}`; string(text) != want {
		t.Errorf("as JSON: %s, want %s", text, want)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Error("not ready", "err", e)
	if !strings.Contains(logged.String(), "make it text") {
		t.Errorf("the log has %s", &logged)
	}
}

func TestCheckPassesOnWhyNobodyAnswers(t *testing.T) {
	users := usersOf(t, kmstest.NewFake())
	down := errors.New("connection refused")
	err := users.Check(t.Context(), &catalogue{err: down}, nil)
	wantFindings(t, "without a database", err, "")
	wantErr(t, "without a database", err, down)
	err = users.Check(cancelled(t), usersTable(), nil)
	wantErr(t, "after the end of ctx", err, context.Canceled)
	slow := &kmstest.Fake{Before: func(ctx context.Context, _ kmstest.Request) error { <-ctx.Done(); return ctx.Err() }}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	wantErr(t, "with a KMS that hangs", usersOf(t, slow).Check(ctx, usersTable(), nil), context.DeadlineExceeded)
	err = users.Check(kms.WithBudget(t.Context(), 0), usersTable(), nil)
	wantErr(t, "without a budget", err, kms.ErrBudget)
	wantMessage(t, err, "NoKMS")
}

func TestCheckRefusesWhatMakesNoSense(t *testing.T) {
	users := usersOf(t, kmstest.NewFake())
	for name, err := range map[string]error{
		"without a Database":      users.Check(t.Context(), nil, nil),
		"a Sealer that opens":     users.Sealer().Check(t.Context(), usersTable(), &rowseal.CheckOptions{OpenOnly: true}),
		"a key that is not there": users.Only("nothing").Check(t.Context(), usersTable(), nil),
	} {
		wantErr(t, name, err, kms.ErrInvalidRequest)
	}
	_, err := rowseal.NewModel[user]("users", ringOf(t, kmstest.NewFake()), &rowseal.Options{Unsealed: []string{"email_ciphertext"}})
	wantErr(t, "Unsealed with a declared column", err, kms.ErrInvalidRequest)
	_, err = rowseal.NewTable(users.Schema(), ringOf(t, kmstest.NewFake()), &rowseal.Options{Unsealed: []string{"phone_file"}})
	wantErr(t, "a Table with Options.Unsealed", err, kms.ErrInvalidRequest)
}

func TestCheckOfATableIsThatOfAModel(t *testing.T) {
	schema := usersOf(t, kmstest.NewFake()).Schema()
	schema.Fields[0].Type, schema.Unsealed = lockbox.Integer, []string{"tax_file"}
	table, err := rowseal.NewTable(schema, ringOf(t, kmstest.NewFake()), nil)
	must(t, err)
	columns := usersTable().with("email_ciphertext", func(c *rowseal.TableColumn) { c.Size = 47 }) // 8 bytes take 48
	columns.columns = append(columns.columns, rowseal.TableColumn{Name: "tax_file"}, rowseal.TableColumn{Name: "other_file"})
	wantFindings(t, "Check", table.Check(t.Context(), columns, nil), "email_ciphertext", "other_file")
	wantFindings(t, "Check", table.Rows().Check(t.Context(), columns, nil), "email_ciphertext", "other_file")
	if got := table.Schema().Unsealed; !slices.Equal(got, schema.Unsealed) {
		t.Errorf("the Schema has forgotten Unsealed: %q", got)
	}
}

// At start-up, Check tells what would fail later. Here a migration was forgotten.
func ExampleModel_Check() {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(kmstest.NewFake(), nil)}) // kms.Open(ctx, "vault/my-key")
	if err != nil {
		log.Fatal(err)
	}
	users, err := rowseal.NewModel[user]("users", ring, nil)
	if err != nil {
		log.Fatal(err)
	}
	db := usersTable() // sqlseal.SQL(sqlseal.PostgreSQL, sqlDB)
	db.columns = db.columns[:6]
	if err := users.Check(context.Background(), db, nil); err != nil {
		fmt.Println(err)
	}
	// Output: rowseal: check of users: code_ciphertext: the table has no such column for a sealed binary; add it, as bytea or a blob
}
