package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func newContextHash() *cobra.Command {
	var f boxFlags
	var file, table, id, device string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "context-hash (--table TABLE --id KEY | --context NAME=VALUE…)",
		Short: "Tell under which hash a record stands in Vault's audit log",
		Long: `Ask Vault or OpenBao for the hash of a record's encryption context, which stands in its audit log in the place of the
record: of exactly the bytes that are sent with its data key, as the gem's KmsEncrypted.context_hash is meant to. With
--table, a line for each key column and version of rowseal.yaml; with --context, the hash alone.

Address and token are $VAULT_ADDR and $VAULT_TOKEN. The token needs the right to update sys/audit-hash/PATH, and whoever
has it can test guesses.`,
		Example: `  grep "$(rowseal context-hash --context model_name=User --context model_id=42)" /var/log/vault_audit.log
  rowseal context-hash --table users --id 42`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hasher, err := vaultkms.NewAuditDevice(device, nil)
			if err != nil {
				return usageError{err}
			}
			ec, err := f.encryptionContext(cmd.Flags().Changed("context-json"))
			switch {
			case err != nil:
				return err
			case (table == "") == (ec == nil):
				return usagef("give --table and --id, or --context")
			case (table == "") != (id == ""):
				return usagef("--table and --id need each other")
			}
			if table != "" {
				return hashRow(cmd, hasher, file, table, id, asJSON)
			}
			hash, err := audit.ContextHash(cmd.Context(), hasher, ec, nil)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"hash": hash})
			}
			fmt.Fprintln(cmd.OutOrStdout(), hash)
			return nil
		},
	}
	configFlag(cmd, &file)
	fl := cmd.Flags()
	fl.StringVar(&device, "path", "file", "the audit device's `PATH`, as 'vault audit list' shows it")
	fl.StringVar(&table, "table", "", "a `TABLE` of rowseal.yaml")
	fl.StringVar(&id, "id", "", "the primary `KEY` of its row")
	fl.StringArrayVar(&f.context, "context", nil, "add `NAME=VALUE` to the encryption context; repeatable")
	fl.StringVar(&f.contextJSON, "context-json", "", "take the encryption context from a `JSON` object of strings and integers")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// contextHash is a line of what is printed of a row.
type contextHash struct {
	Column  string      `json:"column"`
	Version int         `json:"version"`
	KeyID   string      `json:"key_id"`
	Context kms.Context `json:"context"`
	Hash    string      `json:"hash"`
}

func hashRow(cmd *cobra.Command, hasher audit.Hasher, name, table, id string, asJSON bool) error {
	file, err := config.Read(name, os.LookupEnv)
	if err != nil {
		return err
	}
	t, err := file.Table(table)
	if err != nil {
		return err
	}
	all := []contextHash{}
	for _, k := range t.Schema.Keys {
		for i, rule := range t.Contexts(k) {
			c, complete := t.ContextOf(rule, id)
			if !complete {
				return fmt.Errorf("the context of %s uses other columns than %s: give it with --context", k.Column, t.Schema.PrimaryKey)
			}
			v := t.Versions[k.Name][i]
			if !strings.HasPrefix(v.KeyID, vaultPrefix) {
				continue
			}
			hash, err := audit.ContextHash(cmd.Context(), hasher, c, v.Encoding)
			if err != nil {
				return err
			}
			all = append(all, contextHash{k.Column, v.Number, v.KeyID, c, hash})
		}
	}
	switch {
	case len(all) == 0:
		return fmt.Errorf("no key of %s is one of Vault or OpenBao: other services log no hashes", table)
	case asJSON:
		return printJSON(cmd.OutOrStdout(), all)
	}
	for _, h := range all {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s version %d, %s\n", h.Hash, h.Column, h.Version, h.KeyID)
	}
	return nil
}
