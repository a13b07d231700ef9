package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

func newMigrate() *cobra.Command {
	s := &sweeping{}
	var fields []string
	step := sweep.MigrateStep{}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Seal the values of plaintext columns, while the application goes on",
		Long: `Seal the values of columns into the fields that have migrating: COLUMN in rowseal.yaml. The column may hold plaintext,
or be another field of the file: in attr_encrypted's format, or under a Lockbox master key. Rows whose field has a
value already are left alone. Meanwhile the application writes both columns; docs/migrating.md tells the whole way.

--compare looks also at rows that have both, and seals again what differs. --clear, once the application reads the
field, sets the column to NULL where the field opens to the same value. --back moves the other way.

` + sweepsHelp,
		Example: `  rowseal migrate --table users --dry-run
  rowseal migrate --table users --field email_ciphertext
  rowseal migrate --table users --compare
  rowseal migrate --table users --clear`,
		Args:              namesTables,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if step.Clear && step.Compare {
				return usagef("--compare and --clear are two passes: see what differs before anything is cleared")
			}
			moved := choice{"field", fields, func(t *config.Table) (names []string) {
				for _, m := range t.Migrating {
					names = append(names, m.To)
				}
				return names
			}}
			err := s.run(cmd, false, moved, func(ctx context.Context, t *config.Table) (*job, error) {
				return s.migration(ctx, t, fields, step)
			})
			if errors.Is(err, errNothing) {
				return errors.New("no field has migrating: COLUMN in " + s.config)
			}
			return err
		},
	}
	s.flags(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&fields, "field", nil, "only into the field `COLUMN`; repeatable")
	fl.BoolVar(&step.Compare, "compare", false, "also rows that have both values, and seal again what differs")
	fl.BoolVar(&step.Clear, "clear", false, "set to NULL what has been moved and is the same")
	fl.BoolVar(&step.Back, "back", false, "from the field into the column")
	return cmd
}

func (s *sweeping) migration(ctx context.Context, t *config.Table, fields []string, step sweep.MigrateStep) (*job, error) {
	for _, m := range t.Migrating {
		if len(fields) == 0 || slices.Contains(fields, m.To) {
			step.Moves = append(step.Moves, sweep.Move{From: m.From, To: m.To})
		}
	}
	if len(step.Moves) == 0 {
		return nil, nil
	}
	text := t.AsText()
	table, err := text.Open(ctx, s.opener(), text.All())
	if err != nil {
		return nil, err
	}
	return &job{rows: table.Rows(), step: &step}, nil
}
