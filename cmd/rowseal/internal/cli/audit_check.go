package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/follow"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/notify"
)

// alerted is the end of a check that has found something.
type alerted struct{ n int }

func (a alerted) Error() string { return "the rules have found something: " + count(a.n, "alert") }

// checking applies rules to logs.
type checking struct {
	reading
	asJSON    bool
	following bool
	delay     time.Duration

	now, later *audit.Watch // rules that need only the event, and those that wait for what the application says
	notifier   *notify.Notifier
	shown      *audit.Report
	alerts     int
}

func newAuditCheck() *cobra.Command {
	c := &checking{}
	var rulesFile string
	cmd := &cobra.Command{
		Use:   "check --rules FILE LOG…",
		Short: "Apply alert rules to a log, or to one that grows",
		Long: `Apply the rules of a file to the events of a log: too many opens within a time, opens outside hours, principals that
should never open, records that nobody should ever open, opens that no application explains. docs/auditing.md shows
rules. Alerts are printed, and sent where the rules say: as JSON to a webhook, or to a command's standard input.

` + logsHelp + `

With --follow the command does not end: it reads what is added to the files from now on, also after they have been
rotated. Alerts about opens that no application explains then come a little later, since an application writes its
ledger when it has the answer: --delay.

The exit code is 3 if there was an alert.`,
		Example: `  rowseal audit check --rules rules.yaml AWSLogs/
  rowseal audit check --rules rules.yaml --follow --ledger ledger.jsonl --audit-device file /var/log/vault_audit.log`,
		Args: leastOneLog,
		RunE: func(cmd *cobra.Command, logs []string) error {
			if rulesFile == "" {
				return usagef("missing --rules: docs/auditing.md shows rules")
			}
			rules, err := config.ReadRules(rulesFile, os.LookupEnv)
			if err != nil {
				return err
			}
			if err := c.prepare(); err != nil {
				return err
			}
			if err := c.use(rules); err != nil {
				return err
			}
			if c.following {
				return c.follow(logs)
			}
			return c.check(logs)
		},
	}
	c.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&rulesFile, "rules", "", "the `FILE` of the rules")
	fl.BoolVar(&c.asJSON, "json", false, "print a JSON object a line for each alert")
	fl.BoolVar(&c.following, "follow", false, "go on with what is added to the files")
	fl.DurationVar(&c.delay, "delay", time.Minute, "with --follow: wait a `TIME` for the application's line about an open")
	return cmd
}

// use splits the rules by what they need.
func (c *checking) use(f *config.Rules) error {
	c.shown = &audit.Report{Redaction: &c.redaction}
	c.notifier = &notify.Notifier{Webhook: f.Webhook, Command: f.Command, Output: c.cmd.ErrOrStderr()}
	var now, later []audit.Rule
	for _, r := range f.Rules {
		if r.Unexplained {
			later = append(later, r)
			continue
		}
		now = append(now, r)
	}
	if len(later) > 0 && c.matcher == nil {
		return usagef("rule %q is about opens that no application explains: name the applications' ledgers with --ledger", later[0].Name)
	}
	var err error
	if c.now, err = audit.NewWatch(now, nil); err != nil {
		return err
	}
	c.later, err = audit.NewWatch(later, c.matcher)
	return err
}

// check reads logs to their ends.
func (c *checking) check(logs []string) error {
	if c.matcher != nil {
		if err := c.readLedgers(); err != nil {
			return err
		}
	}
	order := &inOrder{}
	err := c.each(logs, false, func(e audit.Event) error {
		for _, e := range order.add(e) {
			c.see(e, c.now, c.later)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range order.rest() {
		c.see(e, c.now, c.later)
	}
	c.warn()
	if failed := c.notifier.Failed; failed > 0 {
		return fmt.Errorf("%s could not be sent", count(failed, "alert"))
	}
	if c.alerts > 0 {
		return alerted{c.alerts}
	}
	return nil
}

// see shows an event to rules. One that the filters leave out is explained all the same, lest its explanation serve another.
func (c *checking) see(e audit.Event, watches ...*audit.Watch) {
	matches, shown := c.matches(e), c.comparable(e)
	for _, w := range watches {
		switch {
		case matches:
			for _, a := range w.See(shown) {
				c.alert(a, e)
			}
		case w.Unexplained():
			c.matcher.Explains(shown)
		}
	}
}

// alertLine is an alert as it is printed and sent.
type alertLine struct {
	Text  string     `json:"text"` // for chats, whose webhooks want it so
	Rule  string     `json:"rule"`
	Count int        `json:"count"`
	Since time.Time  `json:"since"`
	Event audit.Line `json:"event"`
}

func (c *checking) alert(a audit.Alert, e audit.Event) {
	c.alerts++
	line := alertLine{Rule: a.Rule, Count: a.Count, Since: a.Since.UTC(), Event: c.shown.Line(e)}
	line.Text = line.String()
	if c.asJSON {
		printJSONLine(c.cmd.OutOrStdout(), line)
	} else {
		fmt.Fprintln(c.cmd.OutOrStdout(), line.Text)
	}
	c.notifier.Send(c.cmd.Context(), line)
}

func (l alertLine) String() string {
	e := l.Event
	text := fmt.Sprintf("%s  %s: ", e.Time.UTC().Format(time.RFC3339), l.Rule)
	if l.Count > 1 {
		text += fmt.Sprintf("%d events since %s, the last: ", l.Count, l.Since.Format(time.RFC3339))
	}
	who, what := e.Principal, e.Record
	if who == "" {
		who = "somebody"
	}
	if what == "" {
		what = "a record that the log does not name"
	}
	text += fmt.Sprintf("%s, %s of %s", visible(who), e.Op, visible(what))
	if e.KeyID != "" {
		text += " with " + visible(e.KeyID)
	}
	text += ", " + string(e.Outcome)
	if e.Error != "" {
		text += " (" + visible(e.Error) + ")"
	}
	if e.Address != "" {
		text += ", from " + visible(e.Address)
	}
	return text
}

// arrived is an event of a file that is followed.
type arrived struct {
	audit.Event
	ledger bool
}

// waiting is an event whose explanation may still come.
type waiting struct {
	audit.Event
	until time.Time
}

// follow reads files that grow, until it is interrupted, which is no error.
func (c *checking) follow(logs []string) error {
	for _, name := range append(logs[:len(logs):len(logs)], c.ledgers...) {
		if info, err := os.Stat(name); name == "-" || err == nil && info.IsDir() {
			return usagef("--follow follows files, and %q is none", name)
		}
	}
	ctx := c.cmd.Context()
	events, failed := make(chan arrived), make(chan error)
	fromStart := c.since != "" // which leaves out what is too old
	for _, name := range logs {
		go func() { failed <- c.tail(name, false, fromStart, events) }()
	}
	for _, name := range c.ledgers {
		go func() { failed <- c.tail(name, true, true, events) }()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var held []waiting
	forget := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() == nil {
				return err
			}
		case e := <-events:
			if e.ledger {
				c.matcher.Application(e.Event)
				if err := c.learn(e.Context); err != nil {
					return err
				}
				continue
			}
			c.see(c.names.Resolve(e.Event), c.now)
			if c.later.Unexplained() && e.Opened() {
				held = append(held, waiting{e.Event, time.Now().Add(c.delay)})
			}
		case now := <-tick.C:
			for len(held) > 0 && now.After(held[0].until) {
				c.see(c.names.Resolve(held[0].Event), c.later)
				held = held[1:]
			}
			if c.matcher != nil && now.Sub(forget) > time.Hour {
				c.matcher.Forget(now.Add(-24 * time.Hour))
				forget = now
			}
		}
	}
}

// tail sends the events of a file that grows.
func (c *checking) tail(name string, ledger, fromStart bool, events chan<- arrived) error {
	ctx := c.cmd.Context()
	file, err := follow.Open(ctx, name, fromStart)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := audit.NewReader(name, file)
	malformed := 0
	for {
		e, err := reader.Next()
		if stats := reader.Stats(); stats.Malformed > malformed {
			malformed = stats.Malformed
			fmt.Fprintf(c.cmd.ErrOrStderr(), "warning: %s: %s could not be read\n", name, entries(malformed))
		}
		if err != nil {
			return err
		}
		select {
		case events <- arrived{e, ledger}:
		case <-ctx.Done():
			return nil
		}
	}
}
