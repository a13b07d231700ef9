// Package otelseal turns what happens to data keys into OpenTelemetry: a span and a few metrics of every call of a [kms.Key].
//
//	o, err := otelseal.New(nil) // the providers of package otel
//	key, err := kms.Open(ctx, "vault/users", &kms.KeyOptions{Observers: []kms.Observer{o}})
//
// It takes OpenTelemetry's API alone, so the program chooses the SDK and where all of it goes. The name of the scope is
// github.com/rowseal/rowseal/otelseal.
//
// # Metrics
//
//	name                       kind       unit       counts                                        attributes
//	rowseal.kms.call.duration  histogram  s          calls, with waits and retries                 provider, operation, error.type
//	rowseal.kms.items          counter    {item}     data keys that calls sealed, opened, …        provider, operation, error.type
//	rowseal.kms.retries        counter    {retry}    data keys sent again, in the same call        provider, operation
//	rowseal.kms.requests       counter    {request}  requests to the service, retries with them    provider, operation
//
// The attributes are rowseal.kms.provider (aws, azure, google, local, test, vault, or other), rowseal.kms.operation (a [kms.Op]: encrypt,
// decrypt, rewrap, check) and, of what failed, error.type: what [audit.ErrorClass] says, with the convention's _OTHER in place of other.
// Of a call in which items failed in several ways, it is the one that ErrorClass's documentation names first. There is no further
// attribute: no key id, no record and no actor, so that the number of time series depends on the services in use and not on the rows.
//
// A throttled service shows early in rowseal.kms.retries, and in rowseal.kms.items with the error.type throttled once retries did not
// help. The boundaries of the histogram go from 1 ms, as of a key in a file, to 60 s, as of a call with many batches.
//
// # Spans
//
// A call is a span of kind client, named "decrypt vault" and so on, in the ctx's trace. It is made when the call is over, with the times
// of the call, so spans that the service's own client makes are beside it and not below. These are its attributes, beside those of the
// metrics:
//
//	rowseal.kms.key.id                      the key's id, as for kms.Open
//	rowseal.kms.key.versions                the versions that made the ciphertexts, where they show
//	rowseal.kms.item.count                  how many data keys
//	rowseal.kms.item.failed_count           how many failed, if any did
//	rowseal.kms.request.count               how many requests
//	rowseal.kms.record.contexts             the first records, each a JSON object: see Options.Records and Options.Redaction
//	rowseal.kms.record.failed_contexts      the first of those that failed
//	rowseal.kms.actor, rowseal.kms.purpose  what audit.WithActor said, if Options.Actor is set
//
// The status of a call in which anything failed is Error. Its description is error.type and never an error's text, which can hold what a
// service answered. Of a rewrap the records are named by the context before it. Traces are sampled and forgotten: what must be complete
// belongs in a ledger ([audit.OpenLedger]).
//
// # Alerts and a dashboard
//
// Beside the code are alerts.yaml, rules for Prometheus, and dashboard.json, for Grafana. Both use the names that OpenTelemetry's
// exporter for Prometheus, and Prometheus itself where it receives OTLP, make by default, such as rowseal_kms_items_total.
package otelseal
