package otelseal

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

type spans struct {
	tracer  trace.Tracer
	redact  func(kms.Context) kms.Context
	records int // at most, of a span; less than 0: none
	actor   bool
}

// span makes the span of a call that is over, and returns the function that ends it as of then.
func (s spans) span(ctx context.Context, e kms.Event) (context.Context, func()) {
	ctx, span := s.tracer.Start(ctx, string(e.Op)+" "+provider(e.KeyID),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(e.Start), trace.WithAttributes(call(e)...))
	if span.IsRecording() {
		span.SetAttributes(s.attributes(ctx, e)...)
		if e.Err != nil {
			span.SetStatus(codes.Error, errorType(e.Err))
		}
	}
	return ctx, func() { span.End(trace.WithTimestamp(e.Start.Add(e.Duration))) }
}

func (s spans) attributes(ctx context.Context, e kms.Event) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("rowseal.kms.key.id", valid(e.KeyID)),
		attribute.Int("rowseal.kms.item.count", len(e.Items)),
		attribute.Int("rowseal.kms.request.count", e.Requests),
	}
	if versions := keyVersions(e.Items); len(versions) > 0 {
		attrs = append(attrs, attribute.StringSlice("rowseal.kms.key.versions", versions))
	}
	if s.records >= 0 {
		attrs = append(attrs, attribute.StringSlice("rowseal.kms.record.contexts", s.contexts(e.Items)))
	}
	if e.Err != nil {
		attrs = append(withError(attrs, errorType(e.Err)), s.failures(e)...)
	}
	if name, purpose := audit.Actor(ctx); s.actor && (name != "" || purpose != "") {
		attrs = append(attrs, attribute.String("rowseal.kms.actor", valid(name)), attribute.String("rowseal.kms.purpose", valid(purpose)))
	}
	return attrs
}

func (s spans) failures(e kms.Event) []attribute.KeyValue {
	attrs := []attribute.KeyValue{attribute.Int("rowseal.kms.item.failed_count", e.Failed)}
	if s.records < 0 {
		return attrs
	}
	var failed []kms.EventItem
	for _, it := range e.Items {
		if it.Err != nil && len(failed) < s.records {
			failed = append(failed, it)
		}
	}
	return append(attrs, attribute.StringSlice("rowseal.kms.record.failed_contexts", s.contexts(failed)))
}

// contexts are the first records' redacted contexts in JSON, "null" for none.
func (s spans) contexts(items []kms.EventItem) []string {
	var texts []string
	for _, it := range items[:min(len(items), s.records)] {
		text, _ := json.Marshal(s.redact(it.Context)) // a map of strings always has JSON, which is valid UTF-8
		texts = append(texts, string(text))
	}
	return texts
}

func keyVersions(items []kms.EventItem) []string {
	found := map[string]bool{}
	for _, it := range items {
		if it.KeyVersion != "" {
			found[valid(it.KeyVersion)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// valid makes s valid UTF-8: one string that is not would cost a batch of spans, as protobuf, and so OTLP, refuses it.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
