package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/policy"
)

func newPolicy() *cobra.Command {
	var (
		keyID              string
		context            []string
		opts               policy.Options
		seal, open, rotate bool
		alerts             alertFlags
	)
	cmd := &cobra.Command{
		Use:   "policy (--key-id ID (--seal | --open | --rotate) | --alerts aws)",
		Short: "Print what gives a service one right to a KMS key, and what alerts on its use",
		Long: `Print what gives a service the right to seal, to open or to rotate with one KMS key, and no other right, in the language
of the key's own service: a policy of Vault or OpenBao, an IAM policy of AWS, a shell script that calls gcloud or az.
That goes to standard output, alone; what else there is to know goes to standard error. No request is made.

With --alerts aws, print what raises an alarm when many rows are opened, when opens are refused, and when a key or its
log is changed, for Terraform or CloudFormation; or, for Athena, a table of CloudTrail's log and the queries that one
needs. docs/auditing.md tells how to use it, and how to do the same with Google and Vault.

docs/permissions.md tells how a service works that may only seal, and how to stop everything.`,
		Example: `  rowseal policy --key-id vault/my-key --seal | vault policy write my-key-seal -
  rowseal policy --key-id alias/my-key --open --account 111122223333 --context model_name=User > open.json
  rowseal policy --key-id projects/p/locations/l/keyRings/r/cryptoKeys/k --seal | MEMBER=user:ada@example.org sh
  rowseal policy --alerts aws --key-id KEY_ARN --role ROLE_ARN --email ada@example.org > alerts.tf
  rowseal policy --alerts aws --format athena --key-id KEY_ARN --trail-bucket my-trail > alerts.sql`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := alerts.check(cmd); err != nil {
				return err
			}
			if alerts.of != "" {
				alerts.KeyID, alerts.Account, alerts.Region = keyID, opts.Account, opts.Region
				doc, err := alerts.For(policy.Format(alerts.format))
				if err != nil {
					return usageError{err}
				}
				printDocument(cmd, doc)
				return nil
			}
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
			printDocument(cmd, doc)
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&keyID, "key-id", "", "for the KMS key `ID` (default $KMS_KEY_ID, but not with --alerts)")
	fl.BoolVar(&seal, "seal", false, "the right to wrap new data keys")
	fl.BoolVar(&open, "open", false, "the right to unwrap data keys")
	fl.BoolVar(&rotate, "rotate", false, "the right to wrap data keys anew")
	fl.StringArrayVar(&context, "context", nil, "AWS: only with `NAME=VALUE` in the encryption context; repeatable")
	fl.StringVar(&opts.Account, "account", "", "AWS: only in the account with this `NUMBER`, where the key id does not say it")
	fl.StringVar(&opts.Region, "region", "", "AWS: only in the region `NAME`, where the key id does not say it")
	alerts.add(cmd)
	return cmd
}

// printDocument keeps standard output for what another program reads.
func printDocument(cmd *cobra.Command, doc policy.Document) {
	for _, note := range doc.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), wrap("note: "+note, pageWidth, ""))
	}
	fmt.Fprint(cmd.OutOrStdout(), doc.Text)
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

// alertFlags are those of --alerts.
type alertFlags struct {
	policy.Alerts
	of, format string
}

func (a *alertFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&a.of, "alerts", "", "print alerts for the service `NAME`: aws")
	fl.StringVar(&a.format, "format", string(policy.Terraform), "alerts: as `NAME`: "+formatNames())
	fl.IntVar(&a.Threshold, "threshold", policy.DefaultThreshold, "alerts: `NUMBER` of opens within a minute that raise the alarm")
	fl.StringVar(&a.Email, "email", "", "alerts: send them to `ADDRESS`")
	fl.StringArrayVar(&a.Roles, "role", nil, "alerts: the `ARN` of a role that may open, and no other should; repeatable")
	fl.StringVar(&a.Trail, "trail-bucket", "", "athena: CloudTrail writes to the bucket `NAME`, or NAME/PREFIX")
	fl.StringVar(&a.Organization, "organization", "", "athena: the trail is that of the organization `ID`")
}

// formatOf says which formats take a flag that is not for all of them.
var formatOf = map[string][]policy.Format{
	"threshold":    {policy.Terraform, policy.CloudFormation},
	"email":        {policy.Terraform, policy.CloudFormation},
	"account":      {policy.Athena},
	"region":       {policy.Athena},
	"trail-bucket": {policy.Athena},
	"organization": {policy.Athena},
}

// check refuses flags that would do nothing.
func (a *alertFlags) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	if a.of == "" && !given("alerts") {
		for _, name := range []string{"format", "threshold", "email", "role", "trail-bucket", "organization"} {
			if given(name) {
				return usagef("--%s goes with --alerts", name)
			}
		}
		return nil
	}
	format := policy.Format(a.format)
	switch {
	case a.of != "aws":
		return usagef("--alerts %q: must be aws; docs/auditing.md tells how to do the same with Google and Vault", a.of)
	case !slices.Contains(policy.Formats, format):
		return usagef("--format %q: must be %s", a.format, formatNames())
	case given("threshold") && a.Threshold < 1:
		return usagef("--threshold %d: must be 1 or more", a.Threshold)
	}
	for _, name := range []string{"seal", "open", "rotate", "context"} {
		if given(name) {
			return usagef("--%s is for a policy, and --alerts prints none", name)
		}
	}
	for _, name := range []string{"threshold", "email", "account", "region", "trail-bucket", "organization"} {
		if formats := formatOf[name]; given(name) && !slices.Contains(formats, format) {
			return usagef("--%s does nothing with --format %s", name, format)
		}
	}
	return nil
}

func formatNames() string {
	names := make([]string, len(policy.Formats))
	for i, format := range policy.Formats {
		names[i] = string(format)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
