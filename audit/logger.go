package audit

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rowseal/rowseal/kms"
)

// Logger returns an Observer that writes a line a call to l: level Info, or Warn with the first error if an item failed.
// The message is for people, the attributes are for programs:
//
//	INFO decrypt 2 data keys (1.2ms): User 1, User 2 op=decrypt key_id=vault/users items=2 requests=1 duration=1.2ms contexts=…
//
// Both arguments may be nil; nil l is slog.Default.
func Logger(l *slog.Logger, r *Redaction) kms.Observer {
	if l == nil {
		l = slog.Default()
	}
	return logger{l, newRedactor(r)}
}

type logger struct {
	*slog.Logger
	redactor
}

func (l logger) Observe(ctx context.Context, e kms.Event) {
	level := slog.LevelInfo
	all, failed := l.contexts(e.Items)
	attrs := []slog.Attr{
		slog.String("op", string(e.Op)),
		slog.String("key_id", e.KeyID),
		slog.Int("items", len(e.Items)),
		slog.Int("requests", e.Requests),
		slog.Duration("duration", e.Duration),
		slog.Any("contexts", all),
	}
	if versions := keyVersions(e.Items); len(versions) > 0 {
		attrs = append(attrs, slog.Any("key_versions", versions))
	}
	if name, purpose := Actor(ctx); name != "" || purpose != "" {
		attrs = append(attrs, slog.String("actor", name), slog.String("purpose", purpose))
	}
	if e.Failed > 0 {
		level = slog.LevelWarn
		err := first(e.Items)
		attrs = append(attrs,
			slog.Int("failed", e.Failed),
			slog.Any("failed_contexts", failed),
			slog.String("error_class", ErrorClass(err)),
			slog.String("error", err.Error()))
	}
	l.LogAttrs(ctx, level, headline(e, all), attrs...)
}

// contexts lists all contexts, because an audit needs every row's name, and those of the items that failed.
func (l logger) contexts(items []kms.EventItem) (all, failed []kms.Context) {
	for _, it := range items {
		c := l.context(it.Context)
		all = append(all, c)
		if it.Err != nil {
			failed = append(failed, c)
		}
	}
	return all, failed
}

func keyVersions(items []kms.EventItem) []string {
	found := map[string]bool{}
	for _, it := range items {
		if it.KeyVersion != "" {
			found[it.KeyVersion] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// first is the error that is shown of a call: those of a batch are as a rule alike, and may be thousands.
func first(items []kms.EventItem) error {
	for _, it := range items {
		if it.Err != nil {
			return it.Err
		}
	}
	return nil
}

// headline is the sentence for people: the gem kms_encrypted logs "Decrypt Data Key (1.2ms)  Context: …".
func headline(e kms.Event, contexts []kms.Context) string {
	const shown = 3
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d data key", e.Op, len(e.Items))
	if len(e.Items) != 1 {
		b.WriteByte('s')
	}
	fmt.Fprintf(&b, " (%s): ", e.Duration.Round(100*time.Microsecond))
	for i, c := range contexts {
		if i == shown {
			fmt.Fprintf(&b, " and %d more", len(contexts)-shown)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(recordName(c))
	}
	if e.Failed > 0 {
		fmt.Fprintf(&b, "; %d failed", e.Failed)
	}
	return b.String()
}

// recordName is a context as people say it: "User 1", "User 1 phone", or its entries; "(no context)" for none. No two contexts have one
// name.
func recordName(c kms.Context) string {
	if len(c) == 0 {
		return "(no context)"
	}
	var parts []string
	said := map[string]bool{}
	model, hasModel := c["model_name"]
	if id, ok := c["model_id"]; ok && hasModel {
		parts = append(parts, plain(model), plain(id))
		said["model_name"], said["model_id"] = true, true
		if key, ok := c["key_name"]; ok {
			parts = append(parts, plain(key))
			said["key_name"] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if !said[name] {
			parts = append(parts, plain(name)+"="+plain(c[name]))
		}
	}
	return strings.Join(parts, " ")
}

// plain quotes what would break a line, or pretend to be another text.
func plain(s string) string {
	strange := func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r == '(' || !unicode.IsGraphic(r) }
	if s == "" || strings.ContainsFunc(s, strange) {
		return strconv.Quote(s)
	}
	return s
}
