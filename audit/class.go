package audit

import (
	"context"
	"errors"

	"github.com/rowseal/rowseal/kms"
)

// classes are the names of errors, the narrower before the wider.
var classes = []struct {
	err  error
	name string
}{
	{kms.ErrDecryptionFailed, "decryption_failed"},
	{kms.ErrAccessDenied, "access_denied"},
	{kms.ErrKeyNotFound, "key_not_found"},
	{kms.ErrKeyDisabled, "key_disabled"},
	{kms.ErrThrottled, "throttled"},
	{kms.ErrWrongAnswer, "wrong_answer"},
	{kms.ErrUnavailable, "unavailable"},
	{kms.ErrInvalidRequest, "invalid_request"},
	{kms.ErrBudget, "budget"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline_exceeded"},
}

// ErrorClass names an error of package kms, as logs and metrics do: decryption_failed, access_denied, key_not_found, key_disabled,
// throttled, wrong_answer, unavailable, invalid_request, budget, canceled or deadline_exceeded; "other" for another one and "" for
// none.
func ErrorClass(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "other"
}
