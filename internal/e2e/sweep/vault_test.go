package sweep_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// guest is a row with one data key.
type guest struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// hotel is a table of guests, whose data keys a Vault has wrapped.
type hotel struct {
	testing.TB
	server *vaulttest.Server
	sql    *sql.DB
	db     *sqlseal.DB
	key    *kms.Key
	guests *rowseal.Model[guest]
}

func newHotel(tb testing.TB, d dbtest.Database, server *vaulttest.Server, opts *kms.KeyOptions, guests int) *hotel {
	tb.Helper()
	h := &hotel{TB: tb, server: server, sql: d.Open(tb)}
	h.db = sqlseal.SQL(dialects[d.Driver], h.sql)
	server.Key(tb, "guests", true)
	service, err := vaultkms.New("guests", &vaultkms.Options{Client: server.Root})
	h.must(err)
	h.key = kms.NewKey(service, opts)
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: h.key})
	h.must(err)
	h.guests, err = rowseal.NewModel[guest]("guests", ring, nil)
	h.must(err)
	_, err = h.sql.ExecContext(tb.Context(), `CREATE TABLE guests (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT)`)
	h.must(err)
	all := make([]*guest, guests)
	for i := range all {
		all[i] = &guest{ID: int64(i + 1)}
		all[i].Email.Set(email(i + 1))
	}
	h.must(sqlseal.New(h.guests, nil).Insert(tb.Context(), h.db, all...))
	return h
}

func (h *hotel) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// wrapped are the wrapped keys, by id.
func (h *hotel) wrapped(ctx context.Context) map[int64]string {
	h.Helper()
	rows, err := h.sql.QueryContext(ctx, `SELECT id, encrypted_kms_key FROM guests`)
	h.must(err)
	defer rows.Close()
	all := map[int64]string{}
	for rows.Next() {
		var id int64
		var key rowseal.DataKey
		h.must(rows.Scan(&id, &key))
		all[id] = key.Wrapped()
	}
	h.must(rows.Err())
	return all
}

func TestARewrapOfTenThousandRowsCostsVaultFewRequests(t *testing.T) {
	const rows = 10_000
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		h := newHotel(t, dbtest.PostgreSQL, s, nil, rows)
		s.Rotate(t, "guests")
		before := h.wrapped(t.Context())
		status, err := sweep.Rewrap(t.Context(), h.db, h.guests, nil)
		h.must(err)
		t.Logf("%d requests, %d of %d rows changed, %v", status.Requests, status.Changed, status.Rows, time.Since(status.Started))
		if status.Changed != rows || status.Requests > rows/200 {
			t.Errorf("%+v", status)
		}
		for id, now := range h.wrapped(t.Context()) {
			if now == before[id] {
				t.Fatalf("row %d has the key that it had", id)
			}
		}
		again, err := sweep.Rewrap(t.Context(), h.db, h.guests, nil)
		h.must(err)
		if again.Requests > 1 { // one row shows what the newest version is
			t.Errorf("again: %+v", again)
		}
	})
}

// TestASweepSlowsDownToWhatVaultTakes: a Vault whose quota is far below what a sweep could ask for refuses some requests, and no row is lost.
func TestASweepSlowsDownToWhatVaultTakes(t *testing.T) {
	const rows, limit = 1_000, 25
	h := newHotel(t, dbtest.SQLite, vaulttest.Start(t), &kms.KeyOptions{BatchSize: 5}, rows)
	h.server.Rotate(t, "guests")
	h.server.RateLimit(t, "transit/rewrap/guests", limit)
	pace := &sweep.Pace{}
	status, err := sweep.Rewrap(t.Context(), h.db, h.guests, &sweep.Options{Page: 50, Pacer: pace})
	h.must(err)
	took := time.Since(status.Started).Seconds()
	t.Logf("%d requests, %d of them refused, in %.1f s: %.1f a second were answered, of %d; the pace is %.1f", status.Requests, status.Throttled, took,
		float64(status.Requests-status.Throttled)/took, limit, pace.Limit())
	if status.Changed != rows || status.Quarantined != 0 {
		t.Errorf("%+v", status)
	}
	if status.Throttled == 0 || status.Throttled > status.Requests/4 {
		t.Errorf("%d of %d requests were refused", status.Throttled, status.Requests)
	}
	if now := pace.Limit(); now < limit/2 || now > 2*limit {
		t.Errorf("the pace is %.1f requests a second, and the server takes %d", now, limit)
	}
}

// BenchmarkRewrapOnVault compares a sweep with the least that any program does: bare batches to Vault, and bare UPDATEs, with the same
// number of connections.
func BenchmarkRewrapOnVault(b *testing.B) {
	const rows = 10_000
	h := newHotel(b, dbtest.PostgreSQL, vaulttest.Start(b), nil, rows)
	var swept, bare time.Duration
	for b.Loop() {
		h.server.Rotate(b, "guests")
		start := time.Now()
		status, err := sweep.Rewrap(b.Context(), h.db, h.guests, nil)
		h.must(err)
		if swept += time.Since(start); status.Changed != rows {
			b.Fatalf("%+v", status)
		}
		h.server.Rotate(b, "guests")
		start = time.Now()
		h.bareRewrap(b.Context())
		bare += time.Since(start)
	}
	b.ReportMetric(float64(rows*b.N)/swept.Seconds(), "rows/s")
	b.ReportMetric(float64(rows*b.N)/bare.Seconds(), "bare-rows/s")
	b.ReportMetric(bare.Seconds()/swept.Seconds(), "of-bare")
}

const bareBatch, bareConnections = 240, 4

func (h *hotel) bareRewrap(ctx context.Context) {
	type row struct {
		id      int64
		wrapped []byte
	}
	var all []row
	rows, err := h.sql.QueryContext(ctx, `SELECT id, convert_from(decode(substr(encrypted_kms_key, 4), 'base64'), 'UTF8') FROM guests ORDER BY id`)
	h.must(err)
	for rows.Next() {
		var r row
		h.must(rows.Scan(&r.id, &r.wrapped))
		all = append(all, r)
	}
	h.must(rows.Err())
	rows.Close()
	var wg sync.WaitGroup
	free := make(chan struct{}, bareConnections)
	for start := 0; start < len(all); start += bareBatch {
		batch := all[start:min(start+bareBatch, len(all))]
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			input := make([]map[string]any, len(batch))
			for i, r := range batch {
				ec, err := kms.Context{"model_id": fmt.Sprint(r.id), "model_name": "guest"}.Canonical()
				h.must(err)
				input[i] = map[string]any{"ciphertext": string(r.wrapped), "context": base64.StdEncoding.EncodeToString(ec)}
			}
			answer, err := h.server.Root.Logical().WriteWithContext(ctx, "transit/rewrap/guests", map[string]any{"batch_input": input})
			h.must(err)
			tx, err := h.sql.BeginTx(ctx, nil)
			h.must(err)
			for i, result := range answer.Data["batch_results"].([]any) {
				ciphertext := result.(map[string]any)["ciphertext"].(string)
				_, err := tx.ExecContext(ctx, `UPDATE guests SET encrypted_kms_key = $1 WHERE id = $2`, "v1:"+base64.StdEncoding.EncodeToString([]byte(ciphertext)), batch[i].id)
				h.must(err)
			}
			h.must(tx.Commit())
		})
	}
	wg.Wait()
}
