package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/kms"
)

// checkedKey is what keys check found out.
type checkedKey struct {
	ID              string `json:"id"`
	Seal            answer `json:"seal"`
	Open            answer `json:"open"`
	ContextEnforced answer `json:"context_enforced"`
}

// answer is yes, no or unknown.
type answer struct {
	Answer string `json:"answer"`
	Reason string `json:"reason,omitempty"`
}

func (a answer) String() string {
	if a.Reason == "" {
		return a.Answer
	}
	return a.Answer + ": " + a.Reason
}

var yes = answer{Answer: "yes"}

func no(reason string) answer      { return answer{"no", reason} }
func unknown(reason string) answer { return answer{"unknown", reason} }

func newKeysCheck() *cobra.Command {
	var asJSON bool
	var context []string
	cmd := &cobra.Command{
		Use:   "check ID",
		Short: "Tell what a key id can do with the rights at hand",
		Long: `Tell whether a key can seal, whether it can open, and whether it enforces the encryption context, by sealing a random
value and trying to open it.

Where the right to seal is missing, the right to open is tried with a made-up ciphertext: the service shows that it is
there by reading and refusing the ciphertext. The context is then not tried, but what the service says of itself.

The service's log has these requests under the model_name "rowseal keys check". The forms of key ids, and where the
credentials of each service come from: 'rowseal keys --help'.

The exit code is 1 if the key is found neither to seal nor to open.`,
		Args:              takes(1, 1),
		ValidArgsFunction: completeKeys("local/"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ec, err := withEntries(nil, context)
			if err != nil {
				return err
			}
			key, err := openKey(cmd, args[0], &kms.KeyOptions{Timeout: patience})
			if err != nil {
				return err
			}
			defer key.Close()
			checked, err := check(cmd.Context(), key, ec)
			if err != nil && cmd.Context().Err() == nil { // interrupted, nothing is found
				err = unusableError{key.ID(), err}
			}
			if asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), checked), err)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "key id\t%s\nseal\t%s\nopen\t%s\ncontext enforced\t%s\n",
				checked.ID, checked.Seal, checked.Open, checked.ContextEnforced)
			return errors.Join(w.Flush(), err)
		},
	}
	cmd.Flags().StringArrayVar(&context, "context", nil, "try with `NAME=VALUE`, where the rights are for such a context only; repeatable")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// unusableError is one of check in short: the answers have its reasons.
type unusableError struct {
	id    string
	cause error
}

func (e unusableError) Error() string {
	text := e.id + " is found neither to seal nor to open"
	for _, kind := range []error{kms.ErrAccessDenied, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrThrottled, kms.ErrUnavailable} {
		if errors.Is(e.cause, kind) {
			return text + ": " + kind.Error()
		}
	}
	return text
}

func (e unusableError) Unwrap() error { return e.cause }

// patience is how long one request may take where somebody waits for the answer.
const patience = 5 * time.Second

const cannotOpen = "not tried, as the key cannot open"

// check tries out a key, with the entries of ec in the context. The error is that of sealing, of a key that is not found to
// open either.
func check(ctx context.Context, key *kms.Key, ec kms.Context) (checkedKey, error) {
	const untried = "not tried, as the key cannot seal"
	ec = probeContext(ec)
	sealed, err := key.Encrypt(ctx, randomBytes(32), ec)
	if errors.Is(err, kms.ErrAccessDenied) {
		return checkReader(ctx, key, ec, err)
	}
	if err != nil {
		return checkedKey{key.ID(), no(reason(err)), unknown(untried), unknown(untried)}, err
	}
	if _, err := key.Decrypt(ctx, sealed, ec); err != nil {
		return checkedKey{key.ID(), yes, no(reason(err)), unknown(cannotOpen)}, nil
	}
	ec["model_id"] += "0"
	_, err = key.Decrypt(ctx, sealed, ec)
	return checkedKey{key.ID(), yes, yes, enforced(err)}, nil
}

// checkReader tries out a key without the right to seal: nothing that it could open is at hand.
func checkReader(ctx context.Context, key *kms.Key, ec kms.Context, denied error) (checkedKey, error) {
	checked := checkedKey{ID: key.ID(), Seal: no(reason(denied))}
	if err := key.CheckDecrypt(ctx, ec); err != nil {
		checked.Open, checked.ContextEnforced = refused(err), unknown(cannotOpen)
		return checked, denied
	}
	checked.Open = answer{yes.Answer, "tried with a made-up ciphertext, which the service read and refused"}
	checked.ContextEnforced = claimed(key.Info())
	return checked, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// probeContext shows in the KMS's log what it was.
func probeContext(ec kms.Context) kms.Context {
	probe := kms.Context{"model_name": "rowseal keys check", "model_id": "1"}
	maps.Copy(probe, ec)
	return probe
}

// enforced judges how opening under another context ended.
func enforced(err error) answer {
	switch {
	case err == nil:
		return no("it opened under another context")
	case errors.Is(err, kms.ErrDecryptionFailed):
		return yes
	}
	return unknown(reason(err))
}

// refused judges why a made-up ciphertext was not read.
func refused(err error) answer {
	if errors.Is(err, kms.ErrAccessDenied) {
		return no(reason(err))
	}
	return unknown(reason(err))
}

// claimed is whether the context is enforced, by the service's own account.
func claimed(info kms.Info) answer {
	const source = "not tried, but what the service says of itself"
	if info.ContextEnforced {
		return answer{yes.Answer, source}
	}
	return no(source)
}

// reason is an error without the operation and key that stand beside it anyway.
func reason(err error) string {
	if e := (*kms.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return wording(err)
}
