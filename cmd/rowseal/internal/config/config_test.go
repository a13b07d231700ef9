package config_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

const (
	hexKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	hidden = "hunter2"
)

// env has a key under each name that ends in KEY, and a secret that is no key.
func env(name string) (string, bool) {
	switch {
	case name == "BAD_KEY", name == "SECRET":
		return hidden, true
	case name == "EMPTY":
		return "", true
	case strings.HasSuffix(name, "WRAPPED_KEY"):
		return "v1:AAAA", true
	case strings.HasSuffix(name, "KEY"):
		return hexKey, true
	}
	return "", false
}

// opener opens every id as a key of the fake, nil for one of its own.
func opener(t testing.TB, fake *kmstest.Fake) config.Opener {
	t.Helper()
	if fake == nil {
		fake = &kmstest.Fake{}
	}
	keys := map[string]*kms.Key{}
	return config.Opener{OnInsecure: func(rowseal.InsecureForm) {}, Key: func(id string) (*kms.Key, error) {
		if keys[id] == nil {
			keys[id] = kms.NewKey(fake, nil)
		}
		return keys[id], nil
	}}
}

// file is a file with one table, whose parts replace those of a right one.
func file(parts map[string]string) string {
	all := map[string]string{
		"model": "User", "binding": "none",
		"keys":   "{encrypted_kms_key: {versions: [{version: 1, key_id: local/a}]}}",
		"fields": "{email_ciphertext: {key: encrypted_kms_key}}",
	}
	maps.Copy(all, parts)
	text := "database: sqlite:users.sqlite3\ntables:\n  users:\n"
	if parts["attachments"] != "" {
		text = "storage: {local: dir:storage}\n" + text
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			text += "    " + name + ": " + all[name] + "\n"
		}
	}
	return text
}

func table(t testing.TB, content string) *config.Table {
	t.Helper()
	f, err := config.Parse("rowseal.yaml", []byte(content), env)
	if err != nil {
		t.Fatal(err)
	}
	return f.Tables[0]
}

func TestEachOptionReachesTheSchema(t *testing.T) {
	for _, tc := range []struct {
		part, text string
		got        func(s rowseal.Schema) any
		want       any
	}{
		{"model", `"{type}"`, func(s rowseal.Schema) any { return s.Model }, "{type}"},
		{"primary_key", "uuid", func(s rowseal.Schema) any { return s.PrimaryKey }, "uuid"},
		{"primary_key", "", func(s rowseal.Schema) any { return s.PrimaryKey }, "id"},
		{"binding", "", func(s rowseal.Schema) any { return s.Binding }, rowseal.BindColumn},
		{"binding", "column", func(s rowseal.Schema) any { return s.Binding }, rowseal.BindColumn},
		{"binding", "row", func(s rowseal.Schema) any { return s.Binding }, rowseal.BindRow},
		{"binding", "none", func(s rowseal.Schema) any { return s.Binding }, rowseal.BindNone},
		{"keys", `{encrypted_kms_key: {versions: [{version: 1, key_id: a}], context: {n: 5, id: "{id}", e: "${SECRET}"}}}`,
			func(s rowseal.Schema) any { return s.Keys[0] },
			rowseal.KeyColumn{Column: "encrypted_kms_key", Context: rowseal.ContextRule{Names: map[string]string{"n": "5", "id": "{id}", "e": hidden}},
				Versions: map[int]rowseal.ContextRule{}}},
		{"keys", `{encrypted_kms_key: {versions: [{version: 2, key_id: a}, {version: 1, key_id: b, context: {}}]}}`,
			func(s rowseal.Schema) any { return s.Keys[0].Versions }, map[int]rowseal.ContextRule{1: {Names: map[string]string{}}}},
		{"fields", "{a: {key: encrypted_kms_key, type: date, algorithm: xchacha20, padding: 16, encode: false, associated_data: x}}",
			func(s rowseal.Schema) any { return s.Fields[0] },
			rowseal.Field{Column: "a", Type: lockbox.Date, Algorithm: lockbox.XChaCha20, Format: lockbox.Format{Padding: 16, Raw: true}, AssociatedData: "x"}},
		{"fields", "{a: {key: encrypted_kms_key, previous: [{padding: 8}, {algorithm: xsalsa20}]}}",
			func(s rowseal.Schema) any { return s.Fields[0].Previous },
			[]rowseal.PreviousVersion{{Padding: 8}, {Algorithm: lockbox.XSalsa20}}},
		{"fields", "{ssn: {key: encrypted_kms_key, codec: attr_encrypted}}", func(s rowseal.Schema) any { return s.Fields[0] },
			rowseal.Field{Column: "ssn", IV: "ssn_iv", AttrEncrypted: &attrencrypted.Options{}}},
		{"fields", "{ssn: {key: encrypted_kms_key, codec: attr_encrypted, mode: per_attribute_iv_and_salt, salt: s, encode: false, encode_iv: m0}}",
			func(s rowseal.Schema) any { return s.Fields[0] },
			rowseal.Field{Column: "ssn", IV: "ssn_iv", Salt: "s", AttrEncrypted: &attrencrypted.Options{
				Mode: attrencrypted.PerAttributeIVAndSalt, Encode: attrencrypted.Raw, EncodeIV: attrencrypted.Strict}}},
		{"fields", "{ssn: {key: encrypted_kms_key, codec: attr_encrypted, mode: single_iv_and_salt, algorithm: aes-128-cbc, allow: cbc, allow_empty: true, marshal: json}}",
			func(s rowseal.Schema) any { return s.Fields[0] },
			rowseal.Field{Column: "ssn", AttrEncrypted: &attrencrypted.Options{Mode: attrencrypted.SingleIVAndSalt, Algorithm: "aes-128-cbc",
				AllowCBC: true, AllowEmpty: true, Marshal: attrencrypted.MarshalJSON}}},
		{"indexes", `{b: {of: email_ciphertext, master_key: "${A_KEY}", algorithm: pbkdf2_sha256, size: 4, cost: {iterations: 5}, encode: false, legacy: true}}`,
			func(s rowseal.Schema) any { return s.Indexes[0].Options },
			blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, Size: 4, Cost: blindindex.Cost{Iterations: 5}, Raw: true, Legacy: true}},
		{"indexes", `{b: {of: email_ciphertext, master_key: "${A_KEY}", algorithm: scrypt, cost: {n: 1024, r: 4, p: 2}, normalize: strip+lower}}`,
			func(s rowseal.Schema) any { return s.Indexes[0].Options },
			blindindex.Options{Algorithm: blindindex.Scrypt, Cost: blindindex.Cost{N: 1024, R: 4, P: 2}, Normalize: "strip+lower"}},
		{"indexes", `{b: {of: email_ciphertext, master_key: "${A_KEY}", key_table: t, key_column: c, previous: [{master_key: "${B_KEY}", key_table: u, key_column: d}]}}`,
			func(s rowseal.Schema) any { return []any{s.Indexes[0].IndexKey, s.Indexes[0].Previous, s.MasterKeys} },
			[]any{rowseal.IndexKey{MasterKey: "of index b", KeyTable: "t", KeyColumn: "c"},
				[]rowseal.IndexKey{{MasterKey: "of index b, previous 1", KeyTable: "u", KeyColumn: "d"}}, []string{"of index b", "of index b, previous 1"}}},
		{"files", "{f: {key: encrypted_kms_key, store: dir:x, algorithm: xchacha20, padding: 16, associated_data: y}}", func(s rowseal.Schema) any { return s.Files },
			[]rowseal.FileColumn{{Column: "f", Algorithm: lockbox.XChaCha20, Padding: 16, AssociatedData: "y"}}},
		{"attachments", "{f: {key: encrypted_kms_key, algorithm: xchacha20, padding: 16, associated_data: y}}", func(s rowseal.Schema) any { return s.Attachments },
			[]rowseal.Attachment{{Name: "f", Algorithm: lockbox.XChaCha20, Padding: 16, AssociatedData: "y"}}},
	} {
		s := table(t, file(map[string]string{tc.part: tc.text})).Schema
		if got := tc.got(s); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %s\n got %+v\nwant %+v", tc.part, tc.text, got, tc.want)
		}
	}
}

func TestWhatIsUnderAMasterKeyHasItsOptions(t *testing.T) {
	s := table(t, file(map[string]string{
		"master_keys": `{m: {key: "${A_KEY}"}}`,
		"fields":      "{a: {key: m, key_table: t, key_attribute: c}, b: {key: encrypted_kms_key, previous: [{master_key: m, key_table: u, key_attribute: d, algorithm: xchacha20, padding: 8, associated_data: x}]}}",
		"attachments": "{f: {key: m, key_table: v, key_attribute: e}}",
	})).Schema
	want := []any{
		rowseal.Field{Column: "a", Key: "m", KeyTable: "t", KeyAttribute: "c"},
		[]rowseal.PreviousVersion{{MasterKey: "m", KeyTable: "u", KeyAttribute: "d", Algorithm: lockbox.XChaCha20, Padding: 8, AssociatedData: "x"}},
		rowseal.Attachment{Name: "f", Key: "m", KeyTable: "v", KeyAttribute: "e"},
	}
	if got := []any{s.Fields[0], s.Fields[1].Previous, s.Attachments[0]}; !reflect.DeepEqual(got, want) {
		t.Errorf(" got %+v\nwant %+v", got, want)
	}
}

func TestKeysAreNamedAsTheGemNamesThem(t *testing.T) {
	version := "versions: [{version: 1, key_id: local/a}]"
	s := table(t, file(map[string]string{
		"keys":   "{encrypted_kms_key: {" + version + "}, encrypted_kms_key_phone: {" + version + "}, other: {name: street, " + version + "}}",
		"fields": "{a: {key: encrypted_kms_key}, b: {key: encrypted_kms_key_phone}, c: {key: other}}",
	})).Schema
	for i, want := range []string{"", "phone", "street"} {
		if s.Keys[i].Name != want || s.Fields[i].Key != want {
			t.Errorf("key %s has the name %q, and its field the key %q", s.Keys[i].Column, s.Keys[i].Name, s.Fields[i].Key)
		}
	}
}

func TestMistakesAreToldWithLineAndRemedy(t *testing.T) {
	for _, tc := range []struct{ name, content, want string }{
		{"empty", "", "rowseal.yaml: the file is empty"},
		{"no mapping", "- a", "rowseal.yaml:1: must be a mapping, not a list"},
		{"nothing", "{}", "rowseal.yaml:1: the file needs a database"},
		{"two documents", "database: sqlite:a\n---\nb: c\n", "rowseal.yaml:2: a second document begins here"},
		{"quote left open", "database: \"a\n", "rowseal.yaml:1: this is not YAML: found unexpected end of stream; a quotation mark is missing"},
		{"quote left open below", "a: b\nc: \"d\ne: f\ng: h\n", "rowseal.yaml:2: this is not YAML: found unexpected end of stream"},
		{"bracket left open", "a: b\nc: {d: e\nf: g\nh: i\n", "rowseal.yaml:2: this is not YAML: did not find expected ',' or '}'"},
		{"bracket left open at the end", "a: [b", "rowseal.yaml:1: this is not YAML: did not find expected ',' or ']'"},
		{"variable in brackets without quotes", "a: b\nc: {d: ${SECRET}}\ne: f\n", "rowseal.yaml:2: this is not YAML: did not find expected ',' or '}'"},
		{"indented too little", "a:\n  b:\n    c: 1\n    d: 2\n   e: 3\n    f: 4\ng: 5\n", "rowseal.yaml:5: this is not YAML: did not find expected key; is this line, or the one before, indented"},
		{"indented too much", "a: 1\n  b: 2\nc: 3\n", "rowseal.yaml:2: this is not YAML: mapping values are not allowed in this context; is there a space after each colon"},
		{"tab", "a:\n\tb: c\nd: e\n", "rowseal.yaml:2: this is not YAML: found character that cannot start any token; indent with spaces, not with tabs"},
		{"value that begins with @", "a: b\nc: @d\n", "rowseal.yaml:2: this is not YAML: found character that cannot start any token; put a value that begins with @, ` or % in quotes"},
		{"control character", "a: b\nc: \x01\n", "rowseal.yaml:2: this is not YAML: control characters are not allowed"},
		{"syntax of a second document", "a: b\n---\nc: d: e\n", "rowseal.yaml:3: this is not YAML"},
		{"anchor", "database: &a sqlite:x\n", "rowseal.yaml:1: database: anchors, aliases and tags are not read here"},
		{"anchor of a key", "&a database: sqlite:x\n", "rowseal.yaml:1: anchors, aliases and tags are not read here"},
		{"alias", "a: &a {}\nb: *a\n", "rowseal.yaml:2: b: anchors, aliases and tags are not read here"},
		{"alias of nothing", "# *" + hidden + "\ndatabase: *" + hidden + "\n\ntables: {}\n", "rowseal.yaml:2: anchors, aliases and tags are not read here"},
		{"tag", "a: b\nc: [!" + hidden + " d]", "rowseal.yaml:2: c[1]: anchors, aliases and tags are not read here"},
		{"tag of a mapping", "a: !!map\n  b: c\n", "a: anchors, aliases and tags are not read here"},
		{"tag without a prefix", "a: b\ndatabase: !" + hidden + "!x y\nc: d\n", "rowseal.yaml:2: this is not YAML: found undefined tag handle"},
		{"merge key", "a:\n  <<: {b: c}\n", "rowseal.yaml:2: a: a key of a mapping must be plain text"},
		{"number as a key", "a: {1.5: b}", "rowseal.yaml:1: a: a key of a mapping must be plain text"},
		{"list as a key", "a: {[b]: c}", "rowseal.yaml:1: a: a key of a mapping must be plain text"},
		{"twice", "tables:\n  users: {}\n  users: {}\n", `rowseal.yaml:3: tables: key "users" is there twice`},
		{"twice in quotes", "1: a\n'1': b\n", `rowseal.yaml:2: key "1" is there twice`},
		{"top", "databse: x", `rowseal.yaml:1: unknown key "databse"; did you mean database?`},
		{"migrating itself", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: a}}"}), "fields.a.migrating: names the field itself"},
		{"migrating twice", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: c}, b: {key: encrypted_kms_key, migrating: c}}"}), "fields.b.migrating: c moves into a already"},
		{"migrating the id", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: id}}"}), "fields.a.migrating: id is the primary key"},
		{"migrating a key", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: encrypted_kms_key}}"}), "encrypted_kms_key is no field"},
		{"migrating another type", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, type: date, migrating: b}, b: {key: encrypted_kms_key}}"}), "b has another type"},
		{"migrating in a circle", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: b}, b: {key: encrypted_kms_key, migrating: a}}"}),
			"rowseal.yaml:5: tables.users.fields.a.migrating: values move into b, too; move them there first, and then on"},
		{"migrating on", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: b}, b: {key: encrypted_kms_key, migrating: plain}}"}),
			"fields.a.migrating: values move into b, too"},
		{"migrating an IV", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: b_iv}, b: {key: encrypted_kms_key, codec: attr_encrypted}}"}), "b_iv is no field: name a column that is not sealed"},
		{"migrating an index", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: a_bidx}}", "indexes": `{a_bidx: {of: a, master_key: "${A_KEY}"}}`}), "a_bidx is no field"},
		{"migrating a file", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: b}}", "files": "{b: {key: encrypted_kms_key, store: dir:x}}"}), "b is no field"},
		{"migrating into a file", file(map[string]string{"files": "{b: {key: encrypted_kms_key, store: dir:x, migrating: c}}"}), `files.b: unknown key "migrating"`},
		{"migrating what a context names", file(map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 1, key_id: a}], context: {id: "{id}", name: "{name}"}}}`, "fields": "{a: {key: encrypted_kms_key, migrating: name}}"}),
			"fields.a.migrating: name is in an encryption context, which must be readable; take it out of the context first"},
		{"migrating a list", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: [b, c]}}"}), "fields.a.migrating: must be text, not a list"},
		{"migrating true", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: true}}"}), "fields.a.migrating: must be the name of the column"},
		{"migrating a variable", file(map[string]string{"fields": `{a: {key: encrypted_kms_key, migrating: "${SECRET}"}}`}), "${…} is not replaced here"},
		{"migrating nothing", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, migrating: }}"}), "fields.a.migrating: has no value"},
		{"no slashes", "database: postgres:app", "rowseal.yaml:1: database: must be of the form postgres://user:password@host/database"},
		{"password with a slash", "database: postgres://ada:hunter2/x@db/app", "database: is no address of the form postgres://"},
		{"password with a percent", "database: mysql://ada:hunter2%zz@db/app", "database: is no address of the form mysql://"},
		{"password with a #", `database: "mysql://ada:hunter2#x@db/app"`, "database: is no address of the form mysql://"},
		{"no database", "database: postgres://ada:hunter2@db", "database: names no database; write it after the host, as in postgres://user:password@host/database"},
		{"no database, and a slash", "database: mysql://ada:hunter2@db/?tls=true", "database: names no database"},
		{"a path", "database: mysql://ada:hunter2@db/app/users", "database: has more than a database's name after the host"},
		{"no host", "database: mysql:///app", "names no host; for a Unix socket, write mysql:///database?socket="},
		{"Rails's name", "database: mysql2://ada:hunter2@db/app", "database: mysql2: is unknown here; did you mean mysql: ?"},
		{"Rails's other name", "database: sqlite3:users.sqlite3", "database: sqlite3: is unknown here; did you mean sqlite: ?"},
		{"in capitals", "database: Postgres://ada:hunter2@db/app", "database: Postgres: is unknown here; did you mean postgres: ?"},
		{"port that is no number", "database: postgres://ada:hunter2@db:54x2/app", "database: is no address of the form postgres://"},
		{"port too large", "database: mysql://ada:hunter2@db:330600/app", "database: has a port that is no number from 1 to 65535"},
		{"port 0", "database: postgres://ada:hunter2@db:0/app", "database: has a port that is no number from 1 to 65535"},
		{"two hosts", "database: mysql://ada:hunter2@db1:3306,db2:3306/app", "database: names more than one host"},
		{"one slash", "database: mysql:/app", "database: must be of the form mysql://user:password@host/database"},
		{"the driver's own form", "database: ada:hunter2@tcp(db:3306)/app", "or begin with postgres:// or mysql://"},
		{"libpq's other form", "database: host=db user=ada password=hunter2 dbname=app", "or begin with postgres:// or mysql://"},
		{"space", "database: postgres://ada:hunter2@db /app", "database: is no address of the form postgres://"},
		{"password among the options", "database: postgres://ada@db/app?password=hunter2", "database: has a password after the ?; write it before the host, as in postgres://user:password@host/database"},
		{"options that are none", "database: mysql://ada:hunter2@db/app?hunter2=%zz", "database: has options after the ? that cannot be read"},
		{"host and socket", "database: mysql://ada:hunter2@db/app?socket=/tmp/mysql.sock", "database: names a host and a Unix socket"},
		{"list", "database: [sqlite:a, sqlite:b]", "database: must be text, not a list"},
		{"mapping, as Rails has it", "database: {adapter: mysql2, password: hunter2}", "database: must be text, not a mapping"},
		{"directory of SQLite", "database: sqlite:///users.sqlite3", "must be sqlite: and the path of the file"},
		{"another", "database: oracle://ada:hunter2@db/app", "or begin with postgres:// or mysql://"},
		{"in memory", `database: "sqlite::memory:"`, "ends with the program"},
		{"database", "database: users.sqlite3", "must be sqlite: and the path of the file"},
		{"option", file(map[string]string{"bindng": "none"}), `rowseal.yaml:5: tables.users: unknown key "bindng"; did you mean binding?`},
		{"word", file(map[string]string{"binding": "rows"}), `tables.users.binding: "rows" is unknown; did you mean row?`},
		{"writers", file(map[string]string{"writers": "ruby"}), `"ruby" is unknown; there are rowseal, rails`},
		{"no model", file(map[string]string{"model": ""}), "needs a model, which is the model_name of the encryption context"},
		{"context", file(map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 1, key_id: a}], context: {id: "User {id}"}}}`}),
			`"id": "User {id}" is neither a literal nor exactly one {column}`},
		{"no versions", file(map[string]string{"keys": "{encrypted_kms_key: {}}"}), "needs versions, as in versions: [{version: 1, key_id: vault/my-key}]"},
		{"version", file(map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 0, key_id: a}]}}"}), "versions[1].version: must be an integer from 1"},
		{"version twice", file(map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: a}, {version: 1, key_id: b}]}}"}), "version 1 is there twice"},
		{"no key id", file(map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1}]}}"}), "needs key_id"},
		{"key name", file(map[string]string{"keys": "{kms: {versions: [{version: 1, key_id: a}]}}"}), "needs a name, which is part of contexts"},
		{"unused key", file(map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: a}]}, encrypted_kms_key_b: {versions: [{version: 1, key_id: a}]}}"}),
			"nothing is sealed under key column encrypted_kms_key_b"},
		{"typo", file(map[string]string{"fields": "{a: {key: encrypted_kms_kee}}"}),
			`tables.users.fields.a.key: "encrypted_kms_kee" is neither a key column nor a master key of the table; did you mean encrypted_kms_key?`},
		{"name of a key column", file(map[string]string{"keys": "{encrypted_kms_key_b: {versions: [{version: 1, key_id: a}]}}", "fields": "{a: {key: b}}"}),
			`tables.users.fields.a.key: "b" is the name of a key column; write the column itself, encrypted_kms_key_b`},
		{"empty list", file(map[string]string{"keys": "{encrypted_kms_key: {versions: []}}"}), "versions: the list is empty"},
		{"typo below", file(map[string]string{"fields": "\n      a:\n        key: encrypted_kms_key\n        pading: 16"}),
			`rowseal.yaml:8: tables.users.fields.a: unknown key "pading"; did you mean padding?`},
		{"type", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, type: strng}}"}), `"strng" is unknown; did you mean string?`},
		{"no number", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, padding: many}}"}), "padding: must be an integer from 1"},
		{"no flag", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, encode: 1}}"}), "encode: must be true or false, not an integer"},
		{"no value", file(map[string]string{"fields": "\n      a:\n        key:"}), "rowseal.yaml:7: tables.users.fields.a.key: has no value"},
		{"padding too large", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, padding: 70000}}"}), "a: padding of 70000 bytes: want 1 to 65536"},
		{"of the other codec", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, iv: a_iv}}"}), "iv: is no option of codec: lockbox"},
		{"of attr_encrypted", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, codec: attr_encrypted, padding: 1}}"}), "padding: is no option of codec: attr_encrypted"},
		{"bound attr_encrypted", file(map[string]string{"binding": "", "fields": "{a: {key: encrypted_kms_key, codec: attr_encrypted}}"}), "cannot be bound; use binding: none"},
		{"twice in the schema", file(map[string]string{"files": "{email_ciphertext: {key: encrypted_kms_key, store: dir:x}}"}), "email_ciphertext is there twice"},
		{"s3", file(map[string]string{"files": "{a: {key: encrypted_kms_key, store: s3:bucket}}"}), "must be dir: and the path of a directory"},
		{"previous", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, previous: [{master_key: " + hidden + "}]}}"}), "must be the name of one of master_keys"},
		{"index of", file(map[string]string{"indexes": `{b: {of: email, master_key: "${A_KEY}"}}`}), `"email" is none of the table's fields; did you mean email_ciphertext?`},
		{"index key", file(map[string]string{"indexes": "{b: {of: email_ciphertext}}"}), "needs a master_key"},
		{"index literal", file(map[string]string{"indexes": "{b: {of: email_ciphertext, master_key: " + hidden + "}}"}), "is neither a key of 64 hex digits nor the name of one of master_keys, which the table has not; it has 7 characters"},
		{"index size", file(map[string]string{"indexes": `{b: {of: email_ciphertext, master_key: "${A_KEY}", size: 33}}`}), "33"},
		{"index type", file(map[string]string{"fields": "{a: {key: encrypted_kms_key, type: float}}", "indexes": `{b: {of: a, master_key: "${A_KEY}"}}`}), "whose type float has no one text"},
		{"normalizer", file(map[string]string{"indexes": `{b: {of: email_ciphertext, master_key: "${A_KEY}", normalize: [lower, upper]}}`}), `"upper" is unknown`},
		{"master literal", file(map[string]string{"master_keys": "{m: {key: " + hidden + "}}"}), "is not a key: it must have 64 hex digits; it has 7 characters"},
		{"master of nothing", file(map[string]string{"master_keys": "{m: {derive: true}}"}), "needs one of key"},
		{"wrapped without id", file(map[string]string{"master_keys": "{m: {wrapped: v1:AAAA}}"}), "needs the key_id"},
		{"wrapped for a row", file(map[string]string{"master_keys": `{m: {wrapped: v1:AAAA, key_id: a, context: {id: "{id}"}}}`}), "must be a literal: a master key belongs to no row"},
		{"not set", file(map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 1, key_id: "${NOWHERE}"}]}}`}), "the environment variable NOWHERE is not set"},
		{"set to nothing", file(map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 1, key_id: "${EMPTY}"}]}}`}), "the environment variable EMPTY is empty"},
		{"no variable", file(map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 1, key_id: "${no name}"}]}}`}), "${ must be followed by the name"},
		{"a variable here", file(map[string]string{"model": `"${SECRET}"`}), "${…} is not replaced here"},
		{"in quotes", file(map[string]string{"model": "true"}), "must be text, not true or false; if it is meant so, write it in quotes"},
		{"no storage", strings.ReplaceAll(file(map[string]string{"attachments": "{a: {key: encrypted_kms_key}}"}), "storage: {local: dir:storage}\n", ""),
			"rowseal.yaml:4: tables.users.attachments: say at the top of the file where they are, as in storage: {local: dir:storage}"},
		{"variable as key", file(map[string]string{"fields": `{a: {key: "${A_KEY}"}}`}),
			`a.key: this looks like a key itself; put it under master_keys as NAME: {key: "${LOCKBOX_MASTER_KEY}"} and write key: NAME here`},
		{"bare variable", "a: {master_key: ${A_KEY}}", "did not find expected ',' or '}'; put ${NAME} in quotes"},
		{"empty database", `database: ""`, "must be sqlite: and the path of the file"},
		{"attachment", file(map[string]string{"model": `"{type}"`, "attachments": "{a: {key: encrypted_kms_key}}"}), "needs the table's record_type"},
		{"large", strings.Repeat("# much is said, and nothing\n", 10_000), "rowseal.yaml: the file has more than 262144 bytes"},
		{"deep", "a: " + strings.Repeat("[", 20) + strings.Repeat("]", 20), "is nested too deep"},
		{"deeper than is parsed", strings.Repeat("[", 20_000), "rowseal.yaml:1: this is not YAML: exceeded max depth"},
		{"not UTF-8", "a: \xff", "rowseal.yaml: the file is not UTF-8"},
	} {
		_, err := config.Parse("rowseal.yaml", []byte(tc.content), env)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v\nwant %s\nin\n%s", tc.name, err, tc.want, tc.content[:min(len(tc.content), 400)])
		}
		if err != nil && strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: the error shows a secret: %v", tc.name, err)
		}
	}
}

func TestAllMistakesAreToldAtOnceInTheOrderOfTheFile(t *testing.T) {
	for content, want := range map[string][]string{
		file(map[string]string{"binding": "rows", "modle": "x", "fields": "{a: {}}"}): {"3 mistakes", "rowseal.yaml:4: ", "rowseal.yaml:5: ", "rowseal.yaml:8: "},
		"a: &x b\na: c\n<<: d\n": {"3 mistakes", "rowseal.yaml:1: ", "rowseal.yaml:2: ", "rowseal.yaml:3: "},
	} {
		_, err := config.Parse("rowseal.yaml", []byte(content), env)
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(want) {
			t.Fatal(err)
		}
		for i, w := range want {
			if !strings.HasPrefix(lines[i], w) {
				t.Errorf("line %d is %s", i, lines[i])
			}
		}
	}
}

// TestTextIsWhatIsWritten puts values into a context, which reaches the KMS as it is.
func TestTextIsWhatIsWritten(t *testing.T) {
	const isBoolean, isFloat = "not true or false; if it is meant so, write it in quotes", "not a number with a point; if it is meant so, write it in quotes"
	for written, want := range map[string]string{
		"1": "1", `"1"`: "1", "'1'": "1", "+1": "+1", "-0": "-0", "007": "007", "08": "08", "0x10": "0x10", "0o17": "0o17", "0b1": "0b1", "1_000": "1_000",
		"99999999999999999999": "99999999999999999999", "1e3": "1e3", "1:30": "1:30", "1.2.3": "1.2.3",
		"yes": "yes", "No": "No", "on": "on", "y": "y", "<<": "<<", "=": "=", `"~"`: "~", `"true"`: "true", "'1.50'": "1.50",
		"2026-01-02": "2026-01-02", "2026-01-02 15:04:05": "2026-01-02 15:04:05",
		"a  b # c": "a  b", "a#b": "a#b", `"\x41\u00e9"`: "Aé", "'it''s'": "it's", `" a "`: " a ", `""`: "",
	} {
		keys := "{encrypted_kms_key: {versions: [{version: 1, key_id: a}], context: {n: " + written + "\n}}}"
		if got := table(t, file(map[string]string{"keys": keys})).Schema.Keys[0].Context.Names["n"]; got != want {
			t.Errorf("%s is read as %q, not %q", written, got, want)
		}
	}
	for written, want := range map[string]string{
		"true": isBoolean, "False": isBoolean, "1.50": isFloat, "1.": isFloat, "1.5e3": isFloat, ".inf": isFloat, ".nan": isFloat,
		"~": "must be text, not nothing", "null": "must be text, not nothing", "": "must be text, not nothing",
		"{}": "must be text, not a mapping", "[]": "must be text, not a list",
	} {
		keys := "{encrypted_kms_key: {versions: [{version: 1, key_id: a}], context: {n: " + written + "}}}"
		_, err := config.Parse("rowseal.yaml", []byte(file(map[string]string{"keys": keys})), env)
		if err == nil || !strings.HasPrefix(err.Error(), "rowseal.yaml:6: tables.users.keys.encrypted_kms_key.context.n: ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", written, err, want)
		}
	}
}

func TestBlocksOfTextKeepTheirLines(t *testing.T) {
	for written, want := range map[string]string{"|": "a\nb\n", "|-": "a\nb", ">": "a b\n", ">-": "a b"} {
		keys := "\n      encrypted_kms_key:\n        versions: [{version: 1, key_id: a}]\n        context:\n          n: " + written + "\n            a\n            b"
		if got := table(t, file(map[string]string{"keys": keys})).Schema.Keys[0].Context.Names["n"]; got != want {
			t.Errorf("%s is read as %q, not %q", written, got, want)
		}
	}
}

func TestAFlagIsTrueInAnyCaseThatYAMLHas(t *testing.T) {
	for written, want := range map[string]bool{"true": true, "True": true, "TRUE": true, "false": false, "FALSE": false} {
		ix := `{b: {of: email_ciphertext, master_key: "${A_KEY}", slow: ` + written + "}}"
		if got := table(t, file(map[string]string{"indexes": ix})).Schema.Indexes[0].Options.Slow; got != want {
			t.Errorf("%s is read as %v", written, got)
		}
	}
}

// TestNoErrorShowsASecret puts one into every value of the file that shows every option.
func TestNoErrorShowsASecret(t *testing.T) {
	_, whole := documented(t)
	tried := 0
	for at, c := range string(whole) {
		if c != ':' || whole[at+1] != ' ' || whole[at+2] == '{' || whole[at+2] == ' ' {
			continue
		}
		end := at + 2 + strings.IndexAny(string(whole[at+2:]), ",}]\n")
		content := string(whole[:at+2]) + `"${SECRET}"` + string(whole[end:])
		f, err := config.Parse("rowseal.yaml", []byte(content), env)
		if err == nil {
			err = f.Tables[0].Check(opener(t, nil))
		}
		if tried++; err != nil && strings.Contains(err.Error(), hidden) {
			t.Errorf("%v", err)
		}
	}
	if tried < 80 {
		t.Errorf("only %d values were tried", tried)
	}
}

var (
	nameInYAML  = regexp.MustCompile(`[\w-]+:(?: |\n)`)
	valueInYAML = regexp.MustCompile(`: ([^\s{#][^,}\n#]*)`)
	comments    = regexp.MustCompile(` +#.*`)
)

// TestNoErrorShowsAMisplacedKey puts a key itself in the place of each name and each value of the file that shows every option.
func TestNoErrorShowsAMisplacedKey(t *testing.T) {
	const inBase64 = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
	_, whole := documented(t)
	text := comments.ReplaceAllString(string(whole), "")
	var places [][]int
	for _, at := range nameInYAML.FindAllStringIndex(text, -1) {
		places = append(places, []int{at[0], at[0] + strings.Index(text[at[0]:], ":")})
	}
	for _, at := range valueInYAML.FindAllStringSubmatchIndex(text, -1) {
		places = append(places, at[2:])
	}
	told := 0
	for _, at := range places {
		for _, key := range []string{hexKey, hexKey[:32], inBase64, `"` + hexKey + `"`, "${x" + hexKey + "}"} {
			content := text[:at[0]] + key + text[at[1]:]
			f, err := config.Parse("rowseal.yaml", []byte(content), env)
			if err == nil {
				_, opening := f.Tables[0].Open(t.Context(), opener(t, nil), f.Tables[0].All())
				err = errors.Join(f.Tables[0].Check(opener(t, nil)), opening)
			}
			if err == nil {
				continue
			}
			told++
			if strings.Contains(err.Error(), hexKey[:32]) || strings.Contains(err.Error(), inBase64) {
				t.Errorf("%q instead of %q: %v", key, text[at[0]:at[1]], err)
			}
		}
	}
	if len(places) < 200 || told < 600 {
		t.Errorf("only %d places were tried, with %d errors", len(places), told)
	}
}

func TestTheCheckShowsNoMisplacedKey(t *testing.T) {
	const inBase64 = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
	content := strings.ReplaceAll(file(map[string]string{"fields": "{" + inBase64 + ": {key: encrypted_kms_key}}"}), "  users:", "  "+inBase64+":")
	err := table(t, content).Check(opener(t, &kmstest.Fake{IgnoreContext: true}))
	if err == nil || !strings.HasPrefix(err.Error(), "rowseal.yaml:5: tables.…: ") || strings.Contains(err.Error(), inBase64) {
		t.Error(err)
	}
}

func TestAMisplacedKeyIsToldWhereItBelongs(t *testing.T) {
	const remedy = `this looks like a key itself; put it under master_keys as NAME: {key: "${LOCKBOX_MASTER_KEY}"}`
	for _, tc := range []struct{ part, text, want string }{
		{"fields", "{a: {key: " + hexKey + "}}", "fields.a.key: " + remedy + " and write key: NAME here"},
		{"fields", "{a: {key: encrypted_kms_key, type: " + hexKey + "}}", "fields.a.type: " + remedy},
		{"fields", "{a: {key: encrypted_kms_key, previous: [{master_key: " + hexKey + "}]}}", "previous[1].master_key: " + remedy + " and write master_key: NAME here"},
		{"master_keys", "{" + hexKey + `: {key: "${A_KEY}"}}`, "tables.users.master_keys: " + remedy},
		{"model", hexKey, "tables.users.model: " + remedy},
		{"fields", "{a: {key: encrypted_kms_key}}\n    files: {a: {key: encrypted_kms_key, store: dir:x}}", "a is there twice"},
		{"fields", "{q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=: {key: encrypted_kms_key}}\n" +
			"    files: {q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=: {key: encrypted_kms_key, store: dir:x}}", "column or attachment … is there twice"},
	} {
		_, err := config.Parse("rowseal.yaml", []byte(file(map[string]string{tc.part: tc.text})), env)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), hexKey) {
			t.Errorf("%s: %s\n%v\nwant %s", tc.part, tc.text, err, tc.want)
		}
	}
}

func TestExamineTellsWhatOneLookAtTheFileCannot(t *testing.T) {
	content := `database: sqlite:${NO_DATABASE}
storage: {local: "dir:${NO_STORAGE}"}
tables:
  users:
    model: User
    master_keys:
      blind_index: {wrapped: "${NO_WRAPPED}", key_id: local/a}
      m: {key: "${NO_LOCKBOX}"}
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: alias/no-region}]}}
    fields: {a: {key: encrypted_kms_key, type: strng}, b: {key: m}}
  others:
    model: Other
    binding: column
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: local/loose}]}}
    fields: {a: {key: encrypted_kms_key}}
`
	name := filepath.Join(t.TempDir(), "rowseal.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	o := opener(t, &kmstest.Fake{IgnoreContext: true})
	open := o.Key
	o.Key = func(id string) (*kms.Key, error) {
		if id == "alias/no-region" {
			return nil, errors.New("there is no region")
		}
		return open(id)
	}
	missing := func(name string) (string, bool) { return "", false }
	_, err := config.Examine(name, missing, o)
	if err == nil {
		t.Fatal("it is right")
	}
	lines := strings.Split(strings.ReplaceAll(err.Error(), name, "rowseal.yaml"), "\n")
	want := []string{
		"7 mistakes",
		"rowseal.yaml:1: database: the environment variable NO_DATABASE is not set",
		"rowseal.yaml:2: storage.local: the environment variable NO_STORAGE is not set",
		"rowseal.yaml:7: tables.users.master_keys.blind_index.wrapped: the environment variable NO_WRAPPED is not set",
		"rowseal.yaml:8: tables.users.master_keys.m.key: the environment variable NO_LOCKBOX is not set",
		"rowseal.yaml:9: tables.users.keys.encrypted_kms_key.versions[1]: there is no region",
		`rowseal.yaml:10: tables.users.fields.a.type: "strng" is unknown; did you mean string?`,
		"rowseal.yaml:15: tables.others: ",
	}
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is %s", i, line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines, not %d", len(lines), len(want))
	}
}

func TestAMissingMasterKeyIsToldToThoseWhoNeedIt(t *testing.T) {
	for variable, want := range map[string]string{
		"NOWHERE": "the environment variable NOWHERE is not set", "BAD_KEY": "is neither a key of 64 hex digits",
	} {
		users := table(t, file(map[string]string{"indexes": "{b: {of: email_ciphertext, master_key: \"${" + variable + "}\"}}"}))
		if _, err := users.Open(t.Context(), opener(t, nil), config.Part{Keys: []string{""}}); err != nil {
			t.Errorf("a part without the index: %v", err)
		}
		_, err := users.Open(t.Context(), opener(t, nil), config.Part{Indexes: []string{"b"}})
		for what, err := range map[string]error{"the index": err, "the check": users.Check(opener(t, nil))} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rowseal.yaml:6: ") || strings.Contains(err.Error(), hidden) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

func TestAKeyThatDoesNotEnforceTheContextNeedsBindingRow(t *testing.T) {
	loose := opener(t, &kmstest.Fake{IgnoreContext: true})
	for _, binding := range []string{"none", "column"} {
		err := table(t, file(map[string]string{"binding": binding})).Check(loose)
		if err == nil || !strings.Contains(err.Error(), "does not enforce the encryption context") || !strings.Contains(err.Error(), "use binding: row") ||
			!strings.HasPrefix(err.Error(), "rowseal.yaml:5: tables.users: ") {
			t.Errorf("%s: %v", binding, err)
		}
	}
	if err := table(t, file(map[string]string{"binding": "row"})).Check(loose); err != nil {
		t.Error(err)
	}
}

const twoKeys = `{encrypted_kms_key: {versions: [{version: 1, key_id: local/a}]}, encrypted_kms_key_phone: {versions: [{version: 1, key_id: local/b}]}}`

func TestAPartNeedsNoOtherKeys(t *testing.T) {
	users := table(t, file(map[string]string{
		"binding": "column", "keys": twoKeys, "fields": "{email_ciphertext: {key: encrypted_kms_key}, phone_ciphertext: {key: encrypted_kms_key_phone}}",
		"indexes": `{email_bidx: {of: email_ciphertext, master_key: "${A_KEY}", algorithm: hmac_sha256}}`,
	}))
	fake := &kmstest.Fake{}
	o := opener(t, fake)
	var opened []string
	open := o.Key
	o.Key = func(id string) (*kms.Key, error) {
		opened = append(opened, id)
		return open(id)
	}
	all, err := users.Open(t.Context(), o, users.All())
	if err != nil {
		t.Fatal(err)
	}
	sealed := sealed(t, all, map[string]any{"id": int64(1)}, map[string]any{"email_ciphertext": "ada@example.org", "phone_ciphertext": "123"})

	opened = nil
	phone, err := users.Open(t.Context(), o, config.Part{Keys: []string{"phone"}})
	if err != nil {
		t.Fatal(err)
	}
	requests := fake.Requests()
	r := reopened(t, phone, sealed)
	if got, err := r.Get("phone_ciphertext"); got != "123" || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := r.Get("email_ciphertext"); err == nil {
		t.Error("what nobody asked for is open")
	}
	if !slices.Equal(opened, []string{"local/b"}) || fake.Requests()-requests != 1 {
		t.Errorf("opened %v, with %d requests", opened, fake.Requests()-requests)
	}

	opened, requests = nil, fake.Requests()
	index, err := users.Open(t.Context(), o, config.Part{Indexes: []string{"email_bidx"}})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := index.Lookup(t.Context(), "email_bidx", "ada@example.org"); err != nil || found[0] != sealed["email_bidx"] {
		t.Errorf("%v, %v", found, err)
	}
	if fake.Requests() != requests {
		t.Errorf("a search costs %d requests", fake.Requests()-requests)
	}
}

// sealed returns the columns of a new row.
func sealed(t *testing.T, table *rowseal.Table, plain, values map[string]any) map[string]any {
	t.Helper()
	r, err := table.Record(plain)
	if err != nil {
		t.Fatal(err)
	}
	for column, value := range values {
		if err := r.Set(column, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Seal(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	columns := maps.Clone(plain)
	written, err := r.Sealed()
	for column, value := range written {
		columns[column] = value
	}
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func reopened(t *testing.T, table *rowseal.Table, columns map[string]any) *rowseal.Record {
	t.Helper()
	r, err := table.Record(columns)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Open(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHashesAndArraysOfRailsAreValues(t *testing.T) {
	users := table(t, file(map[string]string{"fields": "{h: {key: encrypted_kms_key, type: hash}, a: {key: encrypted_kms_key, type: array}}"}))
	all, err := users.Open(t.Context(), opener(t, nil), users.All())
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"h": map[string]any{"a": int64(1), "b": "1e3"}, "a": []any{"x", int64(2), nil}}
	r := reopened(t, all, sealed(t, all, map[string]any{"id": int64(1)}, values))
	for column, want := range values {
		if got, err := r.Get(column); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, not %#v (%v)", column, got, want, err)
		}
	}
}

func TestMasterKeysWrappedByAKMSAreOpenedWhenUsed(t *testing.T) {
	fake := &kmstest.Fake{}
	o := opener(t, fake)
	key, err := o.Key("local/index")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 3, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	digits, err := hex.DecodeString(hexKey)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := ring.Encrypt(t.Context(), digits, kms.Context{"purpose": "index"})
	if err != nil {
		t.Fatal(err)
	}
	of := func(masters string) *config.Table {
		return table(t, file(map[string]string{"master_keys": masters, "indexes": "{b: {of: email_ciphertext, algorithm: hmac_sha256, master_key: m}}"}))
	}
	byKMS := of("{m: {wrapped: " + wrapped + ", key_id: local/index, version: 3, context: {purpose: index}}}")
	before := fake.Requests()
	if err := byKMS.Check(o); err != nil || fake.Requests() != before {
		t.Errorf("the check costs %d requests: %v", fake.Requests()-before, err)
	}
	if _, err := byKMS.Open(t.Context(), o, config.Part{Keys: []string{""}}); err != nil || fake.Requests() != before {
		t.Errorf("a part without the index costs %d requests: %v", fake.Requests()-before, err)
	}
	want, err := lookup(t.Context(), of(`{m: {key: "${A_KEY}"}}`), o)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := lookup(t.Context(), byKMS, o); got != want || err != nil || fake.Requests() != before+1 {
		t.Errorf("%v is not %v, with %d requests (%v)", got, want, fake.Requests()-before, err)
	}
	other := of("{m: {wrapped: " + wrapped + ", key_id: local/index, version: 3, context: {purpose: other}}}")
	if _, err := lookup(t.Context(), other, o); !errors.Is(err, rowseal.ErrDecryptionFailed) || !strings.HasPrefix(err.Error(), "rowseal.yaml:8: tables.users.master_keys.m: ") {
		t.Errorf("another context: %v", err)
	}

	derived, err := blindindex.New(digits, &blindindex.Options{Algorithm: blindindex.HMACSHA256})
	if err != nil {
		t.Fatal(err)
	}
	own, err := derived.Compute("x")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := lookup(t.Context(), of(`{m: {key: "${A_KEY}", derive: false}}`), o); got != own || got == want || err != nil {
		t.Errorf("a key of which nothing is derived: %v is not %v (%v)", got, own, err)
	}
}

func lookup(ctx context.Context, t *config.Table, o config.Opener) (any, error) {
	index, err := t.Open(ctx, o, config.Part{Indexes: []string{"b"}})
	if err != nil {
		return nil, err
	}
	found, err := index.Lookup(ctx, "b", "x")
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// TestOldFormsOfContextsOpen seals keys as old Ruby programs did, and opens them as the file says.
func TestOldFormsOfContextsOpen(t *testing.T) {
	plaintext := make([]byte, 32)
	for _, tc := range []struct {
		name, version string
		encoding      kms.ContextEncoding
		context       kms.Context
		versionless   bool
	}{
		{"ruby", "encoding: ruby", kms.UnescapedJSON, nil, false},
		{"ordered", "encoding: [model_name, {name: model_id, integer: true}]", kms.OrderedJSON(kms.JSONField{Name: "model_name"}, kms.JSONField{Name: "model_id", Integer: true}), nil, false},
		{"legacy", "legacy: {encoding: [model_name, {name: model_id, integer: true}]}",
			kms.OrderedJSON(kms.JSONField{Name: "model_name"}, kms.JSONField{Name: "model_id", Integer: true}), nil, true},
		{"legacy as it is", "legacy: true", nil, nil, true},
		{"empty context", "legacy: {empty_context: true}", nil, kms.Context{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake := &kmstest.Fake{}
			ec := tc.context
			if ec == nil {
				ec = kms.Context{"model_name": "<User>", "model_id": "7"}
			}
			ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil), Encoding: tc.encoding})
			if err != nil {
				t.Fatal(err)
			}
			wrapped, err := ring.Encrypt(t.Context(), plaintext, ec)
			if err != nil {
				t.Fatal(err)
			}
			if tc.versionless {
				wrapped = strings.TrimPrefix(wrapped, "v1:")
			}
			box, err := lockbox.New(plaintext, nil)
			if err != nil {
				t.Fatal(err)
			}
			email, err := box.Encrypt([]byte("ada@example.org"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for version, opens := range map[string]bool{tc.version: true, "legacy: false": false} {
				users := table(t, file(map[string]string{"model": "<User>", "keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: local/a, " + version + "}]}}"}))
				all, err := users.Open(t.Context(), opener(t, fake), users.All())
				if err != nil {
					t.Fatal(err)
				}
				r, err := all.Record(map[string]any{"id": int64(7), "encrypted_kms_key": wrapped, "email_ciphertext": string(email)})
				if err != nil {
					t.Fatal(err)
				}
				if err := all.Open(t.Context(), r); (err == nil) != opens {
					t.Errorf("%s: %v", version, err)
				}
			}
		})
	}
}

func TestNotesTellWhatProtectsLess(t *testing.T) {
	for want, content := range map[string]string{
		"version 1 has the key for tests":            file(map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}"}),
		"bound to nothing: email_ciphertext, b":      file(map[string]string{"fields": "{email_ciphertext: {key: encrypted_kms_key}, b: {key: encrypted_kms_key}}"}),
		"does not name id":                           file(map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: a}], context: {n: x}}}"}),
		"are alike, so that the two columns":         file(map[string]string{"keys": strings.ReplaceAll(twoKeys, "local/b", "local/a"), "fields": "{a: {key: encrypted_kms_key}, b: {key: encrypted_kms_key_phone}}"}),
		"versions 2 and 1 differ in columns only":    file(map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 2, key_id: a, context: {id: "{id}"}}, {version: 1, key_id: a, context: {id: "{old_id}"}}]}}`}),
		"master key m: it stands in the file itself": file(map[string]string{"master_keys": "{m: {key: " + hexKey + "}}"}),
		"whoever has the master key m reads it":      file(map[string]string{"master_keys": `{m: {key: "${A_KEY}"}}`, "fields": "{a: {key: m}, b: {key: encrypted_kms_key}}"}),
		"CBC is allowed":                             file(map[string]string{"fields": "{a: {key: encrypted_kms_key, codec: attr_encrypted, allow: cbc}}"}),
		"values whose IV was ignored are allowed":    file(map[string]string{"fields": "{a: {key: encrypted_kms_key, codec: attr_encrypted, allow: [ignored_iv]}}"}),
		"equal ones have equal ciphertexts":          file(map[string]string{"fields": "{a: {key: encrypted_kms_key, codec: attr_encrypted, mode: single_iv_and_salt, allow: [ignored_iv]}}"}),
		"guesses values fast, because hmac_sha256":   file(map[string]string{"indexes": `{b: {of: email_ciphertext, master_key: "${A_KEY}", algorithm: hmac_sha256}}`}),
		"rails also writes, without comparing":       file(map[string]string{"writers": "rails"}),
	} {
		if notes := fmt.Sprint(table(t, content).Notes()); !strings.Contains(notes, want) {
			t.Errorf("there is no note %q in\n%s", want, notes)
		}
	}
	if notes := table(t, file(map[string]string{"binding": "row"})).Notes(); len(notes) > 0 {
		t.Errorf("a table that is well protected has notes: %v", notes)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	f, err := config.Parse(filepath.Join("app", "rowseal.yaml"), []byte(file(map[string]string{"files": "{a: {key: encrypted_kms_key, store: dir:files}}"})), env)
	if err != nil {
		t.Fatal(err)
	}
	if f.Database.Path != filepath.Join("app", "users.sqlite3") || f.Tables[0].Stores["a"] != filepath.Join("app", "files") {
		t.Errorf("%v, %v", f.Database, f.Tables[0].Stores)
	}
}

// FuzzParse: whatever a file holds, reading it ends in an error or in a table that can be checked, and shows no secret.
func FuzzParse(f *testing.F) {
	if seeds, err := filepath.Glob("testdata/fuzz/FuzzParse/*"); err != nil || len(seeds) < 8 {
		f.Fatalf("the committed seeds are missing: %d (%v)", len(seeds), err)
	}
	short, whole := documented(f)
	f.Add(string(short))
	f.Add(string(whole))
	f.Fuzz(func(t *testing.T, content string) {
		file, err := config.Parse("rowseal.yaml", []byte(content), env)
		if err != nil {
			if strings.Contains(err.Error(), hidden) && !strings.Contains(content, hidden) {
				t.Errorf("the error shows a secret: %v", err)
			}
			return
		}
		for _, table := range file.Tables {
			_ = table.Check(opener(t, nil))
			table.Notes()
		}
	})
}
