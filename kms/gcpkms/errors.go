package gcpkms

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rowseal/rowseal/kms"
)

const (
	wasDamaged = "the bytes were damaged on the way"
	logIn      = "the credentials are missing, expired or revoked: run gcloud auth application-default login, or renew " +
		"those of the service account"
	switchOn = "run gcloud services enable cloudkms.googleapis.com"
	findable = "; Google says the same of a key that does not exist"
)

// What only the text of an answer tells.
var (
	checksumWrong = regexp.MustCompile(`(?i)crc32c|checksum`)
	badRequest    = regexp.MustCompile(`(?i)\b(purpose|resource|location)\b|no larger than|exceeds`)
	// "Decryption failed: the ciphertext is invalid." and "… verify that 'name' refers to the correct CryptoKey."
	decryptionFailed = regexp.MustCompile(`^Decryption failed`)
	rightMissing     = regexp.MustCompile(`^Permission `)
	switchedOff      = regexp.MustCompile(`API has not been used`)
	// gRPC's own text around what a source of tokens said. What kind of error that was is lost.
	noToken       = regexp.MustCompile(`^transport: `)
	noWayToTokens = regexp.MustCompile(`(?s)^transport: .*` +
		`(dial tcp|connection re|no such host|timeout|deadline exceeded|cannot fetch token: 5)`)
	tokenSourceFailed = regexp.MustCompile(`per-RPC creds`)
)

// rule maps an answer of the service. The first that fits is it.
type rule struct {
	code    codes.Code
	op      kms.Op         // "": either
	reason  string         // of the answer's ErrorInfo. "": any
	text    *regexp.Regexp // of the answer. nil: any
	is      error
	hint    string
	private bool // the text may hold credentials
}

// rules: codes from https://cloud.google.com/apis/design/errors; texts as Google sends them, where only the text tells
// answers apart. ErrDecryptionFailed is opaque and takes no text.
var rules = []rule{
	{code: codes.InvalidArgument, text: checksumWrong, is: kms.ErrUnavailable, hint: wasDamaged},
	{code: codes.InvalidArgument, reason: "API_KEY_INVALID", is: kms.ErrAccessDenied, hint: logIn},
	{code: codes.InvalidArgument, op: kms.OpDecrypt, text: decryptionFailed, is: kms.ErrDecryptionFailed},
	{code: codes.InvalidArgument, op: kms.OpDecrypt, text: badRequest, is: kms.ErrInvalidRequest},
	{code: codes.InvalidArgument, op: kms.OpDecrypt, is: kms.ErrDecryptionFailed},
	{code: codes.InvalidArgument, is: kms.ErrInvalidRequest},
	{code: codes.OutOfRange, is: kms.ErrInvalidRequest},
	{code: codes.Unimplemented, is: kms.ErrInvalidRequest},
	{code: codes.AlreadyExists, is: kms.ErrInvalidRequest},

	{code: codes.PermissionDenied, reason: "SERVICE_DISABLED",
		is: kms.ErrAccessDenied, hint: switchOn},
	{code: codes.PermissionDenied, op: kms.OpEncrypt, text: rightMissing, is: kms.ErrAccessDenied,
		hint: "to seal needs roles/cloudkms.cryptoKeyEncrypter on the key" + findable},
	{code: codes.PermissionDenied, op: kms.OpDecrypt, text: rightMissing, is: kms.ErrAccessDenied,
		hint: "to open needs roles/cloudkms.cryptoKeyDecrypter on the key" + findable},
	{code: codes.PermissionDenied, is: kms.ErrAccessDenied},

	{code: codes.Unauthenticated, text: noWayToTokens,
		is: kms.ErrUnavailable, hint: "the server that hands out access tokens does not answer", private: true},
	{code: codes.Unauthenticated, text: noToken,
		is: kms.ErrAccessDenied, hint: "no access token to be had; " + logIn, private: true},
	{code: codes.Unauthenticated, is: kms.ErrAccessDenied, hint: logIn},

	{code: codes.NotFound, is: kms.ErrKeyNotFound},
	{code: codes.FailedPrecondition, text: switchedOff,
		is: kms.ErrAccessDenied, hint: switchOn},
	{code: codes.FailedPrecondition, is: kms.ErrKeyDisabled}, // disabled, to be destroyed, destroyed, still being made
	{code: codes.ResourceExhausted, is: kms.ErrThrottled},

	{code: codes.DeadlineExceeded, is: kms.ErrUnavailable, hint: "no answer in time"},
	{code: codes.Internal, text: tokenSourceFailed,
		is: kms.ErrUnavailable, hint: "no access token to be had", private: true},
}

// otherwise is for Unavailable, Internal, Aborted, Unknown, DataLoss, Canceled and codes yet to come.
var otherwise = rule{is: kms.ErrUnavailable}

func (r rule) fits(op kms.Op, st *status.Status, reason string) bool {
	return r.code == st.Code() &&
		(r.op == "" || r.op == op) &&
		(r.reason == "" || r.reason == reason) &&
		(r.text == nil || r.text.MatchString(st.Message()))
}

// failure maps the client's error of a request that ctx did not end.
func failure(op kms.Op, err error) error {
	st := status.Convert(err)
	details, ok := apierror.FromError(err)
	if !ok {
		details = new(apierror.APIError)
	}
	found := otherwise
	for _, r := range rules {
		if r.fits(op, st, details.Reason()) {
			found = r
			break
		}
	}
	return retryAfter(found.error(st.Message()), details)
}

func (r rule) error(message string) error {
	if r.is == kms.ErrDecryptionFailed {
		return r.is
	}
	var parts []string
	if message = plain(message); message != "" && !r.private {
		parts = append(parts, message)
	}
	if r.hint != "" {
		parts = append(parts, r.hint)
	}
	if len(parts) == 0 {
		return r.is
	}
	return fmt.Errorf("%w: %s", r.is, strings.Join(parts, "; "))
}

// retryAfter keeps what a RetryInfo asks for.
func retryAfter(err error, details *apierror.APIError) error {
	if wait := details.Details().RetryInfo.GetRetryDelay().AsDuration(); wait > 0 {
		return &kms.RetryAfter{Err: err, Wait: wait}
	}
	return err
}

// damaged is kms.ErrUnavailable, so that Key tries once more.
func damaged(how string) error {
	return fmt.Errorf("%w: %s: %s", kms.ErrUnavailable, wasDamaged, how)
}

// noClient is why Google's client cannot be made: no credentials were found, or they cannot be read. Its text names files
// and not what is in them.
func noClient(err error) error {
	return fmt.Errorf("%w: %s; run gcloud auth application-default login, set GOOGLE_APPLICATION_CREDENTIALS, or run under "+
		"a service account", kms.ErrAccessDenied, plain(err.Error()))
}

// userinfo is the password in the URL of a proxy.
var userinfo = regexp.MustCompile(`//[^/@\s]*@`)

// plain puts a text on one line, without its last full stop and without passwords.
func plain(message string) string {
	message = userinfo.ReplaceAllString(message, "//…@")
	return strings.TrimSuffix(strings.Join(strings.Fields(message), " "), ".")
}
