package otelseal

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

// Options says where spans and metrics go, and what stands in spans. The zero value is right for most programs.
type Options struct {
	// TracerProvider and MeterProvider make the spans and the metrics. nil: those of package otel, also if they are set later. To have
	// only one of the two, set the other to that of trace/noop or metric/noop.
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Redaction says which context values spans show; the others are hashed. nil: the zero value.
	Redaction *audit.Redaction
	// Records is how many records a span names at most, and as many again of those that failed. 0: 32. Less than 0: none.
	Records int
	// Actor lets spans name the actor and the purpose of audit.WithActor, as they are. They may be personal data, and traces are read by
	// many.
	Actor bool
}

const (
	scope          = "github.com/rowseal/rowseal/otelseal"
	defaultRecords = 32
)

// New returns an Observer that makes a span and metrics of every call. opts may be nil. It fails only if the MeterProvider refuses an
// instrument. The Observer is safe for concurrent use.
func New(opts *Options) (kms.Observer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.Records == 0 {
		o.Records = defaultRecords
	}
	instruments, err := newInstruments(o.MeterProvider.Meter(scope))
	if err != nil {
		return nil, fmt.Errorf("otelseal: make the instruments: %w", err)
	}
	spans := spans{tracer: o.TracerProvider.Tracer(scope), redact: o.Redaction.Redactor(), records: o.Records, actor: o.Actor}
	return observer{spans, instruments}, nil
}

type observer struct {
	spans
	*instruments
}

func (o observer) Observe(ctx context.Context, e kms.Event) {
	ctx, end := o.span(ctx, e)
	defer end()
	o.measure(ctx, e) // under the span, so that a metric's exemplar leads to it
}

// call is what spans and metrics alike say of a call.
func call(e kms.Event) []attribute.KeyValue {
	return []attribute.KeyValue{providerKey.String(provider(e.KeyID)), operationKey.String(string(e.Op))}
}

const (
	providerKey  = attribute.Key("rowseal.kms.provider")
	operationKey = attribute.Key("rowseal.kms.operation")
	// errorTypeKey: https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/
	errorTypeKey = attribute.Key("error.type")
)

// errorType is the class of an error with the convention's word for what has none.
func errorType(err error) string {
	if class := audit.ErrorClass(err); class != "other" {
		return class
	}
	return "_OTHER"
}

// withError adds the error's type, if there is an error.
func withError(attrs []attribute.KeyValue, errorType string) []attribute.KeyValue {
	if errorType == "" {
		return attrs
	}
	return append(attrs, errorTypeKey.String(errorType))
}
