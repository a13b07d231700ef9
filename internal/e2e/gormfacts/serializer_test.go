package gormfacts

import (
	"context"
	"reflect"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// reverse is a serializer, as those that encrypt: it turns text round.
type reverse struct{}

type serialized struct {
	id    int64
	name  string
	scans bool
}

type serializedKey struct{}

func (reverse) turn(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

func (r reverse) Scan(ctx context.Context, field *schema.Field, dst reflect.Value, value any) error {
	note(ctx, dst, true)
	s, _ := value.(string)
	return field.Set(ctx, dst, r.turn(s))
}

func (r reverse) Value(ctx context.Context, _ *schema.Field, dst reflect.Value, value any) (any, error) {
	note(ctx, dst, false)
	return r.turn(value.(string)), nil
}

func note(ctx context.Context, dst reflect.Value, scans bool) {
	all, ok := ctx.Value(serializedKey{}).(*[]serialized)
	if !ok {
		return
	}
	coded, ok := reflect.Indirect(dst).Interface().(Coded)
	if ok {
		*all = append(*all, serialized{coded.ID, coded.Name, scans})
	}
}

func TestASerializerIsPassedByWithoutAnError(t *testing.T) {
	for name, write := range map[string]func(*gorm.DB) *gorm.DB{
		"Update": func(db *gorm.DB) *gorm.DB { return db.Model(&Coded{ID: 1}).Update("email", "abc") },
		"Updates(map)": func(db *gorm.DB) *gorm.DB {
			return db.Model(&Coded{ID: 1}).Updates(map[string]any{"email": "abc"})
		},
		"UpdateColumn": func(db *gorm.DB) *gorm.DB { return db.Model(&Coded{ID: 1}).UpdateColumn("email", "abc") },
		"Create(map)": func(db *gorm.DB) *gorm.DB {
			must(t, db.Delete(&Coded{ID: 1}).Error)
			return db.Model(&Coded{}).Create(map[string]any{"email": "abc"})
		},
		"OnConflict assignments": func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}},
				DoUpdates: clause.Assignments(map[string]any{"email": "abc"})}).Create(&Coded{ID: 1, Email: "xyz"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, nil, &Coded{})
			must(t, db.Create(&Coded{ID: 1, Email: "xyz"}).Error)
			equal(t, "by Create", emails(t, db, "codeds"), []string{"zyx"})
			must(t, write(db).Error)
			equal(t, "plaintext", emails(t, db, "codeds"), []string{"abc"})
		})
	}
}

func TestASerializerIsNotToldTheRow(t *testing.T) {
	for name, test := range map[string]struct {
		write func(*gorm.DB) *gorm.DB
		want  serialized
	}{
		"a create with an auto-increment id": {func(db *gorm.DB) *gorm.DB {
			return db.Create(&Coded{Email: "a", Name: "n"})
		}, serialized{0, "n", false}},
		"Updates(struct) of a Model with an id": {func(db *gorm.DB) *gorm.DB {
			return db.Model(&Coded{ID: 1}).Updates(Coded{Email: "a"})
		}, serialized{0, "", false}},
		"Scan of a query: later columns": {func(db *gorm.DB) *gorm.DB {
			return db.Take(&Coded{}, 1)
		}, serialized{1, "", true}},
		"Scan of a query of the column alone": {func(db *gorm.DB) *gorm.DB {
			return db.Select("email").Take(&Coded{})
		}, serialized{0, "", true}},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, nil, &Coded{})
			must(t, db.Create(&Coded{ID: 1, Email: "xyz", Name: "n"}).Error)
			var seen []serialized
			must(t, test.write(db.WithContext(context.WithValue(t.Context(), serializedKey{}, &seen))).Error)
			equal(t, "dst", seen, []serialized{test.want})
		})
	}
}

func TestTheLoggerAtInfoCallsASerializerAgain(t *testing.T) {
	for level, want := range map[logger.LogLevel]int{logger.Info: 2, logger.Warn: 1} {
		db := open(t, nil, &Coded{})
		var seen []serialized
		db = db.WithContext(context.WithValue(t.Context(), serializedKey{}, &seen))
		db.Logger = logger.New(discard{}, logger.Config{LogLevel: level})
		must(t, db.Create(&Coded{ID: 1, Email: "xyz"}).Error)
		equal(t, "calls", len(seen), want)
	}
}

type discard struct{}

func (discard) Printf(string, ...any) {}
