package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
)

func documentedRules(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile("../../../../docs/auditing.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlocks.FindAllSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("the page shows %d files of rules", len(blocks))
	}
	return blocks[0][1]
}

func alertEnv(name string) (string, bool) {
	return "https://hooks.example.org/s3cret", name == "ALERT_WEBHOOK"
}

// The page's rules are right, say what the page says, and use every field of a rule.
func TestTheDocumentedRulesAreRight(t *testing.T) {
	f, err := config.ParseRules("rules.yaml", documentedRules(t), alertEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.NewWatch(f.Rules, nil); err != nil {
		t.Error(err)
	}
	if f.Webhook != "https://hooks.example.org/s3cret" || strings.Join(f.Command, " ") != "/usr/local/bin/page security" || len(f.Rules) != 6 {
		t.Errorf("%d rules, %q %q", len(f.Rules), f.Webhook, f.Command)
	}
	if r := f.Rules[0]; r.MoreThan != 500 || r.Within != 10*time.Minute || r.Per != audit.PerPrincipal || r.Filter.Records[0]["model_name"] != "User" {
		t.Errorf("%+v", r)
	}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	if h := f.Rules[1].Outside; h.From != 7*time.Hour || h.To != 20*time.Hour || len(h.Days) != 5 || h.Days[0] != time.Monday || h.Zone.String() != berlin.String() {
		t.Errorf("%+v", h)
	}
	set := map[string]bool{}
	for _, r := range f.Rules {
		for _, part := range []any{r, r.Filter} {
			v := reflect.ValueOf(part)
			for i := range v.NumField() {
				if !v.Field(i).IsZero() {
					set[v.Type().Field(i).Name] = true
				}
			}
		}
	}
	for _, part := range []any{audit.Rule{}, audit.Filter{}} {
		for i := range reflect.TypeOf(part).NumField() {
			name := reflect.TypeOf(part).Field(i).Name
			if !set[name] && name != "Since" && name != "Until" { // flags of the command
				t.Errorf("no rule of the page has %s", name)
			}
		}
	}
}

func TestMistakesInRulesAreTold(t *testing.T) {
	for content, want := range map[string]string{
		``:                                     "the file is empty",
		`rules: []`:                            "rules.yaml:1: rules: the list is empty",
		`{}`:                                   "the file needs rules",
		`rules: [{more_than: 1, within: 1m}]`:  "the rule needs a name",
		`rules: [{name: a}, {name: a}]`:        `there is a rule "a" already`,
		`rules: [{name: a, within: 10}]`:       "must be a time with its unit",
		`rules: [{name: a, more_than: 0}]`:     "must be an integer from 1",
		`rules: [{name: a, per: record}]`:      "per is what more_than counts",
		`rules: [{name: a, operations: open}]`: `"open" is unknown`,
		`rules: [{name: a, outcomes: bad}]`:    `"bad" is unknown`,
		`rules: [{name: a, records: [x]}]`:     "must be a mapping of names to values",
		`rules: [{name: a, unexplained: true, operations: encrypt}]`:             "unexplained is about opens only",
		`rules: [{name: a, outside: {from: "8:00", to: "25:00"}}]`:               `must be a time of the day in quotes`,
		`rules: [{name: a, outside: {days: [monday], from: "08:00"}}]`:           `"monday" is unknown; did you mean mon?`,
		`rules: [{name: a, outside: {days: mon}}]`:                               "from and to must be there, and differ",
		`{rules: [{name: a}], notify: {webhook: "ftp://x"}}`:                     "must be a URL that begins with https://",
		`{rules: [{name: a}], notify: {webhook: "${NOTHING}"}}`:                  "the environment variable NOTHING is not set",
		`{rules: [{name: a}], notify: {mail: ada@example.org}}`:                  `unknown key "mail"`,
		"rules: [{name: a, records: {model_id: \"${X}\"}}]\nnotify: {command: x": "rules.yaml:",
	} {
		_, err := config.ParseRules("rules.yaml", []byte(content), alertEnv)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %s", content, err, want)
		}
	}
	if _, err := config.ReadRules("nowhere.yaml", alertEnv); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}
