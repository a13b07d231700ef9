package kms

import (
	"context"
	"errors"
	"time"
)

// Event is one finished call of a Key. It holds no plaintext, no ciphertext and no key.
type Event struct {
	Op       Op
	KeyID    string
	Items    []EventItem // in the order of the call's
	Failed   int         // how many of them have an error
	Err      error       // their errors, joined; nil if none failed
	Requests int         // made to the service, retries included; 0 if the call was refused before any
	Start    time.Time
	Duration time.Duration // of the whole call
}

// EventItem is what became of one item of a call.
type EventItem struct {
	Context Context // names the record; the caller's own map: do not change it
	// To is, of a rewrap, the context that the ciphertext is wrapped for now, and From the id of the key that it was under; "": this one.
	To   Context
	From string
	// KeyVersion is that version of the KMS's key that made the ciphertext, of a rewrap the new one, where it shows: Key.KeyVersion.
	KeyVersion string
	Attempts   int // in how many requests the item was
	Err        error
}

// Observer is told of every call of a Key, also of those that were refused or failed. It is called by the goroutine
// that made the call, after it, and must be safe for concurrent use. Package audit has some, to write events down.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

func (c *call[I, P]) observe(ctx context.Context, start time.Time) {
	if len(c.opts.Observers) == 0 {
		return
	}
	e := Event{Op: c.op, KeyID: c.ID(), Requests: int(c.requests.Load()), Start: start, Duration: time.Since(start)}
	e.Items = make([]EventItem, len(c.items))
	var failures []error
	for i := range c.items {
		e.Items[i] = c.happened(i)
		if err := e.Items[i].Err; err != nil {
			failures = append(failures, err)
		}
	}
	e.Failed, e.Err = len(failures), errors.Join(failures...)
	for _, o := range c.opts.Observers {
		o.Observe(ctx, e)
	}
}

// happened tells what became of an item.
func (c *call[I, P]) happened(i int) EventItem {
	source, result := c.item(i).source(), c.results[i]
	made := result.Data
	if c.op == OpDecrypt {
		made = source.Data
	}
	e := EventItem{Context: source.Context, KeyVersion: c.KeyVersion(made), Attempts: c.attempts[i], Err: result.Err}
	if it, ok := any(c.item(i)).(*RewrapItem); ok {
		e.To = it.To
		if it.From != nil && it.From.shared != c.shared {
			e.From = it.From.ID()
		}
	}
	return e
}
