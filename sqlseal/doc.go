// Package sqlseal writes sealed rows with database/sql or pgx, on PostgreSQL, MariaDB, MySQL and SQLite, so that no data key
// and no value is lost while others write too.
//
// A ciphertext is worth nothing without the wrapped data key that opens it, and somebody else may replace that key between a
// program's SELECT and its UPDATE: another request that sealed the row for the first time, a rotation, a Rails application. A
// Table's Insert, Update and Upsert therefore write a row's key and what is sealed under it together, name one row by its full
// primary key, and compare the key column, and the columns that the encryption context uses, with what was loaded. Where the
// comparison fails they ask the database what the row holds now, and try again on top of it, or return rowseal.ErrConflict.
//
// # Reading
//
// Reading needs nothing of this package: rowseal's column types are sql.Scanners. Select the key column and the columns that
// the encryption context uses together with the sealed ones, and call Model.Open.
//
// # Your own statements
//
// A DataKey and a Sealed are driver.Valuers and can be arguments of any statement. An INSERT of a row that Model.Seal has
// sealed is safe. An UPDATE that you write by hand must do what Table.Update does; rowseal.Rows.Change tells what it has to write
// and to compare, and Dialect.Condition writes the comparisons.
//
// # Transactions
//
// With a transaction in the DB that is given to it, a Table works in that transaction and leaves its end to you. It does not
// learn that end: the next Update of the same struct first asks the database whether the row has what was written, unless you
// call Model.Committed after the commit. A struct whose transaction was rolled back can be written again.
//
// Requests to a KMS are made before a statement, never between two, but for new rows that must be inserted before they have an
// id, and for rows that somebody else has changed in between. Options.NoKMSInTransaction refuses them inside a transaction.
package sqlseal
