package gcpkms

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/rowseal/rowseal/kms"
)

const (
	connectTimeout = 2 * time.Second
	requestTimeout = connectTimeout + 2*time.Second
)

// connection is a client, yours or one to be made. It is made of functions so that nothing that prints or follows fields
// finds credentials in it.
type connection struct {
	client  func(context.Context) (*cloudkms.KeyManagementClient, error)
	close   func() error
	timeout time.Duration // of a request; 0: none beyond the ctx
}

func existing(c *cloudkms.KeyManagementClient) connection {
	return connection{
		client: func(context.Context) (*cloudkms.KeyManagementClient, error) { return c, nil },
		close:  func() error { return nil },
	}
}

func lazily(options []option.ClientOption) connection {
	options = append(defaults(), options...)
	l := &lazyClient{make: func(ctx context.Context) (*cloudkms.KeyManagementClient, error) {
		return cloudkms.NewKeyManagementClient(ctx, options...)
	}}
	return connection{client: l.get, close: l.Close, timeout: requestTimeout}
}

// defaults come first, so that the caller's options win.
func defaults() []option.ClientOption {
	// gRPC waits up to 2 minutes before it dials a server again that was away. Key decides when to try again.
	redial := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
	params := grpc.ConnectParams{Backoff: redial, MinConnectTimeout: connectTimeout}
	// A connection that a firewall has forgotten would fail every request until TCP gives up, after about 15 minutes. On
	// Linux Timeout bounds that (TCP_USER_TIMEOUT). 5 minutes is the least that gRPC servers take without complaint.
	alive := keepalive.ClientParameters{Time: 5 * time.Minute, Timeout: requestTimeout}
	return []option.ClientOption{
		option.WithGRPCDialOption(grpc.WithConnectParams(params)),
		option.WithGRPCDialOption(grpc.WithKeepaliveParams(alive)),
		option.WithLogger(slog.New(slog.DiscardHandler)), // at debug level Google's default logger prints requests whole
	}
}

// lazyClient makes a client at its first use, which looks for credentials and may ask the metadata server for them.
type lazyClient struct {
	make func(context.Context) (*cloudkms.KeyManagementClient, error)

	mu     sync.Mutex
	made   *making // nil before the first use and after a failure
	closed bool
}

// making is a client that is made for everyone who waits for it.
type making struct {
	done   chan struct{} // closed when the others are set
	client *cloudkms.KeyManagementClient
	err    error
}

// get waits for the client no longer than ctx allows. Who gives up does not stop the making: it goes on for the others.
func (l *lazyClient) get(ctx context.Context) (*cloudkms.KeyManagementClient, error) {
	m, err := l.start(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-m.done:
		return m.client, m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *lazyClient) start(ctx context.Context) (*making, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("gcpkms: the client is closed: %w", kms.ErrInvalidRequest)
	}
	if l.made == nil {
		l.made = &making{done: make(chan struct{})}
		go l.finish(context.WithoutCancel(ctx), l.made)
	}
	return l.made, nil
}

func (l *lazyClient) finish(ctx context.Context, m *making) {
	client, err := l.make(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(m.done)
	switch {
	case err != nil:
		m.err = noClient(err)
		l.made = nil
	case l.closed:
		m.err = fmt.Errorf("gcpkms: the client is closed: %w", kms.ErrInvalidRequest)
		client.Close()
	default:
		m.client = client
	}
}

// Close ends the connection. A client that is just being made is closed as soon as it is there.
func (l *lazyClient) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.made == nil || l.made.client == nil {
		return nil
	}
	return l.made.client.Close()
}
