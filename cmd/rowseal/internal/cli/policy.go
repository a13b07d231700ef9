package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/policy"
)

func newPolicy() *cobra.Command {
	var (
		keyID              string
		context            []string
		opts               policy.Options
		seal, open, rotate bool
	)
	cmd := &cobra.Command{
		Use:   "policy --key-id ID (--seal | --open | --rotate)",
		Short: "Print what gives a service one right to a KMS key",
		Long: `Print what gives a service the right to seal, to open or to rotate with one KMS key, and no other right, in the language
of the key's own service: a policy of Vault or OpenBao, an IAM policy of AWS, a shell script that calls gcloud or az.
That goes to standard output, alone; what else there is to know goes to standard error. No request is made.

docs/permissions.md tells how a service works that may only seal, and how to stop everything.`,
		Example: `  rowseal policy --key-id vault/my-key --seal | vault policy write my-key-seal -
  rowseal policy --key-id alias/my-key --open --account 111122223333 --context model_name=User > open.json
  rowseal policy --key-id projects/p/locations/l/keyRings/r/cryptoKeys/k --seal | MEMBER=user:ada@example.org sh`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := keyIDOrDefault(cmd, keyID)
			if err != nil {
				return err
			}
			if err := checkID(id); err != nil {
				return err
			}
			right, err := oneRight(map[policy.Right]bool{policy.Seal: seal, policy.Open: open, policy.Rotate: rotate})
			if err != nil {
				return err
			}
			if opts.Context, err = withEntries(nil, context); err != nil {
				return err
			}
			doc, err := policy.For(id, right, &opts)
			switch {
			case errors.Is(err, policy.ErrUnknownID):
				return unknownID(id)
			case err != nil:
				return usageError{err}
			}
			for _, note := range doc.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), wrap("note: "+note, pageWidth, ""))
			}
			fmt.Fprint(cmd.OutOrStdout(), doc.Text)
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&keyID, "key-id", "", "for the KMS key `ID` (default $KMS_KEY_ID)")
	fl.BoolVar(&seal, "seal", false, "the right to wrap new data keys")
	fl.BoolVar(&open, "open", false, "the right to unwrap data keys")
	fl.BoolVar(&rotate, "rotate", false, "the right to wrap data keys anew")
	fl.StringArrayVar(&context, "context", nil, "AWS: only with `NAME=VALUE` in the encryption context; repeatable")
	fl.StringVar(&opts.Account, "account", "", "AWS: only in the account with this `NUMBER`, where the key id does not say it")
	fl.StringVar(&opts.Region, "region", "", "AWS: only in the region `NAME`, where the key id does not say it")
	return cmd
}

func oneRight(asked map[policy.Right]bool) (policy.Right, error) {
	var rights []policy.Right
	for right, is := range asked {
		if is {
			rights = append(rights, right)
		}
	}
	if len(rights) != 1 {
		return "", usagef("give one of --seal, --open and --rotate: each is a policy of its own")
	}
	return rights[0], nil
}
