package awskms

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rowseal/rowseal/kms"
)

// rule says what some of AWS's error codes are to rowseal.
type rule struct {
	is    error
	codes []string
	hint  string
	// told tells that AWS's message is kept: it names keys, principals and states. Others are not: that of a refused signature
	// repeats the session token, that of a refused request its values.
	told bool
}

// rules is the table of errors, after those of Encrypt, Decrypt and ReEncrypt in the API reference and its "Common errors"
// (https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html). What is not in it goes by the HTTP status.
var rules = []rule{
	{is: kms.ErrDecryptionFailed, codes: []string{
		"InvalidCiphertextException", "IncorrectKeyException",
		"DryRunOperationException", // the answer to CheckDecrypt: the caller may decrypt, and nothing opens what it sent
	}},
	{is: kms.ErrAccessDenied, told: true, codes: []string{
		"AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired",
	}},
	{is: kms.ErrAccessDenied, hint: "the credentials have expired: renew them (aws sso login, a new role session)", codes: []string{
		"ExpiredTokenException", "ExpiredToken",
	}},
	{is: kms.ErrAccessDenied, hint: "AWS does not know the credentials: check the access key and session token", codes: []string{
		"UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException",
	}},
	{is: kms.ErrAccessDenied, hint: "check the secret access key and this machine's clock", codes: []string{
		"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
		"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture",
	}},
	{is: kms.ErrKeyNotFound, told: true, hint: "check the id, the account and the region", codes: []string{"NotFoundException"}},
	{is: kms.ErrKeyDisabled, told: true, codes: []string{"DisabledException", "KMSInvalidStateException"}},
	{is: kms.ErrThrottled, told: true, codes: []string{
		"ThrottlingException", "Throttling", "RequestLimitExceeded", "LimitExceededException", "TooManyRequestsException",
	}},
	{is: kms.ErrUnavailable, told: true, codes: []string{
		"KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException", "InternalFailure",
		"ServiceUnavailable", "ServiceUnavailableException", "RequestTimeoutException", "RequestAbortedException",
	}},
	{is: kms.ErrInvalidRequest, told: true, hint: "the key must be symmetric, for encrypting and decrypting", codes: []string{
		"InvalidKeyUsageException",
	}},
	{is: kms.ErrInvalidRequest, told: true, codes: []string{
		"InvalidArnException", "UnsupportedOperationException", "InvalidGrantTokenException",
	}},
	{is: kms.ErrInvalidRequest, hint: "check the key id; an encryption context has 8,192 bytes at most", codes: []string{
		"ValidationException", "ValidationError", "SerializationException",
	}},
}

func ruleOf(code string, status int) rule {
	for _, r := range rules {
		if slices.Contains(r.codes, code) {
			return r
		}
	}
	switch {
	case status == http.StatusTooManyRequests:
		return rule{is: kms.ErrThrottled}
	case status/100 == 4:
		return rule{is: kms.ErrInvalidRequest}
	default:
		return rule{is: kms.ErrUnavailable}
	}
}

func isIncorrectKey(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "IncorrectKeyException"
}

// errAnotherKey does not say whether the request was carried out: whoever answered, it was not the key that was asked.
var errAnotherKey = fmt.Errorf("awskms: the answer is empty or by another key than the one asked; it is not used: %w",
	kms.ErrWrongAnswer)

// serviceError turns an error of the SDK into one of ours. The SDK's own is not wrapped: it holds the request, with its
// signature, token and plaintext.
//
// sent tells what the request held, which no message may repeat.
func serviceError(ctx context.Context, err error, sent func() []string) error {
	var credentials *credentialsError
	var api smithy.APIError
	status, header := answerOf(err)
	switch {
	case errors.As(err, &credentials):
		return credentials.translate(ctx)
	case errors.As(err, &api):
		return kms.WithRetryAfter(apiError(api, status, header, sent), header.Get("Retry-After"))
	case ctx.Err() != nil:
		return fmt.Errorf("awskms: %w", ctx.Err())
	case status/100 == 2:
		return fmt.Errorf("awskms: the answer is not as AWS KMS answers, or ends too early; check the endpoint: %w",
			kms.ErrUnavailable)
	case status != 0:
		err := fmt.Errorf("awskms: HTTP status %d, and not as AWS KMS answers; check the endpoint: %w", status, ruleOf("", status).is)
		return kms.WithRetryAfter(err, header.Get("Retry-After"))
	default:
		return fmt.Errorf("awskms: %s: %w", transportText(err), kms.ErrUnavailable)
	}
}

func apiError(api smithy.APIError, status int, header http.Header, sent func() []string) error {
	r := ruleOf(api.ErrorCode(), status)
	if r.is == kms.ErrDecryptionFailed {
		return r.is
	}
	text := api.ErrorCode()
	if message := api.ErrorMessage(); r.told && message != "" && !signature.MatchString(message) {
		text += ": " + kms.WithoutEchoes(strings.TrimSuffix(message, "."), sent()...)
	}
	if r.hint != "" {
		text += "; " + r.hint
	}
	if id := header.Get("X-Amzn-RequestId"); id != "" {
		text += " (request " + id + ")"
	}
	return fmt.Errorf("awskms: %s: %w", text, r.is)
}

// signature finds the parts of a signed request (https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html).
var signature = regexp.MustCompile(`(?i)\b(Signature|Credential|SignedHeaders)=`)

// answerOf returns the HTTP status of an answer, and 0 if there was none.
func answerOf(err error) (status int, header http.Header) {
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) && r.Response != nil && r.Response.Response != nil {
		return r.Response.StatusCode, r.Response.Header
	}
	return 0, nil
}

// transportText tells why there was no answer, in texts that are known to hold neither the request nor the URL of a proxy.
func transportText(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &op):
		return op.Error()
	case errors.As(err, &cert):
		return cert.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer"
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch.Error()
	default:
		return "no answer; check the endpoint and the proxy"
	}
}

// configError keeps to names: the SDK's texts may repeat lines of the files, and some people put a file's content where its name
// belongs.
func configError(err error) error {
	var profile config.SharedConfigProfileNotExistError
	var file *fs.PathError
	what := findCredentials
	switch {
	case errors.As(err, &profile):
		what = fmt.Sprintf("there is no profile %q", profile.Profile)
	case errors.As(err, &file):
		what = fmt.Sprintf("a file named by AWS_CA_BUNDLE, AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE: %s: %v", file.Op, file.Err)
	}
	return fmt.Errorf("awskms: the AWS configuration cannot be used: %s: %w", what, kms.ErrInvalidRequest)
}
