package kms

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Provider opens keys by their id. A provider's package registers one in its init.
type Provider struct {
	Name  string               // "local", for messages
	Match func(id string) bool // tells whether an id has this provider's form
	Open  func(ctx context.Context, id string) (Service, error)
}

var registry struct {
	sync.RWMutex
	providers []Provider
}

// Register adds a provider. It panics if a provider of that name is there already, as two copies of one package would do.
func Register(p Provider) {
	registry.Lock()
	defer registry.Unlock()
	for _, other := range registry.providers {
		if other.Name == p.Name {
			panic("kms: provider registered twice: " + p.Name)
		}
	}
	registry.providers = append(registry.providers, p)
}

// Open returns the key with this id, through the imported provider that knows ids of its form. opts may be nil. It
// makes no request, so that a program without the right to look a key up can start; a missing key shows at the first
// use. An id that no imported provider knows is ErrInvalidRequest, with the import to add if the form is a known one.
//
//	local/NAME                                  a key in a file, kms/localkms
//	vault/NAME                                  Vault and OpenBao, kms/vaultkms
//	arn:aws:kms:…, alias/NAME, UUID, mrk-…      AWS KMS, kms/awskms
//	projects/…/cryptoKeys/NAME                  Google Cloud KMS, kms/gcpkms
//	https://NAME.vault.azure.net/keys/NAME      Azure Key Vault, kms/azurekms
//	insecure-test-key                           for tests, kms/testkms
func Open(ctx context.Context, id string, opts *KeyOptions) (*Key, error) {
	p, err := provider(id)
	if err != nil {
		return nil, fmt.Errorf("kms: open %q: %w", shortened(withoutSecrets(id)), err)
	}
	s, err := p.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("kms: open %q: %w", withoutSecrets(id), err)
	}
	return NewKey(s, opts), nil
}

// withoutSecrets keeps out of messages where URLs have passwords, tokens and signatures.
func withoutSecrets(id string) string {
	if scheme, rest, ok := strings.Cut(id, "://"); ok && strings.Contains(rest, "@") {
		return scheme + "://…" // a password may have any character: where it ends cannot be told
	}
	if i := strings.IndexAny(id, "?#"); i >= 0 {
		return id[:i+1] + "…"
	}
	return id
}

// shortened shows no more than the beginning of what is of no id's form: it may be a token, pasted into the wrong place.
func shortened(id string) string {
	const shown = 8
	if len(id) > shown && importFor(id) == "" {
		return id[:shown] + "…"
	}
	return id
}

func provider(id string) (Provider, error) {
	registry.RLock()
	defer registry.RUnlock()
	var found []Provider
	var names []string
	for _, p := range registry.providers {
		if p.Match(id) {
			found, names = append(found, p), append(names, p.Name)
		}
	}
	switch {
	case id == "":
		return Provider{}, fmt.Errorf("missing key id: %w", ErrInvalidRequest)
	case strings.ContainsAny(id, "?#"):
		return Provider{}, fmt.Errorf("a key id has no '?' and no '#', and what follows may be a secret: %w", ErrInvalidRequest)
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Provider{}, fmt.Errorf("several providers know this id (%s); import only one of them: %w",
			strings.Join(names, ", "), ErrInvalidRequest)
	default:
		return Provider{}, unknownID(id)
	}
}

// knownForms tells which package to import for an id; the forms are mutually exclusive.
var knownForms = []struct {
	form *regexp.Regexp
	pkg  string
}{
	{regexp.MustCompile(`^local/`), "localkms"},
	{regexp.MustCompile(`^insecure-test-key(/encrypt)?$`), "testkms"},
	{regexp.MustCompile(`^vault/`), "vaultkms"},
	{regexp.MustCompile(`^projects/[^/]+/locations/`), "gcpkms"},
	{regexp.MustCompile(`^https://[^/]+/keys/`), "azurekms"},
	{regexp.MustCompile(`^(arn:aws[a-z-]*:kms:|alias/|mrk-[0-9a-f]{32}$|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$)`), "awskms"},
}

// importFor is the package that opens ids of this form, "" if none is known.
func importFor(id string) string {
	for _, k := range knownForms {
		if k.form.MatchString(id) {
			return "github.com/rowseal/rowseal/kms/" + k.pkg
		}
	}
	return ""
}

func unknownID(id string) error {
	if pkg := importFor(id); pkg != "" {
		return fmt.Errorf("no imported provider knows this id; add the import _ %q: %w", pkg, ErrInvalidRequest)
	}
	return fmt.Errorf("no provider has ids of this form; known are local/NAME, vault/NAME, arn:aws:kms:…, alias/NAME, "+
		"projects/…/cryptoKeys/NAME and https://NAME.vault.azure.net/keys/NAME: %w", ErrInvalidRequest)
}
