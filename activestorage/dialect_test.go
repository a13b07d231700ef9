package activestorage

import (
	"testing"
	"time"
)

func TestEachDialectQuotesAndNumbersAsItsDatabaseDoes(t *testing.T) {
	const statement = `UPDATE t SET "key" = ?, checksum = ? WHERE id = ? AND "key" = ? AND COALESCE(metadata, '') = ?`
	for dialect, want := range map[Dialect]string{
		SQLite:     statement,
		MySQL:      "UPDATE t SET `key` = ?, checksum = ? WHERE id = ? AND `key` = ? AND COALESCE(metadata, '') = ?",
		PostgreSQL: `UPDATE t SET "key" = $1, checksum = $2 WHERE id = $3 AND "key" = $4 AND COALESCE(metadata, '') = $5`,
	} {
		if got := dialect.sql(statement); got != want {
			t.Errorf("%s: %s\nwant %s", dialect, got, want)
		}
	}
	if got := PostgreSQL.sql(`SELECT 1`); got != `SELECT 1` {
		t.Errorf("without parameters: %s", got)
	}
}

func TestTimesAreWrittenAsRailsWritesThem(t *testing.T) {
	at := time.Date(2026, time.November, 23, 11, 34, 19, 958_000_000, time.UTC)
	for dialect, want := range map[Dialect]any{
		SQLite:     "2026-11-23 11:34:19.958000",
		MySQL:      "2026-11-23 11:34:19.958000",
		PostgreSQL: at,
	} {
		if got := dialect.time(at); got != want {
			t.Errorf("%s: %v, want %v", dialect, got, want)
		}
	}
}

func TestTimesAreReadFromEveryDriversForm(t *testing.T) {
	want := time.Date(2026, time.November, 23, 11, 34, 19, 958_582_000, time.UTC)
	for _, src := range []any{
		"2026-11-23 11:34:19.958582",
		[]byte("2026-11-23 11:34:19.958582"),
		want,
		want.In(time.FixedZone("", 3600)),
	} {
		var got timestamp
		if err := got.Scan(src); err != nil || time.Time(got) != want {
			t.Errorf("%T %v: %v, %v", src, src, time.Time(got), err)
		}
	}
	var whole timestamp
	if err := whole.Scan("2026-11-23 11:34:19"); err != nil || time.Time(whole) != want.Truncate(time.Second) {
		t.Errorf("without a fraction: %v, %v", time.Time(whole), err)
	}
	for _, src := range []any{nil, int64(1), "yesterday", ""} {
		if err := new(timestamp).Scan(src); err == nil {
			t.Errorf("%v is taken for a time", src)
		}
	}
}
