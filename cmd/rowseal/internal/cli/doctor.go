package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
)

func newDoctor() *cobra.Command {
	d := &doctor{}
	var name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [TABLE…]",
		Short: "Look for what is wrong between the file, the database and the KMS",
		Long: `Compare rowseal.yaml with the database and the KMS, and tell what is wrong, with what to do about it:

  fault     rows cannot be sealed, opened or swept, or could be lost: a column that is missing, too narrow or of the
            wrong kind, a key that cannot be reached or lacks a right, a context that the KMS does not enforce, rows
            of a version that the file does not have
  warning   something protects less than it could, or was forgotten: plaintext beside its sealed column, contexts
            of two keys that are equal, or do not name the row, a table with sealed columns that the file does not have
  note      good to know

Nothing is written, and no row is opened. Of rows it reads the versions of their data keys, and whether a plaintext
column has any value. Each KMS key is tried with a random value under a context whose columns are all "rowseal-check",
which its log shows as up to four requests, one of them a decryption that must fail; --no-requests leaves that out.

Without TABLE it looks at every table of the file, and at the database's other tables for sealed-looking columns.

The exit code is 1 if there is a fault.`,
		Args: cobra.ArbitraryArgs,
		Example: `  rowseal doctor
  rowseal doctor users --open-only
  rowseal doctor --no-requests --json`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.run(cmd, name, args); err != nil {
				return err
			}
			if asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), d.found), d.verdict())
			}
			return errors.Join(d.print(cmd.OutOrStdout()), d.verdict())
		},
	}
	configFlag(cmd, &name)
	fl := cmd.Flags()
	fl.BoolVar(&d.noRequests, "no-requests", false, "make no request to a KMS")
	fl.BoolVar(&d.openOnly, "open-only", false, "ask for no right to seal, nor to write to the database")
	fl.BoolVar(&asJSON, "json", false, "print JSON: an array of findings")
	return cmd
}

// level is how bad a finding is.
type level string

const (
	isFault   level = "fault"
	isWarning level = "warning"
	isNote    level = "note"
)

var levels = []level{isFault, isWarning, isNote}

// finding is something that the doctor found. It has no value of a row, and no secret.
type finding struct {
	Level   level  `json:"level"`
	Table   string `json:"table,omitempty"`
	Place   string `json:"place,omitempty"` // of the table: a column, several, a master key
	Problem string `json:"problem"`         // and what to do about it
}

func (f finding) String() string {
	if f.Place == "" {
		return f.Problem
	}
	return f.Place + ": " + f.Problem
}

// doctor is one call of the command.
type doctor struct {
	noRequests bool
	openOnly   bool

	*project
	db     *database
	tables []string        // that were looked at
	tried  map[string]bool // KMS keys whose contexts were
	found  []finding
}

func (d *doctor) run(cmd *cobra.Command, name string, args []string) (err error) {
	if d.project, err = openProject(cmd, name); err != nil {
		return err
	}
	defer d.close()
	tables := d.Tables
	if len(args) > 0 {
		tables = nil
	}
	for _, arg := range args {
		t, err := d.Table(arg)
		if err != nil {
			return usageError{err}
		}
		tables = append(tables, t)
	}
	ctx := cmd.Context()
	d.tried, d.found = map[string]bool{}, []finding{}
	d.checkFile()
	if d.db, err = openDatabase(ctx, d.Database, true); err != nil {
		return err
	}
	defer d.db.Close()
	for _, t := range tables {
		d.tables = append(d.tables, t.Schema.Table)
		d.look(ctx, t)
		if ctx.Err() != nil { // what was found after that may be no fault
			return ctx.Err()
		}
	}
	if len(args) == 0 {
		d.lookElsewhere(ctx)
	}
	return ctx.Err()
}

// look is all that is done about one table.
func (d *doctor) look(ctx context.Context, t *config.Table) {
	p := &patient{doctor: d, Table: t}
	p.checkKeys(ctx)
	p.checkContexts(ctx)
	p.checkTable(ctx)
	p.checkStores(ctx)
	for _, n := range t.Notes() {
		l := isNote
		if n.Warning {
			l = isWarning
		}
		p.tell(l, n.Place, "%s", n.Text)
	}
}

func (d *doctor) add(f finding) { d.found = append(d.found, f) }

// verdict is the error of the command.
func (d *doctor) verdict() error {
	if n := d.count(isFault); n > 0 {
		return fmt.Errorf("%s found", count(n, "fault"))
	}
	return nil
}

func (d *doctor) count(l level) (n int) {
	for _, f := range d.found {
		if f.Level == l {
			n++
		}
	}
	return n
}

// print has a paragraph for each table, with the worst first.
func (d *doctor) print(w io.Writer) error {
	fmt.Fprintf(w, "%s and the database %s: %s, %s, %s\n", d.Name, d.Database,
		count(d.count(isFault), "fault"), count(d.count(isWarning), "warning"), count(d.count(isNote), "note"))
	tables := d.tables
	for _, f := range d.found {
		if !slices.Contains(tables, f.Table) {
			tables = append(tables, f.Table)
		}
	}
	for _, table := range tables {
		fmt.Fprintf(w, "\n%s\n", orElse(table, "the database"))
		fmt.Fprint(w, d.about(table))
	}
	return nil
}

func (d *doctor) about(table string) string {
	var b strings.Builder
	for _, l := range levels {
		for _, f := range d.found {
			if f.Table == table && f.Level == l {
				fmt.Fprintln(&b, hanging(fmt.Sprintf("  %-8s  ", l), f.String()))
			}
		}
	}
	return orElse(b.String(), "  nothing was found\n")
}
