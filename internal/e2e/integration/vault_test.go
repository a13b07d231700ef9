package integration_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/integration"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

// A thousand rows whose ids the database makes take a real Vault six requests: five, and the question which key it is.
// PostgreSQL is asked for the ids first, and SQLite has the rows before their data keys are wrapped.
func TestAThousandRowsTakeVaultSixRequests(t *testing.T) {
	const rows, requests = 1000, 6
	s := vaulttest.Start(t)
	s.Key(t, "keyed", true)
	log := s.Audit(t)
	count := func() (n int) {
		for _, operation := range []string{"encrypt", "decrypt", "rewrap", "keys"} {
			n += len(log.Requests(t, "transit/"+operation+"/keyed"))
		}
		return n
	}
	connect := func(t *testing.T, in integration.Integration, d dbtest.Database, dsn string) integration.Session {
		service, err := vaultkms.New("keyed", &vaultkms.Options{Client: s.Root}) // a process that knows nothing yet
		must(t, err)
		key := kms.NewKey(service, nil)
		t.Cleanup(func() { key.Close() })
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
		must(t, err)
		m, err := rowseal.NewModel[integration.Keyed[int64]]("keyed", ring, &rowseal.Options{Model: "Keyed"})
		must(t, err)
		return in.Connect(t, d, dsn, io.Discard, integration.Table{Model: m})
	}
	for _, in := range []integration.Integration{databaseSQL, overPgx, overGORM} {
		for _, d := range in.Databases {
			id, ok := map[string]string{dbtest.PostgreSQL.Name: "bigserial", dbtest.MariaDB.Name: "bigint AUTO_INCREMENT", dbtest.SQLite.Name: "integer"}[d.Name]
			if !ok {
				continue
			}
			t.Run(in.Name+" "+d.Name, func(t *testing.T) {
				dsn := d.New(t)
				mustExec(t, openSQL(t, d, dsn), "CREATE TABLE keyed (id "+id+" PRIMARY KEY, encrypted_kms_key text, value_ciphertext text)")
				ctx := kms.WithBudget(t.Context(), requests)
				all := make([]any, rows)
				for i := range all {
					row := &integration.Keyed[int64]{}
					row.Value.Set(fmt.Sprint("value ", i))
					all[i] = row
				}
				before := count()
				must(t, connect(t, in, d, dsn).Create(ctx, all...))
				if n := count() - before; n != requests {
					t.Errorf("%d rows were created with %d requests, want %d", rows, n, requests)
				}

				before = count()
				reader := connect(t, in, d, dsn)
				var found []*integration.Keyed[int64]
				must(t, reader.FindAll(ctx, &found))
				if n := count() - before; n != 0 || len(found) != rows {
					t.Errorf("%d rows were found with %d requests", len(found), n)
				}
				for i, row := range found {
					all[i] = row
				}
				must(t, reader.Open(kms.WithBudget(t.Context(), requests), all...))
				if n := count() - before; n != requests {
					t.Errorf("%d rows were opened with %d requests, want %d", rows, n, requests)
				}
				for i, row := range found {
					if got, err := row.Value.Get(); err != nil || got != fmt.Sprint("value ", i) {
						t.Fatalf("row %d is %q, %v", row.ID, got, err)
					}
				}
			})
		}
	}
}
