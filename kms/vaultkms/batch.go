package vaultkms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// makesNoKey is sent as the type of the key to make, should there be none: a type that there is not. The server then makes none,
// whatever the policy grants, and looks at the type in no other case.
const makesNoKey = "rowseal-makes-no-key"

// request is a batch as the engine takes it.
type request struct {
	Entries []entry `json:"batch_input"`
	Type    string  `json:"type,omitempty"`
}

type entry struct {
	Plaintext  []byte `json:"plaintext,omitzero"` // base64; an empty one is there
	Ciphertext string `json:"ciphertext,omitempty"`
	Context    string `json:"context,omitempty"`
	Reference  string `json:"reference"`

	index int // of the item in the call
}

// answer is what the engine answers: outcomes, with any status, or errors.
type answer struct {
	Errors []string `json:"errors"`
	Data   struct {
		Outcomes []outcome `json:"batch_results"`
	} `json:"data"`
}

type outcome struct {
	Plaintext  []byte `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
	Error      string `json:"error"`
	Reference  string `json:"reference"`

	err error // Error as one of kms
}

// call is a call of the service: one request, or a few.
type call struct {
	*service
	op       kms.Op
	to       target
	results  []kms.Result
	requests int
}

func (c *call) start(ctx context.Context, batch []entry) {
	c.to = c.client.target(c.path(c.op))
	if err := c.checkDerived(ctx, batch); err != nil {
		c.fail(batch, err)
		return
	}
	c.send(ctx, batch)
}

func (c *call) fail(batch []entry, err error) {
	for _, e := range batch {
		c.results[e.index].Err = err
	}
}

// send makes a request, or halves it where the server has refused or refuses that much.
func (c *call) send(ctx context.Context, batch []entry) {
	half := (len(batch) + 1) / 2
	most := c.most.Load()
	if most == 0 || int64(len(batch)) <= most {
		outcomes, err := c.request(ctx, batch)
		if err == nil {
			c.file(batch, outcomes)
			return
		}
		if len(batch) == 1 || !worthHalving(err) {
			c.fail(batch, err)
			return
		}
		if errors.Is(err, errTooLarge) && sizeOf(batch) < small {
			c.most.Store(int64(half)) // it was the number
		}
	}
	c.send(ctx, batch[:half])
	c.send(ctx, batch[half:])
}

// small is what every server takes in one request, in bytes before base64. Many a proxy takes 1 MiB.
const small = 512 << 10

func sizeOf(batch []entry) (n int) {
	for _, e := range batch {
		n += len(e.Plaintext) + len(e.Ciphertext) + len(e.Context)
	}
	return n
}

// worthHalving tells whether a smaller request may do. Rewrap with an RSA key fails as a whole for one bad item.
func worthHalving(err error) bool {
	return errors.Is(err, errTooLarge) || errors.Is(err, kms.ErrDecryptionFailed)
}

// request makes one request. Key has counted the first of a call.
func (c *call) request(ctx context.Context, batch []entry) ([]outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.requests++; c.requests > 1 {
		if err := kms.CountRequest(ctx); err != nil {
			return nil, err
		}
	}
	r := request{Entries: batch}
	if c.op == kms.OpEncrypt {
		r.Type = makesNoKey
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, invalid(err)
	}
	path := c.path(c.op)
	reply, err := c.to.put(ctx, body)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, noReply(path, err)
	}
	return outcomesOf(reply, path)
}

// outcomesOf reads a reply. One with outcomes may have any status: 400 or 500 where some of them are errors.
func outcomesOf(r reply, path string) ([]outcome, error) {
	said := message{path: path, status: r.status, sent: r.sent, noToken: r.noToken}
	var a answer
	err := json.Unmarshal(r.body, &a)
	switch {
	case err == nil && len(a.Data.Outcomes) > 0:
		said.mark(a.Data.Outcomes)
		return a.Data.Outcomes, nil
	case r.status/100 == 2:
		return nil, fmt.Errorf("vaultkms: %s: the answer is none of a transit engine: %w", path, kms.ErrWrongAnswer)
	case err == nil:
		said.texts = a.Errors
	case strings.Contains(string(r.body), plainHTTP):
		said.texts = []string{plainHTTP}
	}
	return nil, kms.WithRetryAfter(said.error(), r.header.Get("Retry-After")) // a proxy's page is not quoted
}

// mark gives outcomes their errors, most of which will be the same.
func (m message) mark(outcomes []outcome) {
	known := map[string]error{"": nil}
	for i := range outcomes {
		text := outcomes[i].Error
		if _, ok := known[text]; !ok {
			m.texts = []string{text}
			known[text] = m.error()
		}
		outcomes[i].err = known[text]
	}
}

// file puts outcomes with the items that they are for.
func (c *call) file(batch []entry, outcomes []outcome) {
	for i, o := range match(batch, outcomes) {
		r := &c.results[batch[i].index]
		r.Data, r.Err = c.data(o)
	}
}

// data is what an outcome is worth, nil being none.
func (c *call) data(o *outcome) ([]byte, error) {
	switch {
	case o == nil:
	case o.err != nil:
		return nil, o.err
	case c.op == kms.OpDecrypt && o.Plaintext != nil:
		return o.Plaintext, nil
	case c.op != kms.OpDecrypt:
		if versionOf(o.Ciphertext) > 0 {
			return []byte(o.Ciphertext), nil
		}
	}
	return nil, fmt.Errorf("vaultkms: %s: the answer has nothing, or several things, for this item: %w",
		c.path(c.op), kms.ErrWrongAnswer)
}

// match returns the outcome of each entry by its reference, nil where there is not exactly one. A server that knows no references
// answers in order. More outcomes than entries are none: they cannot be for this request.
func match(batch []entry, outcomes []outcome) []*outcome {
	matched := make([]*outcome, len(batch))
	if len(outcomes) > len(batch) {
		return matched
	}
	inOrder, unnamed := len(outcomes) == len(batch), len(outcomes) == len(batch)
	at := make(map[string]int, len(outcomes)) // -1: more than one
	for i, o := range outcomes {
		inOrder = inOrder && o.Reference == batch[i].Reference
		unnamed = unnamed && o.Reference == ""
		if _, seen := at[o.Reference]; seen {
			at[o.Reference] = -1
		} else {
			at[o.Reference] = i
		}
	}
	if inOrder || unnamed {
		for i := range outcomes {
			matched[i] = &outcomes[i]
		}
		return matched
	}
	asked := make(map[string]int, len(batch))
	for _, e := range batch {
		asked[e.Reference]++
	}
	for i, e := range batch {
		if j, ok := at[e.Reference]; ok && j >= 0 && asked[e.Reference] == 1 {
			matched[i] = &outcomes[j]
		}
	}
	return matched
}
