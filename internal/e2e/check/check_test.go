package check

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

type person struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256"`
	Photo           rowseal.Sealed[[]byte] `rowseal:"raw"`
	PhotoIndex      blindindex.Index       `rowseal:"of=Photo,algorithm=hmac_sha256,raw"`
}

// good are the columns of a table of persons that has no fault.
func good(d dbtest.Database) map[string]string {
	c := map[string]string{
		"id": "bigint PRIMARY KEY", "encrypted_kms_key": "text NOT NULL", "email_ciphertext": "text", "email_bidx": "varchar(44)",
		"photo_ciphertext": "bytea", "photo_bidx": "bytea",
	}
	if d.Name != "PostgreSQL" {
		c["photo_ciphertext"], c["photo_bidx"] = "blob", "varbinary(32)"
	}
	switch d.Name {
	case "MariaDB":
		c["email_bidx"] = "varchar(44) CHARACTER SET ascii COLLATE ascii_bin"
	case "SQLite":
		c["photo_bidx"] = "blob"
	}
	return c
}

func create(table string, columns map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		list = append(list, name+" "+columns[name])
	}
	return "CREATE TABLE " + table + " (" + strings.Join(list, ", ") + ")"
}

func people(t testing.TB, service kms.Service, opts *rowseal.Options) *rowseal.Model[person] {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(service, nil)})
	must(t, err)
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	if opts == nil {
		opts = &rowseal.Options{}
	}
	opts.MasterKeys = map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}
	m, err := rowseal.NewModel[person]("people", ring, opts)
	must(t, err)
	return m
}

// wantFindings demands that Check has found something in these columns, and in no others.
func wantFindings(t testing.TB, what string, err error, columns ...string) {
	t.Helper()
	var got []string
	if c := (*rowseal.CheckError)(nil); errors.As(err, &c) {
		for _, f := range c.Findings {
			got = append(got, f.Column)
		}
	} else if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	slices.Sort(got)
	slices.Sort(columns)
	if !slices.Equal(got, columns) {
		t.Errorf("%s: found something in %q, want %q: %v", what, got, columns, err)
	}
}

func TestATableWithoutFaultsPasses(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		exec(t, db, create("people", good(d)))
		m := people(t, kmstest.NewFake(), nil)
		wantFindings(t, "the Model", m.Check(t.Context(), s, nil))
		wantFindings(t, "its Sealer", m.Sealer().Check(t.Context(), s, nil))
		if err := use(t, m, db, s); err != nil {
			t.Error(err)
		}
		wantFindings(t, "the Model with rows", m.Check(t.Context(), s, nil))
	})
}

// use seals, inserts, loads, opens, finds and updates a row.
func use(t testing.TB, m *rowseal.Model[person], db *sql.DB, s *sqlseal.DB) error {
	ctx := t.Context()
	photo := append([]byte("\x00\xff\x80\\\n'"), strings.Repeat("\xc3", 20)...)
	p := &person{ID: 1}
	p.Email.Set("a@example.org")
	p.Photo.Set(photo)
	table := sqlseal.New(m, nil)
	if err := table.Insert(ctx, s, p); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	load := func(email string) error {
		emails, err := m.Lookup(ctx, "email_bidx", email)
		must(t, err)
		photos, err := m.Lookup(ctx, "photo_bidx", photo)
		must(t, err)
		p = &person{}
		d := s.Dialect
		err = db.QueryRowContext(ctx, "SELECT id, encrypted_kms_key, email_ciphertext, email_bidx, photo_ciphertext, photo_bidx FROM people "+
			"WHERE email_bidx = "+d.Placeholder(1)+" AND photo_bidx = "+d.Placeholder(2), emails[0], photos[0]).
			Scan(&p.ID, &p.EncryptedKMSKey, &p.Email, &p.EmailIndex, &p.Photo, &p.PhotoIndex)
		if err != nil {
			return fmt.Errorf("select: %w", err)
		}
		if err := m.Open(ctx, p); err != nil {
			return err
		}
		got, err := p.Email.Get()
		bytes, err2 := p.Photo.Get()
		if got != email || string(bytes) != string(photo) {
			return fmt.Errorf("open: %q, %q: %w", got, bytes, errors.Join(err, err2))
		}
		return nil
	}
	if err := load("a@example.org"); err != nil {
		return err
	}
	p.Email.Set("b@example.org")
	if err := table.Update(ctx, s, p); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return load("b@example.org")
}

// faults are declarations of columns, and whether Check refuses them.
var faults = map[string]map[string]map[string]bool{
	"PostgreSQL": {
		"encrypted_kms_key": {"varchar(90)": true, "varchar(91)": false, "bytea": false, "integer": true, "jsonb": true,
			"char(300)": true, "name": true},
		"email_ciphertext": {"varchar(30)": true, "varchar(39)": true, "varchar(60)": false, "bytea": false, "bigint": true, "char(200)": true},
		"email_bidx":       {"text": false, "varchar(43)": true, "char(44)": false, "char(45)": true, "bytea": false, "text COLLATE nocase": true, "uuid": true},
		"photo_ciphertext": {"text": true, "varchar(400)": true},
		"photo_bidx":       {"text": true, "char(32)": true},
	},
	"MariaDB": {
		"encrypted_kms_key": {"varchar(90)": true, "varchar(200)": false, "tinytext": false, "blob": false, "varbinary(200)": false, "binary(200)": true,
			"int": true, "varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci": false},
		"email_ciphertext": {"varchar(39)": true, "varchar(60)": false, "char(200)": false, "blob": false, "binary(200)": true, "longtext": false},
		"email_bidx": {"varchar(44)": true, "text": true, "char(44) CHARACTER SET ascii COLLATE ascii_bin": false, "varbinary(44)": false,
			"binary(44)": false, "binary(45)": true, "varchar(43) COLLATE utf8mb4_bin": true, "varchar(44) COLLATE utf8mb4_nopad_bin": false, "varchar(44) COLLATE utf8mb4_bin": false},
		"photo_ciphertext": {"text": true, "varbinary(28)": true, "varbinary(60)": false, "binary(60)": true},
		"photo_bidx":       {"binary(32)": false, "binary(33)": true, "varbinary(31)": true, "blob": false, "varchar(32) CHARACTER SET latin1": true},
	},
	"SQLite": {
		"encrypted_kms_key": {"varchar(10)": false, "blob": false, "integer": true, "": false},
		"email_ciphertext":  {"blob": false, "numeric": true, "STRING": true},
		"email_bidx":        {"text": false, "text COLLATE NOCASE": true, "blob": false},
		"photo_ciphertext":  {"text": false, "": false, "integer": true},
		"photo_bidx":        {"text": false},
	},
}

func TestWhatPassesWorksAndWhatDoesNotIsFound(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		if d.Name == "PostgreSQL" {
			exec(t, db, `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
		}
		m := people(t, kmstest.NewFake(), nil)
		for column, declarations := range faults[d.Name] {
			for declared, refused := range declarations {
				what := column + " " + declared
				columns := good(d)
				columns[column] = declared
				exec(t, db, create("people", columns))
				err := m.Check(t.Context(), s, nil)
				if refused {
					wantFindings(t, what, err, column)
				} else {
					wantFindings(t, what, err)
					if err := use(t, m, db, s); err != nil {
						t.Errorf("%s passes and does not work: %v", what, err)
					}
				}
				exec(t, db, "DROP TABLE people")
			}
		}
	})
}

func TestATableThatIsElsewhereIsFound(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		m := people(t, kmstest.NewFake(), nil)
		check := func(want ...string) {
			t.Helper()
			err := m.Check(t.Context(), s, nil)
			wantFindings(t, "Check", err, "")
			for _, text := range want {
				if !strings.Contains(fmt.Sprint(err), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
		}
		check("no table people, nor any other", "migrations")
		exec(t, db, "CREATE TABLE others (id integer PRIMARY KEY)")
		check("no table people among the 1")
		if d.Name == "PostgreSQL" {
			exec(t, db, "CREATE SCHEMA app", create("app.people", good(d)))
			check("app.people")
		}
	})
}

func TestWhatElseIsWrongWithATableIsFound(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		m := people(t, kmstest.NewFake(), nil)
		notOurs := people(t, kmstest.NewFake(), &rowseal.Options{Unsealed: []string{"phone_ciphertext", "encrypted_at"}})
		type columns = map[string]string
		for _, c := range []struct {
			name   string
			change columns
			model  *rowseal.Model[person]
			opts   *rowseal.CheckOptions
			want   []string
		}{
			{"a missing field", columns{"email_ciphertext": ""}, m, nil, []string{"email_ciphertext"}},
			{"missing columns of all kinds", columns{"id": "", "name": "text", "encrypted_kms_key": "", "photo_bidx": ""}, m, nil,
				[]string{"encrypted_kms_key", "id", "photo_bidx"}},
			{"undeclared columns", columns{"phone_ciphertext": "text", "encrypted_at": "text"}, m, nil, []string{"encrypted_at", "phone_ciphertext"}},
			{"undeclared columns, to who only opens", columns{"phone_ciphertext": "text"}, m, &rowseal.CheckOptions{OpenOnly: true}, nil},
			{"undeclared columns that are not ours", columns{"phone_ciphertext": "text", "encrypted_at": "text"}, notOurs, nil, nil},
			{"another primary key", columns{"id": "bigint", "uid": "bigint PRIMARY KEY"}, m, nil, []string{"id"}},
			{"a part of the primary key", columns{"id": "bigint", "tenant": "bigint, PRIMARY KEY (tenant, id)"}, m, nil, []string{"id"}},
			{"all of the primary key", columns{"id": "bigint", "tenant": "bigint, PRIMARY KEY (tenant, id)"}, m,
				&rowseal.CheckOptions{PrimaryKey: []string{"id", "tenant"}}, nil},
			{"more than the primary key", columns{"tenant": "bigint"}, m, &rowseal.CheckOptions{PrimaryKey: []string{"id", "tenant"}}, nil},
			{"a primary key that is not there", nil, m, &rowseal.CheckOptions{PrimaryKey: []string{"id", "tenant"}}, []string{"tenant"}},
			{"no primary key", columns{"id": "bigint"}, m, nil, nil},
			{"a generated column", columns{"email_ciphertext": "varchar(60) GENERATED ALWAYS AS ('a') STORED"}, m, nil, []string{"email_ciphertext"}},
		} {
			columns := good(d)
			maps.Copy(columns, c.change)
			maps.DeleteFunc(columns, func(_, declared string) bool { return declared == "" })
			exec(t, db, createLast("people", columns, "tenant"))
			wantFindings(t, c.name, c.model.Check(t.Context(), s, c.opts), c.want...)
			exec(t, db, "DROP TABLE people")
		}
	})
}

// createLast is create with one column at the end, which may have a constraint of the table.
func createLast(table string, columns map[string]string, last string) string {
	declared, ok := columns[last]
	if !ok {
		return create(table, columns)
	}
	delete(columns, last)
	return strings.TrimSuffix(create(table, columns), ")") + ", " + last + " " + declared + ")"
}

func TestNamesInOtherCapitalsAreThoseOfTheDatabase(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		columns := good(d)
		quoted := dialects[d.Name].Quote("Email_Ciphertext")
		columns[quoted] = columns["email_ciphertext"]
		delete(columns, "email_ciphertext")
		exec(t, db, create("people", columns))
		m := people(t, kmstest.NewFake(), nil)
		err := m.Check(t.Context(), s, nil)
		if d.Name != "PostgreSQL" {
			wantFindings(t, "Check", err)
			if err := use(t, m, db, s); err != nil {
				t.Error(err)
			}
			return
		}
		wantFindings(t, "Check", err, "email_ciphertext", "Email_Ciphertext") // one is missing, the other is not declared
		if !strings.Contains(fmt.Sprint(err), `"Email_Ciphertext"`) {
			t.Errorf("%v does not name the other", err)
		}
	})
}

func TestRightsToTheTableAreChecked(t *testing.T) {
	all := []string{"email_bidx", "email_ciphertext", "encrypted_kms_key", "photo_bidx", "photo_ciphertext"}
	withID := append([]string{"id"}, all...)
	withColumns := func(right string, columns []string) string { return right + " (" + strings.Join(columns, ", ") + ")" }
	openOnly := &rowseal.CheckOptions{OpenOnly: true}
	for _, d := range []dbtest.Database{dbtest.PostgreSQL, dbtest.MariaDB} {
		t.Run(d.Name, func(t *testing.T) {
			dsn := d.New(t)
			db, _ := openAs(t, d, dsn)
			exec(t, db, create("people", good(d)))
			m := people(t, kmstest.NewFake(), nil)
			for i, c := range []struct {
				grant                  []string
				reader, writer, sealer []string
			}{
				{[]string{"SELECT", "INSERT", "UPDATE"}, nil, nil, nil},
				{[]string{"SELECT"}, nil, all, all},
				{[]string{"INSERT"}, withID, withID, nil},
				{[]string{"SELECT", withColumns("UPDATE", all)}, nil, nil, nil},
				{[]string{withColumns("SELECT", withID), "INSERT"}, nil, nil, nil},
				{[]string{withColumns("SELECT", all[1:]), withColumns("INSERT", withID)}, []string{"email_bidx", "id"}, []string{"email_bidx", "id"}, nil},
			} {
				name := fmt.Sprintf("rowseal_check_%d", i)
				_, s := as(t, d, db, dsn, name)
				for _, right := range c.grant {
					exec(t, db, "GRANT "+right+" ON people TO "+user(d, name))
				}
				what := strings.Join(c.grant, ", ")
				wantFindings(t, what+": a reader", m.Check(t.Context(), s, openOnly), c.reader...)
				wantFindings(t, what+": a writer", m.Check(t.Context(), s, nil), c.writer...)
				wantFindings(t, what+": a sealer", m.Sealer().Check(t.Context(), s, nil), c.sealer...)
			}
		})
	}
}

func user(d dbtest.Database, name string) string {
	if d.Name == "MariaDB" {
		return name + "@localhost"
	}
	return name
}

// as connects as a new user of the database.
func as(t testing.TB, d dbtest.Database, admin *sql.DB, dsn, name string) (*sql.DB, *sqlseal.DB) {
	t.Helper()
	t.Cleanup(func() {
		if d.Name == "PostgreSQL" {
			admin.Exec("DROP OWNED BY " + user(d, name))
		}
		if _, err := admin.Exec("DROP USER " + user(d, name)); err != nil {
			t.Error(err)
		}
	})
	exec(t, admin, "CREATE USER "+user(d, name))
	dsn = strings.Replace(strings.Replace(dsn, "postgres://postgres@", "postgres://"+name+"@", 1), "root@", name+"@", 1)
	return openAs(t, d, dsn)
}

func TestNobodyWaitsForEver(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		_, s := open(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := people(t, kmstest.NewFake(), nil).Check(ctx, s, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of ctx: %v", err)
		}
	})
}

func TestAConnectionThatCutsIsFound(t *testing.T) {
	dsn := dbtest.MariaDB.New(t)
	exec(t, openDSN(t, dsn), create("people", good(dbtest.MariaDB)))
	for mode, want := range map[string][]string{"STRICT_TRANS_TABLES": nil, "STRICT_ALL_TABLES": nil, "ANSI": {""}} {
		s := sqlseal.SQL(sqlseal.MySQL, openDSN(t, dsn+"&sql_mode=%27"+mode+"%27"))
		wantFindings(t, mode, people(t, kmstest.NewFake(), nil).Check(t.Context(), s, nil), want...)
	}
}

func openDSN(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(dbtest.MariaDB.Driver, dsn)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}
