package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/audit"
)

func newAuditReport() *cobra.Command {
	r := &reading{}
	var format, title string
	var failures bool
	cmd := &cobra.Command{
		Use:   "report LOG…",
		Short: "Tell who opened which records, when and how often",
		Long: `Tell who opened which records, when and how often, and what failed.

` + logsHelp + `

With --ledger, each open in the KMS's log has to be that of a line of the ledger, and the other way round: the report
names the opens that no application explains, and those that the KMS's log lacks. Vault and OpenBao log a hash of the
record; --audit-device asks them whose it is, with $VAULT_ADDR and $VAULT_TOKEN, for every record of the ledgers and of
the filters. Without it such logs are compared by key and time only.

Formats: text; html, one file that needs no network; json; csv, a line an event, which is the one to use for all events
of a large log.`,
		Example: `  rowseal audit report --format html AWSLogs/ > report.html
  rowseal audit report --table users --id 42 --audit-device file /var/log/vault_audit.log
  rowseal audit report --ledger ledger.jsonl --audit-device file --since 24h /var/log/vault_audit.log
  aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=Decrypt |
    rowseal audit report -`,
		Args:              leastOneLog,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, logs []string) error {
			if !slices.Contains(reportFormats, format) {
				return usagef("--format %q: must be text, html, json or csv", format)
			}
			if err := r.prepare(); err != nil {
				return err
			}
			if failures {
				r.filter.Outcomes = []audit.Outcome{audit.Failed}
				r.filterWords = append(r.filterWords, "failures")
			}
			if format == "csv" {
				return r.csv(cmd, logs)
			}
			doc, err := r.report(logs)
			if err != nil {
				return err
			}
			doc.Title = title
			return write(cmd, doc, format)
		},
	}
	r.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&format, "format", "text", "`FORMAT`: text, html, json or csv")
	fl.StringVar(&title, "title", "Who opened what", "call the report `TITLE`")
	fl.BoolVar(&failures, "failures", false, "only what failed")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(reportFormats, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = nil // files
	return cmd
}

var reportFormats = []string{"text", "html", "json", "csv"}

func leastOneLog(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("'%s' needs a log: a file, a directory, or - for standard input", cmd.CommandPath())
	}
	return nil
}

func (r *reading) report(logs []string) (*audit.Document, error) {
	counted := &audit.Report{Redaction: &r.redaction}
	doc := &audit.Document{Made: time.Now().UTC(), Filters: r.filterWords, Compared: r.matcher != nil}
	if r.matcher != nil {
		if err := r.readLedgers(); err != nil {
			return nil, err
		}
	}
	err := r.each(logs, false, func(e audit.Event) error {
		explained := r.matcher == nil || e.Source == audit.LedgerFile || r.matcher.Explains(r.comparable(e))
		if !r.matches(e) {
			return nil
		}
		counted.Add(e)
		if !explained {
			doc.Unexplained.Add(counted.Line(e))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.matcher != nil {
		for _, e := range r.matcher.Unlogged() {
			if r.filter.Match(e) {
				doc.Unlogged.Add(counted.Line(e))
			}
		}
	}
	r.warn()
	doc.Logs, doc.Summary = r.read, counted.Summary()
	return doc, nil
}

// comparable leaves a hash out that nobody was asked about: the record is not known then, and the key has to do.
func (r *reading) comparable(e audit.Event) audit.Event {
	if r.hasher == nil {
		e.ContextHash = ""
	}
	return e
}

func write(cmd *cobra.Command, doc *audit.Document, format string) error {
	out := cmd.OutOrStdout()
	switch format {
	case "html":
		return doc.WriteHTML(out)
	case "json":
		return doc.WriteJSON(out)
	}
	return doc.WriteText(out)
}

// csv writes events as they come.
func (r *reading) csv(cmd *cobra.Command, logs []string) error {
	if r.matcher != nil {
		return usagef("--format csv lists the events of a log; --ledger needs another format")
	}
	shown := &audit.Report{Redaction: &r.redaction}
	table := audit.NewCSV(cmd.OutOrStdout())
	err := r.each(logs, false, func(e audit.Event) error {
		if !r.matches(e) {
			return nil
		}
		return table.Write(shown.Line(e))
	})
	if err != nil {
		return err
	}
	r.warn()
	if err := table.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
