package otelseal

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/rowseal/rowseal/kms"
)

type instruments struct {
	duration                 metric.Float64Histogram
	items, retries, requests metric.Int64Counter
}

// seconds are the boundaries of the histogram: a key in a file takes a millisecond, a service in the same region 5 to 50, one that
// does not answer 10 s and a retry, and many batches a minute.
var seconds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// newInstruments makes instruments named and measured by https://opentelemetry.io/docs/specs/semconv/general/metrics/.
func newInstruments(m metric.Meter) (*instruments, error) {
	duration, err1 := m.Float64Histogram("rowseal.kms.call.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls of KMS keys took, waits and retries included."),
		metric.WithExplicitBucketBoundaries(seconds...))
	items, err2 := m.Int64Counter("rowseal.kms.items", metric.WithUnit("{item}"),
		metric.WithDescription("Data keys that were sealed, opened, wrapped anew or checked, or failed to be."))
	retries, err3 := m.Int64Counter("rowseal.kms.retries", metric.WithUnit("{retry}"),
		metric.WithDescription("Data keys that were sent again because the KMS throttled or did not answer."))
	requests, err4 := m.Int64Counter("rowseal.kms.requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests made to the KMS, retries included."))
	return &instruments{duration, items, retries, requests}, errors.Join(err1, err2, err3, err4)
}

func (in *instruments) measure(ctx context.Context, e kms.Event) {
	retries := 0
	items := map[string]int{} // by error type
	for _, it := range e.Items {
		items[errorType(it.Err)]++
		retries += max(it.Attempts-1, 0)
	}
	for failure, n := range items {
		in.items.Add(ctx, int64(n), attributes(e, failure))
	}
	in.retries.Add(ctx, int64(retries), attributes(e, ""))
	in.requests.Add(ctx, int64(e.Requests), attributes(e, ""))
	in.duration.Record(ctx, e.Duration.Seconds(), attributes(e, errorType(e.Err)))
}

func attributes(e kms.Event, errorType string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(withError(call(e), errorType)...))
}
