package activestorage

import (
	"database/sql/driver"
	"testing"
)

func TestTheKeyColumnIsReadAndItsRowLockedInEachDialect(t *testing.T) {
	place := keyPlace{table: "app.odd `\"users", primaryKey: "user?id", column: "kms\"key"}
	for dialect, want := range map[Dialect]string{
		SQLite:     "SELECT \"kms\"\"key\" FROM \"app\".\"odd `\"\"users\" WHERE \"user?id\" = ?",
		MySQL:      "SELECT `kms\"key` FROM `app`.`odd ``\"users` WHERE `user?id` = ? FOR UPDATE",
		PostgreSQL: "SELECT \"kms\"\"key\" FROM \"app\".\"odd `\"\"users\" WHERE \"user?id\" = $1 FOR UPDATE",
	} {
		if got := dialect.keyColumn(place); got != want {
			t.Errorf("%s: %s\nwant %s", dialect, got, want)
		}
	}
}

type valuer struct{}

func (valuer) Value() (driver.Value, error) { return "v", nil }

func TestAPrimaryKeyIsAskedForAsTheRowHasIt(t *testing.T) {
	for _, c := range []struct {
		dialect  Dialect
		id, want any
	}{
		{PostgreSQL, int64(7), "7"},
		{MySQL, uint32(7), "7"},
		{PostgreSQL, []byte("0f0e"), "0f0e"},
		{SQLite, "0f0e", "0f0e"},
		{SQLite, valuer{}, valuer{}},
	} {
		if got, err := c.dialect.id(c.id); got != c.want || err != nil {
			t.Errorf("%s: %T %v becomes %T %v, %v", c.dialect, c.id, c.id, got, got, err)
		}
	}
	if got, err := MySQL.id([]byte{0x0f}); err != nil || string(got.([]byte)) != "\x0f" {
		t.Errorf("a binary UUID becomes %v, %v", got, err)
	}
	if got, err := SQLite.id(7.5); err == nil {
		t.Errorf("7.5 becomes %v", got)
	}
}

func TestKeysAreComparedBytewiseAndNULLWithNULL(t *testing.T) {
	for _, c := range []struct {
		a, b driver.Value
		same bool
	}{
		{"v1:aB", []byte("v1:aB"), true},
		{"v1:aB", "v1:AB", false},
		{"v1:aB", "v1:aB ", false},
		{"", []byte{}, true},
		{nil, nil, true},
		{nil, "", false},
		{[]byte{}, nil, false},
	} {
		if sameText(c.a, c.b) != c.same || sameText(c.b, c.a) != c.same {
			t.Errorf("%q and %q are taken for the same: %v", c.a, c.b, !c.same)
		}
	}
}
