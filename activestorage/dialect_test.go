package activestorage

import (
	"strings"
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

// The seeds are what drivers give, and what no database should.
func FuzzTimestamp(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		var fromText, fromBytes timestamp
		err, bytesErr := fromText.Scan(text), fromBytes.Scan([]byte(text))
		if (err == nil) != (bytesErr == nil) || fromText != fromBytes {
			t.Fatalf("%q: as text %v, %v; as bytes %v, %v", text, time.Time(fromText), err, time.Time(fromBytes), bytesErr)
		}
		at := time.Time(fromText)
		if err != nil {
			if !at.IsZero() {
				t.Errorf("%q is refused (%v), and read as %v", text, err, at)
			}
			return
		}
		if at.Location() != time.UTC {
			t.Errorf("%q is read in another zone: %v", text, at)
		}
		date, clock, _ := strings.Cut(at.Format(time.DateTime), " ")
		if !strings.HasPrefix(text, date+" ") || !strings.Contains(text, clock[len("00"):]) { // the hour may have one digit
			t.Errorf("%q is read as %v", text, at)
		}
		var again timestamp
		if err := again.Scan(SQLite.time(at)); err != nil || time.Time(again) != at.Truncate(time.Microsecond) {
			t.Errorf("%q, written again, is read as %v, %v", text, time.Time(again), err)
		}
	})
}
