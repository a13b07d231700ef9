package check

import (
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

const (
	other = rowseal.OtherColumn
	text  = rowseal.TextColumn
	bytes = rowseal.BytesColumn
	any_  = rowseal.AnyColumn
)

// A column of each type, as it is declared, and what is to be found out about it.
var types = map[string]map[string]rowseal.TableColumn{
	"PostgreSQL": {
		"text":                                  {Kind: text, Bytewise: true},
		"varchar":                               {Kind: text, Bytewise: true},
		"varchar(30)":                           {Kind: text, Size: 30, Bytewise: true},
		"char(44)":                              {Kind: text, Size: 44, Fixed: true, Bytewise: true},
		"name":                                  {Kind: text, Size: 63, Bytewise: true},
		"bytea":                                 {Kind: bytes, Bytewise: true},
		"citext_like":                           {Kind: text, Bytewise: false},
		"short":                                 {Kind: text, Size: 20, Bytewise: true},
		"blob":                                  {Kind: bytes, Bytewise: true},
		"integer":                               {Kind: other, Bytewise: true},
		"bigint":                                {Kind: other, Bytewise: true},
		"jsonb":                                 {Kind: other, Bytewise: true},
		"uuid":                                  {Kind: other, Bytewise: true},
		"text[]":                                {Kind: other, Bytewise: true},
		"timestamptz":                           {Kind: other, Bytewise: true},
		"text NOT NULL":                         {Kind: text, Bytewise: true},
		`text COLLATE "C"`:                      {Kind: text, Bytewise: true},
		"text GENERATED ALWAYS AS ('a') STORED": {Kind: text, Bytewise: true, Generated: true},
	},
	"MariaDB": {
		"text":          {Kind: text, Size: 65535},
		"varchar(30)":   {Kind: text, Size: 30},
		"char(44)":      {Kind: text, Size: 44},
		"tinytext":      {Kind: text, Size: 255},
		"mediumtext":    {Kind: text, Size: 16777215},
		"longtext":      {Kind: text},
		"blob":          {Kind: bytes, Size: 65535, Bytewise: true},
		"longblob":      {Kind: bytes, Bytewise: true},
		"varbinary(32)": {Kind: bytes, Size: 32, Bytewise: true},
		"binary(32)":    {Kind: bytes, Size: 32, Fixed: true, Bytewise: true},
		"varchar(44) CHARACTER SET ascii COLLATE ascii_bin":          {Kind: text, Size: 44, Bytewise: true},
		"varchar(44) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin":      {Kind: text, Size: 44, Bytewise: true},
		"varchar(44) COLLATE utf8mb4_nopad_bin":                      {Kind: text, Size: 44, Bytewise: true},
		"varchar(44) CHARACTER SET latin1 COLLATE latin1_general_cs": {Kind: text, Size: 44},
		"integer":         {Kind: other, Bytewise: true},
		"bigint unsigned": {Kind: other, Bytewise: true},
		"datetime":        {Kind: other, Bytewise: true},
		"enum('a', 'b')":  {Kind: other, Size: 1},
		"text NOT NULL":   {Kind: text, Size: 65535},
		"varchar(9) GENERATED ALWAYS AS ('a') STORED":  {Kind: text, Size: 9, Generated: true},
		"varchar(9) GENERATED ALWAYS AS ('a') VIRTUAL": {Kind: text, Size: 9, Generated: true},
		"varchar(9) DEFAULT (concat('a', 'b'))":        {Kind: text, Size: 9},
	},
	"SQLite": {
		"text":                                   {Kind: any_, Bytewise: true},
		"varchar(30)":                            {Kind: any_, Bytewise: true},
		"blob":                                   {Kind: any_, Bytewise: true},
		"":                                       {Kind: any_, Bytewise: true},
		"integer":                                {Kind: other, Bytewise: true},
		"STRING":                                 {Kind: other, Bytewise: true}, // whose affinity is NUMERIC
		"datetime":                               {Kind: other, Bytewise: true},
		"text NOT NULL":                          {Kind: any_, Bytewise: true},
		"text COLLATE NOCASE":                    {Kind: any_},
		"varchar(44) COLLATE BINARY":             {Kind: any_, Bytewise: true},
		"text GENERATED ALWAYS AS ('a') STORED":  {Kind: any_, Bytewise: true, Generated: true},
		"text GENERATED ALWAYS AS ('a') VIRTUAL": {Kind: any_, Bytewise: true, Generated: true},
	},
}

func TestEveryTypeOfColumnIsKnownForWhatItHolds(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		if d.Name == "PostgreSQL" {
			exec(t, db, `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
				`CREATE DOMAIN citext_like AS text COLLATE nocase`, `CREATE DOMAIN short AS varchar(20)`, `CREATE DOMAIN blob AS bytea`)
		}
		for declared, want := range types[d.Name] {
			exec(t, db, "CREATE TABLE a (id integer PRIMARY KEY, c "+declared+")")
			got := columnsOf(t, s, "a")["c"]
			if got.Type == "" && declared != "" {
				t.Errorf("%s: has no type", declared)
			}
			want.Name, want.Type, want.Nullable, want.AnyCase = "c", got.Type, !strings.Contains(declared, "NOT NULL"), d.Name != "PostgreSQL"
			if got != want {
				t.Errorf("%s: %+v, want %+v", declared, got, want)
			}
			exec(t, db, "DROP TABLE a")
		}
	})
}

func TestThePrimaryKeyIsFound(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		for declared, want := range map[string][]string{
			"(a integer NOT NULL, b integer NOT NULL)":                                            nil,
			"(a integer PRIMARY KEY, b integer)":                                                  {"a"},
			"(a integer NOT NULL, b integer NOT NULL, PRIMARY KEY (b, a))":                        {"a", "b"},
			"(a integer NOT NULL UNIQUE, b integer PRIMARY KEY)":                                  {"b"},
			"(a integer NOT NULL, b integer NOT NULL, c integer, PRIMARY KEY (b), UNIQUE (a, c))": {"b"},
		} {
			exec(t, db, "CREATE TABLE t "+declared)
			wantPrimaryKey(t, s, declared, want)
			exec(t, db, "DROP TABLE t")
		}
		if d.Name == "PostgreSQL" {
			exec(t, db, "CREATE TABLE t (a integer, b integer, PRIMARY KEY (b) INCLUDE (a))")
			wantPrimaryKey(t, s, "INCLUDE", []string{"b"})
		}
	})
}

func wantPrimaryKey(t *testing.T, s *sqlseal.DB, what string, want []string) {
	t.Helper()
	var got []string
	for name, c := range columnsOf(t, s, "t") {
		if c.PrimaryKey {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: the primary key is %v, want %v", what, got, want)
	}
}

func TestNamesMayBeOdd(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		quote := dialects[d.Name].Quote
		for _, table := range []string{"order", "Users", "a b", `it's "odd"`, "back`tick", "größe", "a%b_c", `a\b`} {
			column := table + " c?:$1"
			exec(t, db, "CREATE TABLE "+quote(table)+" (id integer PRIMARY KEY, "+quote(column)+" varchar(20))")
			if all := columnsOf(t, s, table); len(all) != 2 || all[column].Name != column {
				t.Errorf("%q has the columns %v", table, all)
			}
		}
	})
}

func TestATableIsThatOfItsSchema(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		db.SetMaxOpenConns(1) // to which the other schema is attached
		schema := "rowseal_check_other"
		switch d.Name {
		case "PostgreSQL":
			exec(t, db, "CREATE SCHEMA "+schema)
		case "MariaDB":
			exec(t, db, "CREATE DATABASE "+schema)
			t.Cleanup(func() { db.Exec("DROP DATABASE " + schema) })
		case "SQLite":
			exec(t, db, "ATTACH ':memory:' AS "+schema)
		}
		exec(t, db, "CREATE TABLE a (id integer PRIMARY KEY, here text)", "CREATE TABLE "+schema+".a (id integer PRIMARY KEY, there text)",
			"CREATE TABLE "+schema+".b (id integer PRIMARY KEY)")
		if c := columnsOf(t, s, "a"); len(c) != 2 || c["here"].Name == "" {
			t.Errorf("a has %v", c)
		}
		if c := columnsOf(t, s, schema+".a"); len(c) != 2 || c["there"].Name == "" {
			t.Errorf("%s.a has %v", schema, c)
		}
		if c := columnsOf(t, s, "b"); len(c) != 0 && d.Name != "SQLite" { // which looks into attached databases
			t.Errorf("b has %v", c)
		}
		for _, none := range []string{"c", schema + ".c", "nowhere.a"} {
			if d.Name == "SQLite" && none == "nowhere.a" { // which is an error there
				continue
			}
			if c := columnsOf(t, s, none); len(c) != 0 {
				t.Errorf("%s has %v", none, c)
			}
		}
		tables, err := s.Tables(t.Context())
		must(t, err)
		for _, want := range []string{schema + ".a", schema + ".b"} {
			if !slices.Contains(tables, want) {
				t.Errorf("%s is not among %v", want, tables)
			}
		}
		if len(tables) != 3 {
			t.Errorf("there are %v", tables)
		}
	})
}

func TestAViewHasColumnsAndNoPrimaryKey(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db, s := open(t, d)
		exec(t, db, "CREATE TABLE a (id integer PRIMARY KEY, c varchar(30) NOT NULL)", "CREATE VIEW t AS SELECT id, c FROM a")
		all := columnsOf(t, s, "t")
		if c := all["c"]; len(all) != 2 || c.Kind == other || d.Name != "SQLite" && c.Size != 30 {
			t.Errorf("the view has %+v", all)
		}
		wantPrimaryKey(t, s, "a view", nil)
	})
}

func TestNamesOfTablesThatDifferInCapitalsAreDifferent(t *testing.T) {
	for _, d := range []dbtest.Database{dbtest.PostgreSQL, dbtest.MariaDB} {
		t.Run(d.Name, func(t *testing.T) {
			db, s := open(t, d)
			quote := dialects[d.Name].Quote
			exec(t, db, "CREATE TABLE users (id integer PRIMARY KEY, small text)", "CREATE TABLE "+quote("Users")+" (id integer PRIMARY KEY, big text)")
			if c := columnsOf(t, s, "users"); len(c) != 2 || c["small"].Name == "" {
				t.Errorf("users has %v", c)
			}
			if c := columnsOf(t, s, "Users"); len(c) != 2 || c["big"].Name == "" {
				t.Errorf("Users has %v", c)
			}
			if c := columnsOf(t, s, "USERS"); len(c) != 0 {
				t.Errorf("USERS has %v", c)
			}
		})
	}
}
