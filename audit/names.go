package audit

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/rowseal/rowseal/kms"
)

// Hasher is an audit device of Vault or OpenBao, which tells the hash that stands in its log for a text:
// https://developer.hashicorp.com/vault/api-docs/system/audit-hash. Package vaultkms has one.
type Hasher interface {
	AuditHash(ctx context.Context, text string) (string, error)
}

// ContextHash asks what stands in the audit log for a context: the hash of exactly the text that is sent with a row's data key. encode
// is that of the keyring's version; nil: kms.Context.Canonical. It is what context_hash of the gem kms_encrypted is for.
func ContextHash(ctx context.Context, h Hasher, c kms.Context, encode kms.ContextEncoding) (string, error) {
	text, err := kms.Item{Context: c, Encoding: encode}.ContextMIME()
	switch {
	case err != nil:
		return "", fmt.Errorf("audit: %w", err)
	case text == "":
		return "", fmt.Errorf("audit: no context, which has no hash: %w", kms.ErrInvalidRequest)
	}
	hash, err := h.AuditHash(ctx, text)
	if err != nil {
		return "", fmt.Errorf("audit: hash of a context: %w", err)
	}
	return hash, nil
}

// Names knows the contexts behind the hashes of an audit log. The zero value knows none. It is for one goroutine.
type Names struct {
	contexts map[string]kms.Context
	known    map[string]bool
}

// Learn asks for the hashes of a context, unless it is known: of the text that rowseal and the gem send, and of the same in one line,
// as somebody would who calls Vault by hand.
func (n *Names) Learn(ctx context.Context, h Hasher, c kms.Context, encode kms.ContextEncoding) error {
	item := kms.Item{Context: c, Encoding: encode}
	b, err := item.ContextBytes()
	if err != nil || n.known[string(b)] {
		return err
	}
	if n.known == nil {
		n.contexts, n.known = map[string]kms.Context{}, map[string]bool{}
	}
	hash, err := ContextHash(ctx, h, c, encode)
	if err != nil {
		return err
	}
	line, err := h.AuditHash(ctx, base64.StdEncoding.EncodeToString(b))
	if err != nil {
		return fmt.Errorf("audit: hash of a context: %w", err)
	}
	n.contexts[hash], n.contexts[line], n.known[string(b)] = c, c, true
	return nil
}

// Resolve returns the event with its context, if its hash is known.
func (n *Names) Resolve(e Event) Event {
	if c, ok := n.contexts[e.ContextHash]; ok && e.Context == nil {
		e.Context = c
	}
	return e
}
