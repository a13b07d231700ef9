package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"text/tabwriter"

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
	cmd := &cobra.Command{
		Use:   "check ID",
		Short: "Tell what a key id can do with the rights at hand",
		Long: `Tell whether a key can seal, whether it can open, and whether it enforces the encryption context, by sealing a random
value and trying to open it.

Where the right to seal is missing, the right to open is tried with a made-up ciphertext: the service shows that it is
there by reading and refusing the ciphertext. The context is then not tried, but what the service says of itself.

The exit code is 1 if the key is found neither to seal nor to open.`,
		Args:              takes(1, 1),
		ValidArgsFunction: completeKeys("local/"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := openKey(cmd, args[0])
			if err != nil {
				return err
			}
			defer key.Close()
			checked, err := check(cmd.Context(), key)
			if asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), checked), err)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "key id\t%s\nseal\t%s\nopen\t%s\ncontext enforced\t%s\n",
				checked.ID, checked.Seal, checked.Open, checked.ContextEnforced)
			return errors.Join(w.Flush(), err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// check tries out a key. The error is that of sealing, of a key that is not found to open either.
func check(ctx context.Context, key *kms.Key) (checkedKey, error) {
	const untried = "not tried, as the key cannot seal"
	sealed, err := key.Encrypt(ctx, randomBytes(32), probeContext("1"))
	if errors.Is(err, kms.ErrAccessDenied) {
		return checkReader(ctx, key, err)
	}
	if err != nil {
		return checkedKey{key.ID(), no(reason(err)), unknown(untried), unknown(untried)}, err
	}
	if _, err := key.Decrypt(ctx, sealed, probeContext("1")); err != nil {
		return checkedKey{key.ID(), yes, no(reason(err)), unknown("not tried, as the key cannot open")}, nil
	}
	_, err = key.Decrypt(ctx, sealed, probeContext("2"))
	return checkedKey{key.ID(), yes, yes, enforced(err)}, nil
}

// checkReader tries out a key without the right to seal: nothing that it could open is at hand.
func checkReader(ctx context.Context, key *kms.Key, denied error) (checkedKey, error) {
	_, err := key.Decrypt(ctx, randomBytes(64), probeContext("1"))
	checked := checkedKey{key.ID(), no(reason(denied)), permitted(err), claimed(key.Info())}
	if checked.Open.Answer == yes.Answer {
		return checked, nil
	}
	return checked, denied
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// probeContext shows in the KMS's log what it was.
func probeContext(id string) kms.Context {
	return kms.Context{"model_name": "rowseal keys check", "model_id": id}
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

// permitted judges how opening a made-up ciphertext ended.
func permitted(err error) answer {
	switch {
	case err == nil:
		return unknown("it opened a made-up ciphertext")
	case errors.Is(err, kms.ErrAccessDenied):
		return no(reason(err))
	case errors.Is(err, kms.ErrDecryptionFailed), errors.Is(err, kms.ErrInvalidRequest):
		return answer{yes.Answer, "tried with a made-up ciphertext, which the service read and refused"}
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
		return e.Err.Error()
	}
	return err.Error()
}
