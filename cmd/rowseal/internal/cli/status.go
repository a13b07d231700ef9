package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

func newStatus() *cobra.Command {
	s := &sweeping{}
	var exact bool
	cmd := &cobra.Command{
		Use:   "status [TABLE…]",
		Short: "Tell by which keys the rows are wrapped, and what may be retired",
		Long: `Count the rows of each table by the version of rowseal.yaml that has wrapped their data keys, and tell which versions
no row needs any more. Then the sweeps that are under way or were stopped, and the rows in quarantine. No request is
made to a KMS, and nothing is opened.

It looks at every row's key column once; an index over it makes that quick. Of very large tables on PostgreSQL it
looks at a sample, and marks what it estimates with ≈; --exact counts all rows, which is needed before a version is
retired.`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.tables = args
			return s.status(cmd, exact)
		},
	}
	configFlag(cmd, &s.config)
	cmd.Flags().BoolVar(&exact, "exact", false, "count all rows, also of very large tables")
	cmd.Flags().BoolVar(&s.asJSON, "json", false, "print JSON")
	return cmd
}

// tableStatus is what is known of a table.
type tableStatus struct {
	Table     string         `json:"table"`
	Rows      int64          `json:"rows"`
	Estimated bool           `json:"estimated"`
	Keys      []versionCount `json:"keys"`
	Keyless   []keyless      `json:"rows_without_key"`
	Sweeps    []sweepLine    `json:"sweeps"`
	Bad       []failure      `json:"quarantine"`
}

// sweepLine is a sweep that is under way, or was stopped.
type sweepLine struct {
	Step    string    `json:"step"`
	Shard   string    `json:"shard,omitempty"`
	State   string    `json:"state"` // running, paused, stopped, failed, or died: its process shows no sign of life
	Rows    int64     `json:"rows"`
	Owner   string    `json:"owner"`
	Updated time.Time `json:"updated"`
	Error   string    `json:"error,omitempty"`
}

func (l sweepLine) String() string {
	name := l.Step
	if l.Shard != "" {
		name += " " + l.Shard
	}
	text := fmt.Sprintf("%s: %s after %s, by %s, %s ago", name, l.State, rowCount(l.Rows), l.Owner, duration(time.Since(l.Updated)))
	if l.State != string(sweep.Running) {
		text += "; the same command goes on from there"
	}
	if l.Error != "" {
		text += ": " + withoutPackages(l.Error)
	}
	return text
}

type keyless struct {
	Column string `json:"column"`
	Rows   int64  `json:"rows"`
}

// versionCount is how many rows have a version of a key column.
type versionCount struct {
	Column  string `json:"column"`
	Version int    `json:"version"` // 0: a form without a version
	KeyID   string `json:"key_id,omitempty"`
	Rows    int64  `json:"rows"`
	Journal int64  `json:"journal,omitempty"`
	Seals   bool   `json:"seals"`
	Unknown bool   `json:"not_in_file,omitempty"` // rows have it, and the file does not
	Retire  bool   `json:"may_be_retired,omitempty"`
}

// String is for the summary of a rotation.
func (l versionCount) String() string {
	return fmt.Sprintf("%s: %s under %s", l.Column, rowCount(l.Rows), l.name())
}

func (l versionCount) name() string {
	switch {
	case l.Version == 0:
		return "the form without a version"
	case l.Unknown:
		return fmt.Sprintf("version %d, which the file does not have", l.Version)
	}
	return fmt.Sprintf("version %d (%s)", l.Version, l.KeyID)
}

// advice is what may be done with a version that does not seal.
func (l versionCount) advice() string {
	switch {
	case l.Unknown && l.Version == 0:
		return fmt.Sprintf("%s: %s of the form without a version, which nothing in the file opens; add legacy: true to the version that wrapped them", l.Column, rowCount(l.Rows))
	case l.Unknown:
		return fmt.Sprintf("%s: %s of version %d, which the file does not have; add it, or they do not open", l.Column, rowCount(l.Rows), l.Version)
	case l.Retire:
		return fmt.Sprintf("%s: %s may be retired: take it out of the file and, when no backup needs it, out of the KMS", l.Column, l.name())
	case l.Seals && l.Journal > 0:
		return fmt.Sprintf("%s: %s in the journal of a rekey; 'rowseal verify' lets them go", l.Column, countOf(l.Journal, "old key"))
	case l.Rows == 0 && l.Journal > 0:
		return fmt.Sprintf("%s: %s is needed by the journal of a rekey, for %s; run 'rowseal verify'", l.Column, l.name(), rowCount(l.Journal))
	}
	return ""
}

// versionCounts are the counts, and whether they allow a version to be retired: only if all rows were counted.
func versionCounts(v sweep.Versions) (lines []versionCount) {
	for _, c := range v.Counts {
		l := versionCount{Column: c.Column, Version: c.Version, Rows: c.Rows, Journal: c.Journal, Seals: c.Current, Unknown: c.Key == nil}
		if c.Key != nil {
			l.KeyID = c.Key.ID()
		}
		l.Retire = !v.Estimated && !c.Current && c.Key != nil && c.Rows == 0 && c.Journal == 0 && c.Version != 0
		lines = append(lines, l)
	}
	return lines
}

// largeTable is from when on a sample is enough for a first look.
const largeTable = 5_000_000

func (s *sweeping) status(cmd *cobra.Command, exact bool) (err error) {
	if s.project, err = openProject(cmd, s.config); err != nil {
		return err
	}
	defer s.close()
	tables, err := s.chosen()
	if err != nil {
		return usageError{errors.Unwrap(errors.Unwrap(err))} // without the flag that other commands have for it
	}
	if s.db, err = openDatabase(cmd.Context(), s.Database, true); err != nil {
		return err
	}
	defer s.db.Close()
	var all []tableStatus
	for _, t := range tables {
		one, err := s.statusOf(cmd.Context(), t, exact)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	if s.asJSON {
		return printJSON(cmd.OutOrStdout(), all)
	}
	for i, t := range all {
		if i > 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := t.print(cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	return nil
}

// sweeps are those of a table that are not done, and the rows that the last ones have left.
func (s *sweeping) sweeps(ctx context.Context, one *tableStatus) error {
	known, err := sweep.List(ctx, s.db.DB, one.Table)
	if err != nil {
		return err
	}
	for _, k := range known {
		l := sweepLine{Step: k.Step, State: string(k.State), Rows: k.Rows, Owner: k.Owner, Updated: k.Updated, Error: k.Error}
		if k.Parts > 1 {
			l.Shard = fmt.Sprintf("%d/%d", k.Part, k.Parts)
		}
		if k.State == sweep.Running && !k.Alive {
			l.State = "died"
		}
		if k.State != sweep.Done && k.State != "" {
			one.Sweeps = append(one.Sweeps, l)
		}
	}
	const most = 1000
	rows, err := sweep.Quarantined(ctx, s.db.DB, one.Table, most)
	for _, q := range rows {
		one.Bad = append(one.Bad, failure{q.Key, q.Step + ": " + withoutPackages(q.Reason)})
	}
	return err
}

func (s *sweeping) statusOf(ctx context.Context, t *config.Table, exact bool) (one tableStatus, err error) {
	one = tableStatus{Table: t.Schema.Table, Keys: []versionCount{}, Keyless: []keyless{}, Sweeps: []sweepLine{}, Bad: []failure{}}
	if err := s.db.checkColumns(ctx, t, s.Name); err != nil {
		return one, err
	}
	if err := s.sweeps(ctx, &one); err != nil {
		return one, err
	}
	names, ok := s.dataKeys(t)
	if !ok {
		return one, nil
	}
	table, err := t.Open(ctx, s.opener(), config.Part{Keys: names})
	if err != nil {
		return one, err
	}
	n, err := s.db.EstimateRows(ctx, t.Schema.Table)
	if err != nil {
		return one, err
	}
	v, err := sweep.CountVersions(ctx, s.db.DB, table.Only(names...).Rows(), "", !exact && n > largeTable)
	if err != nil {
		return one, err
	}
	one.Rows, one.Estimated, one.Keys = v.Rows, v.Estimated, versionCounts(v)
	for i, column := range v.Columns {
		one.Keyless = append(one.Keyless, keyless{column, v.Keyless[i]})
	}
	return one, nil
}

// bad is the number of rows in quarantine, where one may be for several steps.
func (t tableStatus) bad() int64 {
	rows := map[string]bool{}
	for _, f := range t.Bad {
		rows[f.Key] = true
	}
	return int64(len(rows))
}

func (t tableStatus) print(out io.Writer) error {
	about := ""
	if t.Estimated {
		about = "≈ "
	}
	if len(t.Keys) == 0 {
		fmt.Fprintf(out, "%s: it has no data keys of its rows\n", t.Table)
		return nil
	}
	fmt.Fprintf(out, "%s: %s%s\n", t.Table, about, rowCount(t.Rows))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  KEY COLUMN\tVERSION\tKMS KEY\tROWS\t")
	line := func(column, version, key string, rows int64, note string) {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s%s\t%s\n", column, version, key, about, thousands(rows), note)
	}
	for i, k := range t.Keys {
		version, key, note := strconv.Itoa(k.Version), k.KeyID, ""
		switch {
		case k.Version == 0:
			version = "none"
		case k.Unknown:
			key = "not in the file"
		}
		if k.Seals {
			note = "seals"
		}
		line(k.Column, version, key, k.Rows, note)
		if i == len(t.Keys)-1 || t.Keys[i+1].Column != k.Column {
			for _, none := range t.Keyless {
				if none.Column == k.Column && none.Rows > 0 {
					line(k.Column, "no key", "", none.Rows, "")
				}
			}
		}
	}
	err := w.Flush()
	for _, k := range t.Keys {
		if advice := k.advice(); advice != "" {
			fmt.Fprintf(out, "  %s\n", advice)
		}
	}
	for _, l := range t.Sweeps {
		fmt.Fprintf(out, "  %s\n", l)
	}
	if len(t.Bad) > 0 {
		fmt.Fprintf(out, "  %s in quarantine; they leave it when they pass the same command:\n", isAre(t.bad(), "row"))
	}
	for _, f := range t.Bad {
		fmt.Fprintf(out, "    %s: %s\n", f.Key, f.Reason)
	}
	return err
}
