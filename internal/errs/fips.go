package errs

import (
	"crypto/fips140"
	"fmt"
)

// CheckFIPS returns an error that wraps ErrNotFIPS where the program runs under GODEBUG=fips140=only. Constructors call
// it themselves, because golang.org/x/crypto refuses nothing. what is the algorithm, instead what to use.
func CheckFIPS(pkg, what, instead string) error {
	if !fips140.Enforced() {
		return nil
	}
	return fmt.Errorf("%s: %s is refused under GODEBUG=fips140=only; use %s: %w", pkg, what, instead, ErrNotFIPS)
}
