package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/store"
)

func TestMemory(t *testing.T) {
	m := &Memory{}
	Run(t, func(*testing.T) store.Store { return m })
	if keys := m.Keys(); len(keys) != 0 {
		t.Errorf("the suite left %q behind", keys)
	}
}

// brokenEnv names the breakage in the process that runs the suite against it.
const brokenEnv = "STORETEST_BROKEN"

// The suite fails in a process of its own, where a failure is what is wanted.
func TestTheSuiteNoticesBrokenStores(t *testing.T) {
	if name := os.Getenv(brokenEnv); name != "" {
		broken := altered{Memory: &Memory{}}
		breakages[name].breakIt(&broken)
		Run(t, func(*testing.T) store.Store { return broken })
		return
	}
	for _, name := range slices.Sorted(maps.Keys(breakages)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.timeout=2m",
				"-test.run=^TestTheSuiteNoticesBrokenStores$")
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
				t.Fatalf("the suite passed (%v):\n%s", err, out)
			}
			subtest := strings.ReplaceAll(breakages[name].notices, " ", "_")
			want := "--- FAIL: TestTheSuiteNoticesBrokenStores/" + subtest + " ("
			if !bytes.Contains(out, []byte(want)) {
				t.Errorf("the subtest %q passed:\n%s", breakages[name].notices, out)
			}
			if bytes.Contains(out, []byte("panic: ")) {
				t.Errorf("the suite panicked:\n%s", out)
			}
		})
	}
}

func TestEverySubtestHasABreakageThatItNotices(t *testing.T) {
	noticed := make(map[string]bool)
	for _, b := range breakages {
		noticed[b.notices] = true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestMemory$")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	subtests := 0
	for line := range strings.Lines(string(out)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "--- PASS: TestMemory/")
		if !ok {
			continue
		}
		subtests++
		name, _, _ := strings.Cut(rest, " (")
		if name = strings.ReplaceAll(name, "_", " "); !noticed[name] {
			t.Errorf("no broken store is noticed by %q", name)
		}
	}
	if subtests == 0 {
		t.Errorf("no subtests in:\n%s", out)
	}
}

// altered is a Memory with some methods replaced. The replacements get the right ones.
type altered struct {
	*Memory
	put    func(ctx context.Context, key string, data []byte) error
	get    func(ctx context.Context, key string, limit int64) ([]byte, error)
	delete func(ctx context.Context, key string) error
}

func (a altered) Put(ctx context.Context, key string, data []byte) error {
	if a.put == nil {
		return a.Memory.Put(ctx, key, data)
	}
	return a.put(ctx, key, data)
}

func (a altered) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if a.get == nil {
		return a.Memory.Get(ctx, key, limit)
	}
	return a.get(ctx, key, limit)
}

func (a altered) Delete(ctx context.Context, key string) error {
	if a.delete == nil {
		return a.Memory.Delete(ctx, key)
	}
	return a.delete(ctx, key)
}

// object returns what the memory itself holds.
func (a *altered) object(key string) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, ok := a.objects[key]
	return data, ok
}

func (a *altered) setObject(key string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.objects == nil {
		a.objects = make(map[string][]byte)
	}
	a.objects[key] = data
}

// afterPut has something happen to each object that was stored.
func afterPut(change func(a *altered, key string, data []byte)) func(*altered) {
	return func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			err := a.Memory.Put(ctx, key, data)
			if err == nil {
				change(a, key, data)
			}
			return err
		}
	}
}

// onError replaces the errors of all methods.
func onError(change func(op, key string, err error) error) func(*altered) {
	return func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			return change("put", key, a.Memory.Put(ctx, key, data))
		}
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			data, err := a.Memory.Get(ctx, key, limit)
			return data, change("get", key, err)
		}
		a.delete = func(ctx context.Context, key string) error {
			return change("delete", key, a.Memory.Delete(ctx, key))
		}
	}
}

// breakages are stores that break a promise, and the subtest that must notice.
var breakages = map[string]struct {
	notices string
	breakIt func(*altered)
}{
	"cuts large objects": {"every size comes back", afterPut(func(a *altered, key string, data []byte) {
		a.setObject(key, bytes.Clone(data[:min(len(data), 1<<20)]))
	})},
	"takes no empty objects": {"every size comes back", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if len(data) == 0 {
				return fmt.Errorf("storetest: put %s: nothing to store: %w", key, store.ErrUnavailable)
			}
			return a.Memory.Put(ctx, key, data)
		}
	}},
	"takes lower-case keys only": {"every form of key is taken", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if strings.ToLower(key) != key {
				return fmt.Errorf("storetest: put %s: %w", key, store.ErrInvalidKey)
			}
			return a.Memory.Put(ctx, key, data)
		}
	}},
	"takes any key": {"what is no key is refused", func(a *altered) {
		a.put = func(_ context.Context, key string, data []byte) error {
			a.setObject(key, bytes.Clone(data))
			return nil
		}
	}},
	"deletes under any key": {"what is no key is refused", func(a *altered) {
		a.delete = func(ctx context.Context, key string) error {
			if store.CheckKey(key) != nil {
				return nil
			}
			return a.Memory.Delete(ctx, key)
		}
	}},
	"looks for any key": {"what is no key is refused", onError(func(op, key string, err error) error {
		if op == "get" && errors.Is(err, store.ErrInvalidKey) {
			return fmt.Errorf("storetest: get %s: %w", key, store.ErrNotFound)
		}
		return err
	})},
	"overwrites": {"put never overwrites", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if err := errors.Join(store.CheckKey(key), ctx.Err()); err != nil {
				return fmt.Errorf("storetest: put %s: %w", key, err)
			}
			a.setObject(key, bytes.Clone(data))
			return nil
		}
	}},
	"overwrites, and says that it did not": {"put never overwrites", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			err := a.Memory.Put(ctx, key, data)
			if errors.Is(err, store.ErrExists) {
				a.setObject(key, bytes.Clone(data))
			}
			return err
		}
	}},
	"passes an overwrite in silence": {"put never overwrites", onError(func(_, _ string, err error) error {
		if errors.Is(err, store.ErrExists) {
			return nil
		}
		return err
	})},
	"overwrites what is empty": {"put never overwrites", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if old, ok := a.object(key); ok && len(old) == 0 {
				a.setObject(key, bytes.Clone(data))
				return nil
			}
			return a.Memory.Put(ctx, key, data)
		}
	}},
	"looks before it writes": {"of puts at once one wins", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if _, taken := a.object(key); taken || ctx.Err() != nil || store.CheckKey(key) != nil {
				return a.Memory.Put(ctx, key, data)
			}
			for range 100 {
				runtime.Gosched()
			}
			a.setObject(key, bytes.Clone(data))
			return nil
		}
	}},
	"stores a half first": {"an object is there whole or not at all", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if err := a.Memory.Put(ctx, key, data[:len(data)/2]); err != nil {
				return err
			}
			for range 100 {
				runtime.Gosched()
			}
			a.setObject(key, bytes.Clone(data))
			return nil
		}
	}},
	"finds nothing and says so with nil": {"a missing object is not found", onError(func(_, _ string, err error) error {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})},
	"is unavailable when nothing is found": {"a missing object is not found", onError(func(op, key string, err error) error {
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("storetest: %s %s: %w", op, key, store.ErrUnavailable)
		}
		return err
	})},
	"ignores the limit": {"get gives no more than its limit", func(a *altered) {
		a.get = func(ctx context.Context, key string, _ int64) ([]byte, error) { return a.Memory.Get(ctx, key, 1<<62) }
	}},
	"cuts at the limit": {"get gives no more than its limit", func(a *altered) {
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			data, err := a.Memory.Get(ctx, key, 1<<62)
			return data[:min(int64(len(data)), max(limit, 0))], err
		}
	}},
	"has a limit one too low": {"get gives no more than its limit", func(a *altered) {
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			return a.Memory.Get(ctx, key, limit-1)
		}
	}},
	"takes limit 0 for none": {"get gives no more than its limit", func(a *altered) {
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			if limit == 0 {
				limit = plenty
			}
			return a.Memory.Get(ctx, key, limit)
		}
	}},
	"does not say how large": {"get gives no more than its limit", onError(func(op, key string, err error) error {
		if errors.Is(err, store.ErrTooLarge) {
			return fmt.Errorf("storetest: %s %s: %w", op, key, &store.TooLargeError{})
		}
		return err
	})},
	"deletes nothing": {"delete deletes one object", func(a *altered) {
		a.delete = func(ctx context.Context, key string) error { return errors.Join(store.CheckKey(key), ctx.Err()) }
	}},
	"deletes everything": {"delete deletes one object", func(a *altered) {
		a.delete = func(ctx context.Context, key string) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			clear(a.objects)
			return nil
		}
	}},
	"cannot delete what is not there": {"to delete a missing object is fine", func(a *altered) {
		a.delete = func(ctx context.Context, key string) error {
			if _, ok := a.object(key); !ok && store.CheckKey(key) == nil {
				return fmt.Errorf("storetest: delete %s: %w", key, store.ErrNotFound)
			}
			return a.Memory.Delete(ctx, key)
		}
	}},
	"stores under a cancelled ctx": {"a cancelled ctx stops every call", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			return errors.Join(a.Memory.Put(context.WithoutCancel(ctx), key, data), ctx.Err())
		}
	}},
	"reads under a cancelled ctx": {"a cancelled ctx stops every call", func(a *altered) {
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			return a.Memory.Get(context.WithoutCancel(ctx), key, limit)
		}
	}},
	"deletes under an expired ctx": {"an expired ctx stops every call", func(a *altered) {
		a.delete = func(ctx context.Context, key string) error {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				ctx = context.WithoutCancel(ctx)
			}
			return a.Memory.Delete(ctx, key)
		}
	}},
	"keeps its caller's slice": {"data stays its owner's", afterPut(func(a *altered, key string, data []byte) {
		a.setObject(key, data)
	})},
	"clears its caller's slice": {"data stays its owner's", afterPut(func(_ *altered, _ string, data []byte) { clear(data) })},
	"hands out its own slice": {"data stays its owner's", func(a *altered) {
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			if _, err := a.Memory.Get(ctx, key, limit); err != nil {
				return nil, err
			}
			data, _ := a.object(key)
			return data, nil
		}
	}},
	"keeps one object at a time": {"parallel use", afterPut(func(a *altered, key string, data []byte) {
		for range 100 {
			runtime.Gosched()
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for other := range a.objects {
			if len(other) == len(key) && other != key && len(a.objects[other]) > 9_999 && len(a.objects[other]) < 11_000 {
				delete(a.objects, other)
			}
		}
	})},
	"panics at what is missing": {"no call panics", onError(func(_, _ string, err error) error {
		if errors.Is(err, store.ErrNotFound) {
			panic(err)
		}
		return err
	})},
	"has errors of its own": {"every error matches a sentinel", onError(func(op, key string, err error) error {
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("storetest: %s %s: gone", op, key)
		}
		return err
	})},
	"does not say which key": {"every error names its key", onError(func(op, _ string, err error) error {
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("storetest: %s: %w", op, store.ErrNotFound)
		}
		return err
	})},
	"shows content": {"no error shows content", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if err := a.Memory.Put(ctx, key, data); err != nil {
				return fmt.Errorf("%w: %q", err, data)
			}
			return nil
		}
	}},
	"shows content as a list of bytes": {"no error shows content", func(a *altered) {
		a.put = func(ctx context.Context, key string, data []byte) error {
			if err := a.Memory.Put(ctx, key, data); err != nil {
				return fmt.Errorf("%w: %v", err, data)
			}
			return nil
		}
	}},
	"returns a part with its error": {"no failed get has data", func(a *altered) {
		a.get = func(ctx context.Context, key string, limit int64) ([]byte, error) {
			data, err := a.Memory.Get(ctx, key, limit)
			if errors.Is(err, store.ErrTooLarge) {
				data = make([]byte, max(limit, 0))
			}
			return data, err
		}
	}},
}
