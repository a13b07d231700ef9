package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sweep"
)

func newIndex() *cobra.Command {
	s := &sweeping{}
	var indexes []string
	var all bool
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Make blind indexes of the rows that have none yet",
		Long: `Make the blind indexes that are NULL in rows whose fields are not: after an index column was added. Rows whose indexes
are there cost no request to the KMS; the others are opened. --all makes every index anew, as after a change of its
key or options, and writes those that come out different.

` + sweepsHelp,
		Example: `  rowseal index --table users --index email_bidx
  rowseal index --all`,
		Args:              namesTables,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen := choice{"index", indexes, func(t *config.Table) []string { return t.All().Indexes }}
			return s.run(cmd, false, chosen, func(ctx context.Context, t *config.Table) (*job, error) {
				return s.indexing(ctx, t, indexes, all)
			})
		},
	}
	s.flags(cmd)
	cmd.Flags().StringArrayVar(&indexes, "index", nil, "only the index `COLUMN`; repeatable")
	cmd.Flags().BoolVar(&all, "all", false, "make all indexes anew")
	return cmd
}

func (s *sweeping) indexing(ctx context.Context, t *config.Table, indexes []string, all bool) (*job, error) {
	var part config.Part
	for _, column := range t.All().Indexes {
		if len(indexes) == 0 || slices.Contains(indexes, column) {
			part.Indexes = append(part.Indexes, column)
		}
	}
	if len(part.Indexes) == 0 {
		return nil, nil
	}
	table, err := t.Open(ctx, s.opener(), part)
	if err != nil {
		return nil, err
	}
	return &job{rows: table.Rows(), step: &sweep.IndexStep{All: all}}, nil
}
