package kmstest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// watch notes what is wrong with any request of the suite, whatever the subtest was about. Subtests at the end report it.
type watch struct {
	mu    sync.Mutex
	noted map[breach][]string
}

type breach int

const (
	panicked breach = iota
	misanswered
	unmatched
	leaked
	failedWithData
)

func newWatch() *watch { return &watch{noted: make(map[breach][]string)} }

func (w *watch) note(b breach, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted[b] = append(w.noted[b], fmt.Sprintf(format, args...))
}

// reports is a subtest that fails with the first few notes of one sort.
func (w *watch) reports(b breach) func(*testing.T) {
	return func(t *testing.T) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, text := range w.noted[b] {
			if i == 5 {
				t.Errorf("and %d more", len(w.noted[b])-i)
				return
			}
			t.Error(text)
		}
	}
}

// watched returns the service with an eye on it. It is a Rewrapper if the service is.
func (w *watch) watched(s kms.Service) kms.Service {
	if r, ok := s.(kms.Rewrapper); ok {
		return watchedRewrapper{watchedService{s, w}, r}
	}
	return watchedService{s, w}
}

type watchedService struct {
	kms.Service
	watch *watch
}

type watchedRewrapper struct {
	watchedService
	rewrapper kms.Rewrapper
}

func (s watchedService) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return observe(ctx, s.watch, kms.OpEncrypt, items, itself, s.Service.Encrypt)
}

func (s watchedService) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return observe(ctx, s.watch, kms.OpDecrypt, items, itself, s.Service.Decrypt)
}

func (s watchedRewrapper) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	return observe(ctx, s.watch, kms.OpRewrap, items, source, s.rewrapper.Rewrap)
}

// RewrapFrom hands on what the service can do; nil where it can nothing.
func (s watchedRewrapper) RewrapFrom(from kms.Service) kms.Rewrapper {
	switch w := from.(type) {
	case watchedRewrapper:
		from = w.Service
	case watchedService:
		from = w.Service
	}
	cross, ok := s.Service.(kms.CrossRewrapper)
	if !ok {
		return nil
	}
	if r := cross.RewrapFrom(from); r != nil {
		return watchedRewrapper{s.watchedService, r}
	}
	return nil
}

// CheckDecrypt is the service's own, or what Key does where it has none.
func (s watchedService) CheckDecrypt(ctx context.Context, it kms.Item) error {
	if c, ok := s.Service.(kms.DecryptChecker); ok {
		return c.CheckDecrypt(ctx, it)
	}
	it.Data = random(64)
	if err := one(s.Decrypt(ctx, []kms.Item{it})).Err; !errors.Is(err, kms.ErrDecryptionFailed) {
		return err
	}
	return nil
}

func observe[I any](
	ctx context.Context, w *watch, op kms.Op, items []I, item func(I) kms.Item, do func(context.Context, []I) []kms.Result,
) (results []kms.Result) {
	defer func() {
		if p := recover(); p != nil {
			w.note(panicked, "%s panicked: %v", op, p)
			results = make([]kms.Result, len(items))
			for i, it := range items {
				results[i] = kms.Result{Ref: item(it).Ref, Err: fmt.Errorf("panicked: %w", kms.ErrUnavailable)}
			}
		}
	}()
	results = do(ctx, items)
	if len(results) != len(items) {
		w.note(misanswered, "%s: %d results for %d items", op, len(results), len(items))
		return results
	}
	for i, r := range results {
		if want := item(items[i]).Ref; r.Ref != want {
			w.note(misanswered, "%s: result %d has ref %d, its item %d", op, i, r.Ref, want)
		}
		w.checkResult(op, r)
	}
	return results
}

// sentinels is what a service may answer. ErrBudget is Key's.
var sentinels = []error{
	kms.ErrDecryptionFailed, kms.ErrAccessDenied, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrThrottled, kms.ErrUnavailable,
	kms.ErrInvalidRequest, context.Canceled, context.DeadlineExceeded,
}

func (w *watch) checkResult(op kms.Op, r kms.Result) {
	if r.Err == nil {
		return
	}
	if !matches(r.Err, sentinels) {
		w.note(unmatched, "%s: %v", op, r.Err)
	}
	if len(r.Data) > 0 {
		w.note(failedWithData, "%s: %d bytes beside the error %v", op, len(r.Data), r.Err)
	}
	w.checkText(r.Err)
}

// checkText looks for the marks in an error, in every form in which programs print bytes.
func (w *watch) checkText(err error) {
	for ; err != nil; err = errors.Unwrap(err) {
		for _, mark := range []string{plaintextMark, valueMark} {
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
				if shows(text, mark) {
					w.note(leaked, "an error of type %T shows what begins with %q", err, mark)
				}
			}
		}
	}
}

func shows(text, mark string) bool {
	decimal := strings.Trim(fmt.Sprint([]byte(mark)), "[]")
	golang := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(mark)), "[]byte{"), "}")
	forms := []string{mark, hex.EncodeToString([]byte(mark)), decimal, golang}
	for before := range 3 { // in base64 the text depends on how many bytes come before
		quanta := base64.StdEncoding.EncodeToString(append(make([]byte, before), mark...))
		forms = append(forms, quanta[(before+2)/3*4:(before+len(mark))/3*4])
	}
	for _, form := range forms {
		if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
			return true
		}
	}
	return false
}
