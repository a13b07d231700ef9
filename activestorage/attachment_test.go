package activestorage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/store/storetest"
)

type uuid [2]byte

func (uuid) String() string { return "0f0e" }

type userID int32

type slug string

func TestWhatIsNoIDIsRefusedBeforeTheDatabaseIsAsked(t *testing.T) {
	files, err := activestorage.New("local", &storetest.Memory{}, activestorage.SQLite, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []any{nil, 7.0, true, []byte("7"), [16]byte{}, time.Time{}} {
		_, err := files.Load(t.Context(), nil, "User", 1, id)
		if err == nil || !strings.HasPrefix(err.Error(), "activestorage: an id of type ") {
			t.Errorf("%T %v: %v", id, id, err)
		}
	}
}

func TestAttachmentsAreFoundByEveryFormOfAnID(t *testing.T) {
	found := activestorage.Attachments{
		{ID: "1", Name: "documents", RecordID: "7"},
		{ID: "2", Name: "documents", RecordID: "7"},
		{ID: "3", Name: "license", RecordID: "7"},
		{ID: "4", Name: "license", RecordID: "0f0e"},
	}
	for _, id := range []any{7, int64(7), uint8(7), userID(7), "7", slug("7")} {
		if of := found.Of(id, "documents"); len(of) != 2 || of[0].ID != "1" || of[1].ID != "2" {
			t.Errorf("documents of %T %v: %v", id, id, of)
		}
		if a, ok := found.One(id, "license"); !ok || a.ID != "3" {
			t.Errorf("license of %T %v: %v", id, id, a)
		}
	}
	if a, ok := found.One(uuid{}, "license"); !ok || a.ID != "4" {
		t.Errorf("license of a UUID: %v", a)
	}
	for _, id := range []any{8, "07", nil, 7.0, []byte("7"), time.Time{}} {
		if a, ok := found.One(id, "license"); ok || len(found.Of(id, "license")) != 0 {
			t.Errorf("license of %T %v: %v", id, id, a)
		}
	}
}
