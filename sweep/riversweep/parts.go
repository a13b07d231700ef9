package riversweep

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rowseal/rowseal/sweep"
)

// saved is what package sweep keeps of a part in rowseal_sweeps.
type saved struct {
	part, parts int
	state       string // as of a sweep.State; "": to be begun
	settings    string
	counts      sweep.Counts
	owner       string
	alive       bool // the owner renews its lease
	updated     time.Time
	message     string
}

func (p *part) table() string { return p.Rows.Schema().Table }

// saved lists the parts of the same table and step, however it was divided, the last one first.
func (p *part) saved(ctx context.Context) (all []saved, err error) {
	exists := false
	err = p.DB.Query(ctx, `SELECT to_regclass('rowseal_sweeps') IS NOT NULL`, nil, func(scan func(...any) error) error { return scan(&exists) })
	if err != nil || !exists {
		return nil, err
	}
	const query = `SELECT part, parts, state, settings, counts, owner, lease_until >= extract(epoch FROM clock_timestamp()) * 1000, updated_at, error
		FROM rowseal_sweeps WHERE table_name = $1 AND step = $2 ORDER BY updated_at DESC`
	err = p.DB.Query(ctx, query, []any{p.table(), p.step.Name()}, func(scan func(...any) error) error {
		var v saved
		var counts string
		var updated int64
		if err := scan(&v.part, &v.parts, &v.state, &v.settings, &counts, &v.owner, &v.alive, &updated, &v.message); err != nil {
			return err
		}
		v.updated = time.UnixMilli(updated)
		err := json.Unmarshal([]byte(counts), &v.counts)
		all = append(all, v)
		return err
	})
	return all, err
}

// settings are those under which package sweep keeps what the part has done: with others it begins anew.
func (p *part) settings(ctx context.Context) (string, error) {
	plan, err := p.step.Plan(ctx, sweep.Table{DB: p.DB, Rows: p.Rows})
	return fmt.Sprintf("%s where=%s", plan.Settings, p.Options.Where), err
}

// done tells which parts of the sweep are done, under the settings that package sweep would keep them with now.
func (p *part) done(ctx context.Context) (done map[int]bool, settings string, err error) {
	if settings, err = p.settings(ctx); err != nil {
		return nil, "", err
	}
	all, err := p.saved(ctx)
	done = map[int]bool{}
	for _, v := range all {
		if v.parts == p.Parts && v.settings == settings && v.state == string(sweep.Done) {
			done[v.part] = true
		}
	}
	return done, settings, err
}

// forget makes parts that are done to be done anew, but for those with these settings; "": all.
func (p *part) forget(ctx context.Context, settings string) error {
	_, err := p.DB.Exec(ctx, `UPDATE rowseal_sweeps SET state = '', position = '', counts = '{}', error = ''
		WHERE table_name = $1 AND step = $2 AND parts = $3 AND state = $4 AND settings <> $5`,
		p.table(), p.step.Name(), p.Parts, string(sweep.Done), settings)
	return err
}
