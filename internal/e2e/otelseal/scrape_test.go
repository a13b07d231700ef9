// Package otelseal_test holds what is written for Prometheus and Grafana against what Prometheus really scrapes.
package otelseal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/otelseal"
)

const folder = "../../../otelseal"

// scraped is what queries may name: of each metric its labels, and of each label its values; nil: any.
type scraped map[string]map[string][]string

// scrape returns what a Prometheus gets of a program in which everything has happened.
func scrape(t *testing.T) scraped {
	t.Helper()
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	must(t, err)
	meters := metric.NewMeterProvider(metric.WithReader(reader))
	observer, err := otelseal.New(&otelseal.Options{TracerProvider: noop.NewTracerProvider(), MeterProvider: meters})
	must(t, err)
	everything(t.Context(), observer)

	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(server.Close)
	response, err := http.Get(server.URL)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s\n%s", response.Status, text)
	}
	scraper := expfmt.NewTextParser(model.LegacyValidation)
	families, err := scraper.TextToMetricFamilies(bytes.NewReader(text))
	must(t, err)

	found := scraped{}
	for name, family := range families {
		if name != "target_info" {
			found.add(name, family)
		}
	}
	return found
}

func everything(ctx context.Context, o kms.Observer) {
	failures := []error{nil, kms.ErrDecryptionFailed, kms.ErrAccessDenied, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrThrottled, kms.ErrWrongAnswer,
		kms.ErrUnavailable, kms.ErrInvalidRequest, kms.ErrBudget, context.Canceled, context.DeadlineExceeded, errors.New("another")}
	for _, op := range []kms.Op{kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap, kms.OpCheck} {
		for _, err := range failures {
			e := kms.Event{Op: op, KeyID: "vault/users", Items: []kms.EventItem{{Attempts: 2, Err: err}}, Err: err, Requests: 2, Duration: time.Millisecond}
			o.Observe(ctx, e)
		}
	}
}

func (s scraped) add(name string, family *dto.MetricFamily) {
	values := map[string][]string{"job": nil, "instance": nil} // which Prometheus adds
	for _, m := range family.Metric {
		for _, l := range m.Label {
			values[l.GetName()] = append(values[l.GetName()], l.GetValue())
		}
	}
	if family.GetType() != dto.MetricType_HISTOGRAM {
		s[name] = values
		return
	}
	s[name+"_sum"], s[name+"_count"], s[name+"_bucket"] = values, values, maps.Clone(values)
	s[name+"_bucket"]["le"] = nil
}

var promql = parser.NewParser(parser.Options{})

// faults tells what a query names that is not there.
func (s scraped) faults(query string) (faults []string) {
	expr, err := promql.ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	known := map[string]bool{} // the labels of what is below
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for label := range s[selector.Name] {
				known[label] = true
			}
			faults = append(faults, s.selects(selector)...)
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if a, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range a.Grouping {
				if !known[label] {
					faults = append(faults, fmt.Sprintf("groups by %s, which is no label", label))
				}
			}
		}
		return nil
	})
	return faults
}

func (s scraped) selects(selector *parser.VectorSelector) (faults []string) {
	there, ok := s[selector.Name]
	if !ok {
		return []string{fmt.Sprintf("no metric %q is exported", selector.Name)}
	}
	for _, m := range selector.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		values, ok := there[m.Name]
		if !ok {
			faults = append(faults, fmt.Sprintf("%s has no label %s", selector.Name, m.Name))
		}
		if values == nil || m.Value == "" || m.Value == ".*" {
			continue
		}
		for alternative := range strings.SplitSeq(m.Value, "|") {
			if !slices.Contains(values, alternative) {
				faults = append(faults, fmt.Sprintf("%s is never %q in %s", m.Name, alternative, selector.Name))
			}
		}
	}
	return faults
}

// TestTheTestsOfNamesCanFail shows queries that name what is not there.
func TestTheTestsOfNamesCanFail(t *testing.T) {
	there := scrape(t)
	for query, want := range map[string]string{
		`rate(rowseal_kms_items[5m])`:                               `no metric "rowseal_kms_items" is exported`,
		`rowseal_kms_call_duration_seconds`:                         `no metric "rowseal_kms_call_duration_seconds" is exported`,
		`rowseal_kms_requests_total{error_type="throttled"}`:        `has no label error_type`,
		`rowseal_kms_items_total{error_type=~"throttled|denied"}`:   `error_type is never "denied"`,
		`rowseal_kms_items_total{rowseal_kms_operation!="open"}`:    `rowseal_kms_operation is never "open"`,
		`sum by (operation) (rowseal_kms_items_total)`:              `groups by operation`,
		`sum by (le) (rowseal_kms_call_duration_seconds_sum)`:       `groups by le`,
		`sum(rate(rowseal_kms_items_total[5m])`:                     `unclosed left parenthesis`,
		`rowseal_kms_items_total{key_id="vault/users"}`:             `has no label key_id`,
		`rate(rowseal_kms_items_total{error_type="throttled"}[5m])`: ``,
	} {
		got := strings.Join(there.faults(query), "; ")
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// The names and labels that documents and dashboards of others rely on.
func TestTheseAreAllNamesThatPrometheusScrapes(t *testing.T) {
	want := map[string]string{
		"rowseal_kms_call_duration_seconds_bucket": "error_type le rowseal_kms_operation rowseal_kms_provider",
		"rowseal_kms_call_duration_seconds_count":  "error_type rowseal_kms_operation rowseal_kms_provider",
		"rowseal_kms_call_duration_seconds_sum":    "error_type rowseal_kms_operation rowseal_kms_provider",
		"rowseal_kms_items_total":                  "error_type rowseal_kms_operation rowseal_kms_provider",
		"rowseal_kms_requests_total":               "rowseal_kms_operation rowseal_kms_provider",
		"rowseal_kms_retries_total":                "rowseal_kms_operation rowseal_kms_provider",
	}
	got := map[string]string{}
	for name, values := range scrape(t) {
		ours := slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(label string) bool {
			return label == "job" || label == "instance" || strings.HasPrefix(label, "otel_scope_")
		})
		got[name] = strings.Join(ours, " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("scraped %v\nwant %v", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
