package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/kms/localkms"
)

// store is the directory that kms.Open uses too.
var store localkms.Store

func newKeys() *cobra.Command {
	return group("keys", "Manage local keys, and tell what a key id can do",
		`Manage local keys, and tell what a key id can do.

A local key has the id local/NAME and is a file NAME.json in the directory $ROWSEAL_LOCAL_KEYS, or else in rowseal/keys
of the user's configuration directory (~/.config on Linux). It is meant for development, tests and single machines:
whoever can read the file can open everything that the key wraps, and without the file nobody can. Back it up.`,
		newKeysCreate(), newKeysRotate(), newKeysList(), newKeysDisable(), newKeysEnable(), newKeysCheck())
}

// onLocalKey is a command that does one thing with the local key NAME.
func onLocalKey(use, short, long string, run func(out io.Writer, name string) error) *cobra.Command {
	return &cobra.Command{
		Use:               use + " NAME",
		Short:             short,
		Long:              long,
		Args:              takes(1, 1),
		ValidArgsFunction: completeKeys(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := store.Open(args[0]); err != nil {
				return usageError{err} // it reads nothing: the name itself is wrong
			}
			return run(cmd.OutOrStdout(), args[0])
		},
		DisableFlagsInUseLine: true,
	}
}

func newKeysCreate() *cobra.Command {
	cmd := onLocalKey("create", "Make a local key",
		"Make the local key local/NAME, with one version. A key that is there already is left as it is.",
		func(out io.Writer, name string) error {
			if err := store.Create(name); err != nil {
				return err
			}
			dir, err := store.Directory()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "local/%s is made, in %s\nBack it up now: without the key, nothing that it wraps can be read again.\n", name, dir)
			return nil
		})
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

func newKeysRotate() *cobra.Command {
	return onLocalKey("rotate", "Add a version to a local key",
		`Add a version to the local key local/NAME, which wraps from then on, in running processes too. Earlier versions stay and
open what they wrapped.`,
		func(out io.Writer, name string) error {
			version, err := store.Rotate(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "local/%s now wraps with version %d; earlier ones still open\nBack it up again.\n", name, version)
			return nil
		})
}

func newKeysDisable() *cobra.Command {
	return onLocalKey("disable", "Let a local key refuse everything",
		"Let the local key local/NAME refuse to seal and to open, at once and in every process. Nothing is lost: see enable.",
		func(out io.Writer, name string) error {
			if err := store.Disable(name); err != nil {
				return err
			}
			fmt.Fprintf(out, "local/%s is disabled; 'rowseal keys enable %s' undoes that\n", name, name)
			return nil
		})
}

func newKeysEnable() *cobra.Command {
	return onLocalKey("enable", "Undo disable", "Let the local key local/NAME seal and open again.",
		func(out io.Writer, name string) error {
			if err := store.Enable(name); err != nil {
				return err
			}
			fmt.Fprintf(out, "local/%s is enabled\n", name)
			return nil
		})
}

// listedKey is a line of keys list.
type listedKey struct {
	ID       string     `json:"id"`
	State    string     `json:"state"` // enabled, disabled or unusable
	Versions int        `json:"versions"`
	Current  uint32     `json:"current"`         // the version that wraps
	Since    *time.Time `json:"since,omitempty"` // when that was made
	Error    string     `json:"error,omitempty"`
}

func newKeysList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the local keys",
		Long: `List the local keys: state, number of versions, which one wraps and since when (UTC). What is wrong with a key file that
cannot be used goes to standard error.`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := store.List()
			if err != nil {
				return err
			}
			keys := make([]listedKey, len(infos))
			for i, info := range infos {
				keys[i] = listed(info)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), keys)
			}
			return printKeys(cmd, keys)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, errors included")
	return cmd
}

func listed(info localkms.KeyInfo) listedKey {
	k := listedKey{ID: info.ID(), State: "enabled", Versions: len(info.Versions), Current: info.Current}
	switch {
	case info.Err != nil:
		k.State, k.Error = "unusable", info.Err.Error()
	case info.Disabled:
		k.State = "disabled"
	}
	for _, v := range info.Versions {
		if v.Number == info.Current {
			k.Since = &v.Created
		}
	}
	return k
}

func printKeys(cmd *cobra.Command, keys []listedKey) error {
	out := cmd.OutOrStdout()
	if len(keys) == 0 {
		dir, err := store.Directory()
		fmt.Fprintf(out, "no local keys in %s; 'rowseal keys create NAME' makes one\n", dir)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY ID\tSTATE\tVERSIONS\tCURRENT\tSINCE")
	for _, k := range keys {
		if k.Error != "" {
			fmt.Fprintf(w, "%s\t%s\t-\t-\t-\n", k.ID, k.State)
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", k.ID, k.Error)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", k.ID, k.State, k.Versions, k.Current, k.Since.Format(time.DateOnly))
	}
	return w.Flush()
}
