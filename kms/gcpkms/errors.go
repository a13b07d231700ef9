package gcpkms

import (
	"errors"
	"fmt"
	"io/fs"
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
	// "Decryption failed: the ciphertext is invalid." and "… verify that 'name' refers to the correct CryptoKey." Every other
	// text is about the request: taken for a failed decryption, it would make healthy rows look altered.
	decryptionFailed = regexp.MustCompile(`^Decryption failed`)
	checksumWrong    = regexp.MustCompile(`(?i)crc32c|checksum`)
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
	{code: codes.InvalidArgument, op: kms.OpDecrypt, text: decryptionFailed, is: kms.ErrDecryptionFailed},
	{code: codes.InvalidArgument, text: checksumWrong, is: kms.ErrUnavailable, hint: wasDamaged},
	{code: codes.InvalidArgument, reason: "API_KEY_INVALID", is: kms.ErrAccessDenied, hint: logIn},
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
func failure(op kms.Op, err error, sent ...string) error {
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
	return retryAfter(found.error(st, sent), details)
}

func (r rule) error(st *status.Status, sent []string) error {
	if r.is == kms.ErrDecryptionFailed {
		return r.is
	}
	var parts []string
	if message := kms.WithoutEchoes(plain(st.Message()), sent...); message != "" && !r.private {
		parts = append(parts, message)
	}
	if r.hint != "" {
		parts = append(parts, r.hint)
	}
	if len(parts) == 0 {
		parts = append(parts, st.Code().String())
	}
	return fmt.Errorf("gcpkms: %s: %w", strings.Join(parts, "; "), r.is)
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
	return fmt.Errorf("gcpkms: %s: %s: %w", wasDamaged, how, kms.ErrUnavailable)
}

// noClient is why Google's client cannot be made. Of Google's text only what cannot repeat a secret is kept: some people put
// the credentials themselves where the name of their file belongs, and texts about a file's content may quote it.
func noClient(err error) error {
	reason := "the credentials or Options.ClientOptions cannot be used (see gcloud auth application-default print-access-token)"
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		reason = fmt.Sprintf("the credentials' file: %s: %v", file.Op, file.Err)
	case strings.Contains(err.Error(), "could not find default credentials"):
		reason = "could not find default credentials"
	}
	return fmt.Errorf("gcpkms: %s; run gcloud auth application-default login, set GOOGLE_APPLICATION_CREDENTIALS to the name of a "+
		"file, or run under a service account: %w", reason, kms.ErrAccessDenied)
}

// userinfo is the password in the URL of a proxy.
var (
	userinfo = regexp.MustCompile(`//[^/@\s]*@`)
	bearer   = regexp.MustCompile(`(?i)\bbearer\s+[^\s"\]]+`) // gRPC keeps the token to itself, so only its place is known
)

// plain puts a text on one line, without its last full stop and without passwords and tokens. Of a proxy that refuses, gRPC
// quotes the whole answer, which may repeat anything.
func plain(message string) string {
	message, _, _ = strings.Cut(message, ", response: ")
	message = bearer.ReplaceAllString(userinfo.ReplaceAllString(message, "//…@"), "bearer …")
	return strings.TrimSuffix(strings.Join(strings.Fields(message), " "), ".")
}
