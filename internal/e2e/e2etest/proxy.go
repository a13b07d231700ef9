package e2etest

import (
	"context"
	"crypto/rand"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// Proxy starts a proxy for HTTPS_PROXY (RFC 9110 §9.3.6, CONNECT), which ends with the test and all of its connections. The
// URL has a user and a password, without which nothing passes.
//
// address tells where to connect to in place of a host, and returns "" for hosts that nobody may ask for: they fail the test.
func Proxy(tb testing.TB, address func(host string) string) *url.URL {
	tb.Helper()
	ctx, end := context.WithCancel(context.Background())
	p := &proxy{tb: tb, ctx: ctx, address: address, user: url.UserPassword("proxy-user", "proxy-password-"+rand.Text())}
	server := httptest.NewUnstartedServer(p)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that go away are part of the tests
	server.Start()
	tb.Cleanup(func() {
		end()
		server.Close() // waits for p.ServeHTTP up to the moment in which it has a connection of its own
		p.tunnels.Wait()
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = p.user
	return u
}

type proxy struct {
	tb      testing.TB
	ctx     context.Context // of all tunnels
	address func(host string) string
	user    *url.Userinfo
	tunnels sync.WaitGroup
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.tunnels.Add(1)
	defer p.tunnels.Done()
	if r.Method != http.MethodConnect {
		p.tb.Errorf("%s %s: the proxy is for HTTPS only", r.Method, r.URL)
		http.Error(w, "no CONNECT", http.StatusMethodNotAllowed)
		return
	}
	if !p.knows(r.Header.Get("Proxy-Authorization")) {
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	host, port, err := net.SplitHostPort(r.Host)
	address := p.address(host)
	if err != nil || port != "443" || address == "" {
		p.tb.Errorf("somebody wants to connect to %s", r.Host)
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", address)
	if err != nil {
		http.Error(w, "nobody answers", http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.tb.Error(err)
		return
	}
	defer client.Close()
	defer context.AfterFunc(p.ctx, func() { client.Close(); server.Close() })()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() { transfer(server, buffered) })
	transfer(client, server)
	up.Wait()
}

// knows compares what net/http and gRPC make of a URL's user.
func (p *proxy) knows(authorization string) bool {
	r := &http.Request{Header: http.Header{"Authorization": {authorization}}}
	name, password, ok := r.BasicAuth()
	return ok && url.UserPassword(name, password).String() == p.user.String()
}

// transfer goes on until one side has said everything, and tells the other so.
func transfer(to net.Conn, from io.Reader) {
	io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
}
