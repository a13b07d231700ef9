package s3store

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rowseal/rowseal/store"
)

// failure is an error of one request. It wraps one of store's errors or the ctx's, and not the SDK's own, which holds the request
// with its signature and token.
type failure struct {
	text     string
	is       error
	attempts int // up to how many the request is tried, if this is what comes of it
}

func (f *failure) Error() string {
	if f.text == "" {
		return f.is.Error()
	}
	return f.text + ": " + f.is.Error()
}

func (f *failure) Unwrap() error { return f.is }

var timedOut = &failure{
	text: "no answer in time; see Options.Timeout", is: store.ErrUnavailable, attempts: passingAttempts,
}

// rule says what some of S3's error codes are to a store.
type rule struct {
	is       error
	attempts int // 0: 1
	codes    []string
	hint     string
}

// rules is the table of errors, after https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. What is not in it goes
// by the HTTP status. The messages of a server are not told: that of a refused signature repeats what was signed.
var rules = []rule{
	{is: store.ErrNotFound, codes: []string{"NoSuchKey"}},
	{is: store.ErrExists, codes: []string{"PreconditionFailed"}},
	{is: store.ErrAccessDenied, codes: []string{"AccessDenied", "AllAccessDisabled", "AccountProblem"},
		hint: "check the rights on the object; without s3:ListBucket, S3 says the same of a missing one"},
	{is: store.ErrAccessDenied, codes: []string{"ExpiredToken", "TokenRefreshRequired", "RequestExpired"},
		hint: "the credentials have expired: renew them"},
	{is: store.ErrAccessDenied, codes: []string{"InvalidAccessKeyId", "InvalidToken", "InvalidSecurity", "MissingSecurityHeader"},
		hint: "the server does not know the credentials: check the access key and session token"},
	{is: store.ErrAccessDenied, codes: []string{"SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "RequestTimeTooSkewed"},
		hint: "check the secret access key, the region and this machine's clock"},
	{is: store.ErrUnavailable, attempts: throttledAttempts, codes: []string{
		"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded",
		"BandwidthLimitExceeded",
	}},
	{is: store.ErrUnavailable, attempts: passingAttempts, codes: []string{
		"InternalError", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",
		"OperationAborted", "ConditionalRequestConflict", // 409: another request for the key at the same moment
	}},
	{is: store.ErrUnavailable, codes: []string{
		"NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException",
	}, hint: "check the bucket, the region and the endpoint"},
	{is: store.ErrUnavailable, codes: []string{"InvalidObjectState"}, hint: "the object is archived: restore it first"},
	{is: store.ErrUnavailable, codes: []string{"NotImplemented"},
		hint: "a server without conditional writes needs Options.NoConditionalWrites"},
	{is: store.ErrUnavailable, codes: []string{
		"KMS.DisabledException", "KMS.KMSInvalidStateException", "KMS.NotFoundException", "KMS.InvalidKeyUsageException",
	}, hint: "check the KMS key of the bucket"},
}

func ruleOf(code string, status int) rule {
	for _, r := range rules {
		if slices.Contains(r.codes, code) {
			return r
		}
	}
	switch {
	case status == http.StatusPreconditionFailed:
		return rule{is: store.ErrExists}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return rule{is: store.ErrAccessDenied}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return rule{is: store.ErrUnavailable, attempts: throttledAttempts}
	case status/100 == 5:
		return rule{is: store.ErrUnavailable, attempts: passingAttempts}
	default:
		return rule{is: store.ErrUnavailable}
	}
}

// failureOf translates an error of the SDK, of a body, or of ours.
func (s *Store) failureOf(ctx context.Context, err error) *failure {
	var credentials *credentialsError
	var api smithy.APIError
	var body *bodyError
	status, header := answerOf(err)
	switch {
	case errors.Is(err, store.ErrTooLarge), errors.Is(err, store.ErrExists):
		return &failure{is: err, attempts: 1}
	case ctx.Err() != nil:
		return &failure{is: ctx.Err(), attempts: 1}
	case errors.As(err, &credentials):
		return &failure{"no credentials for the client", store.ErrAccessDenied, passingAttempts}
	case errors.As(err, &body):
		return &failure{"the content arrived in part or altered", store.ErrUnavailable, passingAttempts}
	case errors.As(err, &api):
		return apiFailure(api.ErrorCode(), status, header)
	case status != 0:
		return &failure{"not answered as S3 answers; check the endpoint", store.ErrUnavailable, passingAttempts}
	default:
		return &failure{transportText(err), store.ErrUnavailable, passingAttempts}
	}
}

func apiFailure(code string, status int, header http.Header) *failure {
	r := ruleOf(code, status)
	if r.is == store.ErrNotFound || r.is == store.ErrExists {
		return &failure{is: r.is, attempts: 1}
	}
	text := "an error"
	if slices.Contains(r.codes, code) || isCode.MatchString(code) && len(code) <= 50 {
		text = code
	}
	if status != 0 {
		text += ", HTTP status " + strconv.Itoa(status)
	}
	if r.hint != "" {
		text += "; " + r.hint
	}
	if id := header.Get("X-Amz-Request-Id"); isRequestID.MatchString(id) {
		text += " (request " + id + ")"
	}
	return &failure{text, r.is, max(r.attempts, 1)}
}

// isCode and isRequestID keep out what is no such thing: a server, or something before it, may repeat parts of the request in its
// answer.
var (
	isCode      = regexp.MustCompile(`^([A-Z][a-z]+)+[A-Z]*$`)
	isRequestID = regexp.MustCompile(`^[A-Za-z0-9-]{8,36}$`)
)

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
	switch {
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &op):
		return op.Error()
	case errors.As(err, &cert):
		return cert.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer"
	default:
		return "no answer; check the endpoint and the proxy"
	}
}

// bodyError is one of reading an object's content.
type bodyError struct{ cause error }

func (e *bodyError) Error() string { return "reading the content failed" }
func (e *bodyError) Unwrap() error { return e.cause }

// markedCredentials marks the errors of credentials, which otherwise look like those of S3.
type markedCredentials struct{ aws.CredentialsProvider }

func (m markedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := m.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &credentialsError{err}
	}
	return c, nil
}

type credentialsError struct{ cause error }

func (e *credentialsError) Error() string { return "no credentials" }
