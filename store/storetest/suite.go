package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rowseal/rowseal/store"
)

// Run tests a store against the promises of store.Store. Each subtest is named after the promise that it holds.
//
// open returns the store under test. It is called many times and must always lead to the same objects, of which there may be
// some already; it may return the same value each time. Run makes about 300 requests, with at most 3 MB in an object, and
// deletes what it has stored.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	s := &suite{open: open, watch: newWatch()}
	t.Run("every size comes back", s.everySize)
	t.Run("every form of key is taken", s.everyKey)
	t.Run("what is no key is refused", s.badKeys)
	t.Run("put never overwrites", s.putNeverOverwrites)
	t.Run("of puts at once one wins", s.oneOfPutsWins)
	t.Run("an object is there whole or not at all", s.wholeOrNotAtAll)
	t.Run("a missing object is not found", s.notFound)
	t.Run("get gives no more than its limit", s.limit)
	t.Run("delete deletes one object", s.deletes)
	t.Run("to delete a missing object is fine", s.deleteMissing)
	t.Run("a cancelled ctx stops every call", s.cancelled)
	t.Run("an expired ctx stops every call", s.expired)
	t.Run("data stays its owner's", s.dataIsTheOwners)
	t.Run("parallel use", s.parallelUse)
	t.Run("no call panics", s.reports(panicked))
	t.Run("every error matches a sentinel", s.reports(unmatched))
	t.Run("every error names its key", s.reports(unnamed))
	t.Run("no error shows content", s.reports(leaked))
	t.Run("no failed get has data", s.reports(failedWithData))
}

type suite struct {
	open func(t *testing.T) store.Store
	*watch
}

// store opens the store anew, so that nothing a client remembers passes for something stored.
func (s *suite) store(t *testing.T) store.Store { return watched{s.open(t), s.watch} }

// newKey returns a key whose object is deleted when the test ends.
func (s *suite) newKey(t *testing.T) string {
	t.Helper()
	key := store.NewKey()
	s.deleteLater(t, key)
	return key
}

func (s *suite) deleteLater(t *testing.T, key string) {
	t.Helper()
	st := s.store(t)
	t.Cleanup(func() {
		if err := st.Delete(context.Background(), key); err != nil && !t.Failed() {
			t.Errorf("cleaning up: %v", err)
		}
	})
}

// mark begins all content of the suite, so that it is found wherever it is printed.
const mark = "storetest-content-"

// content returns n bytes, at random behind the mark.
func content(n int) []byte {
	b := make([]byte, n)
	rand.Read(b[copy(b, mark):])
	return b
}

const plenty = 1 << 30 // bytes

func (s *suite) put(t *testing.T, key string, data []byte) {
	t.Helper()
	if err := s.store(t).Put(t.Context(), key, data); err != nil {
		t.Fatalf("put: %v", err)
	}
}

// holds checks what is stored under a key.
func (s *suite) holds(t *testing.T, key string, want []byte) {
	t.Helper()
	got, err := s.store(t).Get(t.Context(), key, plenty)
	if err != nil {
		t.Errorf("get: %v", err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, or others than the %d that were put", key, len(got), len(want))
	}
}

func (s *suite) holdsNothing(t *testing.T, key string) {
	t.Helper()
	if got, err := s.store(t).Get(t.Context(), key, plenty); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: %d bytes and %v, want ErrNotFound", len(got), err)
	}
}

func (s *suite) everySize(t *testing.T) {
	// 28 bytes are what sealing adds. Servers and clients treat objects from 1 or 2 MiB on in other ways than small ones.
	for _, n := range []int{0, 1, 27, 28, 29, 4095, 4096, 4097, 64<<10 + 1, 1<<20 + 1, 3_000_000} {
		key, data := s.newKey(t), content(n)
		s.put(t, key, data)
		s.holds(t, key, data)
	}
}

func (s *suite) everyKey(t *testing.T) {
	salt := store.NewKey()
	for _, key := range []string{
		salt[:4], strings.ToUpper(salt), "-" + salt, "_" + salt, "--__" + salt, salt + "-", "Aa0-_Zz9" + salt,
		salt + strings.Repeat("x", 255-len(salt)),
	} {
		s.deleteLater(t, key)
		data := content(40)
		err := s.store(t).Put(t.Context(), key, data)
		if len(key) == 4 && errors.Is(err, store.ErrExists) {
			continue // of so few such keys, another run may have this one
		}
		if err != nil {
			t.Errorf("put: %v", err)
			continue
		}
		s.holds(t, key, data)
	}
}

func (s *suite) badKeys(t *testing.T) {
	st := s.store(t)
	for _, key := range []string{
		"", "abc", strings.Repeat("a", 256), ".", "..", "....", "../../../../etc/passwd", "/etc/passwd", "aa/bb/aabbcc", "aabb/", "/aabb",
		"aabb..", "..aabb", ".put-aabb", "aabb.txt", `aa\bb`, `..\..\aabb`, "aabb\x00", "aabb\n", "aa bb", "C:aabb", "aa%2fbb", "aa%2e%2ebb",
		"aabb?x", "aabb#x", "aabb+", "äöüß", "aabb\xff", "ａａｂｂ",
	} {
		_, getErr := st.Get(t.Context(), key, plenty)
		for op, err := range map[string]error{
			"put": st.Put(t.Context(), key, content(40)), "get": getErr, "delete": st.Delete(t.Context(), key),
		} {
			if !errors.Is(err, store.ErrInvalidKey) {
				t.Errorf("%s %q: %v, want ErrInvalidKey", op, key, err)
			}
		}
	}
}

func (s *suite) putNeverOverwrites(t *testing.T) {
	for _, first := range [][]byte{content(40), nil} {
		key := s.newKey(t)
		s.put(t, key, first)
		for what, second := range map[string][]byte{"other": content(40), "longer": content(80), "no": nil, "the same": first} {
			if err := s.store(t).Put(t.Context(), key, second); !errors.Is(err, store.ErrExists) {
				t.Errorf("put of %s content under a taken key: %v, want ErrExists", what, err)
			}
			s.holds(t, key, first)
		}
	}
}

func (s *suite) oneOfPutsWins(t *testing.T) {
	for range 4 {
		key := s.newKey(t)
		contents := make([][]byte, 8)
		errs := make([]error, len(contents))
		s.atOnce(t, len(contents), func(i int, st store.Store) {
			contents[i] = content(1000 + i)
			errs[i] = st.Put(t.Context(), key, contents[i])
		})
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("none of %d puts at once succeeded: %v", len(errs), errors.Join(errs...))
		}
		s.holds(t, key, contents[winner])
		for i, err := range errs {
			if i != winner && !errors.Is(err, store.ErrExists) {
				t.Errorf("another of the puts at once: %v, want ErrExists", err)
			}
		}
	}
}

func (s *suite) wholeOrNotAtAll(t *testing.T) {
	key, data := s.newKey(t), content(1<<20)
	stored := make(chan struct{})
	s.atOnce(t, 4, func(i int, st store.Store) {
		if i == 0 {
			defer close(stored)
			if err := st.Put(t.Context(), key, data); err != nil {
				t.Errorf("put: %v", err)
			}
			return
		}
		for again := true; again; {
			select {
			case <-stored:
				again = false
			default:
			}
			got, err := st.Get(t.Context(), key, plenty)
			if err == nil && !bytes.Equal(got, data) {
				t.Errorf("get beside a put: %d bytes of %d", len(got), len(data))
				return
			}
			if err != nil && (!again || !errors.Is(err, store.ErrNotFound)) {
				t.Errorf("get beside or after a put: %v", err)
				return
			}
		}
	})
}

func (s *suite) notFound(t *testing.T) {
	key := s.newKey(t)
	s.holdsNothing(t, key)
	s.put(t, key, content(40))
	s.holdsNothing(t, key+"x")
	s.holdsNothing(t, key[:len(key)-1])
}

func (s *suite) limit(t *testing.T) {
	for _, size := range []int64{0, 1, 4096, 1 << 20} {
		key, data := s.newKey(t), content(int(size))
		s.put(t, key, data)
		for _, limit := range []int64{size, size + 1, 1<<63 - 1} {
			if got, err := s.store(t).Get(t.Context(), key, limit); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes with a limit of %d: %d bytes, %v", size, limit, len(got), err)
			}
		}
		for _, limit := range []int64{size - 1, 0, -1, -1 << 63} {
			if limit >= size {
				continue
			}
			_, err := s.store(t).Get(t.Context(), key, limit)
			var large *store.TooLargeError
			if !errors.As(err, &large) || !errors.Is(err, store.ErrTooLarge) {
				t.Errorf("%d bytes with a limit of %d: %v, want a TooLargeError", size, limit, err)
			} else if large.Limit != limit || large.Size != size && large.Size != -1 {
				t.Errorf("%d bytes with a limit of %d: the error says %+v", size, limit, *large)
			}
		}
	}
}

func (s *suite) deletes(t *testing.T) {
	gone, stays := s.newKey(t), s.newKey(t)
	data := content(40)
	s.put(t, gone, content(40))
	s.put(t, stays, data)
	if err := s.store(t).Delete(t.Context(), gone); err != nil {
		t.Errorf("delete: %v", err)
	}
	s.holdsNothing(t, gone)
	s.holds(t, stays, data)
}

func (s *suite) deleteMissing(t *testing.T) {
	st, key := s.store(t), s.newKey(t)
	if err := st.Delete(t.Context(), key); err != nil {
		t.Errorf("delete of what never was: %v", err)
	}
	s.put(t, key, content(40))
	for range 2 {
		if err := st.Delete(t.Context(), key); err != nil {
			t.Errorf("delete, and delete again: %v", err)
		}
	}
}

func (s *suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.stopped(t, ctx, context.Canceled)
}

func (s *suite) expired(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	s.stopped(t, ctx, context.DeadlineExceeded)
}

func (s *suite) stopped(t *testing.T, ctx context.Context, want error) {
	st, there, free, data := s.store(t), s.newKey(t), s.newKey(t), content(40)
	s.put(t, there, data)
	_, getErr := st.Get(ctx, there, plenty)
	for op, err := range map[string]error{
		"put": st.Put(ctx, free, data), "get": getErr, "delete": st.Delete(ctx, there),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", op, err, want)
		}
	}
	s.holdsNothing(t, free)
	s.holds(t, there, data)
}

func (s *suite) dataIsTheOwners(t *testing.T) {
	st, key, data := s.store(t), s.newKey(t), content(4096)
	given := bytes.Clone(data)
	if err := st.Put(t.Context(), key, given); err != nil {
		t.Fatalf("put: %v", err)
	}
	if !bytes.Equal(given, data) {
		t.Error("put changed what it was given")
	}
	clear(given)
	first, err := st.Get(t.Context(), key, plenty)
	if err != nil || !bytes.Equal(first, data) {
		t.Fatalf("put kept its caller's slice: get: %d bytes, %v", len(first), err)
	}
	clear(first)
	if second, err := st.Get(t.Context(), key, plenty); err != nil || !bytes.Equal(second, data) {
		t.Errorf("get handed out what the store holds: get: %d bytes, %v", len(second), err)
	}
}

func (s *suite) parallelUse(t *testing.T) {
	st := s.store(t)
	keys := make([]string, 16)
	for i := range keys {
		keys[i] = s.newKey(t)
	}
	s.atOnce(t, len(keys), func(i int, _ store.Store) {
		data := content(10_000 + i)
		if err := st.Put(t.Context(), keys[i], data); err != nil {
			t.Errorf("put: %v", err)
		}
		if got, err := st.Get(t.Context(), keys[i], plenty); err != nil || !bytes.Equal(got, data) {
			t.Errorf("get: %d bytes, %v", len(got), err)
		}
		if err := st.Delete(t.Context(), keys[i]); err != nil {
			t.Errorf("delete: %v", err)
		}
		if _, err := st.Get(t.Context(), keys[i], plenty); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("get of what was deleted: %v, want ErrNotFound", err)
		}
	})
}

// atOnce starts n goroutines, each with a store of its own, at one moment, and waits for them.
func (s *suite) atOnce(t *testing.T, n int, f func(i int, st store.Store)) {
	t.Helper()
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		st := s.store(t)
		wg.Go(func() {
			<-start
			f(i, st)
		})
	}
	close(start)
	wg.Wait()
}

func (s *suite) reports(f fault) func(t *testing.T) {
	return func(t *testing.T) {
		for _, found := range s.found(f) {
			t.Error(found)
		}
		if s.calls() == 0 {
			t.Error("no calls were watched: run the other subtests too")
		}
	}
}
