package rowseal_test

import (
	"context"
	"database/sql/driver"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestLookupHonoursItsContext(t *testing.T) {
	p := newPair(t)
	for what, lookup := range map[string]func(context.Context, string, ...any) ([]driver.Value, error){
		"Model": p.model.Lookup, "Sealer": p.model.Sealer().Lookup, "Table": p.table.Lookup,
	} {
		found, err := lookup(cancelled(t), "email_bidx", "ada@example.org")
		wantErr(t, what, err, context.Canceled)
		if found != nil {
			t.Errorf("%s: %v came with the error", what, found)
		}
		if found, err = lookup(t.Context(), "email_bidx", "ada@example.org"); len(found) != 1 || err != nil {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
}

func TestLookupTellsTheErrorOfOnly(t *testing.T) {
	p := newPair(t)
	for what, lookup := range map[string]func(context.Context, string, ...any) ([]driver.Value, error){
		"Model": p.model.Only("fone").Lookup, "Sealer": p.model.Sealer().Only("fone").Lookup, "Table": p.table.Only("fone").Lookup,
	} {
		found, err := lookup(t.Context(), "email_bidx", "ada@example.org")
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `Only("fone")`)
		if found != nil {
			t.Errorf("%s: %v came with the error", what, found)
		}
	}
}

// inquiry is a row that a public form writes.
type inquiry struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index `rowseal:"of=Email,algorithm=hmac_sha256,normalize=lower"`
	Scan            rowseal.File
}

// It finds out whether there is a row already, writes one with a file, and replaces what it wrote, without the right to open.
func TestAServiceThatOnlySealsLooksUpWritesAndSettles(t *testing.T) {
	fake, files := &kmstest.Fake{BatchSize: 10}, &objects{}
	ring, opts := ringOf(t, fake), &rowseal.Options{Store: files, MasterKeys: masterKeys(t, rowseal.DefaultIndexKey)}
	fake.Deny(kms.OpDecrypt)
	sealer := newModel[inquiry](t, "inquiries", ring.EncryptOnly(), opts).Sealer()
	set := func(q *inquiry, email string) {
		q.Email.Set(email)
		setFile(&q.Scan, "scan of "+email, "scan.pdf")
		must(t, sealer.Seal(t.Context(), q))
	}
	q := &inquiry{ID: 1}
	set(q, "ada@example.org")
	must(t, sealer.Committed(t.Context(), q))
	row, first := save(t, q), q.Scan.Object()
	found, err := sealer.Lookup(t.Context(), "email_bidx", "ADA@example.org")
	if err != nil || len(found) != 1 || found[0] != row["EmailIndex"] {
		t.Errorf("%v, %v; the column holds %v", found, err, row["EmailIndex"])
	}

	q = load[inquiry](t, 1, row)
	sealer.Clear(q)
	set(q, "eve@example.org")
	must(t, sealer.Abandoned(t.Context(), q))
	wantObjects(t, "after Abandoned", files, first)

	q = load[inquiry](t, 1, row)
	sealer.Clear(q)
	set(q, "eve@example.org")
	save(t, q)
	must(t, sealer.Committed(t.Context(), q))
	wantObjects(t, "after Committed", files, first, q.Scan.Object()) // a Sealer cannot tell whose the first is, and leaves it
	replaced := q.Scan.Object()
	set(q, "eve@example.org") // under the key that is open since it was made
	row = save(t, q)
	must(t, sealer.Committed(t.Context(), q))
	if q.Scan.Object() == replaced {
		t.Error("the object stayed")
	}
	wantObjects(t, "after Committed of the Sealer's own", files, first, q.Scan.Object())
	wantRequests(t, "a Sealer", fake, 3, 0)

	fake.Allow(kms.OpDecrypt)
	q = load[inquiry](t, 1, row)
	must(t, newModel[inquiry](t, "inquiries", ring, opts).Open(t.Context(), q))
	wantContent(t, "the scan", q.Scan, "scan of eve@example.org")
}
