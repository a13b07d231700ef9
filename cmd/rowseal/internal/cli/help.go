package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// usageTemplate is what cobra prints after a command's description.
const usageTemplate = `Usage:
  {{.UseLine}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}
{{- if .LocalNonPersistentFlags.HasAvailableFlags}}

Flags:
{{.LocalNonPersistentFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableSubCommands}}

'{{.CommandPath}} COMMAND --help' tells more.{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
`

// newHelp differs from cobra's in that an unknown command is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Tell about a command",
		Long:  "Tell about a command, as its --help does.",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usageError{err}
			}
			return needsCommand(about, rest)
		},
		DisableFlagsInUseLine: true,
	}
}

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands in a shell",
		Long: `Print a script with which a shell completes commands, flags and the ids of local keys. Load it in the shell's
start-up file.`,
		Example: `  source <(rowseal completion bash)       # in ~/.bashrc, after bash-completion
  source <(rowseal completion zsh)        # in ~/.zshrc, after compinit
  rowseal completion fish | source        # in ~/.config/fish/config.fish
  rowseal completion powershell | Out-String | Invoke-Expression`,
		Args:      takes(1, 1),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usagef("no script for %q: there is one for %s", args[0], strings.Join(cmd.ValidArgs, ", "))
		},
		DisableFlagsInUseLine: true,
	}
}

// completeKeys offers the local keys, each as prefix and name.
func completeKeys(prefix string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		keys, _ := store.List()
		written := prefix
		if strings.HasPrefix(begun, localPrefix) {
			written = localPrefix
		}
		var ids []string
		for _, k := range keys {
			ids = append(ids, written+k.Name)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
