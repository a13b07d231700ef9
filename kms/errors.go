package kms

import (
	"errors"
	"fmt"

	"github.com/rowseal/rowseal/internal/errs"
)

// The errors of every service. Match them with errors.Is; the text around them says which operation and key it was.
var (
	// ErrDecryptionFailed: wrong context, wrong key or altered bytes. It is opaque on purpose: which of them is not told.
	ErrDecryptionFailed = errs.ErrDecryptionFailed
	// ErrAccessDenied: the credentials lack the right, have expired, or the Key is for encryption only.
	ErrAccessDenied = errors.New("access denied")
	// ErrKeyNotFound: no such key, or no such version of it.
	ErrKeyNotFound = errors.New("key not found")
	// ErrKeyDisabled: the key is disabled or scheduled for deletion.
	ErrKeyDisabled = errors.New("key disabled")
	// ErrThrottled: the service asks for fewer requests. Key has already waited and tried again.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: no usable answer in time. Key has already tried once more.
	ErrUnavailable = errors.New("unavailable")
	// ErrWrongAnswer is an ErrUnavailable that no second attempt would mend: the service answers, and the answer cannot be
	// right. It is empty, by another key, or for other items.
	ErrWrongAnswer = fmt.Errorf("%w: the answer cannot be right", ErrUnavailable)
	// ErrInvalidRequest: the call cannot succeed however often it is tried: an unknown key id, text that is not UTF-8, a
	// plaintext that is too large.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrBudget: the ctx came with a budget of requests (WithBudget), and it is used up.
	ErrBudget = errors.New("request budget used up")
)

// Error says which operation with which key failed. Err matches one of this package's sentinels, or is the ctx's error.
type Error struct {
	Op    Op
	KeyID string
	Err   error
}

// Error never holds plaintext, keys or context values.
func (e *Error) Error() string { return fmt.Sprintf("kms: %s with %s: %v", e.Op, e.KeyID, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
