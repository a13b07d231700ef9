package otelseal_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type dashboard struct {
	Title      string
	Panels     []panel
	Templating struct{ List []variable }
}

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource source
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Datasource source
		RefID      string
		Expr       string
	}
}

type source struct{ Type, UID string }

type variable struct {
	Name, Type string
	Query      any // of a data source a string
	Definition string
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "dashboard.json"))
	must(t, err)
	must(t, json.Unmarshal(text, &d))
	return d
}

func TestTheDashboardAsksForWhatIsExported(t *testing.T) {
	there, d := scrape(t), readDashboard(t)
	queries := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries++
			for _, fault := range there.faults(interpolated(target.Expr)) {
				t.Errorf("%s: %s: %s", p.Title, target.RefID, fault)
			}
		}
	}
	if queries < 10 {
		t.Errorf("%d queries were looked at", queries)
	}
	for _, v := range d.Templating.List {
		if v.Type == "datasource" {
			continue
		}
		values := labelValues.FindStringSubmatch(v.Definition)
		if values == nil {
			t.Fatalf("variable %s: %q", v.Name, v.Definition)
		}
		for _, fault := range there.faults("sum by (" + values[2] + ") (" + interpolated(values[1]) + ")") {
			t.Errorf("variable %s: %s", v.Name, fault)
		}
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// interpolated is a query as Grafana sends it where all is chosen.
func interpolated(query string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$job", ".*", "$provider", ".*", "$operation", ".*").Replace(query)
}

func TestTheDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	text, err := os.ReadFile(filepath.Join(folder, "dashboard.json"))
	must(t, err)
	defined := []string{"__rate_interval", "__range", "__all"}
	for _, v := range d.Templating.List {
		defined = append(defined, v.Name)
		if uses := strings.Count(string(text), "$"+v.Name) + strings.Count(string(text), "${"+v.Name+"}"); uses == 0 {
			t.Errorf("the variable %s is not used", v.Name)
		}
	}
	for _, used := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(defined, used[1]) {
			t.Errorf("$%s is used and is no variable", used[1])
		}
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d, %q: its id is not its own, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is wider than Grafana's 24 columns", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, taken := cells[cell]; taken {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		want := source{"prometheus", "${datasource}"}
		for _, target := range p.Targets {
			if p.Datasource != want || target.Datasource != want {
				t.Errorf("%s asks %v, want what the user chose", p.Title, target.Datasource)
			}
		}
	}
}
