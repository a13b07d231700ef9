// Package azurekms wraps data keys with the keys of Azure Key Vault and Azure Managed HSM.
//
//	import (
//		"github.com/rowseal/rowseal/kms"
//		_ "github.com/rowseal/rowseal/kms/azurekms"
//	)
//
//	key, err := kms.Open(ctx, "https://myhsm.managedhsm.azure.net/keys/users", nil)
//
// # Ids
//
//	https://NAME.vault.azure.net/keys/NAME          a key of Key Vault
//	https://NAME.managedhsm.azure.net/keys/NAME     a key of a Managed HSM
//
// Other hosts are fine (other clouds: vault.azure.cn, vault.usgovcloudapi.net). An id has no version: the newest version wraps,
// and each ciphertext remembers its own.
//
// Credentials are those of azidentity.DefaultAzureCredential, unless Options say otherwise: AZURE_TENANT_ID, AZURE_CLIENT_ID and
// AZURE_CLIENT_SECRET (or AZURE_CLIENT_CERTIFICATE_PATH), workload identity, managed identity, or what "az login" left.
// AZURE_TOKEN_CREDENTIALS picks one of them; do that in production, because trying them all takes seconds.
//
// # Rights
//
//	                        to seal     to open        to rewrap
//	Key Vault, RSA          wrapKey     unwrapKey      both
//	Managed HSM, AES        encrypt     decrypt        both
//
// Reading a key (get) is not needed. See docs/azure.md for roles, logs, limits, costs and deletion.
//
// # RSA keys
//
// A key of Key Vault is an RSA key; so are some of a Managed HSM, with Options.RSA. A fresh AES-256 key seals the plaintext (at
// most 64 KiB) in this process, with the context as associated data, and Azure wraps that key with RSA-OAEP-256:
//
//	"RSZ1" ‖ version length, 1 byte ‖ version ‖ wrapped key length, 2 bytes ‖ wrapped key ‖ nonce, 12 ‖ ciphertext ‖ tag, 16
//
// The length is big endian. With an RSA-2048 key that is 323 bytes more than the plaintext. AES-256-GCM authenticates also
//
//	"RSZ1" ‖ version length ‖ version ‖ 0                without a context
//	"RSZ1" ‖ version length ‖ version ‖ 1 ‖ context      with one
//
// where the context's bytes are those of [kms.Item.ContextBytes]. The vault's name is not in it, so that a key restored into
// another vault still opens. The AES key seals once, so the limit on random nonces of NIST SP 800-38D §8.3 does not bind.
//
// A ciphertext opens under its own context only, and Azure does not see that context: whoever may unwrap can unwrap any row's key,
// and Azure's log does not tell which row it was.
//
// The public half of an RSA key is no secret, and whoever has it can wrap. So a ciphertext that opens does not prove that a
// holder of the right to wrap made it: who can write to the database can put a data key of his own in place of a row's, and read
// what is sealed under it later. New refuses RSA keys until Options.AcceptPublicKeyWrapping says that this is understood. For
// kms.Open, which has no such options, ROWSEAL_AZURE_ACCEPT_PUBLIC_KEY_WRAPPING=true in the environment says it.
//
// # AES keys
//
// A key of a Managed HSM is an AES key (oct-HSM, 256 bits), and the HSM itself seals with AES-256-GCM. It takes the context as
// additional authenticated data. Plaintexts have 1 to 4096 bytes.
//
//	"RSZ2" ‖ version length, 1 byte ‖ version ‖ IV length, 1 ‖ IV ‖ ciphertext ‖ tag, 16
//
// The HSM makes the IV, of 12 to 16 bytes. It is random, so one version of the key must not seal more than 2^32 times
// (NIST SP 800-38D §8.3): rotate a key that comes near.
//
// # Requests
//
// Each wrap and unwrap is one request; there are no batches and no rewrap on the server. A client's first request is made twice:
// Azure answers the first time which tenant to get a token from. Clients that New makes connect within 2 seconds, wait 2 for an
// answer, follow no redirect, and do not retry: kms.Key does. A client or transport of the caller's own follows the redirects that
// it follows, and a redirect 307 or 308 takes the plaintext along: set CheckRedirect of its http.Client.
//
// Service documentation: https://learn.microsoft.com/azure/key-vault/keys/about-keys-details and
// https://learn.microsoft.com/rest/api/keyvault/
package azurekms

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

const acceptVariable = "ROWSEAL_AZURE_ACCEPT_PUBLIC_KEY_WRAPPING"

var idForm = regexp.MustCompile(`^https://[^/]+/keys/`)

func init() {
	kms.Register(kms.Provider{
		Name:  "azure",
		Match: idForm.MatchString,
		Open: func(_ context.Context, id string) (kms.Service, error) {
			return New(id, &Options{AcceptPublicKeyWrapping: os.Getenv(acceptVariable) == "true"})
		},
	})
}

// Options changes how New reaches a key. The zero value is right for AES keys of a Managed HSM.
type Options struct {
	// AcceptPublicKeyWrapping permits RSA keys: see the package's documentation for what a wrap with a public key does not prove.
	AcceptPublicKeyWrapping bool
	// RSA tells that a key of a Managed HSM is an RSA key. Keys of Key Vault always are.
	RSA bool

	// Client is the caller's own, for the vault that the id names; its redirects are its own. nil: New makes one with what
	// follows.
	Client *azkeys.Client
	// Credential gets the tokens. nil: azidentity.NewDefaultAzureCredential.
	Credential azcore.TokenCredential
	// ClientOptions are for the client that New makes, and Cloud and Transport of it for the default credential. Its Retry is not
	// used. Redirects are those of its Transport, if it has one.
	ClientOptions *azkeys.ClientOptions
}

// Format prints nothing of the options, for every verb: they hold credentials.
func (Options) Format(f fmt.State, _ rune) { io.WriteString(f, "azurekms.Options") }

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (o Options) MarshalText() ([]byte, error) { return fmt.Append(nil, o), nil }

// New returns the service of the key with this id, for kms.NewKey. opts may be nil. It makes no request: a missing key shows at the
// first use. Its errors match kms.ErrInvalidRequest, or kms.ErrAccessDenied where the environment's credentials cannot be used.
func New(id string, opts *Options) (kms.Service, error) {
	if opts == nil {
		opts = &Options{}
	}
	name, err := parseID(id)
	if err != nil {
		return nil, err
	}
	rsa := opts.RSA || !name.managedHSM()
	if rsa && !opts.AcceptPublicKeyWrapping {
		return nil, fmt.Errorf("azurekms: this is an RSA key, with whose public half anyone can wrap, so that a wrapped key does not "+
			"prove who made it; use an AES key of a Managed HSM, or accept it with Options.AcceptPublicKeyWrapping (for kms.Open: "+
			"%s=true): %w", acceptVariable, kms.ErrInvalidRequest)
	}
	k, err := newKey(name, opts)
	if err != nil {
		return nil, err
	}
	if rsa {
		return service{k, rsaForm{k}}, nil
	}
	return service{k, aesForm{k}}, nil
}
