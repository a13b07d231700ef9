package audit

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"

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
	known    map[string]bool // by the context's bytes
}

// asksAtOnce is how many questions Learn has under way.
const asksAtOnce = 16

// Learn asks for the hashes of contexts, those that are known left out: of the text that rowseal and the gem send, and of the same in one
// line, as somebody would who calls Vault by hand. Each is two requests, and 16 are under way at once. With an error nothing is learned.
// encode is as for ContextHash.
func (n *Names) Learn(ctx context.Context, h Hasher, encode kms.ContextEncoding, contexts ...kms.Context) error {
	if n.known == nil {
		n.contexts, n.known = map[string]kms.Context{}, map[string]bool{}
	}
	asked := map[string]kms.Context{}
	for _, c := range contexts {
		b, err := kms.Item{Context: c, Encoding: encode}.ContextBytes()
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if b != nil && !n.known[string(b)] {
			asked[string(b)] = c
		}
	}
	answers, err := ask(ctx, h, asked, encode)
	if err != nil {
		return err
	}
	for b, hashes := range answers {
		n.known[b] = true
		for _, hash := range hashes {
			n.contexts[hash] = asked[b]
		}
	}
	return nil
}

// ask returns the hashes of contexts, both by their bytes.
func ask(ctx context.Context, h Hasher, contexts map[string]kms.Context, encode kms.ContextEncoding) (map[string][2]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make(map[string][2]string, len(contexts))
	var mu sync.Mutex
	var all sync.WaitGroup
	turn := make(chan struct{}, asksAtOnce)
	for b, c := range contexts {
		turn <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-turn }()
			sent, err := ContextHash(ctx, h, c, encode)
			var line string
			if err == nil {
				line, err = h.AuditHash(ctx, base64.StdEncoding.EncodeToString([]byte(b)))
			}
			if err != nil {
				cancel(err) // the first one counts
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[b] = [2]string{sent, line}
		})
	}
	all.Wait()
	return answers, context.Cause(ctx)
}

// Resolve returns the event with its context, if its hash is known.
func (n *Names) Resolve(e Event) Event {
	if c, ok := n.contexts[e.ContextHash]; ok && e.Context == nil {
		e.Context = c
	}
	return e
}
