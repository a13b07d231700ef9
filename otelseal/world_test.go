package otelseal_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/otelseal"
)

// world is an Observer whose spans and metrics stay in memory.
type world struct {
	kms.Observer
	t       *testing.T
	spans   *tracetest.InMemoryExporter
	tracers *sdktrace.TracerProvider
	reader  *metric.ManualReader
}

func newWorld(t *testing.T, opts otelseal.Options) *world {
	t.Helper()
	w := &world{t: t, spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	w.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	opts.TracerProvider = w.tracers
	opts.MeterProvider = metric.NewMeterProvider(metric.WithReader(w.reader))
	var err error
	if w.Observer, err = otelseal.New(&opts); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) key(s kms.Service) *kms.Key {
	return kms.NewKey(s, &kms.KeyOptions{Observers: []kms.Observer{w}})
}

// span returns the only one.
func (w *world) span() tracetest.SpanStub {
	w.t.Helper()
	spans := w.spans.GetSpans()
	if len(spans) != 1 {
		w.t.Fatalf("%d spans, want 1", len(spans))
	}
	return spans[0]
}

func (w *world) metrics() []metricdata.Metrics {
	w.t.Helper()
	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(w.t.Context(), &all); err != nil {
		w.t.Fatal(err)
	}
	if len(all.ScopeMetrics) != 1 {
		w.t.Fatalf("%d scopes, want 1", len(all.ScopeMetrics))
	}
	return all.ScopeMetrics[0].Metrics
}

// series returns every time series as a name with its attributes, and its sum or, of the histogram, its count.
func (w *world) series() map[string]int64 {
	w.t.Helper()
	found := map[string]int64{}
	for _, m := range w.metrics() {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				found[m.Name+" "+text(p.Attributes)] = p.Value
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				found[m.Name+" "+text(p.Attributes)] = int64(p.Count)
			}
		default:
			w.t.Fatalf("%s is a %T", m.Name, data)
		}
	}
	return found
}

func text(attrs attribute.Set) string { return attrs.Encoded(attribute.DefaultEncoder()) }

// attrs are a span's attributes as fmt prints them.
func attrs(s tracetest.SpanStub) map[string]string {
	found := map[string]string{}
	for _, kv := range s.Attributes {
		found[string(kv.Key)] = fmt.Sprint(kv.Value.AsInterface())
	}
	return found
}

func slice(s tracetest.SpanStub, name attribute.Key) []string {
	at := slices.IndexFunc(s.Attributes, func(kv attribute.KeyValue) bool { return kv.Key == name })
	if at < 0 {
		return nil
	}
	return s.Attributes[at].Value.AsStringSlice()
}

func user(id int) kms.Context {
	return kms.Context{"model_name": "User", "model_id": strconv.Itoa(id)}
}

// sealed returns data keys of n users.
func sealed(t *testing.T, fake *kmstest.Fake, n int) []kms.Item {
	t.Helper()
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = kms.Item{Data: []byte("data key"), Context: user(i)}
	}
	for i, r := range kms.NewKey(fake, nil).EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		items[i].Data = r.Data
	}
	return items
}
