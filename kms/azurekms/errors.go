package azurekms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

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
func (k key) mapError(ctx context.Context, op operation, err error) error {
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
		return fmt.Errorf("azurekms: %s: %v: %w", op, transport.Err, kms.ErrUnavailable)
	case strings.HasPrefix(err.Error(), "body download policy:"): // azcore's type for it is unexported, and final too
		return fmt.Errorf("azurekms: %s: the answer was cut short: %w", op, kms.ErrUnavailable)
	case errors.As(err, &response) && k.sent(response.RawResponse):
		return responseError(op, response)
	case errors.As(err, &final): // the client's authentication, whose own requests go elsewhere
		return credentialError(op, err)
	}
	return errUnreadable(op)
}

// sent tells an answer to k's request from one to a credential's.
func (k key) sent(r *http.Response) bool {
	return r != nil && r.Request != nil && strings.EqualFold(r.Request.URL.Host, k.host)
}

// errUnreadable is what a second attempt may mend, errWrong what it would not.
func errUnreadable(op operation) error {
	return fmt.Errorf("azurekms: %s: the answer cannot be read: %w", op, kms.ErrUnavailable)
}

func errWrong(op operation) error {
	return fmt.Errorf("azurekms: %s: the answer is not one of Azure's: %w", op, kms.ErrWrongAnswer)
}

// responseError shows no message of a status 400: that speaks of values.
func responseError(op operation, e *azcore.ResponseError) error {
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
	case e.StatusCode == http.StatusUnauthorized:
		message = joined("; ", credentialHint, message)
	case e.StatusCode == http.StatusForbidden && inner == "" && keyState.MatchString(message):
		err = kms.ErrKeyDisabled
	}
	text := joined(": ", fmt.Sprint(e.StatusCode), joined("/", e.ErrorCode, inner), message)
	return withWait(fmt.Errorf("azurekms: %s: %s: %w", op, text, err), e.RawResponse)
}

// keyState finds a key that cannot be used in messages that come without an inner code.
var keyState = regexp.MustCompile(`(?i)\b(disabled|expired|not yet valid) key\b|\bkey (is |has )?(disabled|expired|not yet valid)`)

// withWait adds how long the server asks to wait.
func withWait(err error, r *http.Response) error {
	if r == nil || !errors.Is(err, kms.ErrThrottled) && !errors.Is(err, kms.ErrUnavailable) {
		return err
	}
	after := r.Header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, e := strconv.Atoi(after); e == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, e := http.ParseTime(after); e == nil {
		wait = time.Until(at)
	}
	if wait <= 0 {
		return err
	}
	return &kms.RetryAfter{Err: err, Wait: wait}
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
