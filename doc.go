// Package rowseal seals fields of database rows, each row under a data key of its own, which a key management service
// (KMS) wraps and which it is told the row's identity for.
//
// # The parts
//
// A [Keyring] holds the KMS key in use and earlier ones. A [Model] seals and opens the rows of one table, as Go structs
// whose fields are of type [DataKey] (the wrapped data key) and [Sealed] (a sealed value):
//
//	users, err := rowseal.NewModel[User]("users", ring, nil)
//	u.Email.Set("ada@example.org")
//	err = users.Seal(ctx, &u)   // before saving: wraps a new data key, seals the fields
//	err = users.Open(ctx, &u)   // after loading: unwraps the data key
//	email, err := u.Email.Get()
//
// Nothing opens by itself, so that the KMS's log names the rows that somebody asked for and no others.
//
// # What it protects against, and what not
//
// Somebody who has the database, its backups, or the database server, reads nothing without the KMS, and cannot move a
// ciphertext to another row, key column or field where it would open (under a context that names the row, as the
// default does). Somebody who has a server that only seals reads nothing either. The KMS's log tells which rows were
// opened, by whom and when, and disabling the KMS key stops every read of a row that is not open already.
//
// It is not promised that a value is the newest: who writes to the database can put back an older ciphertext of the
// same cell, NULL, or "". A server that seals and is taken over can plant data keys that it knows. A server that opens
// can read what it opens.
//
// # Formats
//
// The bytes are those of the Ruby gems kms_encrypted (https://github.com/ankane/kms_encrypted) and Lockbox
// (https://github.com/ankane/lockbox), both ways, so that a Rails program and a Go program can share a table. They do
// not change: what one version of this package has written, every later one opens.
package rowseal
