package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

// sweeping is one call of a command that visits every row: rotate, verify, migrate, index.
type sweeping struct {
	config      string
	tables      []string
	keys        []string
	where       string
	shard       string
	limit       int64
	rate        float64
	share       string
	page        int
	writers     int
	maxFailures int64
	restart     bool
	stateless   bool
	dryRun      bool
	asJSON      bool

	*project
	db     *database
	ledger []*swept
}

// sweepsHelp is part of the help of every such command.
const sweepsHelp = `Interrupted once, it finishes the page at hand, and the same command goes on from there later; interrupted twice, or
killed, it does that page again. It keeps its place, and the rows that failed, in three small tables of the database
(rowseal_sweeps, rowseal_quarantine, rowseal_journal). Rows are written only if they still are as they were read, so
the application goes on.

Exit codes: 0 all done, 1 failed or interrupted, 2 the command line is wrong, 3 done, but for rows that are in
quarantine.`

func (s *sweeping) flags(cmd *cobra.Command) {
	configFlag(cmd, &s.config)
	fl := cmd.Flags()
	fl.StringArrayVar(&s.tables, "table", nil, "only the `TABLE`; repeatable")
	fl.StringVar(&s.where, "where", "", "only rows that meet a `CONDITION` in SQL")
	fl.StringVar(&s.shard, "shard", "", "only part `I/N` of the rows; the other parts are for other machines")
	fl.Int64Var(&s.limit, "limit", 0, "stop after `N` rows of a table")
	fl.Float64Var(&s.rate, "rate", 0, "make at most `N` KMS requests a second")
	fl.StringVar(&s.share, "share", "", "use at most this `PERCENT` of the KMS's usual quota, as in 10%")
	fl.IntVar(&s.page, "page", 0, "read `N` rows at a time")
	fl.IntVar(&s.writers, "writers", 0, "write over `N` connections at once")
	fl.Int64Var(&s.maxFailures, "max-failures", 100, "stop when more than `N` rows have failed; -1: never")
	fl.BoolVar(&s.restart, "restart", false, "begin with the first row, not where an earlier run was stopped")
	fl.BoolVar(&s.dryRun, "dry-run", false, "only tell how many rows and KMS requests it would be")
	fl.BoolVar(&s.asJSON, "json", false, "print JSON")
}

// keyFlag adds --key.
func (s *sweeping) keyFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.keys, "key", nil, "only the data keys with this `NAME` or column; repeatable")
}

// namesTables refuses arguments, which may be meant as tables.
func namesTables(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("'%s' takes no arguments; a table is named with --table", cmd.CommandPath())
	}
	return nil
}

// job is what is to be done with one table.
type job struct {
	rows *rowseal.Rows
	step sweep.Step
	// after tells what is left, once the sweep is over; nil: nothing is to be told.
	after func(ctx context.Context, r *swept) error
}

// swept is what has become of one table.
type swept struct {
	Table       string         `json:"table"`
	Step        string         `json:"step"`
	Shard       string         `json:"shard,omitempty"`
	State       string         `json:"state,omitempty"`
	Resumed     bool           `json:"resumed,omitempty"`
	Rows        int64          `json:"rows"`
	Changed     int64          `json:"changed"`
	Unchanged   int64          `json:"unchanged"`
	Gone        int64          `json:"gone"`
	Conflicts   int64          `json:"conflicts"`
	Quarantined int64          `json:"quarantined"`
	Leftovers   int64          `json:"leftovers"`
	Requests    int64          `json:"requests"`
	Throttled   int64          `json:"throttled"`
	Seconds     float64        `json:"seconds"`
	Phases      *phases        `json:"phases,omitempty"`
	Position    string         `json:"position,omitempty"`
	Failures    []failure      `json:"failures,omitempty"`
	Left        []versionCount `json:"left,omitempty"`
	Notes       []string       `json:"notes,omitempty"`
	Forecast    *forecastTable `json:"forecast,omitempty"`
	Error       string         `json:"error,omitempty"`

	listed bool // the rows in quarantine are in the database, too
}

// phases are the seconds that went into reading, into the step with its KMS requests, and into writing.
type phases struct {
	Reading float64 `json:"reading"`
	Working float64 `json:"working"`
	Writing float64 `json:"writing"`
}

type failure struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// quarantined ends a command that did all but some rows.
type quarantined struct{ rows int64 }

func (q quarantined) Error() string {
	return fmt.Sprintf("%s in quarantine; they were left as they are", isAre(q.rows, "row"))
}

var errNothing = errors.New("no table has anything to do for this command")

func isAre(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return thousands(n) + " " + thing + "s are"
}

// choice is a flag that names parts of tables, what it names, and what a table has of them.
type choice struct {
	flag  string
	named []string
	of    func(*config.Table) []string
}

// check refuses a name that none of the tables has, which would else be left out without a word.
func (c choice) check(tables []*config.Table) error {
	var known []string
	for _, t := range tables {
		known = append(known, c.of(t)...)
	}
	for _, name := range c.named {
		if !slices.Contains(known, name) {
			return usagef("--%s: there is no %q in %s%s", c.flag, name, tableNames(tables), config.Instead(name, known))
		}
	}
	return nil
}

func tableNames(tables []*config.Table) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Schema.Table
	}
	return strings.Join(names, ", ")
}

// byKey is --key.
func (s *sweeping) byKey() choice {
	return choice{"key", s.keys, func(t *config.Table) (names []string) {
		for _, k := range t.Schema.Keys {
			names = append(names, k.Column)
			if k.Name != "" {
				names = append(names, k.Name)
			}
		}
		return names
	}}
}

// run does each table in the order of the file. plan makes its job, or none where the table has nothing for the command.
func (s *sweeping) run(cmd *cobra.Command, readOnly bool, by choice, plan func(ctx context.Context, t *config.Table) (*job, error)) (err error) {
	opts, err := s.options()
	if err != nil {
		return err
	}
	if s.project, err = openProject(cmd, s.config); err != nil {
		return err
	}
	defer s.close()
	tables, err := s.chosen()
	if err != nil {
		return err
	}
	if err := by.check(tables); err != nil {
		return err
	}
	// An interrupt ends the sweep after the page at hand; only what is before it ends at once.
	if s.db, err = openDatabase(cmd.Context(), s.Database, readOnly || s.dryRun); err != nil {
		return err
	}
	defer s.db.Close()
	jobs := make([]*job, len(tables))
	for i, t := range tables {
		if jobs[i], err = plan(cmd.Context(), t); err != nil {
			return err
		}
		if jobs[i] == nil {
			continue
		}
		if err := s.db.checkColumns(cmd.Context(), t, s.Name); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(jobs, func(j *job) bool { return j != nil }) {
		return errNothing
	}
	for i, j := range jobs {
		if j == nil || err != nil {
			continue
		}
		err = s.table(cmd, tables[i], j, opts)
	}
	if s.asJSON {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), s.ledger))
	}
	if err != nil {
		return err
	}
	return s.inQuarantine()
}

func (s *sweeping) inQuarantine() error {
	total := int64(0)
	for _, r := range s.ledger {
		total += r.Quarantined
	}
	if total > 0 {
		return quarantined{total}
	}
	return nil
}

// options are those that the flags ask for.
func (s *sweeping) options() (sweep.Options, error) {
	o := sweep.Options{Where: s.where, Limit: s.limit, Rate: s.rate, Page: s.page, Writers: s.writers, MaxFailures: s.maxFailures, Restart: s.restart, Stateless: s.stateless}
	if s.shard != "" {
		part, parts, ok := strings.Cut(s.shard, "/")
		var err1, err2 error
		o.Part, err1 = strconv.Atoi(part)
		o.Parts, err2 = strconv.Atoi(parts)
		if !ok || err1 != nil || err2 != nil || o.Part < 1 || o.Part > o.Parts {
			return o, usagef("--shard %q: must be a part and the number of parts, as in --shard 2/4", s.shard)
		}
	}
	switch {
	case s.limit < 0 || s.page < 0 || s.writers < 0:
		return o, usagef("--limit, --page and --writers must not be negative")
	case !(s.rate >= 0 && s.rate <= math.MaxFloat64): // nor NaN
		return o, usagef("--rate must be a number of requests a second, 0 or more")
	case s.rate > 0 && s.share != "":
		return o, usagef("give --rate or --share, not both")
	case s.maxFailures == 0 || s.maxFailures < -1:
		return o, usagef("--max-failures must be 1 or more, or -1")
	}
	return o, nil
}

// chosen are the tables that the flags name, or all.
func (s *sweeping) chosen() ([]*config.Table, error) {
	if len(s.tables) == 0 {
		return s.Tables, nil
	}
	var all []*config.Table
	for _, name := range s.tables {
		t, err := s.Table(name)
		if err != nil {
			return nil, usagef("--table: %w", err)
		}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all, nil
}

// dataKeys are the names of the data keys of a table that --key chooses. ok is false where the table has none of them.
func (s *sweeping) dataKeys(t *config.Table) (names []string, ok bool) {
	for _, k := range t.Schema.Keys {
		if len(s.keys) == 0 || slices.Contains(s.keys, k.Name) || slices.Contains(s.keys, k.Column) {
			names = append(names, k.Name)
		}
	}
	return names, len(names) > 0
}

// table does one table.
func (s *sweeping) table(cmd *cobra.Command, t *config.Table, j *job, o sweep.Options) error {
	if s.share != "" {
		rate, err := shareOf(s.share, j.rows)
		if err != nil {
			return err
		}
		o.Rate = rate
	}
	var notes io.Writer
	o.Waiting = func(holder string) {
		fmt.Fprintf(notes, "%s: waiting for %s, which has not been heard of\n", t.Schema.Table, holder)
	}
	sw, err := sweep.New(s.db.DB, j.rows, j.step, &o)
	if err != nil {
		return err
	}
	if s.dryRun {
		return s.forecast(cmd, sw, t, j)
	}
	ctx := context.WithoutCancel(cmd.Context())
	var watched func()
	notes, watched = watch(cmd.ErrOrStderr(), sw)
	unwatch := context.AfterFunc(cmd.Context(), func() {
		fmt.Fprintln(notes, "finishing the page at hand; interrupt again to end at once")
		sw.Stop()
	})
	defer unwatch()
	status, err := sw.Run(ctx)
	watched()
	r := sweptOf(status, err)
	r.listed = !o.Stateless
	if status.State == sweep.Stopped && err == nil && cmd.Context().Err() == nil && o.Limit > 0 {
		r.Notes = append(r.Notes, "stopped by --limit"+orNothing(!o.Stateless, "; the same command goes on after row "+status.Position))
	}
	s.ledger = append(s.ledger, r)
	if j.after != nil && err == nil {
		err = j.after(ctx, r)
	}
	if !s.asJSON {
		r.print(cmd.OutOrStdout())
	}
	switch {
	case err != nil:
		return err
	case cmd.Context().Err() != nil && status.State != sweep.Done:
		return fmt.Errorf("the %s of %s is not done; the same command goes on after row %s", status.Step, status.Table, orElse(status.Position, "0"))
	}
	return nil
}

// shareOf is a share of the least quota of the KMS keys that seal.
func shareOf(share string, rows *rowseal.Rows) (float64, error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
	if err != nil || percent <= 0 || percent > 100 {
		return 0, usagef("--share %q: must be a number of percent, as in --share 10%%", share)
	}
	least := 0.0
	for _, ring := range rows.Keyrings() {
		for _, v := range ring.Versions() {
			if q := v.Key.Info().Quota; q > 0 && (least == 0 || q < least) {
				least = q
			}
		}
	}
	if least == 0 {
		return 0, usagef("--share: no usual quota is known of these KMS keys; use --rate")
	}
	return least * percent / 100, nil
}

func sweptOf(st sweep.Status, err error) *swept {
	r := &swept{
		Table: st.Table, Step: st.Step, State: string(st.State), Resumed: st.Resumed, Rows: st.Rows, Changed: st.Changed, Unchanged: st.Unchanged, Gone: st.Gone,
		Conflicts: st.Conflicts, Quarantined: st.Quarantined, Leftovers: st.Leftovers, Requests: st.Requests, Throttled: st.Throttled, Position: st.Position,
		Seconds: time.Since(st.Started).Seconds(), Phases: &phases{st.Reading.Seconds(), st.Working.Seconds(), st.Writing.Seconds()},
	}
	if st.Parts > 1 {
		r.Shard = fmt.Sprintf("%d/%d", st.Part, st.Parts)
	}
	for _, f := range st.Failures {
		r.Failures = append(r.Failures, failure{f.Key, f.Reason})
	}
	if err != nil {
		r.Error = wording(err)
	}
	return r
}

func (r *swept) print(w io.Writer) {
	name := r.Table
	if r.Shard != "" {
		name += " " + r.Shard
	}
	fmt.Fprintf(w, "%s: %s %s in %s%s: %s, %s changed, %s unchanged", name, r.Step, r.State, duration(time.Duration(r.Seconds*float64(time.Second))),
		orNothing(r.Resumed, ", with what earlier runs did"),
		rowCount(r.Rows), thousands(r.Changed), thousands(r.Unchanged))
	if r.Gone > 0 {
		fmt.Fprintf(w, ", %s deleted meanwhile", thousands(r.Gone))
	}
	if r.Conflicts > 0 {
		fmt.Fprintf(w, ", %s done again because others wrote them", thousands(r.Conflicts))
	}
	fmt.Fprintf(w, "; %s to the KMS", countOf(r.Requests, "request"))
	if r.Throttled > 0 {
		fmt.Fprintf(w, ", %s refused as too many", thousands(r.Throttled))
	}
	fmt.Fprintln(w)
	if r.Leftovers > 0 {
		fmt.Fprintf(w, "  files that no row refers to any more could not be deleted: %s\n", thousands(r.Leftovers))
	}
	r.printFailures(w)
	for _, l := range r.Left {
		fmt.Fprintf(w, "  left: %s\n", l)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
}

// printFailures lists rows that failed: those that this run has seen, and of these the first.
func (r *swept) printFailures(w io.Writer) {
	shown := r.Failures[:min(len(r.Failures), 20)]
	switch {
	case r.Quarantined > 0:
		fmt.Fprintf(w, "  %s in quarantine:\n", isAre(r.Quarantined, "row"))
	case len(shown) > 0:
		fmt.Fprintln(w, "  rows that failed, of a page that is not done:")
	}
	for _, f := range shown {
		fmt.Fprintf(w, "    %s: %s\n", f.Key, withoutPackages(f.Reason))
	}
	if more := r.Quarantined - int64(len(shown)); more > 0 {
		fmt.Fprintf(w, "    and %s more%s\n", thousands(more), orNothing(r.listed, "; 'rowseal status' lists them"))
	}
}

func orNothing(ok bool, text string) string {
	if ok {
		return text
	}
	return ""
}

// withoutPackages is a reason, which may be several, in the command line's words.
func withoutPackages(reason string) string {
	parts := strings.Split(reason, "; ")
	for i, p := range parts {
		parts[i] = packageName.ReplaceAllString(p, "$1")
	}
	return strings.Join(parts, "; ")
}

func rowCount(n int64) string { return countOf(n, "row") }

func countOf(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return thousands(n) + " " + thing
}

// thousands is 1234567 as 1,234,567.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// duration is a time that a person reads: 850ms, 12s, 3m5s, 2h10m.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
