package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestCheckTellsWhatAKeyCanDo(t *testing.T) {
	const (
		madeUp  = "yes: tried with a made-up ciphertext, which the service read and refused"
		untried = "unknown: not tried, as the key cannot seal"
		shut    = "unknown: not tried, as the key cannot open"
		says    = ": not tried, but what the service says of itself"
		denied  = "no: access denied"
	)
	sealing, opening, both := []kms.Op{kms.OpEncrypt}, []kms.Op{kms.OpDecrypt}, []kms.Op{kms.OpEncrypt, kms.OpDecrypt}
	for _, tc := range []struct {
		what                      string
		fake                      *kmstest.Fake
		deny                      []kms.Op
		seal, open, enforced, err string
	}{
		{"everything", &kmstest.Fake{}, nil, "yes", "yes", "yes", ""},
		{"context ignored", &kmstest.Fake{IgnoreContext: true}, nil, "yes", "yes", "no: it opened under another context", ""},
		{"context in doubt", &kmstest.Fake{Fault: refuseOther}, nil, "yes", "yes", "unknown: a wild error", ""},
		{"seal only", &kmstest.Fake{}, opening, "yes", denied, shut, ""},
		{"open only", &kmstest.Fake{}, sealing, denied, madeUp, "yes" + says, ""},
		{"open only, context ignored", &kmstest.Fake{IgnoreContext: true}, sealing, denied, madeUp, "no" + says, ""},
		{"open in doubt, by a picky service", failing(kms.ErrInvalidRequest), sealing, denied, "unknown: invalid request", shut, "access denied"},
		{"open in doubt", failing(kms.ErrKeyNotFound), sealing, denied, "unknown: key not found", shut, "access denied"},
		{"neither", &kmstest.Fake{}, both, denied, denied, shut, "access denied"},
		{"disabled", disabled(), nil, "no: key disabled", untried, untried, "key disabled"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			tc.fake.Deny(tc.deny...)
			got, err := check(t.Context(), kms.NewKey(tc.fake, nil), nil)
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			for _, a := range []struct{ what, got, want string }{
				{"seal", got.Seal.String(), tc.seal},
				{"open", got.Open.String(), tc.open},
				{"context enforced", got.ContextEnforced.String(), tc.enforced},
			} {
				if a.got != a.want {
					t.Errorf("%s: %q, want %q", a.what, a.got, a.want)
				}
			}
		})
	}
}

func TestCheckTriesWithTheContextThatIsGiven(t *testing.T) {
	users := &kmstest.Fake{Fault: func(_ kmstest.Request, item kms.Item) error {
		if item.Context["model_name"] != "User" {
			return kms.ErrAccessDenied
		}
		return nil
	}}
	if got, err := check(t.Context(), kms.NewKey(users, nil), nil); err == nil || got.Seal == yes {
		t.Errorf("without: %+v, %v", got, err)
	}
	for _, ec := range []kms.Context{{"model_name": "User"}, {"model_name": "User", "model_id": "7", "tenant": "a"}} {
		if got, err := check(t.Context(), kms.NewKey(users, nil), ec); err != nil || got != (checkedKey{"fake-key", yes, yes, yes}) {
			t.Errorf("with %v: %+v, %v", ec, got, err)
		}
	}
}

// refuseOther is a service that fails, without saying why, under the second context of check.
func refuseOther(r kmstest.Request, item kms.Item) error {
	if r.Op == kms.OpDecrypt && item.Context["model_id"] == "10" {
		return errors.New("a wild error")
	}
	return nil
}

// failing answers every item that it would look at with the error.
func failing(err error) *kmstest.Fake {
	return &kmstest.Fake{Fault: func(kmstest.Request, kms.Item) error { return err }}
}

func disabled() *kmstest.Fake {
	f := kmstest.NewFake()
	f.Disable()
	return f
}
