package e2etest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// recorder is a test that notes what would fail it.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestAProxyConnectsToTheServersOfTheTestAndToNothingElse(t *testing.T) {
	NoGoroutineStays(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	t.Cleanup(server.Close)
	noted := &recorder{TB: t}
	proxy := Proxy(noted, func(host string) string {
		switch host {
		case "example.com": // a name of httptest's certificate
			return server.Listener.Addr().String()
		case "away.example.com":
			return NobodyListens(t)
		}
		return ""
	})
	get := func(proxy *url.URL, address string) string {
		t.Helper()
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.Proxy, transport.DialContext = http.ProxyURL(proxy), nil
		t.Cleanup(transport.CloseIdleConnections) // before that, the proxy's end has to do without
		answer, err := (&http.Client{Transport: transport}).Get(address)
		if err != nil {
			return err.Error()
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	stranger := *proxy
	stranger.User = url.UserPassword("proxy-user", "guessed")
	for _, tc := range []struct {
		proxy               *url.URL
		address, want, told string
	}{
		{proxy, "https://example.com/", "example.com", ""},
		{proxy, "https://away.example.com/", "Bad Gateway", ""},
		{&stranger, "https://example.com/", "Proxy Authentication Required", ""},
		{proxy, "https://example.org/", "Bad Gateway", "example.org:443"},
		{proxy, "https://example.com:8443/", "Bad Gateway", "example.com:8443"},
		{proxy, "http://example.com/", "no CONNECT", "http://example.com/"},
	} {
		noted.errors = nil
		if got := get(tc.proxy, tc.address); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.address, got, tc.want)
		}
		if told := strings.Join(noted.errors, "; "); (told == "") != (tc.told == "") || !strings.Contains(told, tc.told) {
			t.Errorf("%s: the test is told %q, want %q", tc.address, told, tc.told)
		}
	}
}

func TestAProxyEndsTheConnectionsThatAreLeft(t *testing.T) {
	NoGoroutineStays(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	var answer *http.Response
	ok := t.Run("a test that closes nothing", func(t *testing.T) {
		transport := server.Client().Transport.(*http.Transport).Clone()
		proxy := Proxy(t, func(string) string { return server.Listener.Addr().String() })
		transport.Proxy, transport.DialContext = http.ProxyURL(proxy), nil
		var err error
		if answer, err = (&http.Client{Transport: transport}).Get("https://example.com/"); err != nil {
			t.Fatal(err)
		}
	})
	if !ok {
		return
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Error("the answer goes on to its end")
	}
}
