package otelseal_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

type rule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	f, err := os.Open(filepath.Join(folder, "alerts.yaml"))
	must(t, err)
	defer f.Close()
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	must(t, decoder.Decode(&file))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// recorded adds what the rules record, with the labels that they group by.
func (s scraped) recorded(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		if r.Record == "" {
			continue
		}
		expr, err := promql.ParseExpr(r.Expr)
		must(t, err)
		aggregate, ok := expr.(*parser.AggregateExpr)
		if !ok {
			t.Fatalf("%s does not aggregate: what labels has it?", r.Record)
		}
		s[r.Record] = map[string][]string{}
		for _, label := range aggregate.Grouping {
			s[r.Record][label] = s["rowseal_kms_items_total"][label]
		}
	}
}

func TestAlertsAskForWhatIsExported(t *testing.T) {
	there, all := scrape(t), rules(t)
	there.recorded(t, all)
	alerts := 0
	for _, r := range all {
		for _, fault := range there.faults(r.Expr) {
			t.Errorf("%s%s: %s", r.Record, r.Alert, fault)
		}
		if r.Alert == "" {
			continue
		}
		alerts++
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, a summary or a description", r.Alert)
		}
		for _, label := range shown.FindAllStringSubmatch(fmt.Sprint(r.Annotations), -1) {
			if !slices.Contains(there.kept(t, r.Expr), label[1]) {
				t.Errorf("%s shows the label %s, which its expression does not keep", r.Alert, label[1])
			}
		}
	}
	if alerts != 8 {
		t.Errorf("%d alerts, want 8", alerts)
	}
}

// kept are the labels of a query's answers: those that it groups by, or all.
func (s scraped) kept(t *testing.T, query string) (kept []string) {
	t.Helper()
	expr, err := promql.ParseExpr(query)
	must(t, err)
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.AggregateExpr:
			if kept == nil {
				kept = n.Grouping
			}
		case *parser.VectorSelector:
			if kept == nil {
				kept = slices.Collect(maps.Keys(s[n.Name]))
			}
		}
		return nil
	})
	return kept
}

var shown = regexp.MustCompile(`\$labels\.(\w+)`)

func TestEachAlertFiresWhenItShould(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool, of Debian's package prometheus, is not on the PATH: it tests the rules")
	}
	tests, err := os.ReadFile(filepath.Join(folder, "testdata/alerts_test.yaml"))
	must(t, err)
	for _, r := range rules(t) {
		if r.Alert != "" && !strings.Contains(string(tests), "alertname: "+r.Alert+"\n") {
			t.Errorf("testdata/alerts_test.yaml has no test of %s", r.Alert)
		}
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "testdata/alerts_test.yaml"}} {
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = folder
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
