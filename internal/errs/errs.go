// Package errs holds the error values that more than one package exports under its own name, so that errors.Is finds the
// same value wherever it came from.
package errs

import "errors"

// ErrDecryptionFailed is the one opaque answer to a wrong context, key, row, column or byte.
var ErrDecryptionFailed = errors.New("decryption failed")

// ErrNotFIPS is the answer of a constructor to an algorithm that FIPS 140-3 does not approve, where nothing else may run.
var ErrNotFIPS = errors.New("not approved by FIPS 140-3")

// ErrTooLarge is the answer to a file or an object that is larger than the limit.
var ErrTooLarge = errors.New("larger than the limit")
