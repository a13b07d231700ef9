package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // pure Go, so that the demo needs nothing but Go

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
)

const demoDir = "rowseal-demo"

func newDemo() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Seal, open and rotate rows of a real SQLite database, explained",
		Long: `Make a local key and a SQLite database in a new directory, which is kept, and walk through what rowseal does: seal rows,
look at what is stored, open them, see a stolen row refused, write without the right to read, rotate the master key,
switch it off and on, and read the log of it all. It takes a second and needs nothing but this program.`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := makeDemoDir(dir)
			if err != nil {
				return err
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout(), made)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "make `DIRECTORY` (default "+demoDir+", or the first of "+demoDir+"-2, -3, … that is free)")
	return cmd
}

// makeDemoDir makes dir, or the first free one of its own names.
func makeDemoDir(dir string) (string, error) {
	tried := dir
	if dir == "" {
		tried = demoDir
	}
	for n := 2; ; n++ {
		err := os.Mkdir(tried, 0o700)
		switch {
		case err == nil:
			return tried, nil
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("the demo needs a directory of its own: %w; name one that can be made with --dir", err)
		case dir != "":
			return "", fmt.Errorf("%s is there already, and the demo needs a new directory: name another with --dir", dir)
		}
		tried = demoDir + "-" + strconv.Itoa(n)
	}
}

// demo is a page in steps, each a method that shows one thing.
type demo struct {
	out    io.Writer
	dir    string
	store  localkms.Store
	db     *sql.DB
	users  *rowseal.Model[demoUser]
	events []kms.Event
	step   int
	title  string // of the step
}

// runDemo says of a failure, also of a page that nobody reads to its end, which directory it leaves.
func runDemo(ctx context.Context, stdout io.Writer, dir string) (err error) {
	out := &output{Writer: stdout}
	d := &demo{out: out, dir: dir, store: localkms.Store{Dir: filepath.Join(dir, "keys")}}
	if d.db, err = sql.Open("sqlite", filepath.Join(dir, "users.sqlite3")); err != nil {
		return err
	}
	defer d.db.Close()
	d.heading("rowseal demo: every row of a table under a data key of its own", "=")
	fmt.Fprintf(out, "Everything is in the directory %s and stays there.\n", dir)
	for _, step := range []func(context.Context) error{
		d.setUp, d.seal, d.showStored, d.open, d.stealRow, d.sealOnly, d.rotate, d.switchOff, d.showLog, d.tryIt,
	} {
		if err := cmp.Or(step(ctx), out.err); err != nil {
			return fmt.Errorf("demo, step %d (%s): %w; what was made so far stays in the directory %s", d.step, d.title, err, dir)
		}
	}
	return nil
}

const pageWidth = 100 // characters

func (d *demo) heading(text, underline string) {
	fmt.Fprintf(d.out, "%s\n%s\n\n", text, strings.Repeat(underline, utf8.RuneCountInString(text)))
}

// begin prints the heading of a step and what there is to know.
func (d *demo) begin(title, text string) {
	d.step++
	d.title = title
	fmt.Fprintln(d.out)
	d.heading(fmt.Sprintf("%d. %s", d.step, title), "-")
	d.say(text)
	fmt.Fprintln(d.out)
}

// say prints a paragraph.
func (d *demo) say(text string) { fmt.Fprintln(d.out, wrap(text, pageWidth, "")) }

// show prints a line of what happens.
func (d *demo) show(format string, args ...any) { fmt.Fprintf(d.out, "    "+format+"\n", args...) }

// refused shows an error, which may be long.
func (d *demo) refused(err error) {
	fmt.Fprintln(d.out, wrap("refused: "+err.Error(), pageWidth, "    "))
}

// cost shows what the last call cost.
func (d *demo) cost() {
	e := d.events[len(d.events)-1]
	fmt.Fprintln(d.out)
	d.show("-> %s: %s, %s", e.Op, count(len(e.Contexts), "data key"), count(e.Requests, "request"))
}
