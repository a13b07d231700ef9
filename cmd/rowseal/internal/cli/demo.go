package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
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
)

const demoDir = "rowseal-demo"

func newDemo() *cobra.Command {
	var dir, keyID string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Seal, open and rotate rows of a real SQLite database, explained",
		Long: `Make a local key and a SQLite database in a new directory, which is kept, and walk through what rowseal does: seal rows,
look at what is stored, open them, see a stolen row refused, write without the right to read, rotate the master key,
switch it off and on, and read the log of it all. It takes a second and needs nothing but this program.

With --key-id, the master key is one of a KMS. The key is only used: what only its keeper can do, a new version and the
switch, is told and not done.`,
		Args:              takes(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			observed := new(observed)
			var key master = localMaster{}
			if cmd.Flags().Changed("key-id") {
				var err error
				if key, err = openMaster(cmd, keyID, observed); err != nil {
					return err
				}
			}
			made, err := makeDemoDir(dir)
			if err != nil {
				return err
			}
			return runDemo(cmd.Context(), &demo{out: &output{Writer: cmd.OutOrStdout()}, dir: made, master: key, observed: observed})
		},
	}
	cmd.Flags().StringVar(&keyID, "key-id", "", "use the KMS key `ID` (default: make a local key)")
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
	out      *output
	dir      string
	master   master
	observed *observed
	db       *sql.DB
	users    *rowseal.Model[demoUser]
	step     int
	title    string // of the step
	shown    int    // of the observed calls, when the step began
}

// master is the demo's master key, with the steps that depend on who keeps it.
type master interface {
	setUp(ctx context.Context, d *demo) (*kms.Key, error)
	rotate(ctx context.Context, d *demo) error
	switchOff(ctx context.Context, d *demo) error
	words() words
	command(dir string) (rowseal, id string) // for a shell, from any directory
}

// words are those of the page that depend on the master key.
type words struct {
	wraps, opens, refuses string // what the master key is told
	refusesRight          string // who can refuse a service the right to open
	log                   string // who has a log that the application cannot change
}

// observed is what the master key's calls were.
type observed struct{ events []kms.Event }

func (o *observed) Observe(_ context.Context, e kms.Event) { o.events = append(o.events, e) }

// runDemo says of a failure, also of a page that nobody reads to its end, which directory it leaves.
func runDemo(ctx context.Context, d *demo) (err error) {
	if d.db, err = sql.Open("sqlite", filepath.Join(d.dir, "users.sqlite3")); err != nil {
		return err
	}
	defer d.db.Close()
	d.heading("rowseal demo: every row of a table under a data key of its own", "=")
	fmt.Fprintf(d.out, "Everything is in the directory %s and stays there.\n", d.dir)
	for _, step := range []func(context.Context) error{
		d.setUp, d.seal, d.showStored, d.open, d.stealRow, d.sealOnly, d.rotate, d.switchOff, d.showLog, d.tryIt,
	} {
		if err := cmp.Or(step(ctx), d.out.err); err != nil {
			return fmt.Errorf("demo, step %d (%s): %w; what was made so far stays in the directory %s", d.step, d.title, err, d.dir)
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
	d.shown = len(d.observed.events)
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

// cost shows what the calls of this step cost.
func (d *demo) cost() {
	fmt.Fprintln(d.out)
	for _, e := range d.observed.events[d.shown:] {
		d.show("-> %s: %s, %s", e.Op, count(len(e.Items), "data key"), count(e.Requests, "request"))
	}
}
