package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
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

`+keyIDs+`

A local key is a file NAME.json in the directory $ROWSEAL_LOCAL_KEYS, or else in rowseal/keys of the user's
configuration directory (~/.config on Linux). It is meant for development, tests and single machines: whoever can read
the file can open everything that the key wraps, and without the file nobody can. Back it up.

Commands that change a key take NAME or local/NAME.`,
		newKeysCreate(), newKeysRotate(), newKeysList(), newKeysDisable(), newKeysEnable(), newKeysCheck())
}

// report is what a change of a key prints: what was done, and what to do now.
type report struct{ done, next string }

// onLocalKey is a command that changes the local key NAME.
func onLocalKey(use, short, long string, change func(ctx context.Context, name string) (report, error)) *cobra.Command {
	return &cobra.Command{
		Use:               use + " NAME",
		Short:             short,
		Long:              long,
		Args:              takes(1, 1),
		ValidArgsFunction: completeKeys(""),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := strings.TrimPrefix(args[0], localPrefix)
			if _, err := store.Open(name); err != nil {
				return usageError{err} // it reads nothing: the name itself is wrong
			}
			r, err := patiently(cmd.ErrOrStderr(), func() (report, error) { return change(cmd.Context(), name) })
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n", r.done, r.next); err != nil {
				return fmt.Errorf("%s: that was done, and only this message failed: %w", r.done, err)
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
}

// patiently says so when a change takes long: as a rule it waits for the lock that another process holds.
func patiently(stderr io.Writer, change func() (report, error)) (report, error) {
	type result struct {
		report
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := change()
		done <- result{r, err}
	}()
	select {
	case r := <-done:
		return r.report, r.err
	case <-time.After(time.Second):
		fmt.Fprintln(stderr, "waiting for another process that is changing local keys; Ctrl-C ends the wait")
		r := <-done
		return r.report, r.err
	}
}

func newKeysCreate() *cobra.Command {
	cmd := onLocalKey("create", "Make a local key",
		"Make the local key local/NAME, with one version. A key that is there already is left as it is.",
		func(ctx context.Context, name string) (report, error) {
			if err := store.Create(ctx, name); err != nil {
				return report{}, err
			}
			dir, err := store.Directory()
			return report{
				done: fmt.Sprintf("local/%s is made, in %s", name, dir),
				next: "\nBack it up now: without the key, nothing that it wraps can be read again.",
			}, err
		})
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

func newKeysRotate() *cobra.Command {
	return onLocalKey("rotate", "Add a version to a local key",
		`Add a version to the local key local/NAME, which wraps from then on, in running processes too. Earlier versions stay and
open what they wrapped.`,
		func(ctx context.Context, name string) (report, error) {
			version, err := store.Rotate(ctx, name)
			return report{
				done: fmt.Sprintf("local/%s now wraps with version %d; earlier ones still open", name, version),
				next: "\nBack it up again.",
			}, err
		})
}

func newKeysDisable() *cobra.Command {
	return onLocalKey("disable", "Let a local key refuse everything",
		`Let the local key local/NAME refuse to seal and to open, from each process's next request on. What a process has opened
stays open in it. Nothing is lost: see enable.`,
		func(ctx context.Context, name string) (report, error) {
			return report{
				done: fmt.Sprintf("local/%s is disabled", name),
				next: fmt.Sprintf("; 'rowseal keys enable %s' undoes that", name),
			}, store.Disable(ctx, name)
		})
}

func newKeysEnable() *cobra.Command {
	return onLocalKey("enable", "Undo disable", "Let the local key local/NAME seal and open again.",
		func(ctx context.Context, name string) (report, error) {
			return report{done: fmt.Sprintf("local/%s is enabled", name)}, store.Enable(ctx, name)
		})
}

// listedKey is a line of keys list.
type listedKey struct {
	ID       string     `json:"id"`
	State    string     `json:"state"` // enabled, disabled or unusable
	Versions int        `json:"versions,omitempty"`
	Current  uint32     `json:"current,omitempty"` // the version that wraps
	Since    *time.Time `json:"since,omitempty"`   // when that was made
	Error    string     `json:"error,omitempty"`
}

func newKeysList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the local keys",
		Long: `List the local keys: state, number of versions, which one wraps and since when (UTC). What is wrong with a key file that
cannot be used goes to standard error, with --json into its "error", in place of versions. A directory that cannot be
read is an error: nothing goes to standard output, and the exit code is 1.`,
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: an array of keys")
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
