package awskms

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/logging"

	"github.com/rowseal/rowseal/kms"
)

const (
	connectTimeout = 2 * time.Second // both as the gem's clients
	answerTimeout  = 2 * time.Second

	// idleConns is above kms.Key's 16 requests at once, for programs with more than one call under way. The SDK's own 10 would
	// close and open connections all the time.
	idleConns = 64
)

// newClient returns a client for the environment, and its transport. It reads files and makes no request.
func newClient(region string, opts *Options) (*sdk.Client, *http.Transport, error) {
	if region != "" && opts.Region != "" && region != opts.Region {
		return nil, nil, fmt.Errorf("awskms: the key is in the region %s, and Options.Region is %s: %w",
			region, opts.Region, kms.ErrInvalidRequest)
	}
	if region == "" {
		region = opts.Region
	}
	later := &environmentCredentials{region: region}
	cfg, err := load(context.Background(), config.WithRegion(region), config.WithCredentialsProvider(later))
	if err != nil {
		return nil, nil, err
	}
	if cfg.Region == "" {
		return nil, nil, fmt.Errorf("awskms: no region: set AWS_REGION, or take the key's ARN as its id: %w", kms.ErrInvalidRequest)
	}
	later.region = cfg.Region
	// The SDK's own kind of client cannot close its idle connections.
	transport := cfg.HTTPClient.(*awshttp.BuildableClient).GetTransport()
	client := sdk.NewFromConfig(cfg, func(o *sdk.Options) {
		o.HTTPClient = &http.Client{
			Transport:     transport,
			Timeout:       connectTimeout + answerTimeout,
			CheckRedirect: neverRedirect,
		}
		if opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(opts.Endpoint)
		}
	})
	if endpoint := client.Options().BaseEndpoint; endpoint != nil {
		if err := checkEndpoint(*endpoint); err != nil {
			return nil, nil, err
		}
	}
	return client, transport, nil
}

// neverRedirect: KMS does not, and a plaintext goes nowhere else.
func neverRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// load reads what the SDK reads. The "legacy" mode sets nothing; "auto" would ask a machine's metadata service for its region.
func load(ctx context.Context, opts ...func(*config.LoadOptions) error) (aws.Config, error) {
	client := awshttp.NewBuildableClient().
		WithTimeout(connectTimeout + answerTimeout).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = connectTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = connectTimeout, answerTimeout
			t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConns, idleConns
		})
	ours := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithDefaultsMode(aws.DefaultsModeLegacy),
		config.WithLogger(logging.Nop{}), // the SDK's own writes to stderr
	}
	cfg, err := config.LoadDefaultConfig(ctx, append(ours, opts...)...)
	if err != nil {
		return aws.Config{}, configError(err)
	}
	return cfg, nil
}

// checkEndpoint refuses what would be printed with a password in it, or cannot be reached at all.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("awskms: the endpoint must be a URL like https://HOST, with no user in it: %w", kms.ErrInvalidRequest)
	}
	return nil
}
