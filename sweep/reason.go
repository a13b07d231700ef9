package sweep

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// ours are errors whose texts this project has written, without any value in them.
var ours = []error{
	kms.ErrDecryptionFailed, kms.ErrAccessDenied, kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrThrottled, kms.ErrUnavailable, kms.ErrInvalidRequest,
	kms.ErrBudget, rowseal.ErrVersionNotActive, rowseal.ErrNotReady, rowseal.ErrNotOpened, rowseal.ErrUnsealed, rowseal.ErrConflict,
	rowseal.ErrContextChanged, rowseal.ErrNoKey, ErrState, ErrBusy,
}

var (
	mysqlError = regexp.MustCompile(`^Error \d+ \(\w+\)`)
	// SQLite's errors name columns and constraints, but for what a trigger says.
	sqliteConstraint = regexp.MustCompile(`(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(: [\w., ]+)?`)
	inQuotes         = regexp.MustCompile(`'[^']*'|"[^"]*"|\([^)]*=[^)]*\)`)
)

const longestReason = 500

// reason is an error as text that names no value. Those of databases may: "Duplicate entry 'ada@example.org'".
func reason(err error) string {
	text := err.Error()
	if !isOurs(err) {
		text = ofDatabase(err)
	}
	text = strings.ReplaceAll(text, "\n", "; ")
	if len(text) > longestReason {
		text = text[:longestReason] + "…"
	}
	return text
}

func isOurs(err error) bool {
	for _, e := range ours {
		if errors.Is(err, e) {
			return true
		}
	}
	placed, request := (*rowseal.Error)(nil), (*kms.Error)(nil)
	return errors.As(err, &placed) || errors.As(err, &request)
}

func ofDatabase(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return fmt.Sprintf("the database's error %s", state.SQLState())
	}
	if code := mysqlError.FindString(err.Error()); code != "" {
		return "the database's error: " + code
	}
	var code interface{ Code() int }
	if errors.As(err, &code) {
		return strings.TrimSpace(fmt.Sprintf("the database's error %d %s", code.Code(), sqliteConstraint.FindString(err.Error())))
	}
	return inQuotes.ReplaceAllString(err.Error(), "…")
}
