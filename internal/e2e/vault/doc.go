// Package vault tests kms/vaultkms, and the rest of rowseal with it, against a real Vault, and against OpenBao where there is one
// on the PATH.
package vault
