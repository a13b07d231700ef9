package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/audit"
)

func newAuditVerifyLedger() *cobra.Command {
	var known []string
	var after string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-ledger FILE…",
		Short: "Check that nobody has changed an application's ledger",
		Long: `Check the hashes that chain the lines of a ledger, so that a line that was changed, dropped, moved or put in between is
found. Several files are one ledger, the oldest first; each may be gzipped.

Whoever can write to the file can also add lines to its end or cut them off, or write all of them anew. So keep the
head that this command prints where he cannot reach it, and give it with --head the next time: the ledger must still
have it.`,
		Example: `  rowseal audit verify-ledger ledger.jsonl.1 ledger.jsonl
  rowseal audit verify-ledger --head "$LAST_HEAD" ledger.jsonl`,
		Args: leastOneLog,
		RunE: func(cmd *cobra.Command, files []string) error {
			v := &audit.Verifier{}
			var err error
			for _, text := range known {
				head, err := audit.ParseHead(text)
				if err != nil {
					return usageError{err}
				}
				v.Known = append(v.Known, head)
			}
			if after != "" {
				if v.After, err = audit.ParseHead(after); err != nil {
					return usageError{err}
				}
			}
			r := &reading{cmd: cmd}
			for _, name := range files {
				if err := r.verify(v, name); err != nil {
					return err
				}
			}
			return showVerification(cmd, v.Result(), asJSON)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&known, "head", nil, "the ledger must have this `HEAD`, which this command has printed before; repeatable")
	fl.StringVar(&after, "after", "", "the first line follows this `HEAD`, whose file is not given")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (r *reading) verify(v *audit.Verifier, name string) error {
	in, closeIn, err := r.open(name)
	if err != nil {
		return err
	}
	defer closeIn()
	return v.Add(name, in)
}

// verified is what is printed of a ledger as JSON.
type verified struct {
	Entries uint64    `json:"entries"`
	Records uint64    `json:"records"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Head    string    `json:"head"`
	Torn    int       `json:"unfinished_lines"`
	Faults  []string  `json:"faults"`
}

var errTampered = errors.New("the ledger is not as it was written")

func showVerification(cmd *cobra.Command, r audit.Verification, asJSON bool) error {
	out := cmd.OutOrStdout()
	shown := verified{r.Entries, r.Records, r.First, r.Last, r.Head.String(), r.Torn, []string{}}
	for _, f := range r.Faults {
		shown.Faults = append(shown.Faults, f.String())
	}
	if r.More > 0 {
		shown.Faults = append(shown.Faults, fmt.Sprintf("and %d more", r.More))
	}
	switch {
	case asJSON:
		if err := printJSON(out, shown); err != nil {
			return err
		}
	case r.Entries > 0:
		fmt.Fprintf(out, "%d lines for %d records, from %s to %s\n", r.Entries, r.Records, r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
		if r.Torn > 0 {
			fmt.Fprintf(out, "%d unfinished, as a killed process leaves them\n", r.Torn)
		}
		fmt.Fprintln(out, "head "+shown.Head)
	}
	if !asJSON {
		for _, f := range shown.Faults {
			fmt.Fprintln(cmd.ErrOrStderr(), f)
		}
	}
	switch {
	case len(r.Faults) > 0:
		return errTampered
	case r.Entries == 0:
		return usagef("there is no line in it")
	}
	return nil
}
