package storetest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rowseal/rowseal/store"
)

// fault is what no call may do, whichever subtest makes it.
type fault int

const (
	panicked fault = iota
	unmatched
	unnamed
	leaked
	failedWithData
)

// watch notes the faults of all calls.
type watch struct {
	mu     sync.Mutex
	n      int
	faults map[fault][]string
}

func newWatch() *watch { return &watch{faults: make(map[fault][]string)} }

func (w *watch) calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func (w *watch) found(f fault) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults[f]
}

func (w *watch) note(f fault, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[f] = append(w.faults[f], fmt.Sprintf(format, args...))
}

// watched is the store under test, whose every call is looked at.
type watched struct {
	store.Store
	*watch
}

var errPanicked = errors.New("the call panicked")

func (w watched) Put(ctx context.Context, key string, data []byte) error {
	return w.call("put", key, func() error { return w.Store.Put(ctx, key, data) })
}

func (w watched) Get(ctx context.Context, key string, limit int64) (data []byte, err error) {
	err = w.call("get", key, func() error {
		data, err = w.Store.Get(ctx, key, limit)
		return err
	})
	if err != nil && data != nil {
		w.note(failedWithData, "get %q: %d bytes together with the error %v", key, len(data), err)
	}
	return data, err
}

func (w watched) Delete(ctx context.Context, key string) error {
	return w.call("delete", key, func() error { return w.Store.Delete(ctx, key) })
}

func (w watched) call(op, key string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.note(panicked, "%s %q: %v", op, key, r)
			err = errPanicked
		}
	}()
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
	if err = f(); err != nil {
		w.check(op, key, err)
	}
	return err
}

var sentinels = []error{
	store.ErrNotFound, store.ErrExists, store.ErrTooLarge, store.ErrInvalidKey, store.ErrAccessDenied, store.ErrUnavailable,
	context.Canceled, context.DeadlineExceeded,
}

func (w watched) check(op, key string, err error) {
	matched := false
	for _, is := range sentinels {
		matched = matched || errors.Is(err, is)
	}
	if !matched {
		w.note(unmatched, "%s %q: %v", op, key, err)
	}
	text := err.Error()
	if !errors.Is(err, store.ErrInvalidKey) && !(strings.Contains(text, key) && strings.Contains(text, op)) {
		w.note(unnamed, "%s %q: %v", op, key, err)
	}
	for _, needle := range []string{mark, base64.StdEncoding.EncodeToString([]byte(mark)), fmt.Sprintf("%x", mark), byteList(mark)} {
		if strings.Contains(text, needle) {
			w.note(leaked, "%s %q: %v", op, key, err)
		}
	}
}

// byteList is a text as fmt prints its bytes, without the brackets.
func byteList(text string) string { return strings.Trim(fmt.Sprint([]byte(text)), "[]") }
