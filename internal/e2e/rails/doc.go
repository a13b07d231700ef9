// Package rails tests rowseal with the database that a Rails-style program wrote under insecure-test-key. Package vault
// does the same with the one whose key is in a Vault.
package rails
