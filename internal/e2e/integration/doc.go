// Package integration is the conformance suite of everything by which applications write sealed rows: ORMs, and database/sql,
// sqlx and pgx with package sqlseal. It runs on real databases, and counts the requests to the KMS in every case.
//
// # A new integration
//
// Write a Session: how the integration creates, finds, opens, updates and deletes rows, in one statement or call of its own
// each, as its users would. What it has beyond that is an interface of its own: Saver, Preloader. An Integration names it,
// and the databases that it can do, and its test is one line:
//
//	func TestConformance(t *testing.T) { integration.Run(t, integration.Integration{…}) }
//
// # What the suite looks at
//
// Not at what the integration says, but at what the database has: every case ends with a look at the row by plain SQL, which a
// rowseal.Table opens that knows nothing of the Go struct. What the integration logs, every error and every row in whatever
// way Go prints it is searched for plaintexts and data keys.
package integration
