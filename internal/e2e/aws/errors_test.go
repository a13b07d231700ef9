package aws

import (
	"context"
	"net/http"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// stage is a server with one key and one principal that may do anything.
type stage struct {
	*awstest.Server
	all *awstest.Principal
	arn string
}

func newStage(t *testing.T) stage {
	s := awstest.New(t)
	return stage{s, s.Principal("app", awstest.Encrypt, awstest.Decrypt, awstest.ReEncryptFrom, awstest.ReEncryptTo), s.CreateKey(region)}
}

func (s stage) options(t *testing.T) *awskms.Options {
	return &awskms.Options{Client: client(t, s.Server, region, s.all)}
}

func (s stage) service(t *testing.T) kms.Service { return service(t, s.arn, s.options(t)) }

func (s stage) key(t *testing.T) *kms.Key { return key(t, s.arn, s.options(t)) }

// encrypt asks the service itself: what a Key would wait out or try again, is not.
func encrypt(t *testing.T, s kms.Service) error {
	return s.Encrypt(t.Context(), []kms.Item{{Data: dataKey, Context: row}})[0].Err
}

func decrypt(t *testing.T, s kms.Service, ciphertext []byte, ec kms.Context) error {
	return s.Decrypt(t.Context(), []kms.Item{{Data: ciphertext, Context: ec}})[0].Err
}

// errorCases is the table of the service's errors. Each has a server of its own.
func errorCases() []kmstest.ErrorCase {
	refused := func(code string) func(*testing.T) error {
		return func(t *testing.T) error {
			s := newStage(t)
			s.Next(1, awstest.Refuse(code, "Something about it."))
			return encrypt(t, s.service(t))
		}
	}
	in := func(state awstest.State) func(*testing.T) error {
		return func(t *testing.T) error {
			s := newStage(t)
			s.SetState(s.arn, state)
			return encrypt(t, s.service(t))
		}
	}
	with := func(p func(stage) *awstest.Principal) func(*testing.T) error {
		return func(t *testing.T) error {
			s := newStage(t)
			s.all = p(s)
			return encrypt(t, s.service(t))
		}
	}
	return []kmstest.ErrorCase{
		{Name: "wrong context", Want: kms.ErrDecryptionFailed, Do: func(t *testing.T) error {
			s := newStage(t)
			return decrypt(t, s.service(t), seal(t, s.key(t)), kms.Context{"model_name": "User", "model_id": "43"})
		}},
		{Name: "wrong key", Want: kms.ErrDecryptionFailed, Do: func(t *testing.T) error {
			s := newStage(t)
			return decrypt(t, service(t, s.CreateKey(region), s.options(t)), seal(t, s.key(t)), row)
		}},
		{Name: "malformed ciphertext", Want: kms.ErrDecryptionFailed, Do: func(t *testing.T) error {
			return decrypt(t, newStage(t).service(t), []byte("no ciphertext"), row)
		}},
		{Name: "a ciphertext too long for AWS", Want: kms.ErrDecryptionFailed, Do: func(t *testing.T) error {
			return decrypt(t, newStage(t).service(t), make([]byte, 6145), row)
		}},
		{Name: "denied", Want: kms.ErrAccessDenied, Do: with(func(s stage) *awstest.Principal { return s.Principal("nobody") })},
		{Name: "expired credentials", Want: kms.ErrAccessDenied, Do: with(func(s stage) *awstest.Principal {
			s.Expire(s.all)
			return s.all
		})},
		{Name: "unknown credentials", Want: kms.ErrAccessDenied, Do: with(func(s stage) *awstest.Principal {
			return &awstest.Principal{AccessKey: "AKIAUNKNOWN", SecretKey: "secret"}
		})},
		{Name: "wrong secret key", Want: kms.ErrAccessDenied, Do: with(func(s stage) *awstest.Principal {
			return &awstest.Principal{AccessKey: s.all.AccessKey, SecretKey: "wrong", Token: s.all.Token}
		})},
		{Name: "no credentials", Want: kms.ErrAccessDenied, Do: func(t *testing.T) error {
			s := newStage(t)
			environment(t, s.Server, &awstest.Principal{})
			return encrypt(t, service(t, s.arn, nil))
		}},
		{Name: "missing key", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "1234abcd-12ab-34cd-56ef-1234567890ab", newStage(t).options(t)))
		}},
		{Name: "missing alias", Want: kms.ErrKeyNotFound, Do: func(t *testing.T) error {
			return encrypt(t, service(t, "alias/none", newStage(t).options(t)))
		}},
		{Name: "disabled", Want: kms.ErrKeyDisabled, Do: in(awstest.Disabled)},
		{Name: "scheduled for deletion", Want: kms.ErrKeyDisabled, Do: in(awstest.PendingDeletion)},
		{Name: "without its imported material", Want: kms.ErrKeyDisabled, Do: in(awstest.PendingImport)},
		{Name: "throttled", Want: kms.ErrThrottled, Do: func(t *testing.T) error {
			s := newStage(t)
			s.Throttle(1)
			return encrypt(t, s.service(t))
		}},
		{Name: "unreachable", Want: kms.ErrUnavailable, Do: func(t *testing.T) error { return encrypt(t, unreachable(t)) }},
		{Name: "a context of more than 8 KiB", Want: kms.ErrInvalidRequest, Do: func(t *testing.T) error {
			items := []kms.Item{{Data: dataKey, Context: kms.Context{"long": strings.Repeat("kmstest-value-.", 600)}}}
			return newStage(t).service(t).Encrypt(t.Context(), items)[0].Err
		}},
		{Name: "another key's use", Want: kms.ErrInvalidRequest, Do: refused("InvalidKeyUsageException")},
		{Name: "key store away", Want: kms.ErrUnavailable, Do: refused("KeyUnavailableException")},
		{Name: "internal", Want: kms.ErrUnavailable, Do: refused("KMSInternalException")},
		{Name: "timeout within", Want: kms.ErrUnavailable, Do: refused("DependencyTimeoutException")},
		{Name: "an unknown error", Want: kms.ErrInvalidRequest, Do: refused("NewsException")},
	}
}

// unreachable is a service whose endpoint refuses connections.
func unreachable(t *testing.T) kms.Service {
	t.Helper()
	address := e2etest.NobodyListens(t)
	return service(t, "alias/users", &awskms.Options{Client: sdk.New(sdk.Options{
		Region:       region,
		BaseEndpoint: awssdk.String("http://" + address),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	})})
}

// What an error says is what helps: who, what, which state, what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	cases := make(map[string]kmstest.ErrorCase)
	for _, c := range errorCases() {
		cases[c.Name] = c
	}
	for name, want := range map[string][]string{
		"denied":                 {"user/nobody", "kms:Encrypt", "arn:aws:kms:", "(request "},
		"expired credentials":    {"ExpiredTokenException", "renew them"},
		"unknown credentials":    {"UnrecognizedClientException", "check the access key"},
		"wrong secret key":       {"InvalidSignatureException", "clock"},
		"no credentials":         {"no credentials", "AWS"},
		"missing key":            {"1234abcd-12ab-34cd-56ef-1234567890ab", "does not exist", "region"},
		"missing alias":          {"alias/none is not found"},
		"disabled":               {"is disabled"},
		"scheduled for deletion": {"pending deletion"},
		"throttled":              {"ThrottlingException"},
		"unreachable":            {"connection refused", "127.0.0.1:"},
		"another key's use":      {"symmetric"},
	} {
		t.Run(name, func(t *testing.T) {
			err := cases[name].Do(t)
			for _, text := range want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in: %v", text, err)
				}
			}
			if !strings.HasPrefix(err.Error(), "awskms: ") || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What does not open is told in one way, whatever AWS says.
func TestDecryptionFailuresAreOpaque(t *testing.T) {
	for _, c := range errorCases() {
		if c.Want != kms.ErrDecryptionFailed {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Do(t); err == nil || err.Error() != kms.ErrDecryptionFailed.Error() {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheCtxsErrorPassesThrough(t *testing.T) {
	s := newStage(t)
	k := s.key(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.Next(1, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := k.Encrypt(ctx, dataKey, row)
	expectError(t, nil, err, context.Canceled)
	expectRequests(t, s.Server, "Encrypt "+s.arn)
}
