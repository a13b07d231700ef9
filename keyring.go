package rowseal

import (
	"context"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// Keyring is the KMS key in use and those before it. The first version seals, all of them open, so that keys, providers
// and contexts are changed by adding a version, sealing and rewrapping under it, and later dropping the old one. It is
// safe for concurrent use.
//
// Outside models a Keyring is also a box for small secrets, the KmsEncrypted::Box of the Ruby gem
// (https://github.com/ankane/kms_encrypted): Encrypt and Decrypt.
type Keyring struct {
	versions []Version
}

// Version is one KMS key of a Keyring.
type Version struct {
	Number int // from 1; stored with each wrapped key as "v1:"
	Key    *kms.Key
	// Encoding replaces how the context is written for the KMS. nil is right for all but old data; see
	// kms.ContextEncoding.
	Encoding kms.ContextEncoding
	// Legacy lets this version open wrapped keys without a version, from kms_encrypted before 1.0. At most one version
	// has it.
	Legacy *Legacy
}

// Legacy tells how contexts were sent by kms_encrypted before 1.0.
type Legacy struct {
	// Encoding of the context, as a rule a kms.OrderedJSON. nil: kms.Context.Canonical. AWS ignores it.
	Encoding kms.ContextEncoding
	// EmptyContext: the data was wrapped under the context {}, without the row's identity (the gem's upgrade_context
	// option).
	EmptyContext bool
}

const maxVersion = 999_999_999

// NewKeyring returns the Keyring of these versions; the first is the one that seals.
func NewKeyring(versions ...Version) (*Keyring, error) {
	if len(versions) == 0 {
		return nil, fmt.Errorf("rowseal: a keyring needs a version: %w", kms.ErrInvalidRequest)
	}
	legacy := 0
	for i, v := range versions {
		switch {
		case v.Number < 1 || v.Number > maxVersion:
			return nil, fmt.Errorf("rowseal: keyring version %d: versions are numbered from 1 to %d: %w", v.Number, maxVersion, kms.ErrInvalidRequest)
		case v.Key == nil:
			return nil, fmt.Errorf("rowseal: keyring version %d has no key: %w", v.Number, kms.ErrInvalidRequest)
		case slices.ContainsFunc(versions[:i], func(o Version) bool { return o.Number == v.Number }):
			return nil, fmt.Errorf("rowseal: keyring version %d is there twice: %w", v.Number, kms.ErrInvalidRequest)
		}
		if v.Legacy != nil {
			legacy++
		}
	}
	if legacy > 1 {
		return nil, fmt.Errorf("rowseal: %d keyring versions are Legacy, and only one can be: %w", legacy, kms.ErrInvalidRequest)
	}
	return &Keyring{versions: slices.Clone(versions)}, nil
}

// EncryptOnly returns a Keyring that seals and cannot open: its Keys refuse before any request. A service that only
// writes holds this one.
func (r *Keyring) EncryptOnly() *Keyring {
	only := &Keyring{versions: slices.Clone(r.versions)}
	for i := range only.versions {
		only.versions[i].Key = only.versions[i].Key.EncryptOnly()
	}
	return only
}

// Versions returns the versions; the first is the one that seals.
func (r *Keyring) Versions() []Version { return slices.Clone(r.versions) }

// Encrypt wraps a small plaintext (AWS takes up to 4 KiB) with the first version's key and returns "v<number>:" and the
// KMS's ciphertext in base64. The context is authenticated and not stored: Decrypt needs the same one.
func (r *Keyring) Encrypt(ctx context.Context, plaintext []byte, ec kms.Context) (string, error) {
	j := &job{ring: r, plaintext: plaintext, context: always(ec)}
	wrapAll(ctx, []*job{j})
	return j.wrapped, named(j.err)
}

// Decrypt opens what Encrypt, or kms_encrypted, returned. Under another context, or with one byte altered, it is
// ErrDecryptionFailed; under a version that the Keyring lacks, ErrVersionNotActive. Text without a version opens only
// with a Legacy version.
func (r *Keyring) Decrypt(ctx context.Context, ciphertext string, ec kms.Context) ([]byte, error) {
	j := &job{ring: r, wrapped: ciphertext, context: always(ec)}
	unwrapAll(ctx, []*job{j})
	return j.plaintext, named(j.err)
}

// Rewrap wraps what ciphertext holds anew, with the newest version of the first version's key, under the context to.
// Where ciphertext is already under the same *kms.Key, and the KMS can, it does so without showing the plaintext.
func (r *Keyring) Rewrap(ctx context.Context, ciphertext string, from, to kms.Context) (string, error) {
	j := &job{ring: r, wrapped: ciphertext, context: always(from), target: always(to)}
	rewrapAll(ctx, []*job{j})
	if j.err != nil {
		return "", named(j.err)
	}
	return j.wrapped, nil
}

// VersionOf tells which version's key and context open a ciphertext. Text without a version belongs to the Legacy
// version.
func (r *Keyring) VersionOf(ciphertext string) (int, error) {
	_, v, err := r.parse(ciphertext)
	return v.Number, named(err)
}

// parse takes a wrapped key apart and finds its version.
func (r *Keyring) parse(wrapped string) (wrappedKey, Version, error) {
	w, err := parseWrapped(wrapped)
	if err != nil {
		return w, Version{}, err
	}
	for _, v := range r.versions {
		if w.version == v.Number || w.version == 0 && v.Legacy != nil {
			return w, v, nil
		}
	}
	if w.version == 0 {
		return w, Version{}, fmt.Errorf("a wrapped key without a version, as kms_encrypted wrote before 1.0, "+
			"opens only with a Legacy version of the keyring: %w", ErrDecryptionFailed)
	}
	return w, Version{Number: w.version}, fmt.Errorf("%w: %d", ErrVersionNotActive, w.version)
}

// named puts the package's name before an error, as *Error does for the errors of rows.
func named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rowseal: %w", err)
}

// always is a context that is the same for every version.
func always(ec kms.Context) func(int) (kms.Context, error) {
	return func(int) (kms.Context, error) { return ec, nil }
}
