// Package cli is the command line: it parses, calls the library, and prints. Everything that it can do, a Go program can do.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/awskms"
	_ "github.com/rowseal/rowseal/kms/azurekms"
	_ "github.com/rowseal/rowseal/kms/gcpkms"
	_ "github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/kms/testkms"
	_ "github.com/rowseal/rowseal/kms/vaultkms"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitPartly: all was done but some rows, which are in quarantine; or rules have found something in a log.
	exitPartly = 3
)

// The beginnings of ids of local keys and of keys of Vault.
const (
	localPrefix = "local/"
	vaultPrefix = "vault/"
)

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main carries out one command line and returns the exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{Writer: stdout}
	ctx, ledger := withLedger(ctx)
	defer ledger.close()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = out.err
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "error:", message(ctx, err))
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintf(stderr, "See '%s --help'.\n", ran.CommandPath())
		return exitUsage
	}
	if errors.As(err, new(quarantined)) || errors.As(err, new(alerted)) {
		return exitPartly
	}
	return exitFailed
}

// packageName is with what errors begin, and each line of several, and what a KMS said in the middle of one: here it tells nothing.
var packageName = regexp.MustCompile(`(?m)(^|: )(?:(?:rowseal|sqlseal|sweep|kms|localkms|vaultkms|awskms|gcpkms|azurekms|policy|store|lockbox|blindindex|activestorage|audit): )+`)

// forGo is advice that only a Go program can follow, with what else it says of the environment.
var forGo = regexp.MustCompile(`,? or (?:(?:set|into) )?Options\.\w+| \(or Store\.Dir\)|Options\.\w+ \(for kms\.Open: (\w+=\w+)\)`)

// inFile are advices for Go programs, and words of SQLite, and what an operator can do with them.
var inFile = strings.NewReplacer(
	"add its store to Options.Others", "name it under storage, as in storage: {local: dir:storage}",
	"which the Model does not know and", "which the file does not declare and",
	"name it in rowseal.Options.Unsealed", "name it under unsealed",
	"; have them made, or use Options.Stateless", "; have them made",
	"attempt to write a readonly database", "this user may not write to the database's file, or to its directory",
)

// wording is an error in the command line's words.
func wording(err error) string {
	return forGo.ReplaceAllString(inFile.Replace(packageName.ReplaceAllString(err.Error(), "$1")), "$1")
}

// noConnection finds what Go's package net says where there is no server, or none for HTTPS.
var noConnection = regexp.MustCompile(`\b(?:dial|lookup) |HTTP response to HTTPS client`)

func message(ctx context.Context, err error) string {
	text := wording(err)
	var failed *kms.Error
	switch {
	case ctx.Err() != nil:
		return "interrupted: " + text
	case errors.As(err, &failed) && errors.Is(failed, kms.ErrUnavailable) && noConnection.MatchString(failed.Error()):
		return text + "; 'rowseal keys --help' tells where the service's address comes from"
	}
	return text
}

// output remembers the first error, so that nobody who prints has to look.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// isTerminal takes what cobra has for standard input or output.
func isTerminal(stream any) bool {
	if o, ok := stream.(*output); ok {
		stream = o.Writer
	}
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

func newRoot() *cobra.Command {
	root := group("rowseal", "Per-record envelope encryption for database rows",
		`Rowseal seals database rows, each under a data key of its own, which a key management service (KMS) wraps.

Start with 'rowseal demo'. Exit codes: 0 done, 1 failed, 2 the command line is wrong or the input is
empty, 3 done but for rows that are in quarantine, or with alerts.`,
		newDemo(), newEncrypt(), newDecrypt(), newShow(), newConfig(), newStatus(), newRotate(), newVerify(), newMigrate(), newIndex(), newDoctor(), newKeys(), newPolicy(), newAudit(), newContextHash(), newVersion(), newCompletion())
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.DisableDefaultCmd = true
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print the version")
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(newHelp())
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolP("help", "h", false, "") // one for all commands; usageTemplate leaves it out
	return root
}

// group is a command that only has subcommands.
func group(name, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " COMMAND",
		Short: short,
		Long:  long,
		Args:  cobra.ArbitraryArgs,
		RunE:  needsCommand,

		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(commands...)
	return cmd
}

func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	const unknown = "there is no command %q in '%s'"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef(unknown+"; did you mean %s?", args[0], cmd.CommandPath(), strings.Join(near, " or "))
	}
	return usagef(unknown, args[0], cmd.CommandPath())
}

// takes refuses more or fewer arguments than a command has use for.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if least <= len(args) && len(args) <= most {
			return nil
		}
		want := count(most, "argument")
		switch {
		case least < most && least > 0:
			want = fmt.Sprintf("%d to %s", least, want)
		case least < most:
			want = "at most " + want
		}
		return usagef("'%s' takes %s, not %d", cmd.CommandPath(), want, len(args))
	}
}

// flagError keeps back what may be a secret: an argument that begins with "-", or the value of a flag that takes none.
func flagError(_ *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var malformed *pflag.InvalidSyntaxError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" || errors.As(err, &malformed) {
		return usagef(`an argument begins with "-" and is no flag; write "--" before it if it is meant so`)
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		flag := invalid.GetFlag()
		if flag.Value.Type() == "bool" {
			return usagef("--%s takes no value", flag.Name)
		}
		if flag.Value.Type() == "duration" {
			return usagef("--%s %q: must be a time with its unit, as in --%[1]s 30m", flag.Name, invalid.GetValue())
		}
		return usagef("--%s %q: must be a number, as in --%[1]s 2", flag.Name, invalid.GetValue())
	}
	return usageError{err}
}

// openKey opens a key by its id, and warns about the test key. opts may be nil.
func openKey(cmd *cobra.Command, id string, opts *kms.KeyOptions) (*kms.Key, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if isTestKey(id) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s is for tests: whoever sees what it wraps can read it\n", id)
	}
	opts, err := recorded(cmd, opts)
	if err != nil {
		return nil, err
	}
	key, err := kms.Open(cmd.Context(), id, opts)
	if errors.Is(err, kms.ErrInvalidRequest) {
		return nil, usageError{err} // no request has been made: the id itself is wrong, or what the environment adds to it
	}
	return key, err
}

func isTestKey(id string) bool { return id == testkms.ID || id == testkms.EncryptOnlyID }

// keyIDForm is the beginning of a key id, the right one or not. Anything else may be a secret, pasted into the wrong place.
var keyIDForm = regexp.MustCompile(`^(?:(?:local|vault|projects|alias)/|https://[^/@?#]+/keys/|arn:aws[a-z-]*:kms:|` +
	`mrk-[0-9a-f]{32}$|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$|` + testkms.ID + `(?:/encrypt)?$)`)

// notOfID finds where an id does not go on, and a secret may: a query, and the beginnings of Vault's and OpenBao's tokens.
var notOfID = regexp.MustCompile(`[?#]|/(?:hv[bsr]\.|[bsr]\.[0-9A-Za-z_-]{24})`)

// checkID refuses what is no key id before anything else can repeat it.
func checkID(id string) error {
	if !keyIDForm.MatchString(id) {
		return unknownID(id)
	}
	if found := notOfID.FindStringIndex(id); found != nil {
		return usagef("key id %q: what follows is no part of a key id, may be a secret, and is not shown", id[:found[0]+1]+"…")
	}
	return nil
}

// keyIDs is for help texts.
const keyIDs = `Key ids, and where address and credentials come from:

  local/NAME                              a file, see below
  vault/NAME, vault/MOUNT/NAME            Vault or OpenBao, transit engine: $VAULT_ADDR, $VAULT_TOKEN
  arn:aws:kms:…, alias/NAME, UUID, mrk-…  AWS KMS: as for aws, say $AWS_REGION and $AWS_PROFILE
  projects/…/cryptoKeys/NAME              Google Cloud KMS: application default credentials
  https://NAME.vault.azure.net/keys/NAME  Azure Key Vault, or .managedhsm: az login, or $AZURE_CLIENT_ID and so on
  insecure-test-key                       for tests: whoever sees what it wraps can read it`

// unknownID shows as much as kms.Open does.
func unknownID(id string) error {
	const shown = 8
	if len(id) > shown && !keyIDForm.MatchString(id) {
		id = id[:shown] + "…"
	}
	const unknown = "key id %q: known are local/NAME, vault/NAME, arn:aws:kms:…, alias/NAME, projects/…/cryptoKeys/NAME, " +
		"https://NAME.vault.azure.net/keys/NAME and, for tests, " + testkms.ID
	if _, err := store.Open(id); err == nil { // it reads nothing: id could be the name of a local key
		return usagef(unknown+"; did you mean local/%[1]s or vault/%[1]s?", id)
	}
	return usagef(unknown, id)
}

func printJSONLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
