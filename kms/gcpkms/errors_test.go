package gcpkms

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/rowseal/rowseal/kms"
)

const (
	denied       = "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied on resource '" + testID + "' (or it may not exist)."
	sourceFailed = "transport: per-RPC creds failed due to error: "
)

// The texts are those that Google's servers and client send.
var answers = []struct {
	name    string
	op      kms.Op // "": both
	code    codes.Code
	text    string
	reason  string // of an ErrorInfo
	want    error
	says    string // part of our text
	without string // not part of it
}{
	{name: "wrong context or altered byte", op: kms.OpDecrypt, code: codes.InvalidArgument,
		text: "Decryption failed: the ciphertext is invalid.", want: kms.ErrDecryptionFailed, without: "ciphertext"},
	{name: "wrong key", op: kms.OpDecrypt, code: codes.InvalidArgument,
		text: "Decryption failed: verify that 'name' refers to the correct CryptoKey.",
		want: kms.ErrDecryptionFailed, without: "name"},
	{name: "however it goes on", op: kms.OpDecrypt, code: codes.InvalidArgument, text: "Decryption failed: the resource exceeds x.",
		want: kms.ErrDecryptionFailed, without: "resource"},
	{name: "no more words", op: kms.OpDecrypt, code: codes.InvalidArgument, text: "Decryption failed.", want: kms.ErrDecryptionFailed},
	{name: "bad quota project", code: codes.InvalidArgument, text: "User project specified in the request is invalid.",
		reason: "USER_PROJECT_INVALID", want: kms.ErrInvalidRequest, says: "User project"},
	{name: "other words", op: kms.OpDecrypt, code: codes.InvalidArgument, text: "Something else. Decryption failed.",
		want: kms.ErrInvalidRequest, says: "Something else"},
	{name: "no words", code: codes.InvalidArgument, want: kms.ErrInvalidRequest, says: "InvalidArgument"},
	{name: "too large", op: kms.OpEncrypt, code: codes.InvalidArgument, text: "The plaintext is too large.",
		want: kms.ErrInvalidRequest, says: "too large"},
	{name: "another purpose", code: codes.InvalidArgument, text: "The purpose of CryptoKey x does not allow this.",
		want: kms.ErrInvalidRequest, says: "purpose"},
	{name: "bad name", code: codes.InvalidArgument, text: "Invalid resource field value in the request.",
		want: kms.ErrInvalidRequest, says: "resource field"},
	{name: "misrouted", code: codes.InvalidArgument,
		text: "The request concerns location 'europe-west3' but was sent to location 'global'.",
		want: kms.ErrInvalidRequest, says: "location"},
	{name: "damaged ciphertext", op: kms.OpDecrypt, code: codes.InvalidArgument,
		text: "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.",
		want: kms.ErrUnavailable, says: "damaged on the way"},
	{name: "damaged plaintext", op: kms.OpEncrypt, code: codes.InvalidArgument,
		text: "The checksum in field plaintext_crc32c did not match the data in field plaintext.",
		want: kms.ErrUnavailable, says: "damaged on the way"},
	{name: "bad API key", code: codes.InvalidArgument,
		text: "API key not valid. Please pass a valid API key.", reason: "API_KEY_INVALID",
		want: kms.ErrAccessDenied, says: "application-default login"},
	{name: "out of range", code: codes.OutOfRange, want: kms.ErrInvalidRequest},
	{name: "no such method", code: codes.Unimplemented, text: "unknown method Decrypt",
		want: kms.ErrInvalidRequest, says: "unknown method"},
	{name: "exists", code: codes.AlreadyExists, want: kms.ErrInvalidRequest},

	{name: "may not open", op: kms.OpDecrypt, code: codes.PermissionDenied, text: denied, want: kms.ErrAccessDenied,
		says: "(or it may not exist); to open needs roles/cloudkms.cryptoKeyDecrypter"},
	{name: "may not seal", op: kms.OpEncrypt, code: codes.PermissionDenied, text: denied, want: kms.ErrAccessDenied,
		says: "roles/cloudkms.cryptoKeyEncrypter on the key; Google says the same of a key that does not exist"},
	{name: "VPC Service Controls", code: codes.PermissionDenied,
		text: "Request is prohibited by organization's policy.", want: kms.ErrAccessDenied,
		says: "organization's policy", without: "roles/"},
	{name: "API switched off", code: codes.PermissionDenied,
		text:   "Cloud KMS API has not been used in project 1 before or it is disabled.",
		reason: "SERVICE_DISABLED", want: kms.ErrAccessDenied, says: "gcloud services enable"},
	{name: "API switched off, as before", code: codes.FailedPrecondition,
		text: "Google Cloud KMS API has not been used in this project before.",
		want: kms.ErrAccessDenied, says: "gcloud services enable"},
	{name: "expired token", code: codes.Unauthenticated, text: "Request had invalid authentication credentials.",
		want: kms.ErrAccessDenied,
		says: "application-default login"},
	{name: "revoked refresh token", code: codes.Unauthenticated,
		text: sourceFailed + `auth: "invalid_grant" "secret-in-answer"`, want: kms.ErrAccessDenied,
		says: "application-default login", without: "secret"},
	{name: "token server down", code: codes.Unauthenticated,
		text: sourceFailed + "Get \"http://169.254.169.254/secret\": dial tcp: connection refused",
		want: kms.ErrUnavailable, says: "access token", without: "secret"},
	{name: "token server ill", code: codes.Unauthenticated,
		text: sourceFailed + "auth: cannot fetch token: 503\nResponse: secret", want: kms.ErrUnavailable, without: "secret"},
	{name: "token server slow", code: codes.Unauthenticated, text: sourceFailed + "a\ncontext deadline exceeded",
		want: kms.ErrUnavailable},
	{name: "token source's own code", code: codes.Internal,
		text: "transport: received per-RPC creds error with illegal status: secret", want: kms.ErrUnavailable, without: "secret"},

	{name: "missing", code: codes.NotFound, text: "CryptoKey " + testID + " not found.",
		want: kms.ErrKeyNotFound, says: "not found"},
	{name: "disabled", code: codes.FailedPrecondition,
		text: testID + "/cryptoKeyVersions/1 is not enabled, current state is: DISABLED.",
		want: kms.ErrKeyDisabled, says: "DISABLED"},
	{name: "to be destroyed", code: codes.FailedPrecondition,
		text: testID + "/cryptoKeyVersions/1 is not enabled, current state is: DESTROY_SCHEDULED.",
		want: kms.ErrKeyDisabled, says: "DESTROY_SCHEDULED"},
	{name: "no primary version", op: kms.OpEncrypt, code: codes.FailedPrecondition,
		text: "The key has no primary version.", want: kms.ErrKeyDisabled},
	{name: "quota", code: codes.ResourceExhausted, text: "Quota exceeded for quota metric 'Cryptographic requests'.",
		want: kms.ErrThrottled, says: "quota"},

	{name: "unreachable", code: codes.Unavailable, text: "connection error: connection refused",
		want: kms.ErrUnavailable, says: "refused"},
	{name: "internal", code: codes.Internal, text: "Internal error.", want: kms.ErrUnavailable, says: "Internal error"},
	{name: "aborted", code: codes.Aborted, want: kms.ErrUnavailable},
	{name: "unknown", code: codes.Unknown, want: kms.ErrUnavailable},
	{name: "data loss", code: codes.DataLoss, want: kms.ErrUnavailable},
	{name: "cancelled by the server", code: codes.Canceled, want: kms.ErrUnavailable},
	{name: "too slow", code: codes.DeadlineExceeded, text: "context deadline exceeded",
		want: kms.ErrUnavailable, says: "no answer in time"},
	{name: "a code to come", code: 99, want: kms.ErrUnavailable},
	{name: "a proxy's password", code: codes.Unavailable,
		text: `invalid proxy address "http://user:secret@proxy:3128"`, want: kms.ErrUnavailable,
		says: "//…@proxy", without: "secret"},
	{name: "a proxy's page", code: codes.Unavailable,
		text: `failed to do connect handshake, response: "HTTP/1.1 407 Proxy Authentication Required\r\nX-Echo: secret\r\n"`,
		want: kms.ErrUnavailable, says: "failed to do connect handshake", without: "secret"},
}

func TestEveryAnswerHasItsSentinel(t *testing.T) {
	for _, a := range answers {
		for _, op := range []kms.Op{kms.OpEncrypt, kms.OpDecrypt} {
			if a.op != "" && a.op != op {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", a.name, op), func(t *testing.T) {
				err := failure(op, answer(t, a.code, a.text, reason(a.reason)...))
				if op == kms.OpEncrypt && a.want == kms.ErrDecryptionFailed {
					t.Fatal("the case is about decryption")
				}
				only(t, err, a.want)
				if !strings.Contains(err.Error(), a.says) {
					t.Errorf("%v; want it to say %q", err, a.says)
				}
				if a.without != "" && strings.Contains(err.Error(), a.without) {
					t.Errorf("%v; it must not say %q", err, a.without)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line: %q", err)
				}
				if a.want != kms.ErrDecryptionFailed && !wellFormed(err, a.want) {
					t.Errorf("%v; want it to begin with the package and to end with the sentinel", err)
				}
			})
		}
	}
}

func TestADecryptionErrorIsOpaque(t *testing.T) {
	for _, a := range answers {
		if a.want != kms.ErrDecryptionFailed {
			continue
		}
		if err := failure(kms.OpDecrypt, answer(t, a.code, a.text)); err != kms.ErrDecryptionFailed {
			t.Errorf("%s: %v", a.name, err)
		}
	}
}

func TestARetryInfoIsKept(t *testing.T) {
	for _, code := range []codes.Code{codes.ResourceExhausted, codes.Unavailable} {
		err := failure(kms.OpEncrypt, answer(t, code, "later", &errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)}))
		if after := (*kms.RetryAfter)(nil); !errors.As(err, &after) || after.Wait != 3*time.Second {
			t.Errorf("%v: %v", code, err)
		}
	}
	err := failure(kms.OpEncrypt, answer(t, codes.ResourceExhausted, "later", &errdetails.RetryInfo{}))
	if after := (*kms.RetryAfter)(nil); errors.As(err, &after) {
		t.Errorf("no wait was asked for: %v", err)
	}
	only(t, err, kms.ErrThrottled)
}

func TestWhatIsNoAnswerIsUnavailable(t *testing.T) {
	only(t, failure(kms.OpEncrypt, errors.New("what is this")), kms.ErrUnavailable)
}

// wellFormed tells whether an error reads like those of the other providers: package, reason, sentinel.
func wellFormed(err, sentinel error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "gcpkms: ") && strings.HasSuffix(text, ": "+sentinel.Error())
}

func answer(t *testing.T, code codes.Code, text string, details ...protoadapt.MessageV1) error {
	t.Helper()
	st, err := status.New(code, text).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

func reason(r string) []protoadapt.MessageV1 {
	if r == "" {
		return nil
	}
	return []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: r, Domain: "googleapis.com"}}
}

// only wants one sentinel and no other.
func only(t *testing.T, err, want error) {
	t.Helper()
	for _, s := range []error{
		kms.ErrDecryptionFailed, kms.ErrAccessDenied, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrThrottled, kms.ErrUnavailable,
		kms.ErrInvalidRequest,
	} {
		if errors.Is(err, s) != (s == want) {
			t.Errorf("%v; want one that matches %q alone", err, want)
		}
	}
}
