package awskms_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

const message = "what AWS says about it"

func TestTheTableOfErrors(t *testing.T) {
	isolate(t, keys)
	for _, test := range []struct {
		status int
		code   string
		want   error
		told   bool
	}{
		// Encrypt, Decrypt and ReEncrypt
		{400, "DependencyTimeoutException", kms.ErrUnavailable, true},
		{400, "DisabledException", kms.ErrKeyDisabled, true},
		{412, "DryRunOperationException", kms.ErrDecryptionFailed, false},
		{400, "IncorrectKeyException", kms.ErrDecryptionFailed, false},
		{400, "InvalidCiphertextException", kms.ErrDecryptionFailed, false},
		{400, "InvalidGrantTokenException", kms.ErrInvalidRequest, true},
		{400, "InvalidKeyUsageException", kms.ErrInvalidRequest, true},
		{500, "KeyUnavailableException", kms.ErrUnavailable, true},
		{500, "KMSInternalException", kms.ErrUnavailable, true},
		{400, "KMSInvalidStateException", kms.ErrKeyDisabled, true},
		{400, "NotFoundException", kms.ErrKeyNotFound, true},
		{400, "InvalidArnException", kms.ErrInvalidRequest, true},
		{400, "LimitExceededException", kms.ErrThrottled, true},
		{400, "UnsupportedOperationException", kms.ErrInvalidRequest, true},
		// Common
		{400, "AccessDeniedException", kms.ErrAccessDenied, true},
		{403, "AccessDenied", kms.ErrAccessDenied, true},
		{400, "NotAuthorized", kms.ErrAccessDenied, true},
		{403, "OptInRequired", kms.ErrAccessDenied, true},
		{403, "ExpiredTokenException", kms.ErrAccessDenied, false},
		{403, "ExpiredToken", kms.ErrAccessDenied, false},
		{403, "UnrecognizedClientException", kms.ErrAccessDenied, false},
		{403, "InvalidClientTokenId", kms.ErrAccessDenied, false},
		{400, "MissingAuthenticationToken", kms.ErrAccessDenied, false},
		{400, "MissingAuthenticationTokenException", kms.ErrAccessDenied, false},
		{403, "InvalidSignatureException", kms.ErrAccessDenied, false},
		{403, "SignatureDoesNotMatch", kms.ErrAccessDenied, false},
		{403, "IncompleteSignature", kms.ErrAccessDenied, false},
		{400, "RequestExpired", kms.ErrAccessDenied, false},
		{400, "ThrottlingException", kms.ErrThrottled, true},
		{400, "Throttling", kms.ErrThrottled, true},
		{400, "RequestLimitExceeded", kms.ErrThrottled, true},
		{400, "TooManyRequestsException", kms.ErrThrottled, true},
		{500, "InternalFailure", kms.ErrUnavailable, true},
		{503, "ServiceUnavailable", kms.ErrUnavailable, true},
		{400, "ValidationException", kms.ErrInvalidRequest, false},
		{400, "ValidationError", kms.ErrInvalidRequest, false},
		{400, "SerializationException", kms.ErrInvalidRequest, false},
		// Unknown: by the status
		{400, "NewsException", kms.ErrInvalidRequest, false},
		{413, "NewsException", kms.ErrInvalidRequest, false},
		{429, "NewsException", kms.ErrThrottled, false},
		{500, "NewsException", kms.ErrUnavailable, false},
		{503, "NewsException", kms.ErrUnavailable, false},
		{302, "NewsException", kms.ErrUnavailable, false},
	} {
		t.Run(fmt.Sprint(test.status, " ", test.code), func(t *testing.T) {
			s := serve(t, answer(test.status, `{"__type":"`+test.code+`","message":"`+message+`"}`))
			r := encrypt(t, newService(t, arn, &awskms.Options{Endpoint: s.URL}))
			if !errors.Is(r.Err, test.want) || r.Data != nil {
				t.Fatalf("%d bytes and %v, want %q", len(r.Data), r.Err, test.want)
			}
			if strings.Contains(r.Err.Error(), message) != test.told {
				t.Errorf("told: %t: %v", !test.told, r.Err)
			}
			if test.want != kms.ErrDecryptionFailed && !strings.Contains(r.Err.Error(), test.code) {
				t.Errorf("the code is not told: %v", r.Err)
			}
			if n := s.requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	isolate(t, keys)
	for _, test := range []struct {
		header string
		status int
		code   string
		least  time.Duration
		most   time.Duration
		kept   bool
	}{
		{"7", 503, "ServiceUnavailable", 7 * time.Second, 7 * time.Second, true},
		{"0", 400, "ThrottlingException", 0, 0, false},
		{"120", 429, "", 2 * time.Minute, 2 * time.Minute, true},
		{time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 503, "", 50 * time.Minute, time.Hour, true},
		{time.Unix(1, 0).UTC().Format(http.TimeFormat), 503, "", 0, 0, false},
		{"", 503, "ServiceUnavailable", 0, 0, false},
		{"-7", 503, "ServiceUnavailable", 0, 0, false},
		{"soon", 503, "ServiceUnavailable", 0, 0, false},
		{"9999999999", 503, "ServiceUnavailable", time.Hour, 1<<63 - 1, true},
		{"99999999999999999999", 503, "ServiceUnavailable", time.Hour, 1<<63 - 1, true},
		{"7", 400, "AccessDeniedException", 0, 0, false},
	} {
		t.Run(test.header+" "+test.code, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", test.header)
				answer(test.status, `{"__type":"`+test.code+`"}`)(w, r)
			})
			err := encrypt(t, newService(t, arn, &awskms.Options{Endpoint: s.URL})).Err
			var after *kms.RetryAfter
			if kept := errors.As(err, &after); kept != test.kept || kept && (after.Wait < test.least || after.Wait > test.most) {
				t.Errorf("got %v", err)
			}
		})
	}
}
