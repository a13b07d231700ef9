package config

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones, where the system has none

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

// Rules is what a file of alert rules says. docs/auditing.md shows every option.
type Rules struct {
	Name    string
	Rules   []audit.Rule
	Webhook string   // a URL, which may be a secret
	Command []string // a program and its arguments
}

// ReadRules reads a file of alert rules.
func ReadRules(name string, getenv func(string) (string, bool)) (*Rules, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return ParseRules(name, content, getenv)
}

// ParseRules reads the content of a file of alert rules.
func ParseRules(name string, content []byte, getenv func(string) (string, bool)) (*Rules, error) {
	r := &reader{getenv: getenv}
	rules := &Rules{Name: name}
	root := r.parse(content)
	if len(r.faults) == 0 {
		rules.read(r, root)
	}
	if _, err := r.done(&File{Name: name}); err != nil {
		return nil, err
	}
	return rules, nil
}

func (f *Rules) read(r *reader, root *node) {
	s := r.section(root, "rules", "notify")
	for _, n := range s.list("rules") {
		f.Rules = append(f.Rules, f.readRule(r, n))
	}
	if root.kind == mapping && len(f.Rules) == 0 {
		s.fault(s.at("rules"), "the file needs rules")
	}
	if !s.has("notify") {
		return
	}
	notify := r.section(s.values["notify"], "webhook", "command")
	f.Webhook, f.Command = notify.text("webhook"), notify.names("command")
	if u, err := url.Parse(f.Webhook); f.Webhook != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		notify.fault(notify.at("webhook"), "must be a URL that begins with https:// or http://")
	}
}

var (
	operations = []string{"encrypt", "decrypt", "rewrap", "manage"}
	outcomes   = []string{"ok", "failed", "unknown"}
	days       = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

func (f *Rules) readRule(r *reader, n *node) audit.Rule {
	s := r.section(n, "name", "principals", "not_principals", "key_ids", "records", "operations", "outcomes", "outside", "unexplained",
		"more_than", "within", "per")
	rule := audit.Rule{
		Name: s.name("name"), NotPrincipals: s.names("not_principals"), Unexplained: s.flag("unexplained", false),
		MoreThan: s.number("more_than", 1), Within: s.duration("within"),
		Per: audit.Per(s.word("per", "principal", "record", "all")),
	}
	rule.Filter.Principals, rule.Filter.KeyIDs = s.names("principals"), s.names("key_ids")
	for _, word := range s.words("operations", operations...) {
		rule.Filter.Ops = append(rule.Filter.Ops, kms.Op(word))
	}
	for _, word := range s.words("outcomes", outcomes...) {
		rule.Filter.Outcomes = append(rule.Filter.Outcomes, audit.Outcome(word))
	}
	for _, record := range s.list("records") {
		rule.Filter.Records = append(rule.Filter.Records, r.record(record))
	}
	if s.has("outside") {
		rule.Outside = s.hours(s.values["outside"])
	}
	f.check(s, rule)
	return rule
}

// check says what package audit would refuse, with its line.
func (f *Rules) check(s section, rule audit.Rule) {
	same := func(other audit.Rule) bool { return other.Name == rule.Name }
	switch {
	case s.kind != mapping:
	case !s.has("name"):
		s.fault(s.node, "the rule needs a name")
	case slices.ContainsFunc(f.Rules, same):
		s.fault(s.at("name"), "there is a rule %q already", rule.Name)
	case s.has("more_than") != s.has("within"):
		s.fault(s.node, "more_than and within need each other, as in more_than: 100 and within: 10m")
	case s.has("per") && !s.has("more_than"):
		s.fault(s.at("per"), "per is what more_than counts, which is not there")
	case rule.Unexplained && s.has("operations"):
		s.fault(s.at("operations"), "unexplained is about opens only")
	}
}

// record reads a context, or what several have in common.
func (r *reader) record(n *node) kms.Context {
	c := kms.Context{}
	if n.kind != mapping || len(n.pairs) == 0 {
		r.fault(n, "must be a mapping of names to values, as in {model_name: User, model_id: 42}")
		return c
	}
	for _, p := range n.pairs {
		c[p.name] = r.plain(p.value)
	}
	return c
}

// duration reads 10m, or 1h30m.
func (s section) duration(key string) time.Duration {
	n := s.values[key]
	if n == nil {
		return 0
	}
	d, err := time.ParseDuration(n.text)
	if n.kind != text || err != nil || d <= 0 {
		s.fault(n, "must be a time with its unit, as 30s, 10m or 24h")
		return 0
	}
	return d
}

func (s section) hours(n *node) *audit.Hours {
	o := s.section(n, "days", "from", "to", "zone")
	h := &audit.Hours{From: o.clock("from"), To: o.clock("to")}
	for _, word := range o.words("days", days...) {
		h.Days = append(h.Days, time.Weekday(slices.Index(days, word)))
	}
	if name := o.name("zone"); name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil {
			o.fault(o.at("zone"), "%q is no time zone that this machine knows; they are written as Europe/Berlin", name)
		}
		h.Zone = zone
	}
	if n.kind == mapping && h.From == h.To {
		o.fault(n, "from and to must be there, and differ")
	}
	return h
}

// clock reads 08:00.
func (s section) clock(key string) time.Duration {
	n := s.values[key]
	if n == nil {
		return 0
	}
	t, err := time.Parse("15:04", n.text)
	if end := strings.TrimSpace(n.text); end == "24:00" {
		return 24 * time.Hour
	}
	if n.kind != text || err != nil {
		s.fault(n, `must be a time of the day in quotes, as "08:00"`)
		return 0
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}
