package gormguide

import (
	"path/filepath"
	"testing"

	"github.com/libtnb/sqlite" // a GORM driver without cgo
	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func newTestDB(t *testing.T) (*gorm.DB, models, *kmstest.Fake) {
	fake := &kmstest.Fake{BatchSize: 100} // a KMS in memory, which counts its requests
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil)})
	must(t, err)
	indexKey, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	m, err := newModels(ring, indexKey)
	must(t, err)
	db, err := open(sqlite.Open(filepath.Join(t.TempDir(), "test.sqlite3")), m)
	must(t, err)
	must(t, migrate(db))
	return db, m, fake
}

func TestWhatIsFoundIsOpenedInOneBatch(t *testing.T) {
	db, _, fake := newTestDB(t)
	all := []*User{{Name: "Ada"}, {Name: "Charles"}, {Name: "Mary"}}
	for _, u := range all {
		u.Email.Set(u.Name + "@example.org")
	}
	must(t, db.Create(all).Error)

	fake.Reset()
	must(t, db.Find(&[]User{}).Error) // asks no KMS
	_, err := newest(t.Context(), db, 10)
	must(t, err)
	if n := fake.Requests(kms.OpDecrypt); n != 1 {
		t.Errorf("%d requests", n)
	}
}
