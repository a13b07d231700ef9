package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func newAudit() *cobra.Command {
	return group("audit", "Tell who opened which record, from what a KMS has logged",
		`Read what a KMS has logged: who opened which record, when and how often, and what nobody should have.

docs/auditing.md tells how to switch the log of each service on, what it shows, and how late.`,
		newAuditReport(), newAuditCheck(), newAuditVerifyLedger())
}

// logsHelp is for the help of every command that reads logs.
const logsHelp = `LOG is a file, a directory of files, or - for standard input: CloudTrail's files as they are delivered to S3, and what
'aws cloudtrail lookup-events' prints; audit files of Vault and OpenBao; exports of Google's and Azure's audit logs;
ledgers of applications. Each may be gzipped, of any size, and need not say what it is. Entries that cannot be read are
counted and shown.`

// reading is what commands that read logs have in common: which events, and how records are named.
type reading struct {
	since, until       string
	principals, keyIDs []string
	context            []string
	table, id          string
	config             string
	ledgers            []string
	device             string
	tolerance          time.Duration
	show               []string
	showAll            bool
	cmd                *cobra.Command
	filter             audit.Filter
	filterWords        []string
	names              *audit.Names
	hasher             audit.Hasher
	matcher            *audit.Matcher
	redaction          audit.Redaction
	read               []audit.LogRead
	unasked            int // events whose record could not be told, and mattered
}

func (r *reading) flags(cmd *cobra.Command) {
	r.cmd = cmd
	configFlag(cmd, &r.config)
	fl := cmd.Flags()
	fl.StringVar(&r.since, "since", "", "only events from `TIME` on: 2026-11-24, 2026-11-24T08:00:00Z, or 24h ago")
	fl.StringVar(&r.until, "until", "", "only events before `TIME`")
	fl.StringArrayVar(&r.principals, "principal", nil, "only by a `NAME` that the log has; * stands for any text; repeatable")
	fl.StringArrayVar(&r.keyIDs, "key-id", nil, "only with the KMS key `ID` as the log has it; * stands for any text; repeatable")
	fl.StringArrayVar(&r.context, "context", nil, "only records with `NAME=VALUE` in their context; repeatable")
	fl.StringVar(&r.table, "table", "", "only records of a `TABLE` of rowseal.yaml")
	fl.StringVar(&r.id, "id", "", "with --table: only the row with this primary `KEY`")
	fl.StringArrayVar(&r.ledgers, "ledger", nil, "compare with a ledger of an application, a `FILE` or directory; repeatable")
	fl.StringVar(&r.device, "audit-device", "", "ask the audit device `PATH` of Vault or OpenBao whose records the hashes in its log are")
	fl.DurationVar(&r.tolerance, "tolerance", 5*time.Minute, "take times that differ by no more than a `TIME` for the same")
	fl.StringArrayVar(&r.show, "show", nil, "show the context value of `NAME`, besides model_name, model_id and key_name; repeatable")
	fl.BoolVar(&r.showAll, "show-all", false, "show all context values")
}

// prepare makes of the flags what they mean.
func (r *reading) prepare() error {
	var err error
	now := time.Now()
	if r.filter.Since, err = moment("since", r.since, now); err != nil {
		return err
	}
	if r.filter.Until, err = moment("until", r.until, now); err != nil {
		return err
	}
	r.filter.Principals, r.filter.KeyIDs = r.principals, r.keyIDs
	if r.filter.Records, err = r.records(); err != nil {
		return err
	}
	r.words()
	r.redaction = audit.Redaction{ShowAll: r.showAll}
	if len(r.show) > 0 {
		r.redaction.Show = append([]string{"model_name", "model_id", "key_name"}, r.show...)
	}
	r.names = &audit.Names{}
	if len(r.ledgers) > 0 {
		r.matcher = &audit.Matcher{Tolerance: r.tolerance}
	}
	if r.device != "" {
		if r.hasher, err = vaultkms.NewAuditDevice(r.device, nil); err != nil {
			return usageError{err}
		}
	}
	if r.table != "" && r.id == "" {
		return nil // these are parts of contexts
	}
	return r.learn(r.filter.Records...)
}

// words tells the filters to people.
func (r *reading) words() {
	add := func(name, value string) {
		if value != "" {
			r.filterWords = append(r.filterWords, name+" "+value)
		}
	}
	if !r.filter.Since.IsZero() {
		add("since", r.filter.Since.UTC().Format(time.RFC3339))
	}
	if !r.filter.Until.IsZero() {
		add("until", r.filter.Until.UTC().Format(time.RFC3339))
	}
	add("principal", strings.Join(r.principals, ", "))
	add("key", strings.Join(r.keyIDs, ", "))
	add("table", r.table)
	add("id", r.id)
	add("context", strings.Join(r.context, ", "))
}

// moment reads a point of time, or how long ago it was.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("--%s %q: must be a time, as 2026-11-24 or 2026-11-24T08:00:00Z (UTC unless it says otherwise), or how long ago, as 24h", flag, text)
}

// records are the contexts that the flags ask for, nil for all.
func (r *reading) records() ([]kms.Context, error) {
	given, err := withEntries(nil, r.context)
	switch {
	case err != nil:
		return nil, err
	case r.id != "" && r.table == "":
		return nil, usagef("--id needs --table")
	case r.table != "" && given != nil:
		return nil, usagef("give --table or --context, not both")
	case r.table == "" && given == nil:
		return nil, nil
	case r.table == "":
		return []kms.Context{given}, nil
	}
	file, err := config.Read(r.config, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return tableContexts(file, r.table, r.id)
}

// tableContexts are the contexts of a row under all keys and versions of a table, or, without an id, what those of all rows have.
func tableContexts(file *config.File, table, id string) ([]kms.Context, error) {
	t, err := file.Table(table)
	if err != nil {
		return nil, err
	}
	var all []kms.Context
	for _, k := range t.Schema.Keys {
		for _, rule := range t.Contexts(k) {
			c, complete := t.ContextOf(rule, id)
			if !complete && id != "" {
				return nil, fmt.Errorf("the context of %s uses other columns than %s: give it with --context", k.Column, t.Schema.PrimaryKey)
			}
			if len(c) == 0 {
				return nil, fmt.Errorf("nothing in the context of %s is the same for all rows of %s: give --id, or --context", k.Column, table)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// learn asks whose hashes are in the log.
func (r *reading) learn(contexts ...kms.Context) error {
	if r.hasher == nil {
		return nil
	}
	return r.names.Learn(r.cmd.Context(), r.hasher, nil, contexts...)
}

// matches tells whether the filters let an event through.
func (r *reading) matches(e audit.Event) bool {
	if r.filter.Records != nil && e.Context == nil && e.ContextHash != "" && r.hasher == nil {
		r.unasked++
	}
	return r.filter.Match(e)
}

// warn tells what may be missing.
func (r *reading) warn() {
	if r.unasked > 0 {
		fmt.Fprintln(r.cmd.ErrOrStderr(), wrap(fmt.Sprintf("warning: the log names the record of %s by a hash, and whose it is was not asked: give "+
			"--audit-device, as 'vault audit list' shows it", count(r.unasked, "event")), pageWidth, ""))
	}
}

// readLedgers reads the ledgers to compare with.
func (r *reading) readLedgers() error {
	const atOnce = 1_000
	var contexts []kms.Context
	err := r.each(r.ledgers, true, func(e audit.Event) error {
		r.matcher.Application(e)
		if contexts = append(contexts, e.Context); len(contexts) < atOnce {
			return nil
		}
		defer func() { contexts = contexts[:0] }()
		return r.learn(contexts...)
	})
	if err != nil {
		return err
	}
	return r.learn(contexts...)
}

// each calls see with each event of the logs, in their order.
func (r *reading) each(logs []string, ledger bool, see func(audit.Event) error) error {
	for _, name := range logs {
		if err := r.walk(name, func(file string) error { return r.file(file, ledger, see) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) walk(name string, read func(file string) error) error {
	if name == "-" {
		return read(name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return read(name)
	}
	return filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".head") { // beside a ledger
			return err
		}
		return read(path)
	})
}

func (r *reading) file(name string, ledger bool, see func(audit.Event) error) error {
	in, closeIn, err := r.open(name)
	if err != nil {
		return err
	}
	defer closeIn()
	if name == "-" {
		name = "standard input"
	}
	reader := audit.NewReader(name, in)
	for {
		e, err := reader.Next()
		if err != nil {
			r.tell(audit.NewLogRead(name, ledger, reader.Stats()), err)
			return nil
		}
		if err := r.cmd.Context().Err(); err != nil {
			return err
		}
		if err := see(r.names.Resolve(e)); err != nil {
			return err
		}
	}
}

func (r *reading) open(name string) (io.Reader, func(), error) {
	if name == "-" {
		return r.cmd.InOrStdin(), func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close() }, nil
}

// tell warns about what could not be read. A file that ended with an error is not the end of the others.
func (r *reading) tell(l audit.LogRead, end error) {
	if !errors.Is(end, io.EOF) {
		l.Entries, l.Malformed = l.Entries+1, l.Malformed+1
		l.Examples = append(l.Examples, wording(end)+"; what follows is not read")
	}
	r.read = append(r.read, l)
	if l.Malformed == 0 {
		return
	}
	fmt.Fprintf(r.cmd.ErrOrStderr(), "warning: %s: %d could not be read, of %s:\n", l.Name, l.Malformed, entries(l.Entries))
	for _, example := range l.Examples {
		fmt.Fprintln(r.cmd.ErrOrStderr(), "  "+example)
	}
	if more := l.Malformed - len(l.Examples); more > 0 {
		fmt.Fprintf(r.cmd.ErrOrStderr(), "  and %d more\n", more)
	}
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
