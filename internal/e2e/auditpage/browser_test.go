package auditpage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rowseal/rowseal/audit"
)

var browser struct {
	ctx  context.Context // of a browser that runs
	stop func()
	err  error
	once sync.Once
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

// find returns the path of a browser: Debian's first.
func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser is installed: install chromium (make setup does, for root of a Debian): %w", exec.ErrNotFound)
}

func start() {
	path, err := find()
	if err != nil {
		browser.err = err
		return
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which refuses to run as root
	}
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocated)
	browser.ctx, browser.stop = ctx, func() { closeBrowser(); end() }
	browser.err = chromedp.Do(ctx)
}

// tab is a page in a browser.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	says     []string // errors and warnings of the console
}

// open writes a document as a file, and opens it.
func open(t *testing.T, d *audit.Document) *tab {
	t.Helper()
	return load(t, d, false)
}

// openStill opens it where scripts do not run.
func openStill(t *testing.T, d *audit.Document) *tab {
	t.Helper()
	return load(t, d, true)
}

func load(t *testing.T, d *audit.Document, still bool) *tab {
	t.Helper()
	browser.once.Do(start)
	if errors.Is(browser.err, exec.ErrNotFound) && os.Getenv("CI") == "" {
		t.Skip(browser.err)
	}
	if browser.err != nil {
		t.Fatal(browser.err)
	}
	ctx, closeTab := chromedp.NewContext(browser.ctx)
	p := &tab{T: t, ctx: ctx}
	t.Cleanup(closeTab)
	p.must(chromedp.Listen(ctx, p.hear))
	p.ctx, closeTab = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(closeTab)
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, cdp.Empty{})
	call(p, runtime.Enable, cdp.Empty{})
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: still})
	p.width(1280)
	p.do(chromedp.Navigate("file://" + file(t, d)))
	return p
}

func file(t *testing.T, d *audit.Document) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.WriteHTML(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *log.EventEntryAdded:
		p.says = append(p.says, e.Entry.Text)
	case *runtime.EventExceptionThrown:
		p.says = append(p.says, fmt.Sprintf("%s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		p.says = append(p.says, fmt.Sprint("console ", e.Type))
	}
}

func (p *tab) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, steps...))
}

// js returns what an expression is.
func js[T any](p *tab, expression string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *tab) width(pixels int64) { p.do(chromedp.EmulateViewport(pixels, 900)) }

// prefers sets a feature of the reader's system.
func (p *tab) prefers(feature, value string) {
	p.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// media is "print", or "" for a screen.
func (p *tab) media(media string) {
	p.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media})
}

func call[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.Helper()
	_, err := chromedp.Call(p.ctx, command, params)
	p.must(err)
}

// quiet tells whether the page asked for nothing but itself, and whether nothing went wrong in it.
func (p *tab) quiet() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) != 1 || !strings.HasPrefix(p.requests[0], "file:///") {
		p.Errorf("requests: %q", p.requests)
	}
	if len(p.says) > 0 {
		p.Errorf("the console says: %q", p.says)
	}
}

// picture keeps one of the whole page, if the environment says where.
func (p *tab) picture(name string) {
	p.Helper()
	dir := os.Getenv("ROWSEAL_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	p.must(err)
	p.must(os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}
