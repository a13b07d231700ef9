// Package errs holds the error values that more than one package exports under its own name, so that errors.Is finds the
// same value wherever it came from.
package errs

import "errors"

// ErrDecryptionFailed is the one opaque answer to a wrong context, key, row, column or byte.
var ErrDecryptionFailed = errors.New("decryption failed")
