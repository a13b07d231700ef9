// Package vaultkms wraps data keys with the transit secrets engine of HashiCorp Vault or of OpenBao, which speaks the same API.
//
//	import (
//		"github.com/rowseal/rowseal/kms"
//		_ "github.com/rowseal/rowseal/kms/vaultkms"
//	)
//
//	key, err := kms.Open(ctx, "vault/users", nil) // reads VAULT_ADDR, VAULT_TOKEN and the like
//
// # Ids
//
//	vault/NAME          the key NAME of the engine mounted at transit
//	vault/MOUNT/NAME    the key NAME of the engine mounted at MOUNT, which may have slashes: vault/team/transit/users
//
// Names of keys have none. A namespace may stand before the mount, as in every path of Vault.
//
// # The key
//
// It must be made with derived=true: then every context has a key of its own, and a wrapped data key opens for its row alone. Any
// other key ignores the context without a word. So before its first use a key is asked, by one request more, to do without a
// context: a derived one refuses. A key that agrees is kms.ErrInvalidRequest, unless Options.AcceptUnderived is set. The question
// is asked once a service, and again where the caller's client goes to another address or namespace: a key that is deleted and made
// again underived meanwhile is not noticed. It needs no right but that for the operation itself, and makes no key. Nor does any
// other request: one to encrypt under a name that no key has is refused even where a policy grants "create".
//
//	vault write transit/keys/users derived=true
//
// # Rights
//
//	seal      path "transit/encrypt/users" { capabilities = ["update"] }
//	open      path "transit/decrypt/users" { capabilities = ["update"] }
//	rewrap    path "transit/rewrap/users"  { capabilities = ["update"] }
//
// Rewrapping shows no plaintext, and keeps the context: a new context takes the rights to open and to seal.
//
// # Environment
//
// Without Options.Client, all variables of Vault's own client count: VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT,
// VAULT_CLIENT_CERT, VAULT_AGENT_ADDR and so on, but for VAULT_MAX_RETRIES: it is kms.Key that tries again. They are read once. The
// file that "vault login" writes is not, nor are BAO_ADDR and the like. Errors name variables and do not show their values. A program
// that renews its token, or logs in by another method, does so with a client of its own: its token is read anew at every call.
//
// # Requests
//
// A request carries up to 240 items. A server that refuses so many gets halves: OpenBao refuses a request with more than 1,000 JSON
// strings, which is 166 items, unless its listener says otherwise (max_request_json_strings). To spare it the refusals, set
// kms.KeyOptions.BatchSize to 166. Each item has a reference, by which its answer is known, in whatever order answers come.
// Before Vault 1.13 there were no references, and answers count by their order.
//
// The context is sent as "context", in base64 with lines of 60 columns, as the Ruby gem kms_encrypted sends it: so the audit log has
// the same hash for a row, whoever asked. Vault and OpenBao log no plaintext, context or ciphertext, but their HMACs, one a
// string. The log shows which rows were asked for; where one row of a batch cannot be encrypted or decrypted, the whole answer is one
// HMAC, and does not show which of the others were. associated_data and key_version are never sent: rewrap would ignore the former.
//
// # Ciphertexts
//
// A ciphertext is ASCII: "vault:v", the key's version, ":", and base64 (RFC 4648 §4) of nonce, ciphertext and tag, for the usual
// aes256-gcm96 28 bytes more than the plaintext. It is authenticated under the key that the context gives. What is not exactly
// of this form is kms.ErrDecryptionFailed, and the server is not asked.
//
// A plaintext has at most 786,395 bytes; a larger one is kms.ErrInvalidRequest. Vault would encrypt it, and then refuse the ciphertext,
// which is over its limit of 1 MiB for a JSON string. OpenBao has no such limit, but is treated alike.
//
// The engine: https://developer.hashicorp.com/vault/api-docs/secret/transit and https://openbao.org/api-docs/secret/transit/
package vaultkms

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/api"

	"github.com/rowseal/rowseal/kms"
)

func init() {
	kms.Register(kms.Provider{
		Name:  "vault",
		Match: matchID,
		Open: func(_ context.Context, id string) (kms.Service, error) {
			p, err := parseID(id)
			if err != nil {
				return nil, err
			}
			return open(p, Options{})
		},
	})
}

// Options changes how a key is reached. The zero value reads the environment.
type Options struct {
	// Mount is where the transit engine is. "": transit.
	Mount string
	// Namespace is the engine's, from the root. "": that of the client, which has it from VAULT_NAMESPACE.
	Namespace string
	// Client is the program's own. It is not changed, and asked at every call for its address, token and headers. Its
	// connections, limiter and timeout are used; its retries and callbacks are not, nor is api.Config.DisableRedirects, which cannot
	// be read from a client: VAULT_DISABLE_REDIRECTS counts instead. nil: a client as the environment says, with 2 seconds to
	// connect and 2 until the answer begins; how long it may then take is up to kms.KeyOptions.Timeout.
	Client *api.Client
	// AcceptUnderived takes keys that are not derived, and does not ask. Such a key opens a row's data key for every row: only
	// Info().ContextEnforced tells, and fields then need to be bound to their rows. It is for what old programs wrote.
	AcceptUnderived bool
}

// New returns the service of one key, for kms.NewKey; kms.Open does both with the zero Options. opts may be nil. It makes no
// request: a missing key or token shows at the first use. A name, mount or environment that cannot be right is
// kms.ErrInvalidRequest. The service is safe for concurrent use, and is an io.Closer.
func New(name string, opts *Options) (kms.Service, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	return open(newPlace(o.Namespace, o.Mount, name), o)
}

func open(p place, o Options) (*service, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	c, err := newClient(o.Client, p.namespace)
	if err != nil {
		return nil, fmt.Errorf("vaultkms: %w", err)
	}
	return &service{place: p, client: c, acceptUnderived: o.AcceptUnderived}, nil
}
