// Package policy writes down the right to seal, to open or to rotate with one KMS key, and no other right, in the language
// of the key's own service: an IAM policy for AWS, a policy of Vault or OpenBao, scripts for gcloud and az. For AWS, it also
// writes down what alerts on the use of a key, and how to ask its log (Alerts).
//
// Ids and contexts come from a command line and go into JSON, YAML, HCL, SQL and shell scripts: every part of an id must
// match a pattern that has no meaning there, and contexts are escaped. No request is made.
package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// Right is what a service account may do with a key.
type Right string

// The rights.
const (
	Seal   Right = "seal"   // wrap new data keys
	Open   Right = "open"   // unwrap data keys
	Rotate Right = "rotate" // wrap data keys anew, without seeing them where the service can do that
)

// Options narrows an AWS policy. Other services take none of it.
type Options struct {
	Context         kms.Context // what the encryption context of every call must have, at least
	Account, Region string      // where the id does not say them; "": any, but for an alias, which needs an account
}

// Document is what gives the right.
type Document struct {
	Text  string   // what the service takes, with comments where its format has them
	Notes []string // what else there is to know, where it has none
}

// ErrUnknownID is an id of no service's form.
var ErrUnknownID = errors.New("policy: unknown key id")

// For returns the document that gives one right to the key. opts may be nil.
func For(id string, right Right, opts *Options) (Document, error) {
	if opts == nil {
		opts = &Options{}
	}
	if key, ok := parseAWS(id); ok {
		return key.document(right, opts)
	}
	if opts.Context != nil || opts.Account != "" || opts.Region != "" {
		return Document{}, errors.New("policy: only AWS policies can name a context, an account or a region")
	}
	switch {
	case strings.HasPrefix(id, "local/") || id == "insecure-test-key" || id == "insecure-test-key/encrypt":
		return Document{}, fmt.Errorf("policy: %s has no rights of its own: whoever can read the key can seal and open; "+
			"rights come with a KMS", id)
	case strings.HasPrefix(id, "vault/"):
		return vaultDocument(id, right)
	case strings.HasPrefix(id, "projects/"):
		return googleDocument(id, right)
	case azureLike.MatchString(id):
		return azureDocument(id, right)
	}
	return Document{}, ErrUnknownID
}

// Command is the command line that prints what For returns. The right is to be added, and where it is not known, the account.
func Command(id string) string {
	command := "rowseal policy --key-id " + id
	if key, ok := parseAWS(id); ok && key.alias != "" && key.account == "" {
		command += " --account ACCOUNT"
	}
	return command
}

// azureLike tells key ids from other URLs, which may hold a password.
var azureLike = regexp.MustCompile(`^https://[^/@?#]+/keys/`)

// tag makes a name unique: it tells apart what else would have the same.
func tag(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:4])
}

// parts returns what an expression's groups match.
func parts(form *regexp.Regexp, id string) ([]string, bool) {
	found := form.FindStringSubmatch(id)
	if found == nil {
		return nil, false
	}
	return found[1:], true
}
