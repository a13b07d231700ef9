package otelseal_test

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/otelseal"
)

// A row is sealed, and opened under another's name. A program has its exporters where this example has two that keep all in memory.
func Example() {
	spans, metrics := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	observer, err := otelseal.New(&otelseal.Options{
		TracerProvider: trace.NewTracerProvider(trace.WithSyncer(spans)),
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(metrics)),
	})
	if err != nil {
		panic(err)
	}
	// as kms.Open(ctx, "vault/users", &kms.KeyOptions{…})
	key := kms.NewKey(&kmstest.Fake{ID: "vault/users"}, &kms.KeyOptions{Observers: []kms.Observer{observer}})

	ctx := context.Background()
	wrapped, err := key.Encrypt(ctx, []byte("data key"), kms.Context{"model_name": "User", "model_id": "1"})
	if err != nil {
		panic(err)
	}
	key.Decrypt(ctx, wrapped, kms.Context{"model_name": "User", "model_id": "2"})

	for _, s := range spans.GetSpans() {
		fmt.Printf("%s: %v %q\n", s.Name, s.Status.Code, s.Status.Description)
	}
	var all metricdata.ResourceMetrics
	if err := metrics.Collect(ctx, &all); err != nil {
		panic(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "rowseal.kms.items" {
			for _, p := range sum.DataPoints {
				fmt.Println(m.Name, p.Attributes.Encoded(attribute.DefaultEncoder()), p.Value)
			}
		}
	}
	// Unordered output:
	// encrypt vault: Unset ""
	// decrypt vault: Error "decryption_failed"
	// rowseal.kms.items rowseal.kms.operation=encrypt,rowseal.kms.provider=vault 1
	// rowseal.kms.items error.type=decryption_failed,rowseal.kms.operation=decrypt,rowseal.kms.provider=vault 1
}
