package integration

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// ear is where everything arrives that somebody could read: logs, errors, and rows as Go prints them.
type ear struct {
	mu    sync.Mutex
	heard strings.Builder
	keys  [][]byte // data keys
	jot   *slog.Logger
}

// listen returns an ear that must have heard no secret when t ends.
func listen(t *testing.T) *ear {
	e := &ear{}
	e.jot = slog.New(slog.NewJSONHandler(e, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		heard := e.heard.String()
		for _, s := range e.secrets() {
			if before, after, found := strings.Cut(heard, s); found {
				t.Errorf("%q was told, between %q and %.60q", s, before[max(0, len(before)-100):], after)
			}
		}
	})
	return e
}

// Write implements io.Writer, for logs.
func (e *ear) Write(text []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard.Write(text)
}

func (e *ear) heardOf(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Contains(e.heard.String(), text)
}

// hear prints something in every way.
func (e *ear) hear(thing any) {
	asJSON, _ := json.Marshal(thing)
	fmt.Fprintf(e, "%v %+v %#v %q %x %s\n", thing, thing, thing, thing, thing, asJSON)
	e.jot.Info("heard", "thing", thing)
}

// overhearKey is a Fault of the KMS, which sees the data keys.
func (e *ear) overhearKey(r kmstest.Request, item kms.Item) error {
	if r.Op == kms.OpEncrypt {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.keys = append(e.keys, append([]byte(nil), item.Data...))
	}
	return nil
}

// secrets are those that nobody must hear, in the ways in which bytes are printed.
func (e *ear) secrets() (all []string) {
	for _, s := range append(e.keys, []byte(secret)) {
		list := strings.Trim(fmt.Sprint(s), "[]")
		all = append(all, string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)), list, strings.ReplaceAll(list, " ", ", "))
		if len(s) == 32 {
			all = append(all, base64.StdEncoding.EncodeToString(s), base64.URLEncoding.EncodeToString(s))
		}
	}
	return all
}
