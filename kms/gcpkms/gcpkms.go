// Package gcpkms wraps data keys with Google Cloud KMS, through Google's own client (gRPC).
//
//	import _ "github.com/rowseal/rowseal/kms/gcpkms" // kms.Open then knows ids of this form:
//
//	projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY
//
// It takes no other form. The id of a key version, which continues with /cryptoKeyVersions/N, is refused: the key's primary
// version encrypts, and Google finds the version that a ciphertext was made by. The key's purpose is ENCRYPT_DECRYPT.
//
// # Credentials and environment
//
// Application Default Credentials (https://cloud.google.com/docs/authentication/application-default-credentials), which
// Google's client looks for at the first request and not before: $GOOGLE_APPLICATION_CREDENTIALS, then what gcloud auth
// application-default login left, then the metadata server. HTTPS_PROXY and NO_PROXY work too. Everything else is an
// Options.ClientOptions: another endpoint, a quota project, a token source.
//
// # Rights
//
//	seal     cloudkms.cryptoKeyVersions.useToEncrypt   roles/cloudkms.cryptoKeyEncrypter
//	open     cloudkms.cryptoKeyVersions.useToDecrypt   roles/cloudkms.cryptoKeyDecrypter
//	rewrap   both: Google has no rewrap, so kms.Key decrypts and encrypts
//
// Google documents that Decrypt is authorised on the name of the key in the request, so kms.Key.CheckDecrypt, which sends
// random bytes, shows whether the right is there. It does not show whether a version is disabled: the bytes name none.
//
// # What is authenticated
//
// The context goes as additional authenticated data (AAD), in the bytes of kms.Item.ContextBytes, which are those that the
// Ruby gem kms_encrypted sends (https://github.com/ankane/kms_encrypted, lib/kms_encrypted/clients/google.rb). Without a
// context there is no AAD; an empty context is the two bytes {}. A ciphertext opens under its own AAD alone. The ciphertext
// is Google's own, about 80 bytes more than the plaintext; it names the version inside and does not show it.
//
// Each request carries CRC32C checksums of what it sends, and Google must confirm that it checked them; each answer's
// checksum is checked too (https://cloud.google.com/kms/docs/data-integrity-guidelines). Bytes that were damaged on the way
// are kms.ErrUnavailable and not used. A ciphertext is taken only if a version of this very key made it.
//
// # Limits
//
// Plaintext 0 to 65,536 bytes, AAD up to 65,536 bytes; more is refused here. With an HSM key both together are at most 8,192
// bytes, which Google checks. One item a request: there are no batches.
//
// A request that this package's own client makes ends after 4 seconds: 2 to connect and 2 to answer, as the gem's, but in
// one sum, since gRPC has one deadline for both. With your own client only the ctx ends it; kms.Key's has 10 seconds.
// Google's client would retry by itself; that is off, in every call, because kms.Key does it.
//
// # What Google logs
//
// Encrypt and Decrypt are Data Access events of the type DATA_READ, which Google does not log until that is switched on.
// They show who, when, from where and which key, but not the AAD: which row it was cannot be read there. docs/google.md tells
// how to switch them on.
//
// Google's client logs requests and answers, plaintext included, if $GOOGLE_SDK_GO_LOGGING_LEVEL is debug. The clients that
// this package makes do not; your own one does.
//
// Documentation of the service: https://cloud.google.com/kms/docs
package gcpkms

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/api/option"

	"github.com/rowseal/rowseal/kms"
)

func init() {
	kms.Register(kms.Provider{
		Name:  "gcp",
		Match: looksLikeID,
		Open:  func(_ context.Context, id string) (kms.Service, error) { return New(id, nil) },
	})
}

// Options changes how a key is reached. The zero value uses Application Default Credentials.
type Options struct {
	// Client is your own client. Its settings stay as they are, except that it does not retry requests of this package. It
	// is yours to close.
	Client *cloudkms.KeyManagementClient
	// ClientOptions are for the client that is made without one: option.WithEndpoint, option.WithAuthCredentials and the
	// like.
	ClientOptions []option.ClientOption
}

// New returns the key with this id. opts may be nil. It makes no request and looks for no credentials: that happens at the
// first use, and again at the next one if it failed. An id that is not of the package's form is kms.ErrInvalidRequest.
//
// The service is also an io.Closer. It closes the client that it made, and never yours.
func New(id string, opts *Options) (kms.Service, error) {
	key, err := parseID(id)
	if err != nil {
		return nil, err
	}
	switch {
	case opts == nil:
		return newService(key, lazily(nil)), nil
	case opts.Client == nil:
		return newService(key, lazily(opts.ClientOptions)), nil
	case len(opts.ClientOptions) > 0:
		return nil, fmt.Errorf("gcpkms: ClientOptions have no effect beside a Client: %w", kms.ErrInvalidRequest)
	}
	return newService(key, existing(opts.Client)), nil
}

// Client options may hold keys and tokens, and Google's types print them.

// Format implements fmt.Formatter for every verb, without the options' values.
func (o Options) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "gcpkms.Options(own client: %t, %d client options)", o.Client != nil, len(o.ClientOptions))
}

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (o Options) MarshalText() ([]byte, error) { return fmt.Append(nil, o), nil }

var _ io.Closer = (*service)(nil)
