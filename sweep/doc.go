// Package sweep changes keys under a running application: one engine that visits every row of a table, whatever its size, and
// whatever happens to the process, to the KMS, or to the rows meanwhile.
//
//	status, err := sweep.Rewrap(ctx, sqlseal.SQL(sqlseal.PostgreSQL, db), users, nil)
//
// A [Step] is what is done with the rows: [RewrapStep] wraps their data keys anew, [RekeyStep] gives them new ones.
//
// # What holds
//
//   - Rows are read a page at a time in the order of the primary key. Memory does not grow with the table.
//   - A row is written in one UPDATE, if it still is as it was read (sqlseal). Where somebody else was faster it is read and done again.
//     No column is touched but those that the step is for: no updated_at, and no ON UPDATE column of MariaDB's.
//   - The place in the table is kept in the database (rowseal_sweeps). A sweep that was killed goes on after the last page that was
//     done; the page at hand is done again, which costs its requests to the KMS a second time and nothing else.
//   - A lease in the same table keeps two processes from doing the same sweep. Whose process dies is taken over from after some seconds.
//   - A row that fails is noted with the reason (rowseal_quarantine) and left as it was, and the rest goes on, until too many fail.
//   - Where the KMS refuses requests because there are too many, the sweep slows down to what it takes.
//
// What a sweep keeps is in three small tables, which it makes when it needs them; [Statements] prints their SQL.
package sweep
