package integration

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strings"
)

// contextCases are about encryption contexts, which must be the same from a struct and from what SQL says, for every type of
// id: otherwise a row that was written through one could not be opened through the other.
var contextCases = []testCase{
	{"an id is the same from a struct and from SQL", func(w *world) { eachPlace(w, typesOfIDs, testSameContext) }},
	{"an id that the database stores as another text", func(w *world) { eachPlace(w, changedIDs, testChangedID) }},
}

// Number is an integer of the application's own.
type Number int32

// Code is text of the application's own.
type Code string

// UUID is one as many packages have it.
type UUID [16]byte

// Value implements driver.Valuer.
func (u UUID) Value() (driver.Value, error) {
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), nil
}

// Scan implements sql.Scanner.
func (u *UUID) Scan(src any) error {
	var text string
	switch src := src.(type) {
	case string:
		text = src
	case []byte:
		text = string(src)
	default:
		return fmt.Errorf("%T is no UUID", src)
	}
	_, err := hex.Decode(u[:], []byte(strings.ReplaceAll(text, "-", "")))
	return err
}

var (
	int32s   = idsOf(func(n int) int32 { return int32(100 + n) })
	uints    = idsOf(func(n int) uint { return uint(100 + n) })
	negative = idsOf(func(n int) int64 { return int64(-1 - n) })
	large    = idsOf(func(n int) int64 { return int64(1)<<62 + int64(n) })
	pointers = idsOf(func(n int) *int64 { return new(int64(100 + n)) })
	named    = idsOf(func(n int) Number { return Number(100 + n) })
	texts    = idsOf(func(n int) string { return fmt.Sprint("ÄaB-", n, " é'\"") })
	codes    = idsOf(func(n int) Code { return Code(fmt.Sprint("Code ", n)) })
	arrays   = idsOf(func(n int) UUID { return UUID{0xAB, 0xCD, 15: byte(n)} })
	capitals = idsOf(func(n int) string { return fmt.Sprintf("0192F0C1-2B3D-7E4F-8A5B-%012d", n) })

	zeros  = idsOf(func(n int) string { return fmt.Sprint("00", n) })
	spaces = idsOf(func(n int) string { return fmt.Sprint("Code ", n, "  ") })

	typesOfIDs = map[string][]idColumn{
		postgreSQL: {
			{"int32 integer", "integer", int32s}, {"int64 bigint", "bigint", numbers}, {"negative bigint", "bigint", negative}, {"large bigint", "bigint", large},
			{"uint bigint", "bigint", uints}, {"pointer bigint", "bigint", pointers}, {"named integer", "integer", named},
			{"text varchar", "varchar(50)", texts}, {"text text", "text", texts}, {"named text", "text", codes},
			{"array uuid", "uuid", arrays}, {"text uuid", "uuid", uuids}, {"array text", "text", arrays}, {"text citext", "citext", texts},
		},
		mariaDB: {
			{"int32 integer", "integer", int32s}, {"int64 bigint", "bigint", numbers}, {"negative bigint", "bigint", negative}, {"large bigint", "bigint", large},
			{"uint unsigned", "bigint unsigned", uints}, {"pointer bigint", "bigint", pointers}, {"named integer", "integer", named},
			{"text char", "char(50)", texts}, {"text varchar", "varchar(50)", texts}, {"named text", "varchar(50)", codes},
			{"array uuid", "uuid", arrays}, {"text uuid", "uuid", uuids}, {"array char", "char(36)", arrays},
		},
		sqlite: {
			{"int32 integer", "integer", int32s}, {"int64 bigint", "bigint", numbers}, {"negative integer", "integer", negative}, {"large integer", "integer", large},
			{"uint integer", "integer", uints}, {"pointer integer", "integer", pointers}, {"named integer", "integer", named},
			{"text text", "text", texts}, {"text NOCASE", "text COLLATE NOCASE", texts}, {"named text", "text", codes},
			{"array text", "text", arrays}, {"text varchar", "varchar(36)", capitals},
		},
	}
)

// changedIDs are not what the database gives back.
var changedIDs = map[string][]idColumn{
	postgreSQL: {{"capitals uuid", "uuid", capitals}, {"padded", "char(50)", codes}},
	mariaDB:    {{"capitals uuid", "uuid", capitals}, {"zeros", "bigint", zeros}, {"trailing spaces", "char(50)", spaces}},
	sqlite:     {{"zeros", "bigint", zeros}},
}

// testChangedID wants a row that can be opened, or none.
func testChangedID(p *place) {
	p.create("NOT NULL")
	s := p.connect(Table{Model: p.model})
	err := s.Create(p.Context(), p.column.ids.row(1, valueOf(1)))
	p.ear.hear(err)
	if err != nil {
		p.holdsAll()
		return
	}
	p.holdsAll(1)
}

func testSameContext(p *place) {
	if strings.Contains(p.column.sql, "citext") {
		if _, err := p.look.Exec("CREATE EXTENSION IF NOT EXISTS citext"); err != nil {
			p.Skip("this PostgreSQL has no citext")
		}
	}
	p.create("NOT NULL")
	s := p.connect(Table{Model: p.model})
	row := p.column.ids.row(1, valueOf(1))
	p.must(s.Create(p.Context(), row))
	p.requests(1, 0)
	p.holdsAll(1)

	found, id := p.column.ids.empty(row)
	p.must(s.Find(p.Context(), found, id))
	p.must(s.Open(p.Context(), found))
	p.requests(0, 1)
	if got, err := p.column.ids.get(found); got != valueOf(1) || err != nil {
		p.Fatalf("the row that was loaded has %q, %v", got, err)
	}
	for i, row := range []any{row, found} {
		p.column.ids.set(row, valueOf(i+2))
		p.must(s.Update(p.Context(), row))
		p.requests(0, 0)
		p.holdsAll(i + 2)
	}
	p.must(s.Create(p.Context(), p.column.ids.row(2, valueOf(9)))) // the other row is another
	p.column.ids.set(found, valueOf(4))
	p.must(s.Update(p.Context(), found))
	p.holdsAll(4, 9)
}
