package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

func newRotate() *cobra.Command {
	s := &sweeping{}
	var rekey, all bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Wrap the data keys of all rows anew, or give them new ones",
		Long: `Wrap the data keys of all rows with the newest version of the KMS key that seals: after the KMS has rotated its key,
and to another key, provider or context, for which rowseal.yaml has a new version before the old one. Data keys and
fields stay, and applications go on, Rails applications too. docs/rotation.md has the recipes.

Where the KMS shows its versions (Vault, OpenBao, Azure, local keys), what its newest version has wrapped is left
alone, but for one row, by which the newest becomes known. AWS and Google do not show them: there --all
wraps anew also what the first version of rowseal.yaml has wrapped.

--rekey gives every row new data keys and seals its fields and files anew, as after a leak of data keys. It needs
applications that compare the key column, as rowseal's do, and refuses tables with writers: rails. The old wrapped
keys stay in a journal until 'rowseal verify' has found every row in order.

` + sweepsHelp,
		Example: `  rowseal rotate --dry-run
  rowseal rotate --table users --rate 500
  rowseal rotate --table users --key phone --rekey`,
		Args:              namesTables,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rekey && all {
				return usagef("--all is for a rotation without --rekey, which gives every row new keys anyway")
			}
			return s.run(cmd, false, s.byKey(), func(ctx context.Context, t *config.Table) (*job, error) {
				return s.rotation(ctx, t, rekey, all)
			})
		},
	}
	s.flags(cmd)
	s.keyFlag(cmd)
	cmd.Flags().BoolVar(&rekey, "rekey", false, "new data keys; fields and files are sealed anew")
	cmd.Flags().BoolVar(&all, "all", false, "also what the first version has wrapped, where the KMS shows no versions of its own")
	return cmd
}

func (s *sweeping) rotation(ctx context.Context, t *config.Table, rekey, all bool) (*job, error) {
	names, ok := s.dataKeys(t)
	if !ok {
		return nil, nil
	}
	if rekey && t.Writers == "rails" {
		return nil, fmt.Errorf("table %s has writers: rails, who do not compare the key column, and would write beside a rekey what nobody can open; "+
			"rotate without --rekey, or let only rowseal write and take writers: rails out of %s", t.Schema.Table, s.Name)
	}
	table, err := t.Open(ctx, s.opener(), config.Part{Keys: names})
	if err != nil {
		return nil, err
	}
	j := &job{rows: table.Only(names...).Rows(), step: &sweep.RewrapStep{All: all}}
	if rekey {
		j.step = &sweep.RekeyStep{}
	}
	if s.shard == "" && s.where == "" {
		j.after = func(ctx context.Context, r *swept) error { return s.left(ctx, j, r) }
	}
	return j, nil
}

// left tells which versions rows still have.
func (s *sweeping) left(ctx context.Context, j *job, r *swept) error {
	v, err := sweep.CountVersions(ctx, s.db.DB, j.rows, "", false)
	if err != nil {
		return err
	}
	lines := versionCounts(v)
	for _, l := range lines {
		switch {
		case l.Seals:
		case l.Rows > 0:
			r.Left = append(r.Left, l)
		case l.Retire:
			r.Notes = append(r.Notes, l.advice())
		}
	}
	if len(r.Left) > 0 && r.State == string(sweep.Done) && r.Quarantined == 0 {
		r.Notes = append(r.Notes, "run it again for rows that were written meanwhile, as by a process that still has the old configuration")
	}
	return nil
}
