package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

func newConfig() *cobra.Command {
	var name string
	var values int64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check rowseal.yaml, and tell what it says",
		Long: `Check the configuration, and print what it says of each table: keys with their versions and contexts, what is sealed
under them and to what it is bound, and indexes, with how much they tell to who reads the database. Then notes: what
protects less than it could.

No request is made, neither to a KMS nor to the database. Keys are opened by id, so the environment must say what they
need, and every ${NAME} in the file must be set. All mistakes are told at once, each with its line.

docs/configuration.md shows every option of the file.`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if values < 1 {
				return usagef("--values must be 1 or more")
			}
			p := &project{cmd: cmd, keys: map[string]*kms.Key{}}
			defer p.close()
			file, err := config.Examine(name, os.LookupEnv, p.opener())
			if err != nil {
				return err
			}
			d := describe(file, values)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), d)
			}
			return d.print(cmd.OutOrStdout())
		},
	}
	configFlag(cmd, &name)
	cmd.Flags().Int64Var(&values, "values", 1_000_000, "tell what indexes tell of `N` values")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// described is a configuration as it is understood.
type described struct {
	Config   string           `json:"config"`
	Database string           `json:"database"`
	Tables   []describedTable `json:"tables"`
}

type describedTable struct {
	Table      string            `json:"table"`
	Model      string            `json:"model"`
	PrimaryKey string            `json:"primary_key"`
	Binding    string            `json:"binding"`
	Writers    string            `json:"writers"`
	Keys       []describedKey    `json:"keys"`
	MasterKeys []describedMaster `json:"master_keys,omitempty"`
	Sealed     []describedSealed `json:"sealed"`
	Indexes    []describedIndex  `json:"indexes,omitempty"`
	Notes      []string          `json:"notes"`
}

type describedKey struct {
	Column  string            `json:"column"`
	Name    string            `json:"name"`
	Version int               `json:"version"`
	KeyID   string            `json:"key_id"`
	Seals   bool              `json:"seals"`
	Context map[string]string `json:"context"`
}

type describedMaster struct {
	Name      string `json:"name"`
	WrappedBy string `json:"wrapped_by,omitempty"`
}

type describedSealed struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"` // column, file or attachment
	Under string `json:"under"`
	Type  string `json:"type"`
	How   string `json:"how"`
	Bound string `json:"bound_to"`
}

type describedIndex struct {
	Column    string   `json:"column"`
	Of        []string `json:"of"`
	Algorithm string   `json:"algorithm"`
	Bits      int      `json:"bits"`
	Normalize string   `json:"normalize,omitempty"`
	Leak      string   `json:"leak"`
}

func describe(f *config.File, values int64) described {
	d := described{Config: f.Name, Database: f.Database.String()}
	for _, t := range f.Tables {
		d.Tables = append(d.Tables, describeTable(t, values))
	}
	return d
}

func describeTable(t *config.Table, values int64) describedTable {
	s := t.Schema
	d := describedTable{
		Table: s.Table, Model: s.Model, PrimaryKey: s.PrimaryKey, Binding: s.Binding.String(), Writers: t.Writers,
		Keys: []describedKey{}, Notes: []string{},
	}
	for _, note := range t.Notes() {
		d.Notes = append(d.Notes, note.String())
	}
	under := map[string]string{}
	for _, k := range s.Keys {
		under[k.Name] = k.Column
		for i, rule := range t.Contexts(k) {
			v := t.Versions[k.Name][i]
			d.Keys = append(d.Keys, describedKey{k.Column, k.Name, v.Number, v.KeyID, i == 0, rule.Names})
		}
	}
	for _, name := range s.MasterKeys {
		under[name] = name
		d.MasterKeys = append(d.MasterKeys, describedMaster{name, t.Masters[name].KeyID})
	}
	for _, f := range s.Fields {
		d.Sealed = append(d.Sealed, describedSealed{
			f.Column, "column", under[f.Key], orElse(string(f.Type), string(lockbox.String)), config.Format(f), t.BoundTo(f.Column, f.AssociatedData),
		})
	}
	for _, f := range s.Files {
		how := config.Format(rowseal.Field{Algorithm: f.Algorithm, Format: lockbox.Format{Padding: f.Padding}})
		d.Sealed = append(d.Sealed, describedSealed{f.Column, "file", under[f.Key], "file", how, t.BoundTo(f.Column, f.AssociatedData)})
	}
	for _, a := range s.Attachments {
		how := config.Format(rowseal.Field{Algorithm: a.Algorithm, Format: lockbox.Format{Padding: a.Padding}})
		d.Sealed = append(d.Sealed, describedSealed{a.Name, "attachment", under[a.Key], "attachment", how, t.BoundTo(a.Name, a.AssociatedData)})
	}
	for _, ix := range s.Indexes {
		d.Indexes = append(d.Indexes, describedIndex{
			ix.Column, ix.Of, orElse(string(ix.Options.Algorithm), string(blindindex.Argon2id)), bits(ix), ix.Options.Normalize, leak(s, ix, values),
		})
	}
	return d
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func bits(ix rowseal.Index) int {
	if ix.Options.Size == 0 {
		return 256
	}
	return 8 * ix.Options.Size
}

// leak tells in words what an index tells, together with the others over the same fields.
func leak(s rowseal.Schema, ix rowseal.Index, values int64) string {
	p := blindindex.Plan{Rows: values}
	for _, other := range s.Indexes {
		if slices.Equal(other.Of, ix.Of) {
			p.Indexes = append(p.Indexes, blindindex.PlannedIndex{Bits: bits(other)})
		}
	}
	return p.Leak().String()
}

func (d described) print(w io.Writer) error {
	fmt.Fprintf(w, "%s is right: database %s, %s\n", d.Config, d.Database, count(len(d.Tables), "table"))
	for _, t := range d.Tables {
		if err := t.print(w); err != nil {
			return err
		}
	}
	return nil
}

func (d describedTable) print(out io.Writer) error {
	fmt.Fprintf(out, "\n%s: model %s, primary key %s, binding %s, writers %s\n", d.Table, orElse(d.Model, "-"), d.PrimaryKey, d.Binding, d.Writers)
	var errs []error
	section := func(head string, lines func(w io.Writer)) {
		fmt.Fprintln(out)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "  %s\n", head)
		lines(w)
		errs = append(errs, w.Flush())
	}
	if len(d.Keys) > 0 {
		section("KEY COLUMN\tVERSION\tKEY ID\tCONTEXT", func(w io.Writer) {
			for _, k := range d.Keys {
				version := fmt.Sprint(k.Version)
				if k.Seals {
					version += " (seals)"
				}
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", k.Column, version, k.KeyID, contextLine(k.Context))
			}
		})
	}
	if len(d.MasterKeys) > 0 {
		section("MASTER KEY\tWRAPPED BY", func(w io.Writer) {
			for _, m := range d.MasterKeys {
				fmt.Fprintf(w, "  %s\t%s\n", m.Name, orElse(m.WrappedBy, "nothing"))
			}
		})
	}
	section("SEALED\tUNDER\tTYPE\tHOW\tBOUND TO", func(w io.Writer) {
		for _, s := range d.Sealed {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", s.Name, s.Under, s.Type, s.How, s.Bound)
		}
	})
	if len(d.Indexes) > 0 {
		section("INDEX\tOF\tHOW", func(w io.Writer) {
			for _, ix := range d.Indexes {
				how := fmt.Sprintf("%s, %d bits", ix.Algorithm, ix.Bits)
				if ix.Normalize != "" {
					how += ", " + ix.Normalize
				}
				fmt.Fprintf(w, "  %s\t%s\t%s\n", ix.Column, strings.Join(ix.Of, ", "), how)
			}
		})
		for _, ix := range d.Indexes {
			fmt.Fprintln(out, hanging("  ", ix.Column+": "+ix.Leak))
		}
	}
	if len(d.Notes) > 0 {
		fmt.Fprintln(out, "\n  NOTES")
		for _, note := range d.Notes {
			fmt.Fprintln(out, hanging("  - ", note))
		}
	}
	return errors.Join(errs...)
}

// hanging wraps a text behind its first indent, and indents its other lines by as many spaces.
func hanging(first, text string) string {
	indent := strings.Repeat(" ", len(first))
	return first + strings.TrimPrefix(wrap(text, pageWidth, indent), indent)
}

// contextLine is a context as --context takes it, with columns in braces.
func contextLine(names map[string]string) string {
	var all []string
	for name, value := range names {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "{}"
	}
	return strings.Join(all, " ")
}
