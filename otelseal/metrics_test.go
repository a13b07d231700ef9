package otelseal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	apimetric "go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/otelseal"
)

func TestMetricsCountCallsItemsRetriesAndRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // as the Key waits before it tries again
		fake := &kmstest.Fake{ID: "vault/users", BatchSize: 10}
		items := sealed(t, fake, 25)
		items[3].Context = user(4)   // a row under another's name
		items[24].Context = user(23) // the same
		w := newWorld(t, otelseal.Options{})
		key := w.key(fake)
		fake.Throttle(1)
		key.DecryptBatch(t.Context(), items[:10])
		key.DecryptBatch(t.Context(), items[10:])
		key.EncryptBatch(t.Context(), items[:2])
		fake.Throttle(100)
		key.EncryptBatch(t.Context(), items[:1])

		const decrypt, encrypt = "rowseal.kms.operation=decrypt,rowseal.kms.provider=vault", "rowseal.kms.operation=encrypt,rowseal.kms.provider=vault"
		want := map[string]int64{
			"rowseal.kms.call.duration error.type=decryption_failed," + decrypt: 2,
			"rowseal.kms.call.duration " + encrypt:                              1,
			"rowseal.kms.call.duration error.type=throttled," + encrypt:         1,
			"rowseal.kms.items " + decrypt:                                      23,
			"rowseal.kms.items error.type=decryption_failed," + decrypt:         2,
			"rowseal.kms.items " + encrypt:                                      2,
			"rowseal.kms.items error.type=throttled," + encrypt:                 1,
			"rowseal.kms.retries " + decrypt:                                    10,    // the first batch
			"rowseal.kms.retries " + encrypt:                                    5,     // of 6 attempts
			"rowseal.kms.requests " + decrypt:                                   2 + 2, // a batch, again; two batches
			"rowseal.kms.requests " + encrypt:                                   1 + 6,
		}
		if got := w.series(); !maps.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", lines(got), lines(want))
		}
	})
}

func lines(series map[string]int64) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(series)) {
		fmt.Fprintln(&b, name, series[name])
	}
	return b.String()
}

func TestMetricsHaveUnitsAndTheHistogramItsBoundaries(t *testing.T) {
	w := newWorld(t, otelseal.Options{})
	w.Observe(t.Context(), kms.Event{Items: []kms.EventItem{{}}, Duration: 1500 * time.Millisecond})
	units := map[string]string{}
	for _, m := range w.metrics() {
		units[m.Name] = m.Unit
		if m.Description == "" {
			t.Errorf("%s has no description", m.Name)
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			if !data.IsMonotonic {
				t.Errorf("%s can fall", m.Name)
			}
		case metricdata.Histogram[float64]:
			p := data.DataPoints[0]
			if p.Sum != 1.5 {
				t.Errorf("%s: 1.5 s are %v", m.Name, p.Sum)
			}
			if first, last := p.Bounds[0], p.Bounds[len(p.Bounds)-1]; first != 0.001 || last != 60 || !slices.IsSorted(p.Bounds) {
				t.Errorf("%s: boundaries %v", m.Name, p.Bounds)
			}
		}
	}
	want := map[string]string{"rowseal.kms.call.duration": "s", "rowseal.kms.items": "{item}", "rowseal.kms.retries": "{retry}",
		"rowseal.kms.requests": "{request}"}
	if !maps.Equal(units, want) {
		t.Errorf("units %v, want %v", units, want)
	}
}

// However many keys, records, actors and errors: each attribute has one of few values, and no id is in any.
func TestMetricsNameNoKeyNoRecordAndNoActor(t *testing.T) {
	allowed := map[attribute.Key][]string{
		"rowseal.kms.provider":  {"vault", "aws", "other"},
		"rowseal.kms.operation": {"encrypt", "decrypt", "rewrap", "check"},
		"error.type":            {"decryption_failed", "_OTHER"},
	}
	w := newWorld(t, otelseal.Options{Actor: true, Redaction: &audit.Redaction{ShowAll: true}})
	observe := func(from, to int) {
		for i := from; i < to; i++ {
			ctx, span := w.tracers.Tracer("program").Start(audit.WithActor(t.Context(), fmt.Sprint("actor", i), fmt.Sprint("purpose", i)), "request")
			for _, id := range []string{fmt.Sprint("vault/key", i), fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", i), fmt.Sprint("key", i)} {
				for _, op := range []kms.Op{kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap, kms.OpCheck} {
					mine := fmt.Errorf("about user %d: %w", i, kms.ErrDecryptionFailed)
					for _, err := range []error{nil, mine, fmt.Errorf("odd error %d", i)} {
						item := kms.EventItem{Context: user(i), To: user(i + 1), From: id, KeyVersion: fmt.Sprint(i), Attempts: 2, Err: err}
						w.Observe(ctx, kms.Event{Op: op, KeyID: id, Items: []kms.EventItem{item}, Err: err, Requests: 2})
					}
				}
			}
			span.End()
			w.spans.Reset()
		}
	}
	observe(0, 1)
	few := len(w.series())
	observe(1, 200)
	if many := len(w.series()); many != few || few != 3*4*(3+3+1+1) {
		t.Errorf("%d time series of one key and record, %d of many", few, many)
	}

	check := func(metric string, kvs []attribute.KeyValue) {
		for _, kv := range kvs {
			if !slices.Contains(allowed[kv.Key], kv.Value.AsString()) {
				t.Errorf("%s has %s=%v", metric, kv.Key, kv.Value.AsInterface())
			}
		}
	}
	points := 0
	for _, m := range w.metrics() {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				check(m.Name, p.Attributes.ToSlice())
				for _, e := range p.Exemplars {
					check(m.Name, e.FilteredAttributes)
				}
				points++
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				check(m.Name, p.Attributes.ToSlice())
				for _, e := range p.Exemplars {
					check(m.Name, e.FilteredAttributes)
				}
				points++
			}
		}
	}
	if points != few {
		t.Errorf("%d time series were looked at, of %d", points, few)
	}
}

func TestAnExemplarLeadsToTheSpanOfTheCall(t *testing.T) {
	w := newWorld(t, otelseal.Options{})
	ctx, span := w.tracers.Tracer("program").Start(t.Context(), "request")
	w.Observe(ctx, kms.Event{Op: kms.OpDecrypt, KeyID: "vault/users", Items: []kms.EventItem{{}}})
	span.End()
	call := w.spans.GetSpans()[0].SpanContext.SpanID()
	for _, m := range w.metrics() {
		if data, ok := m.Data.(metricdata.Histogram[float64]); ok {
			if e := data.DataPoints[0].Exemplars; len(e) != 1 || string(e[0].SpanID) != string(call[:]) {
				t.Errorf("exemplars %v, want one of span %v", e, call)
			}
		}
	}
}

func TestACallThatItsCallerGaveUpIsCounted(t *testing.T) {
	w := newWorld(t, otelseal.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.key(&kmstest.Fake{ID: "vault/users"}).Encrypt(ctx, []byte("data key"), user(1)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := w.series()["rowseal.kms.items error.type=canceled,rowseal.kms.operation=encrypt,rowseal.kms.provider=vault"]; n != 1 {
		t.Errorf("counted %d times:\n%s", n, lines(w.series()))
	}
	if s := w.span(); s.Status.Description != "canceled" {
		t.Errorf("its span has %v", s.Status)
	}
}

// kms.Open tells which package opens an id, where none is imported: the two lists of forms agree.
func TestAProviderIsToldByTheFormOfItsIDs(t *testing.T) {
	for _, test := range []struct{ id, provider, pkg string }{
		{"local/users", "local", "localkms"},
		{"vault/users", "vault", "vaultkms"},
		{"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "aws", "awskms"},
		{"arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/users", "aws", "awskms"},
		{"alias/users", "aws", "awskms"},
		{"mrk-1234abcd12ab34cd56ef1234567890ab", "aws", "awskms"},
		{"1234abcd-12ab-34cd-56ef-1234567890ab", "aws", "awskms"},
		{"projects/p/locations/global/keyRings/r/cryptoKeys/users", "google", "gcpkms"},
		{"https://example.vault.azure.net/keys/users", "azure", "azurekms"},
		{"https://example.managedhsm.azure.net/keys/users", "azure", "azurekms"},
		{"insecure-test-key", "test", "testkms"},
		{"insecure-test-key/encrypt", "test", "testkms"},
		{"insecure-test-key/decrypt", "other", ""},
		{"https://example.org/", "other", ""},
		{"users/vault/", "other", ""},
		{"", "other", ""},
	} {
		_, err := kms.Open(t.Context(), test.id, nil)
		if known := strings.Contains(err.Error(), "rowseal/kms/"); known != (test.pkg != "") || !strings.Contains(err.Error(), test.pkg) {
			t.Errorf("kms.Open(%q): %v", test.id, err)
		}
		w := newWorld(t, otelseal.Options{})
		w.Observe(t.Context(), kms.Event{Op: kms.OpDecrypt, KeyID: test.id})
		if got := attrs(w.span())["rowseal.kms.provider"]; got != test.provider {
			t.Errorf("%q is of %q, want %q", test.id, got, test.provider)
		}
	}
}

// global is what package otel's providers send to. It can be set once a process: whoever asked before is led there for good.
var global struct {
	sync.Once
	spans  *tracetest.InMemoryExporter
	reader *metric.ManualReader
}

func setGlobal() {
	global.spans, global.reader = tracetest.NewInMemoryExporter(), metric.NewManualReader()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(global.spans)))
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(global.reader)))
}

// A program may make its keys before it sets up its telemetry.
func TestByItselfItUsesTheProvidersOfPackageOtelAlsoLater(t *testing.T) {
	o, err := otelseal.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Observe(t.Context(), kms.Event{}) // at the first run nobody listens

	global.Do(setGlobal)
	global.spans.Reset()
	o.Observe(t.Context(), kms.Event{Items: make([]kms.EventItem, 3)})
	var all metricdata.ResourceMetrics
	if err := global.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if n := len(global.spans.GetSpans()); n != 1 || len(all.ScopeMetrics) != 1 {
		t.Errorf("%d spans and %d scopes with metrics, want 1 of each", n, len(all.ScopeMetrics))
	}
}

func TestAnObserverServesManyGoroutines(t *testing.T) {
	w := newWorld(t, otelseal.Options{})
	key := w.key(&kmstest.Fake{ID: "vault/users", BatchSize: 10})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { key.Encrypt(t.Context(), []byte("data key"), user(i)) })
	}
	wg.Wait()
	if n := w.series()["rowseal.kms.items rowseal.kms.operation=encrypt,rowseal.kms.provider=vault"]; n != 50 || len(w.spans.GetSpans()) != 50 {
		t.Errorf("%d items and %d spans, want 50 of each", n, len(w.spans.GetSpans()))
	}
}

type refusing struct{ noopmetric.MeterProvider }

func (refusing) Meter(string, ...apimetric.MeterOption) apimetric.Meter { return refusingMeter{} }

type refusingMeter struct{ noopmetric.Meter }

var errRefused = errors.New("refused")

func (refusingMeter) Int64Counter(string, ...apimetric.Int64CounterOption) (apimetric.Int64Counter, error) {
	return nil, errRefused
}

func TestNewTellsThatAnInstrumentIsRefused(t *testing.T) {
	_, err := otelseal.New(&otelseal.Options{MeterProvider: refusing{}})
	if !errors.Is(err, errRefused) || !strings.HasPrefix(err.Error(), "otelseal: ") {
		t.Errorf("New: %v", err)
	}
}
