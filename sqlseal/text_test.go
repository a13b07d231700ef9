package sqlseal

import (
	"testing"

	"github.com/rowseal/rowseal"
)

func TestTextsThatADatabaseGivesBackAsOthersAreKnown(t *testing.T) {
	text := func(typ string, size int) rowseal.TableColumn {
		return rowseal.TableColumn{Type: typ, Kind: rowseal.TextColumn, Size: size}
	}
	char := text("character(3)", 3)
	char.Fixed = true
	number, uuid := rowseal.TableColumn{Type: "bigint"}, rowseal.TableColumn{Type: "uuid"}
	for _, c := range []struct {
		dialect Dialect
		column  rowseal.TableColumn
		text    string
		kept    bool
	}{
		{PostgreSQL, text("text", 0), "A b ", true},
		{PostgreSQL, text("character varying(3)", 3), "äöü", true},
		{MySQL, text("varchar(3)", 3), "abcd", false}, // cut, where sql_mode is not strict
		{MySQL, text("varchar(3)", 3), "ab ", true},
		{MySQL, text("char(3)", 3), "ab ", false},
		{MySQL, text("char(3)", 3), "ab", true},
		{PostgreSQL, char, "ab", false},
		{PostgreSQL, char, "abc", true},
		{PostgreSQL, number, "7", true},
		{PostgreSQL, number, "-7", true},
		{MySQL, number, "18446744073709551615", true},
		{PostgreSQL, number, "007", false},
		{PostgreSQL, number, "+7", false},
		{PostgreSQL, number, "7.0", false},
		{PostgreSQL, uuid, "0192f0c1-7a3b-7c4d-8e5f-0123456789ab", true},
		{PostgreSQL, uuid, "0192F0C1-7a3b-7c4d-8e5f-0123456789ab", false},
		{PostgreSQL, uuid, "0192f0c17a3b7c4d8e5f0123456789ab", false},
		{PostgreSQL, uuid, "{0192f0c1-7a3b-7c4d-8e5f-0123456789ab}", false},
		{SQLite, rowseal.TableColumn{Kind: rowseal.AnyColumn}, "007", true},
		{SQLite, rowseal.TableColumn{Kind: rowseal.BytesColumn}, "007", true},
		{PostgreSQL, rowseal.TableColumn{Kind: rowseal.BytesColumn}, "007", false},
	} {
		if got := keeps(c.dialect, c.column, c.text); got != c.kept {
			t.Errorf("%s %s of %s: kept %t, want %t", c.dialect, c.text, c.column.Type, got, c.kept)
		}
	}
}

func TestOnlyTextsAreLookedAt(t *testing.T) {
	name := "x"
	for _, c := range []struct {
		value  any
		text   string
		isText bool
	}{
		{"x", "x", true},
		{&name, "x", true},
		{(*string)(nil), "", false},
		{int64(7), "", false},
		{[16]byte{}, "", false},
		{nil, "", false},
	} {
		if text, isText := textOf(c.value); text != c.text || isText != c.isText {
			t.Errorf("%T: %q, %t", c.value, text, isText)
		}
	}
}
