package vaultkms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/rowseal/rowseal/kms"
)

// harmless is what a key is asked to encrypt without a context, to see that it refuses.
const harmless = "rowseal: is this key derived?"

var errUnderived = fmt.Errorf("this key is not derived: it ignores the context, so that a row's data key opens for every row; "+
	"make another with derived=true, which cannot be set later, or set Options.AcceptUnderived: %w", kms.ErrInvalidRequest)

// checkDerived asks, once a service and server, whether the key does without a context. It needs no right but that for the operation.
func (c *call) checkDerived(ctx context.Context, batch []entry) error {
	if c.acceptUnderived {
		return nil
	}
	d, _ := c.derivations.LoadOrStore(c.to.server, new(derivation))
	return d.(*derivation).check(ctx, func() (proven bool, err error) {
		outcomes, err := c.request(ctx, c.question(batch))
		if err != nil {
			return c.judge(err)
		}
		for _, o := range outcomes {
			if proven, err = c.judge(o.err); proven || err != nil {
				break
			}
		}
		return proven, err
	})
}

// question asks without a context, and where there are ciphertexts, about made-up ones of the versions that these have: a server
// looks at the version first.
func (c *call) question(batch []entry) []entry {
	if c.op == kms.OpEncrypt {
		return []entry{{Plaintext: []byte(harmless), Reference: "0"}}
	}
	var asked []entry
	seen := make(map[int64]bool)
	for _, e := range batch {
		if v := versionOf(e.Ciphertext); !seen[v] {
			seen[v] = true
			asked = append(asked, entry{Ciphertext: madeUp(v), Reference: strconv.Itoa(len(asked))})
		}
	}
	return asked
}

// judge tells what an answer to the question says. Neither proven nor an error: the key has no such version, or it may not be
// used, which the items themselves will tell.
func (c *call) judge(answer error) (proven bool, err error) {
	switch {
	case errors.Is(answer, errNeedsContext):
		return true, nil
	case answer == nil, errors.Is(answer, kms.ErrDecryptionFailed):
		return false, fmt.Errorf("vaultkms: %s: %w", c.path(c.op), errUnderived)
	case errors.Is(answer, errVersion):
		return false, nil
	}
	return false, answer
}

// derivation remembers that a key has been seen to be derived. Calls that come while one asks wait for its answer.
type derivation struct {
	mu     sync.Mutex
	proven bool
	asking *asking
}

type asking struct {
	done chan struct{}
	err  error
}

// check calls ask unless the key is known to be derived.
func (d *derivation) check(ctx context.Context, ask func() (proven bool, err error)) error {
	for {
		d.mu.Lock()
		if d.proven {
			d.mu.Unlock()
			return nil
		}
		if d.asking == nil {
			a := &asking{done: make(chan struct{})}
			d.asking = a
			d.mu.Unlock()
			return d.ask(a, ask)
		}
		other := d.asking
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-other.done:
		}
		if concernsAll(other.err) {
			return other.err
		}
	}
}

func (d *derivation) ask(a *asking, ask func() (bool, error)) error {
	proven, err := ask()
	d.mu.Lock()
	d.proven, d.asking = proven, nil
	d.mu.Unlock()
	a.err = err
	close(a.done)
	return err
}

// concernsAll tells errors of the server and the key from those of one caller: its ctx, its budget, its right to one operation.
func concernsAll(err error) bool {
	for _, s := range []error{kms.ErrUnavailable, kms.ErrThrottled, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrInvalidRequest} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}
