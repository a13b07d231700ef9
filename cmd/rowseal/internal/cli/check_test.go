package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestCheckTellsWhatAKeyCanDo(t *testing.T) {
	for _, tc := range []struct {
		what                      string
		fake                      *kmstest.Fake
		deny                      kms.Op
		seal, open, enforced, err string
	}{
		{"everything", &kmstest.Fake{}, "", "yes", "yes", "yes", ""},
		{"seal only", &kmstest.Fake{}, kms.OpDecrypt, "yes", "no: ", "unknown: not tried", ""},
		{"open only", &kmstest.Fake{}, kms.OpEncrypt, "no: ", "unknown: not tried", "unknown: not tried", "access denied"},
		{"context ignored", &kmstest.Fake{IgnoreContext: true}, "", "yes", "yes", "no: it opened under another context", ""},
		{"context in doubt", &kmstest.Fake{Fault: refuseOther}, "", "yes", "yes", "unknown: ", ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			if tc.deny != "" {
				tc.fake.Deny(tc.deny)
			}
			got, err := check(context.Background(), kms.NewKey(tc.fake, nil))
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			for _, a := range []struct{ what, got, want string }{
				{"seal", got.Seal.String(), tc.seal},
				{"open", got.Open.String(), tc.open},
				{"context enforced", got.ContextEnforced.String(), tc.enforced},
			} {
				if !strings.HasPrefix(a.got, a.want) || strings.HasSuffix(a.want, ": ") && a.got == a.want {
					t.Errorf("%s: %q, want %q", a.what, a.got, a.want)
				}
			}
		})
	}
}

// refuseOther is a service that fails, without saying why, under the second context of check.
func refuseOther(r kmstest.Request, item kms.Item) error {
	if r.Op == kms.OpDecrypt && item.Context["model_id"] == "2" {
		return errors.New("a wild error")
	}
	return nil
}
