package azurekms

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

// The table of Azure's errors: its own code decides, the inner one first, and where that says nothing, the HTTP status.
// https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
var (
	byCode = map[string]error{
		"KeyDisabled":                   kms.ErrKeyDisabled,
		"KeyExpired":                    kms.ErrKeyDisabled,
		"KeyNotYetValid":                kms.ErrKeyDisabled,
		"ObjectIsBeingDeleted":          kms.ErrKeyDisabled,
		"ObjectIsDeletedButRecoverable": kms.ErrKeyDisabled,
		"KeyNotFound":                   kms.ErrKeyNotFound, // also a key that is deleted and can be recovered: Azure's text says so
		"SecretNotFound":                kms.ErrKeyNotFound,
		"VaultNotFound":                 kms.ErrKeyNotFound,
		"Throttled":                     kms.ErrThrottled,
	}
	byStatus = map[int]error{
		http.StatusUnauthorized:    kms.ErrAccessDenied,
		http.StatusForbidden:       kms.ErrAccessDenied, // ForbiddenByRbac, …ByPolicy, …ByFirewall, KeyOperationForbidden
		http.StatusNotFound:        kms.ErrKeyNotFound,
		http.StatusRequestTimeout:  kms.ErrUnavailable,
		http.StatusConflict:        kms.ErrUnavailable,
		http.StatusGone:            kms.ErrUnavailable, // a virtual machine's identity service, while it is updated
		http.StatusTooManyRequests: kms.ErrThrottled,
	}
)

func sentinel(status int, codes ...string) error {
	for _, code := range codes {
		if err, ok := byCode[code]; ok {
			return err
		}
	}
	switch err, ok := byStatus[status]; {
	case ok:
		return err
	case status >= 400 && status < 500:
		return kms.ErrInvalidRequest
	default:
		return kms.ErrUnavailable
	}
}

const invalidHint = "does the key have the type that its id and Options say (RSA, or AES on a Managed HSM), and do its permitted " +
	"operations include this one?"

// mapError keeps what Azure's errors say and none of their values: azcore.ResponseError prints whole answers, and holds the request
// with its token.
func (k key) mapError(ctx context.Context, op operation, err error, p azkeys.KeyOperationParameters) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	var (
		transport *url.Error
		response  *azcore.ResponseError
		final     interface{ NonRetriable() }
	)
	switch {
	case errors.As(err, &transport):
		return fmt.Errorf("azurekms: %s: %s: %w", op, transportText(transport.Err), kms.ErrUnavailable)
	case strings.HasPrefix(err.Error(), "body download policy:"): // azcore's type for it is unexported, and final too
		return fmt.Errorf("azurekms: %s: the answer was cut short: %w", op, kms.ErrUnavailable)
	case errors.As(err, &response) && k.sent(response.RawResponse):
		return responseError(op, response, p)
	case errors.As(err, &final): // the client's authentication, whose own requests go elsewhere
		return credentialError(op, err)
	}
	return errUnreadable(op)
}

// sent tells an answer to k's request from one to a credential's.
func (k key) sent(r *http.Response) bool {
	return r != nil && r.Request != nil && strings.EqualFold(r.Request.URL.Host, k.host)
}

// networkTexts are what Go says of a network that fails.
var networkTexts = regexp.MustCompile(`no such host|server misbehaving|connection refused|connection reset by peer|network is unreachable|` +
	`no route to host|broken pipe|i/o timeout|TLS handshake timeout|timeout awaiting response headers|deadline exceeded`)

// transportText tells why there was no answer, in texts that are known to hold no secret: others repeat a proxy's address, with its
// password.
func transportText(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return dns.Error()
	case errors.As(err, &op):
		return op.Error()
	case errors.As(err, &certificate):
		return certificate.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer"
	}
	if text := networkTexts.FindString(err.Error()); text != "" {
		return text
	}
	return "no answer; check the network and the proxy"
}

// errUnreadable is what a second attempt may mend, errWrong what it would not.
func errUnreadable(op operation) error {
	return fmt.Errorf("azurekms: %s: the answer cannot be read: %w", op, kms.ErrUnavailable)
}

func errWrong(op operation) error {
	return fmt.Errorf("azurekms: %s: the answer is not one of Azure's: %w", op, kms.ErrWrongAnswer)
}

// responseError shows no message of a status 400: that speaks of values.
func responseError(op operation, e *azcore.ResponseError, p azkeys.KeyOperationParameters) error {
	var body struct {
		Error struct {
			Message    string
			InnerError struct{ Code string }
		}
	}
	if b, err := runtime.Payload(e.RawResponse); err == nil {
		_ = json.Unmarshal(b, &body) // a proxy's answer is none of Azure's: then the status tells
	}
	inner, message := body.Error.InnerError.Code, body.Error.Message
	err := sentinel(e.StatusCode, inner, e.ErrorCode)
	switch {
	case e.StatusCode == http.StatusBadRequest && op.opens():
		return kms.ErrDecryptionFailed
	case e.StatusCode == http.StatusBadRequest:
		message = invalidHint
	case e.StatusCode/100 == 3:
		message = "a redirect, which is not followed; does the id name the vault by its own host?"
	case e.StatusCode == http.StatusUnauthorized:
		message = joined("; ", credentialHint, message)
	case e.StatusCode == http.StatusForbidden && inner == "" && keyState.MatchString(message):
		err = kms.ErrKeyDisabled
	}
	text := joined(": ", fmt.Sprint(e.StatusCode), joined("/", e.ErrorCode, inner), message)
	text = kms.WithoutEchoes(text, sent(e.RawResponse.Request, p)...)
	return withWait(fmt.Errorf("azurekms: %s: %s: %w", op, text, err), e.RawResponse)
}

// sent is what a request held that no message may repeat.
func sent(r *http.Request, p azkeys.KeyOperationParameters) []string {
	values := r.Header.Values("Authorization")
	for _, b := range [][]byte{p.Value, p.AdditionalAuthenticatedData} {
		values = append(values, string(b), base64.RawURLEncoding.EncodeToString(b), base64.StdEncoding.EncodeToString(b))
	}
	return values
}

// keyState finds a key that cannot be used in messages that come without an inner code.
var keyState = regexp.MustCompile(`(?i)\b(disabled|expired|not yet valid) key\b|\bkey (is |has )?(disabled|expired|not yet valid)`)

// withWait adds how long the server asks to wait, if it has answered.
func withWait(err error, r *http.Response) error {
	if r == nil {
		return err
	}
	return kms.WithRetryAfter(err, r.Header.Get("Retry-After"))
}

// joined is what of the texts is not empty, each on one line and of reasonable length.
func joined(separator string, texts ...string) string {
	const most = 500
	var some []string
	for _, text := range texts {
		text = strings.Join(strings.Fields(text), " ")
		if r := []rune(text); len(r) > most {
			text = string(r[:most]) + "…"
		}
		if text != "" {
			some = append(some, text)
		}
	}
	return strings.Join(some, separator)
}
