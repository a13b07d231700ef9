package azurekms

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

const (
	connectTimeout = 2 * time.Second
	answerTimeout  = 2 * time.Second
)

// operation is an operation of Azure's, by the name that its rights have.
type operation string

const (
	wrapKey   operation = "wrapKey"
	unwrapKey operation = "unwrapKey"
	encrypt   operation = "encrypt"
	decrypt   operation = "decrypt"
)

func (op operation) opens() bool { return op == unwrapKey || op == decrypt }

// key is a key and the client that reaches it.
type key struct {
	keyID
	client *azkeys.Client
	single bool         // the client does not retry
	own    *http.Client // nil: someone else's
}

// newKey makes what of the client the options do not bring.
func newKey(id keyID, opts *Options) (key, error) {
	if opts.Client != nil {
		return key{keyID: id, client: opts.Client}, nil
	}
	var co azkeys.ClientOptions
	if opts.ClientOptions != nil {
		co = *opts.ClientOptions
	}
	credential := opts.Credential
	if credential == nil {
		var err error
		if credential, err = defaultCredential(co.ClientOptions); err != nil {
			return key{}, err
		}
	}
	k := key{keyID: id, single: true}
	co.Retry = policy.RetryOptions{MaxRetries: -1}
	if co.Transport == nil {
		k.own = newHTTPClient(newTransport())
		co.Transport = k.own
	}
	var err error
	if k.client, err = azkeys.NewClient(id.vault(), credential, &co); err != nil {
		return key{}, fmt.Errorf("azurekms: client: %v: %w", err, kms.ErrInvalidRequest)
	}
	return k, nil
}

// newHTTPClient follows no redirect: Azure makes none, and neither a plaintext nor a client secret goes anywhere else.
func newHTTPClient(t *http.Transport) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: answerTimeout,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16, // as many requests as kms.Key has under way at once
		ForceAttemptHTTP2:     true,
	}
}

// answer is Azure's answer, with the version of the key that gave it.
type answer struct {
	azkeys.KeyOperationResult
	version string
}

// ask makes one request, under the newest version if version is "", and makes sure that this key and version answered.
func (k key) ask(ctx context.Context, op operation, version string, p azkeys.KeyOperationParameters) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	result, err := k.send(ctx, op, version, p)
	if err != nil {
		return answer{}, k.mapError(ctx, op, err, p)
	}
	if result.KID == nil {
		return answer{}, errWrong(op)
	}
	answered, ok := k.versionOf(*result.KID)
	if !ok || version != "" && answered != version {
		return answer{}, fmt.Errorf("azurekms: %s: another key or version answered, and its answer is not used; "+
			"check that the id names the vault by its own host: %w", op, kms.ErrWrongAnswer)
	}
	return answer{result, answered}, nil
}

func (k key) send(
	ctx context.Context, op operation, version string, p azkeys.KeyOperationParameters,
) (azkeys.KeyOperationResult, error) {
	if !k.single {
		ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
	}
	switch op {
	case wrapKey:
		r, err := k.client.WrapKey(ctx, k.name, version, p, nil)
		return r.KeyOperationResult, err
	case unwrapKey:
		r, err := k.client.UnwrapKey(ctx, k.name, version, p, nil)
		return r.KeyOperationResult, err
	case encrypt:
		r, err := k.client.Encrypt(ctx, k.name, version, p, nil)
		return r.KeyOperationResult, err
	default:
		r, err := k.client.Decrypt(ctx, k.name, version, p, nil)
		return r.KeyOperationResult, err
	}
}

// close lets go of idle connections. It can be called twice, and a request after it opens new ones.
func (k key) close() {
	if k.own != nil {
		k.own.CloseIdleConnections()
	}
}
