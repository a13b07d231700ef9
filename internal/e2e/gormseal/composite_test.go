package gormseal_test

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

// Seat has a primary key of two columns, each of which other rows have too.
type Seat struct {
	Hall            string `gorm:"primaryKey;size:20"`
	Number          int64  `gorm:"primaryKey;autoIncrement:false"`
	Row             string `gorm:"size:20"`
	EncryptedKMSKey rowseal.DataKey
	Guest           rowseal.Sealed[string]
	Phone           rowseal.Sealed[string]
}

// seatOptions are encryption contexts of both columns of the primary key, and of one.
var seatOptions = map[string]*rowseal.Options{
	"both": {PrimaryKey: "number", Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: map[string]string{"hall": "{hall}", "seat": "{number}"}}},
	}},
	"one":                       {PrimaryKey: "number"},
	"one, and BindRow":          {PrimaryKey: "number", Binding: rowseal.BindRow},
	"the other one":             {PrimaryKey: "hall"},
	"the other one and BindRow": {PrimaryKey: "hall", Binding: rowseal.BindRow},
}

type seats struct {
	*gorm.DB
	t     *testing.T
	kms   *kmstest.Fake
	model *rowseal.Model[Seat]
}

func eachSeats(t *testing.T, test func(t *testing.T, s *seats)) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for name, opts := range seatOptions {
			t.Run(name, func(t *testing.T) {
				s := &seats{t: t, kms: &kmstest.Fake{BatchSize: 100}}
				ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(s.kms, nil)})
				must(t, err)
				s.model, err = rowseal.NewModel[Seat]("seats", ring, opts)
				must(t, err)
				s.DB = gormtest.Open(t, d, nil)
				must(t, s.Use(gormseal.New(s.model)))
				must(t, s.AutoMigrate(&Seat{}))
				must(t, s.Create([]*Seat{newSeat("A", 1), newSeat("A", 2), newSeat("B", 1)}).Error)
				if n := s.kms.Requests(kms.OpEncrypt); n != 1 {
					t.Errorf("Create: %d requests", n)
				}
				test(t, s)
			})
		}
	})
}

func newSeat(hall string, number int64) *Seat {
	return &Seat{Hall: hall, Number: number, Guest: set(fmt.Sprint("guest of ", hall, number)), Phone: set(fmt.Sprint("phone of ", hall, number))}
}

// wantGuests wants the three seats to have these guests: A1, A2, B1.
func (s *seats) wantGuests(what string, want ...string) {
	s.t.Helper()
	var all []Seat
	must(s.t, s.Order("hall, number").Find(&all).Error)
	must(s.t, gormseal.Open(s.t.Context(), &all))
	if len(all) != len(want) {
		s.t.Fatalf("%s: %d rows, want %d", what, len(all), len(want))
	}
	for i, seat := range all {
		if got := get(s.t, seat.Guest); got != want[i] {
			s.t.Errorf("%s: %s%d has %q, want %q", what, seat.Hall, seat.Number, got, want[i])
		}
	}
}

func (s *seats) find(hall string, number int64) *Seat {
	s.t.Helper()
	found := &Seat{}
	must(s.t, s.Where("hall = ? AND number = ?", hall, number).Take(found).Error)
	return found
}

func (s *seats) opened(hall string, number int64) *Seat {
	s.t.Helper()
	found := s.find(hall, number)
	must(s.t, gormseal.Open(s.t.Context(), found))
	return found
}

func TestARowIsNamedByItsWholePrimaryKey(t *testing.T) {
	eachSeats(t, func(t *testing.T, s *seats) {
		s.wantGuests("created", "guest of A1", "guest of A2", "guest of B1")
		one, other := s.find("A", 1), s.find("B", 1)
		one.Guest.Set("ada")
		must(t, s.Save(one).Error)
		other.Guest.Set("bob")
		must(t, s.Updates(other).Error)
		s.wantGuests("written", "ada", "guest of A2", "bob")

		var all []Seat
		must(t, s.Order("hall, number").Find(&all).Error)
		for i := range all {
			all[i].Guest.Set(string(rune('x' + i)))
		}
		must(t, s.Save(&all).Error)
		s.wantGuests("a slice", "x", "y", "z")

		for number, part := range map[string]*Seat{"hall": {Hall: "A"}, "number": {Number: 1}} {
			part.Guest.Set("of many")
			wantErr(t, "only the "+number, s.Updates(part).Error, kms.ErrInvalidRequest)
		}
		part := s.find("A", 1)
		part.Number = 0
		part.Guest.Set("of many")
		wantErr(t, "a loaded row with half of its key", s.Updates(part).Error, kms.ErrInvalidRequest)
		s.wantGuests("refused", "x", "y", "z")

		must(t, s.Model(&Seat{}).Where("number = ?", 1).Update("row", "front").Error) // which is not sealed
		must(t, s.Delete(s.find("A", 2)).Error)
		s.wantGuests("deleted", "x", "z")
	})
}

func TestAWriterThatLostARowOfTwoColumns(t *testing.T) {
	eachSeats(t, func(t *testing.T, s *seats) {
		pool, err := s.DB.DB()
		must(t, err)
		table := sqlseal.New(s.model, &sqlseal.Options{PrimaryKey: []string{"hall", "number"}})
		for name, rotate := range map[string]func(*Seat) error{
			"rekey":  func(seat *Seat) error { return s.model.Rekey(t.Context(), seat) },
			"rewrap": func(seat *Seat) error { return s.model.Rewrap(t.Context(), seat) },
		} {
			mine, theirs := s.opened("A", 1), s.find("A", 1)
			must(t, rotate(theirs))
			must(t, table.Update(t.Context(), sqlseal.SQL(sqlseal.Dialect(s.Name()), pool), theirs))
			mine.Guest.Set("mine after a " + name)
			must(t, s.Save(mine).Error)
			s.wantGuests(name, "mine after a "+name, "guest of A2", "guest of B1")
			if got := get(t, s.opened("A", 1).Phone); got != "phone of A1" {
				t.Errorf("after a %s the phone is %q", name, got)
			}
		}
		gone := s.find("A", 1)
		must(t, s.Where("hall = ? AND number = ?", "A", 1).Delete(&Seat{}).Error)
		gone.Guest.Set("x")
		wantErr(t, "a row that is gone", s.Save(gone).Error, sql.ErrNoRows)
		s.wantGuests("gone", "guest of A2", "guest of B1")
	})
}

// A row that is to move is another row: its data key is wrapped for the one that it was.
func TestAPartOfThePrimaryKeyThatIsChanged(t *testing.T) {
	eachSeats(t, func(t *testing.T, s *seats) {
		for column, move := range map[string]func(*Seat){"hall": func(seat *Seat) { seat.Hall = "B" }, "number": func(seat *Seat) { seat.Number = 2 }} {
			if !slices.Contains(s.model.Rows().ContextColumns(), column) {
				continue
			}
			for _, write := range []func(any) *gorm.DB{s.Save, func(row any) *gorm.DB { return s.Updates(row) }, s.DB.Create} {
				moved := s.opened("A", 1)
				move(moved)
				moved.Guest.Set("moved")
				if write(moved).Error == nil {
					t.Errorf("%s%d is written from A1", moved.Hall, moved.Number)
				}
			}
		}
		s.wantGuests("not moved", "guest of A1", "guest of A2", "guest of B1")
	})
}

// Where the encryption context does not tell two rows apart, a struct that gets the other's primary key writes what was set, as with
// GORM alone, and under the other's data key.
func TestARowThatGetsThePrimaryKeyOfAnotherInTheSameContext(t *testing.T) {
	eachSeats(t, func(t *testing.T, s *seats) {
		context := s.model.Rows().ContextColumns()
		if len(context) > 1 {
			return // a context of both tells them apart
		}
		want := []string{"guest of A1", "guest of A2", "moved"}
		hall, number, move := "B", int64(1), func(seat *Seat) { seat.Hall = "B" }
		if context[0] == "hall" {
			want = []string{"guest of A1", "moved", "guest of B1"}
			hall, number, move = "A", 2, func(seat *Seat) { seat.Number = 2 }
		}
		before := s.find(hall, number).EncryptedKMSKey.Wrapped()
		moved := s.opened("A", 1)
		move(moved)
		moved.Guest.Set("moved")
		must(t, s.Updates(moved).Error)
		s.wantGuests("moved", want...)
		other := s.opened(hall, number)
		if got := get(t, other.Phone); got != fmt.Sprint("phone of ", hall, number) || other.EncryptedKMSKey.Wrapped() != before {
			t.Errorf("the other row's phone is %q, and its key is another: %t", got, other.EncryptedKMSKey.Wrapped() != before)
		}
	})
}

func TestAnUpsertByAPrimaryKeyOfTwoColumns(t *testing.T) {
	eachSeats(t, func(t *testing.T, s *seats) {
		seat := newSeat("A", 1)
		seat.Guest.Set("upserted")
		must(t, s.Clauses(clause.OnConflict{UpdateAll: true}).Create(seat).Error)
		s.wantGuests("upserted", "upserted", "guest of A2", "guest of B1")
		must(t, s.Clauses(clause.OnConflict{UpdateAll: true}).Create(newSeat("B", 2)).Error)
		s.wantGuests("inserted", "upserted", "guest of A2", "guest of B1", "guest of B2")
		seat = newSeat("A", 2)
		seat.Guest.Set("saved")
		if s.Save(seat).Error == nil {
			t.Error("Save of a row that was never loaded has overwritten one")
		}
		s.wantGuests("not saved", "upserted", "guest of A2", "guest of B1", "guest of B2")
	})
}
