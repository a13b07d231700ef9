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
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal/kms"
)

const (
	timeToConnect = 2 * time.Second // as the gem's clients
	timeToAnswer  = 2 * time.Second
	idlePerHost   = 16 // parallel requests of a kms.Key
)

// client sends what another client would send, over its connections, once.
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
	return made, config.HttpClient, nil
}

// senderFor returns a client with the connections of another and no retries. All else comes with each request. Neither
// api.Client.Clone, which would set the dialer of a unix:// address anew on a transport in use, nor a setter would do.
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

// environmentError keeps the passwords of addresses out of messages.
func environmentError(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = errors.New("VAULT_ADDR, VAULT_AGENT_ADDR or a proxy's address is not a URL")
	}
	return fmt.Errorf("the environment: %w: %w", err, kms.ErrInvalidRequest)
}

// reply is what a server answers, and what it may repeat.
type reply struct {
	status int
	header http.Header
	body   []byte
	sent   []string
}

// put makes one request, or two where a standby node sends it on to the active one. An error means: no reply.
func (c *client) put(ctx context.Context, path string, body []byte) (reply, error) {
	if timeout := c.from.ClientTimeout(); timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	req := c.from.NewRequest(http.MethodPut, "/v1/"+path)
	req.WrapTTL = "" // VAULT_WRAP_TTL is for secrets that a person hands on
	req.BodyBytes, req.Obj = body, json.RawMessage(body)
	if req.Headers == nil {
		req.Headers = make(http.Header)
	}
	return c.send(ctx, req)
}

func (c *client) send(ctx context.Context, req *api.Request) (reply, error) {
	namespace := c.namespace
	if namespace == "" {
		namespace = c.from.Namespace()
	}
	sender := c.sender.WithNamespace(namespace) // a copy
	sender.SetToken(req.ClientToken)            // to be looked at; the request has its own
	//lint:ignore SA1019 what the API recommends instead would decode every answer twice, and add nothing
	resp, err := sender.RawRequestWithContext(ctx, req)
	if resp != nil && resp.Response != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if refused := (*api.ResponseError)(nil); err != nil && !errors.As(err, &refused) {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, body, []string{req.ClientToken, string(req.BodyBytes)}}, nil
}

func (c *client) close() {
	if c.ours != nil {
		c.ours.CloseIdleConnections()
	}
}
