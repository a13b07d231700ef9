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
// A field is found by a blind index, a column of type blindindex.Index that Seal fills and [Model.Lookup] searches. A
// [File] is kept outside the database, in a store.Store; the files of a Rails app's Active Storage are those of package
// activestorage, with a box from [Model.Box]. A [Table] does with columns and values what a Model does with structs, by a
// [Schema]. A [MasterKey] is one that the application itself holds: that of indexes, and of fields that have not been moved
// to data keys yet.
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
// can read what it opens. A blind index shows which rows have equal values.
//
// # Formats
//
// The bytes are those of the Ruby gems kms_encrypted (https://github.com/ankane/kms_encrypted), Lockbox
// (https://github.com/ankane/lockbox), attr_encrypted (https://github.com/attr-encrypted/attr_encrypted) and Blind Index
// (https://github.com/ankane/blind_index), both ways, so that a Rails program and a Go program can share a table
// (docs/rails.md). They do not change: what one version of this package has written, every later one opens.
package rowseal
