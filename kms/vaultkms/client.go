package vaultkms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal/kms"
)

const (
	timeToConnect = 2 * time.Second // as the gem's clients
	timeToAnswer  = 2 * time.Second
	idlePerHost   = 16 // parallel requests of a kms.Key
)

// client makes requests as the program's own client (from) would, over the same connections, but without its retries.
type client struct {
	from      *api.Client
	sender    *api.Client
	namespace string       // "": that of from
	ours      *http.Client // what Close is about; nil if from is the caller's
}

func newClient(from *api.Client, namespace string) (*client, error) {
	c := &client{from: from, namespace: namespace}
	if from == nil {
		made, connections, err := environmentClient()
		if err != nil {
			return nil, err
		}
		c.from, c.ours = made, connections
	}
	sender, err := senderFor(c.from)
	c.sender = sender
	return c, err
}

// environmentClient returns a client as the environment says, and its connections.
func environmentClient() (*api.Client, *http.Client, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, nil, environmentError(config.Error)
	}
	transport, ok := config.HttpClient.Transport.(*http.Transport)
	if !ok {
		return nil, nil, fmt.Errorf("the API's client has another transport than expected: %w", kms.ErrInvalidRequest)
	}
	transport.DialContext = (&net.Dialer{Timeout: timeToConnect, KeepAlive: 30 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = timeToConnect
	transport.ResponseHeaderTimeout = timeToAnswer
	transport.MaxIdleConnsPerHost = idlePerHost
	made, err := api.NewClient(config)
	if err != nil {
		return nil, nil, environmentError(err)
	}
	if u, err := url.Parse(made.Address()); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, fmt.Errorf("the environment: VAULT_ADDR (or VAULT_AGENT_ADDR) is no address such as "+
			"https://vault.example.org:8200: %w", kms.ErrInvalidRequest)
	}
	return made, config.HttpClient, nil
}

// senderFor returns a client that shares the connections of another and does not retry; address, token and headers come with
// each request. It is made from a copy of the configuration: a setter would change the caller's client, and api.Client.Clone
// would, for a unix:// address, set the dialer of a transport that is in use.
func senderFor(from *api.Client) (*api.Client, error) {
	config := from.CloneConfig() // has a copy of the http.Client
	config.Address, config.AgentAddress = "http://127.0.0.1", ""
	config.Timeout = 0 // put sets it, and lets go of its timer
	config.MaxRetries = 0
	config.CheckRetry = func(_ context.Context, _ *http.Response, err error) (bool, error) { return false, err }
	config.HttpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	sender, err := api.NewClient(config)
	if err != nil {
		return nil, environmentError(err)
	}
	return sender, nil
}

// environmentError tells which variable is wrong, and never its value: that may have a password in it, or be a private key where the
// name of its file should be. So it does not wrap err.
func environmentError(err error) error {
	text := err.Error()
	switch {
	case errors.As(err, new(*url.Error)):
		text = "VAULT_ADDR, VAULT_AGENT_ADDR or a proxy's address is not a URL"
	case errors.As(err, new(*strconv.NumError)):
		text = "VAULT_MAX_RETRIES is not a number"
	}
	return fmt.Errorf("the environment: %s: %w", withoutValues(text), kms.ErrInvalidRequest)
}

// withoutValues puts the names of Vault's variables in the place of their values.
func withoutValues(text string) string {
	const least = 4 // bytes: shorter values are numbers and the like
	variables := os.Environ()
	slices.SortFunc(variables, func(a, b string) int { return len(b) - len(a) }) // one value may be part of another
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "VAULT_") && len(value) >= least {
			text = strings.ReplaceAll(text, value, name)
		}
	}
	return text
}

// target is where the requests of one call go: what the client says when the call begins.
type target struct {
	*client
	request   api.Request // without a body
	namespace string
	server    server
}

// server is what tells one key of a path from another.
type server struct{ scheme, host, prefix, namespace string }

func (c *client) target(path string) target {
	req := c.from.NewRequest(http.MethodPut, "/v1/"+path)
	req.WrapTTL = "" // VAULT_WRAP_TTL is for secrets that a person hands on
	if req.Headers == nil {
		req.Headers = make(http.Header)
	}
	namespace := c.namespace
	if namespace == "" {
		namespace = c.from.Namespace()
	}
	return target{c, *req, namespace, server{req.URL.Scheme, req.Host, strings.TrimSuffix(req.URL.Path, path), namespace}}
}

// noToken tells why a request has none; "": it has one.
func (t target) noToken() string {
	switch {
	case t.request.ClientToken != "":
		return ""
	case t.ours != nil:
		return "no token: VAULT_TOKEN is not set, and ~/.vault-token is not read"
	}
	return "no token: the program's client has none"
}

// reply is what a server answers, and what it may repeat.
type reply struct {
	status int
	header http.Header
	body   []byte

	sent    []string
	noToken string // why none was sent; "": one was
}

// put makes one request, or two where a standby node sends it on to the active one. An error means: no reply.
func (t target) put(ctx context.Context, body []byte) (reply, error) {
	if timeout := t.from.ClientTimeout(); timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	req := t.request // a copy: a redirect changes it
	req.BodyBytes, req.Obj = body, json.RawMessage(body)
	sender := t.sender.WithNamespace(t.namespace) // a copy
	sender.SetToken(req.ClientToken)              // to be looked at; the request has its own
	//lint:ignore SA1019 what the API recommends instead would decode every answer twice, and add nothing
	resp, err := sender.RawRequestWithContext(ctx, &req)
	if resp != nil && resp.Response != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if refused := (*api.ResponseError)(nil); err != nil && !errors.As(err, &refused) {
		return reply{}, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, answer, []string{req.ClientToken, string(req.BodyBytes)}, t.noToken()}, nil
}

func (c *client) close() {
	if c.ours != nil {
		c.ours.CloseIdleConnections()
	}
}
