package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

// forecastTable is what a dry run tells of a table.
type forecastTable struct {
	DataKeys  int64         `json:"data_keys"`
	Estimated bool          `json:"estimated,omitempty"`
	AtMost    bool          `json:"at_most,omitempty"` // some may turn out to need nothing
	Keys      []forecastKey `json:"kms_keys,omitempty"`
	Seconds   float64       `json:"seconds"` // about
	Dollars   float64       `json:"usd"`     // at list price
	Known     bool          `json:"known"`   // false: the step cannot tell before it has seen the rows
	Journal   bool          `json:"-"`
}

type forecastKey struct {
	KeyID    string  `json:"key_id"`
	Requests int64   `json:"requests"`
	Dollars  float64 `json:"usd"`
}

// What a sweep reaches on an ordinary day, to tell about how long it takes.
const (
	usualRows       = 5_000 // rows a second that a database takes
	usualRequests   = 1_000 // requests a second to a KMS without batches, 16 at once
	usualRequestsOf = 100   // the same where requests carry many items
)

func (s *sweeping) forecast(cmd *cobra.Command, sw *sweep.Sweep, t *config.Table, j *job) error {
	f, err := sw.Forecast(cmd.Context(), true)
	if err != nil {
		return err
	}
	_, known := j.step.(sweep.Coster)
	table := &forecastTable{DataKeys: f.Keys, Estimated: f.Estimated, AtMost: f.AtMost, Known: known}
	seconds := float64(f.Rows) / usualRows
	for _, k := range f.Requests {
		table.Keys = append(table.Keys, forecastKey{k.KeyID, k.Requests, k.Cost})
		table.Dollars += k.Cost
		rate := float64(usualRequestsOf)
		if k.Requests == k.Items {
			rate = usualRequests
		}
		if s.rate > 0 {
			rate = s.rate
		}
		if k.Quota > 0 {
			rate = min(rate, k.Quota)
		}
		seconds = max(seconds, float64(k.Requests)/rate)
	}
	table.Seconds = seconds
	r := &swept{Table: t.Schema.Table, Step: j.step.Name(), Shard: s.shard, Rows: f.Rows, Forecast: table}
	s.ledger = append(s.ledger, r)
	if !s.asJSON {
		table.print(cmd.OutOrStdout(), r)
	}
	return nil
}

func (f *forecastTable) print(w io.Writer, r *swept) {
	about := orNothing(f.Estimated, "about ")
	most := orNothing(f.AtMost, "at most ")
	fmt.Fprintf(w, "%s: %s would visit %s%s", r.Table, r.Step, about, rowCount(r.Rows))
	if !f.Known {
		fmt.Fprintln(w, "; how many of them need the KMS shows only when they are read")
		return
	}
	fmt.Fprintf(w, " with %s%s%s to do, %s %s\n", most, about, countOf(f.DataKeys, "data key"), orElse(strings.TrimSpace(most), "about"), duration(time.Duration(f.Seconds*float64(time.Second))))
	if f.AtMost {
		fmt.Fprintln(w, "  which of them need nothing shows only when they are read, or when the KMS has answered")
	}
	for _, k := range f.Keys {
		cost := ""
		if k.Dollars > 0 {
			cost = fmt.Sprintf(", about $%.2f", k.Dollars)
		}
		fmt.Fprintf(w, "  %s: %s%s%s%s\n", k.KeyID, most, about, countOf(k.Requests, "request"), cost)
	}
}
