package cli

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

func newVerify() *cobra.Command {
	s := &sweeping{}
	var repair bool
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Open everything in every row, and list what does not open",
		Long: `Open every data key, field and file of every row, and list the rows in which something does not open, with the reason:
a wrong key, version or context, a key column that is NULL beside a ciphertext, a value that is none of its type, a
column of another row. Each data key costs the KMS a request, or its share of one, which the KMS logs. Nothing that
was opened is kept or shown.

Whoever wrote beside 'rowseal rotate --rekey' without comparing the key column has left values that do not open any
more. --repair seals them anew, by the data keys that the journal has kept. What verify finds in order needs the
journal no longer: its entries are deleted when they are older than --grace.

` + sweepsHelp,
		Example: `  rowseal verify --table users
  rowseal verify --where "id > 1000000" --rate 200
  rowseal verify --stateless --json
  rowseal verify --repair`,
		Args:              namesTables,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if repair && s.stateless {
				return usagef("--repair writes, and needs the journal: leave --stateless out")
			}
			return s.run(cmd, s.stateless, s.byKey(), func(ctx context.Context, t *config.Table) (*job, error) {
				return s.verification(ctx, t, &sweep.VerifyStep{Repair: repair, Grace: orNone(grace)})
			})
		},
	}
	s.flags(cmd)
	s.keyFlag(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&repair, "repair", false, "seal anew what opens under a data key that a rekey has replaced")
	fl.DurationVar(&grace, "grace", time.Hour, "keep entries of the journal that are younger than a `TIME`, as in 30m")
	fl.BoolVar(&s.stateless, "stateless", false, "keep nothing in the database, which may be a copy to be read only")
	return cmd
}

// orNone is a duration as a VerifyStep takes it, whose 0 is an hour.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (s *sweeping) verification(ctx context.Context, t *config.Table, step *sweep.VerifyStep) (*job, error) {
	part := t.All()
	if len(s.keys) > 0 {
		names, ok := s.dataKeys(t)
		if !ok {
			return nil, nil
		}
		part = config.Part{Keys: names}
	}
	part.Indexes = nil // their keys are not needed to open anything
	if step.Repair {
		part.Indexes = t.All().Indexes // a value that is sealed anew has its index made anew
	}
	forms := &insecureForms{}
	opener := s.opener()
	opener.OnInsecure = forms.add
	table, err := t.Open(ctx, opener, part)
	if err != nil {
		return nil, err
	}
	rows := table.Rows()
	if len(s.keys) > 0 {
		rows = rows.Only(part.Keys...)
	}
	return &job{rows: rows, step: step, after: func(_ context.Context, r *swept) error {
		if step.Repaired() > 0 {
			r.Notes = append(r.Notes, rowCount(step.Repaired())+" repaired")
		}
		if n := step.Unused(); n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s nothing sealed under them, which does no harm", have(n, "wrapped key")))
		}
		r.Notes = append(r.Notes, forms.lines()...)
		return nil
	}}, nil
}

func have(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing + " has"
	}
	return thousands(n) + " " + thing + "s have"
}

// insecureForms counts values in forms that are not safe, by column and form.
type insecureForms struct {
	mu     sync.Mutex
	counts map[rowseal.InsecureForm]int64
}

func (f *insecureForms) add(one rowseal.InsecureForm) {
	one.ID = ""
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[rowseal.InsecureForm]int64{}
	}
	f.counts[one]++
}

func (f *insecureForms) lines() (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for form, n := range f.counts {
		all = append(all, fmt.Sprintf("%s the form %s in %s, which is not safe; set the values anew", have(n, "value"), form.Form, form.Column))
	}
	slices.Sort(all)
	return all
}
