package kmstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// brokenEnv names the breakage in the process that runs the suite against it.
const brokenEnv = "KMSTEST_BROKEN"

// breakage is a service that breaks a promise, and the subtest that must notice.
type breakage struct {
	notices string
	build   func(h *Harness, f *Fake)
}

func (b breakage) subtest() string { return strings.ReplaceAll(b.notices, " ", "_") }

// The suite fails in a process of its own, where a failure is what is wanted.
func TestTheSuiteNoticesBrokenServices(t *testing.T) {
	if name := os.Getenv(brokenEnv); name != "" {
		fake := &Fake{BatchSize: 10, Support: kms.RewrapAnyContext}
		h := harnessOf(fake)
		h.Step = 8
		breakages[name].build(&h, fake)
		Run(t, h)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(breakages)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := breakages[name]
			run := "^TestTheSuiteNoticesBrokenServices$"
			if broken.notices == "parallel use" { // other subtests would wait for its second request
				run += "/^parallel_use$"
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.timeout=2m", "-test.run="+run)
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
				t.Fatalf("the suite passed (%v):\n%s", err, out)
			}
			want := "--- FAIL: TestTheSuiteNoticesBrokenServices/" + broken.subtest() + " ("
			if !bytes.Contains(out, []byte(want)) {
				t.Errorf("the subtest %q passed:\n%s", broken.notices, out)
			}
			if bytes.Contains(out, []byte("panic: ")) {
				t.Errorf("the suite panicked:\n%s", out)
			}
		})
	}
}

type serveItems func(context.Context, []kms.Item) []kms.Result

// altered is a client with some methods replaced. The replacements get the right ones.
type altered struct {
	client
	encrypt func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result
	decrypt func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result
	rewrap  func(ctx context.Context, items []kms.RewrapItem) []kms.Result
	info    func(kms.Info) kms.Info
	close   func() error
}

func (a altered) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	if a.encrypt == nil {
		return a.client.Encrypt(ctx, items)
	}
	return a.encrypt(ctx, items, a.client.Encrypt)
}

func (a altered) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	if a.decrypt == nil {
		return a.client.Decrypt(ctx, items)
	}
	return a.decrypt(ctx, items, a.client.Decrypt)
}

func (a altered) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	if a.rewrap == nil {
		return a.client.Rewrap(ctx, items)
	}
	return a.rewrap(ctx, items)
}

func (a altered) Info() kms.Info {
	if a.info == nil {
		return a.client.Info()
	}
	return a.info(a.client.Info())
}

func (a altered) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}

// unversioned shows the same version in whatever it is asked about.
type unversioned struct{ altered }

func (unversioned) KeyVersion([]byte) string { return "1" }

// alter makes a the service under test.
func alter(h *Harness, f *Fake, a altered) {
	a.client = client{f}
	h.New = func(*testing.T) kms.Service { return a }
}

// withContexts seals and opens under what change makes of each context.
func withContexts(change func(kms.Item) kms.Item) func(*Harness, *Fake) {
	return func(h *Harness, f *Fake) {
		changed := func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result {
			items = slices.Clone(items)
			for i := range items {
				items[i] = change(items[i])
			}
			return right(ctx, items)
		}
		alter(h, f, altered{encrypt: changed, decrypt: changed})
	}
}

// onResults changes each result of a request after the fact.
func onResults(change func(it kms.Item, r kms.Result) kms.Result) func(context.Context, []kms.Item, serveItems) []kms.Result {
	return func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result {
		results := right(ctx, items)
		for i, it := range items {
			results[i] = change(it, results[i])
		}
		return results
	}
}

var breakages = map[string]breakage{
	"an Info that changes": {"info is sane and stable", func(h *Harness, f *Fake) {
		alter(h, f, altered{info: func(i kms.Info) kms.Info { i.BatchSize = 10 + f.Requests(); return i }})
	}},
	"an Info without id": {"info is sane and stable", func(h *Harness, f *Fake) {
		alter(h, f, altered{info: func(i kms.Info) kms.Info { i.KeyID = ""; return i }})
	}},
	"a rewrap that is promised and not there": {"info is sane and stable", func(h *Harness, f *Fake) {
		h.New = func(*testing.T) kms.Service { return struct{ kms.Service }{client{f}} }
	}},
	"one size is cut short": {"every plaintext size makes a round trip", func(h *Harness, f *Fake) {
		h.Step = 1
		alter(h, f, altered{decrypt: onResults(func(_ kms.Item, r kms.Result) kms.Result {
			if len(r.Data) == 4095 {
				r.Data = r.Data[:4094]
			}
			return r
		})})
	}},
	"an empty plaintext is refused": {"every plaintext size makes a round trip", func(h *Harness, f *Fake) {
		f.Fault = func(r Request, it kms.Item) error {
			if r.Op == kms.OpEncrypt && len(it.Data) == 0 {
				return kms.ErrInvalidRequest
			}
			return nil
		}
	}},
	"an unusual context is refused": {"every sort of context makes a round trip", func(h *Harness, f *Fake) {
		f.Fault = func(_ Request, it kms.Item) error {
			if strings.ContainsRune(it.Context["u2028"], '\u2028') {
				return kms.ErrInvalidRequest
			}
			return nil
		}
	}},
	"no context is an empty one": {"no context and an empty one differ", withContexts(func(it kms.Item) kms.Item {
		if it.Context == nil {
			it.Context = kms.Context{}
		}
		return it
	})},
	"a context in the map's order": {"the order of a context does not matter", withContexts(func(it kms.Item) kms.Item {
		it.Encoding = func(c kms.Context) ([]byte, error) {
			b := []byte("{}")
			for name, value := range c {
				b = fmt.Appendf(b, "%q:%q", name, value)
			}
			return b, nil
		}
		return it
	})},
	"the context is ignored": {"a wrong context opens nothing", func(h *Harness, f *Fake) {
		f.IgnoreContext = true
		alter(h, f, altered{info: func(i kms.Info) kms.Info { i.ContextEnforced = true; return i }})
	}},
	"values are ignored": {"swapped ciphertexts open nothing", withContexts(func(it kms.Item) kms.Item {
		names := make(kms.Context)
		for name := range it.Context {
			names[name] = ""
		}
		it.Context = names
		return it
	})},
	"case is ignored": {"a wrong context opens nothing", withContexts(func(it kms.Item) kms.Item {
		folded := make(kms.Context)
		for name, value := range it.Context {
			folded[strings.ToLower(name)] = value
		}
		it.Context = folded
		return it
	})},
	"encodings are ignored": {"a context encoding is what is authenticated", withContexts(func(it kms.Item) kms.Item {
		it.Encoding = nil
		return it
	})},
	"a bit of the tag is ignored": {"every flipped bit is noticed", func(h *Harness, f *Fake) {
		h.Step = 1
		alter(h, f, altered{decrypt: func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result {
			results := right(ctx, items)
			for i, it := range items {
				if results[i].Err != nil && ctx.Err() == nil && len(it.Data) > 0 {
					it.Data = bytes.Clone(it.Data)
					it.Data[len(it.Data)-1] ^= 1
					results[i] = one(right(ctx, []kms.Item{it}))
				}
			}
			return results
		}})
	}},
	"trailing bytes are ignored": {"every truncation is noticed", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result {
			items = slices.Clone(items)
			for i := range items {
				items[i].Data = bytes.TrimSuffix(items[i].Data, []byte{0})
			}
			return right(ctx, items)
		}})
	}},
	"all keys are one": {"another key opens nothing", func(h *Harness, f *Fake) {
		h.Other = h.New
	}},
	"a wrong byte has a telling error": {"every flipped bit is noticed", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: onResults(func(_ kms.Item, r kms.Result) kms.Result {
			if errors.Is(r.Err, kms.ErrDecryptionFailed) {
				r.Err = fmt.Errorf("padding is wrong: %w", kms.ErrInvalidRequest)
			}
			return r
		})})
	}},
	"equal plaintexts, equal ciphertexts": {"equal plaintexts do not show", func(h *Harness, f *Fake) {
		var made sync.Map
		alter(h, f, altered{encrypt: onResults(func(it kms.Item, r kms.Result) kms.Result {
			context, _ := it.ContextBytes()
			before, _ := made.LoadOrStore(string(it.Data)+string(context), r.Data)
			r.Data = bytes.Clone(before.([]byte))
			return r
		})})
	}},
	"ctx is not looked at, cancelled": {"a cancelled ctx stops the request", ignoreCtx},
	"ctx is not looked at, expired":   {"an expired ctx stops the request", ignoreCtx},
	"ctx's error is hidden": {"a cancelled ctx stops the request", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: onResults(func(_ kms.Item, r kms.Result) kms.Result {
			if errors.Is(r.Err, context.Canceled) {
				r.Err = fmt.Errorf("%v: %w", r.Err, kms.ErrUnavailable)
			}
			return r
		})})
	}},
	"answers in reverse": {"a batch answers in order with its refs", func(h *Harness, f *Fake) {
		f.After = Reverse
	}},
	"answers in reverse, the refs in order": {"a batch answers in order with its refs", func(h *Harness, f *Fake) {
		f.After = func(_ context.Context, r Request, results []kms.Result) []kms.Result {
			if r.Op == kms.OpDecrypt {
				for i, j := 0, len(results)-1; i < j; i, j = i+1, j-1 {
					results[i].Data, results[j].Data = results[j].Data, results[i].Data
				}
			}
			return results
		}
	}},
	"a result too few": {"an answer is a result an item", func(h *Harness, f *Fake) {
		f.After = Short
	}},
	"a result too many": {"an answer is a result an item", func(h *Harness, f *Fake) {
		f.After = Long
	}},
	"one bad item fails all": {"one bad item fails alone", func(h *Harness, f *Fake) {
		f.After = func(_ context.Context, _ Request, results []kms.Result) []kms.Result {
			if i := slices.IndexFunc(results, func(r kms.Result) bool { return r.Err != nil }); i >= 0 {
				for j := range results {
					results[j] = kms.Result{Ref: results[j].Ref, Err: results[i].Err}
				}
			}
			return results
		}
	}},
	"a plaintext too large goes through": {"one bad item fails alone", func(h *Harness, f *Fake) {
		h.MaxPlaintext = 1000
	}},
	"fewer items than promised": {"batches of any size through a key", func(h *Harness, f *Fake) {
		alter(h, f, altered{info: func(i kms.Info) kms.Info { i.BatchSize++; return i }})
	}},
	"one request at a time": {"parallel use", func(h *Harness, f *Fake) {
		second := make(chan struct{})
		f.Before = func(_ context.Context, r Request) error {
			switch r.Number {
			case 1:
				<-second
			case 2:
				defer close(second)
				return kms.ErrInvalidRequest
			}
			return nil
		}
	}},
	"the plaintext is wiped": {"items are neither changed nor kept", func(h *Harness, f *Fake) {
		alter(h, f, altered{encrypt: onResults(func(it kms.Item, r kms.Result) kms.Result { clear(it.Data); return r })})
	}},
	"the plaintext is kept": {"items are neither changed nor kept", func(h *Harness, f *Fake) {
		var kept sync.Map
		alter(h, f, altered{
			encrypt: onResults(func(it kms.Item, r kms.Result) kms.Result { kept.Store(string(r.Data), it.Data); return r }),
			decrypt: onResults(func(it kms.Item, r kms.Result) kms.Result {
				if b, ok := kept.Load(string(it.Data)); ok && r.Err == nil {
					r.Data = b.([]byte)
				}
				return r
			}),
		})
	}},
	"the plaintext is handed out again": {"items are neither changed nor kept", func(h *Harness, f *Fake) {
		var cache sync.Map
		alter(h, f, altered{decrypt: onResults(func(it kms.Item, r kms.Result) kms.Result {
			if r.Err == nil {
				b, _ := cache.LoadOrStore(string(it.Data), r.Data)
				r.Data = b.([]byte)
			}
			return r
		})})
	}},
	"a rewrap that loses": {"rewrap keeps the plaintext", func(h *Harness, f *Fake) {
		alter(h, f, altered{rewrap: func(ctx context.Context, items []kms.RewrapItem) []kms.Result {
			lost := make([]kms.Item, len(items))
			for i, it := range items {
				lost[i] = it.Target()
				lost[i].Data = make([]byte, 32)
			}
			return f.Encrypt(ctx, lost)
		}})
	}},
	"a rewrap that keeps the old context": {"rewrap keeps the plaintext", func(h *Harness, f *Fake) {
		alter(h, f, altered{rewrap: func(ctx context.Context, items []kms.RewrapItem) []kms.Result {
			items = slices.Clone(items)
			for i := range items {
				items[i].To = items[i].Context
			}
			return f.Rewrap(ctx, items)
		}})
	}},
	"a rewrap that fails as a whole": {"rewrap fails for bad items alone", func(h *Harness, f *Fake) {
		alter(h, f, altered{rewrap: func(ctx context.Context, items []kms.RewrapItem) []kms.Result {
			results := f.Rewrap(ctx, items)
			for _, r := range results {
				if r.Err != nil {
					return failAll(items, source, r.Err)
				}
			}
			return results
		}})
	}},
	"a rewrap from another key that keeps the old context": {"rewrap takes another key's ciphertexts", func(h *Harness, f *Fake) {
		h.New = func(*testing.T) kms.Service { return keepsContext{f} }
	}},
	"a form that is looked at before the rights": {"the right to decrypt shows without a ciphertext", func(h *Harness, f *Fake) {
		h.EncryptOnly = func(*testing.T) kms.Service { return formFirst{sealer{client{f}}} }
	}},
	"an encrypt-only that opens": {"encrypt-only seals and does not open", func(h *Harness, f *Fake) {
		h.EncryptOnly = h.New
	}},
	"an encrypt-only that rewraps": {"encrypt-only seals and does not open", func(h *Harness, f *Fake) {
		h.EncryptOnly = func(*testing.T) kms.Service {
			refuse := onResults(func(it kms.Item, _ kms.Result) kms.Result {
				return kms.Result{Ref: it.Ref, Err: kms.ErrAccessDenied}
			})
			return altered{client: client{f}, decrypt: refuse}
		}
	}},
	"opens when disabled": {"a disabled key refuses until enabled", func(h *Harness, f *Fake) {
		h.Disable = func(*testing.T) {}
	}},
	"stays disabled": {"a disabled key refuses until enabled", func(h *Harness, f *Fake) {
		h.Enable = func(*testing.T) {}
	}},
	"disabled, and says something else": {"a disabled key refuses until enabled", func(h *Harness, f *Fake) {
		h.Disable = func(*testing.T) { f.Deny(kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap) }
		h.Enable = func(*testing.T) { f.Allow(kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap) }
	}},
	"rotation forgets": {"rotation keeps what was sealed", func(h *Harness, f *Fake) {
		h.Rotate = func(*testing.T) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.versions[0] = newAEAD()
		}
	}},
	"all versions look like one": {"rotation keeps what was sealed", func(h *Harness, f *Fake) {
		h.New = func(*testing.T) kms.Service { return unversioned{altered{client: client{f}}} }
	}},
	"a rewrap to the old version": {"rotation keeps what was sealed", func(h *Harness, f *Fake) {
		alter(h, f, altered{rewrap: func(ctx context.Context, items []kms.RewrapItem) []kms.Result {
			results := f.Rewrap(ctx, items)
			for i, it := range items {
				if same, _ := it.SameContext(); same && results[i].Err == nil {
					results[i].Data = bytes.Clone(it.Data)
				}
			}
			return results
		}})
	}},
	"an error of the wrong sort": {"error when throttled", func(h *Harness, f *Fake) {
		h.Errors[0].Want = kms.ErrKeyDisabled
	}},
	"a second Close fails": {"closing twice is fine", func(h *Harness, f *Fake) {
		closed := false
		alter(h, f, altered{close: func() error {
			if closed {
				return errors.New("closed already")
			}
			closed = true
			return nil
		}})
	}},
	"panics at short ciphertexts": {"no request panics", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: onResults(func(it kms.Item, r kms.Result) kms.Result { _ = it.Data[3]; return r })})
	}},
	"panics at sealing": {"no request panics", func(h *Harness, f *Fake) {
		f.Fault = func(Request, kms.Item) error { panic("at everything") }
	}},
	"an error without a sentinel": {"every error matches a sentinel", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: onResults(func(_ kms.Item, r kms.Result) kms.Result {
			if r.Err != nil {
				r.Err = errors.New(r.Err.Error())
			}
			return r
		})})
	}},
	"an error with the plaintext":     {"no error shows plaintext or context values", tellInErrors("%s")},
	"an error with the plaintext, %q": {"no error shows plaintext or context values", tellInErrors("%q")},
	"an error with the plaintext, %x": {"no error shows plaintext or context values", tellInErrors("%X")},
	"an error with the plaintext, %v": {"no error shows plaintext or context values", tellInErrors("%v")},
	"an error with the context": {"no error shows plaintext or context values", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: onResults(func(it kms.Item, r kms.Result) kms.Result {
			if mime, err := it.ContextMIME(); err == nil && r.Err != nil {
				r.Err = fmt.Errorf("400 Bad Request: context=%s: %w", strings.ReplaceAll(mime, "\n", ""), r.Err)
			}
			return r
		})})
	}},
	"data beside an error": {"no failed result has data", func(h *Harness, f *Fake) {
		alter(h, f, altered{decrypt: onResults(func(it kms.Item, r kms.Result) kms.Result {
			if r.Err != nil {
				r.Data = it.Data
			}
			return r
		})})
	}},
}

func ignoreCtx(h *Harness, f *Fake) {
	ignore := func(ctx context.Context, items []kms.Item, right serveItems) []kms.Result {
		return right(context.WithoutCancel(ctx), items)
	}
	alter(h, f, altered{encrypt: ignore, decrypt: ignore})
}

// tellInErrors prints the plaintext in the error of a disabled key.
func tellInErrors(verb string) func(*Harness, *Fake) {
	return func(h *Harness, f *Fake) {
		alter(h, f, altered{encrypt: onResults(func(it kms.Item, r kms.Result) kms.Result {
			if r.Err != nil {
				r.Err = fmt.Errorf("plaintext "+verb+": %w", it.Data, r.Err)
			}
			return r
		})})
	}
}

// keepsContext rewraps from other keys under the context that a ciphertext has.
type keepsContext struct{ *Fake }

func (k keepsContext) RewrapFrom(from kms.Service) kms.Rewrapper {
	return kept{k.Fake.RewrapFrom(from)}
}

type kept struct{ kms.Rewrapper }

func (k kept) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	items = slices.Clone(items)
	for i := range items {
		items[i].To = items[i].Context
	}
	return k.Rewrapper.Rewrap(ctx, items)
}

// formFirst refuses by itself what is of no form.
type formFirst struct{ sealer }

func (s formFirst) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	if len(items) == 1 && len(items[0].Data) == 64 {
		return failAll(items, itself, kms.ErrDecryptionFailed)
	}
	return s.sealer.Decrypt(ctx, items)
}
