// Package gormseal lets sealed fields feel like fields in GORM (https://gorm.io, tested with v1.31.2), on PostgreSQL, MariaDB,
// MySQL and SQLite (tested with PostgreSQL 15, MariaDB 10.11 and SQLite 3; MySQL is served by its manual):
//
//	err := db.Use(gormseal.New(users, orders)) // *rowseal.Model[User], *rowseal.Model[Order]
//
//	u.Email.Set("ada@example.org")
//	err = db.Create(&u).Error               // sealed, in one batch for any number of rows
//	err = db.Find(&all).Error               // asks no KMS
//	err = gormseal.Open(ctx, &all)          // one batch for all rows and their preloaded associations
//	err = db.Where(gormseal.Equal("Email", "ada@example.org")).First(&u).Error
//	u.Email.Set("ada@example.com")
//	err = db.Save(&u).Error                 // compares and swaps
//
// The columns are named as rowseal names them (Email is email_ciphertext), and AutoMigrate makes them of the right types. Use
// the plugin before the structs are first used with db; structs with sealed fields that were not given to it are refused.
//
// # Writing
//
// A sealed column is written from the field of its row's own struct, and in no other way. Create, CreateInBatches, Save,
// Updates(&row) and Select(…).Updates(&row) seal what was set. An update writes, of the sealed columns, those that have
// changed, with all that belongs to them; names one row by its primary key; and compares the key column, and the columns of
// the encryption context, with what was loaded. If somebody else was faster, it is brought up to date and tried again where
// nothing is lost by that, as package sqlseal describes; else the error is rowseal.ErrConflict or rowseal.ErrContextChanged.
// Save of a slice updates the rows that were loaded, each so, and inserts the others; it is no upsert, and neither is Save of a
// struct whose row is gone. New rows of associations whose encryption context has the foreign key are inserted so, too.
//
// Everything else that would reach a sealed column is an error that says what to do instead, before anything is sent: maps, single
// columns, UpdateColumn, expressions, SET clauses, Table("users"), other structs for the same table, structs by value, rows
// that were not loaded with their key column, Select and Omit that take apart what goes together. Errors are rowseal.ErrUnsealed
// where the value would not be sealed, rowseal.ErrContextChanged for columns of the encryption context, and else
// kms.ErrInvalidRequest. Other columns are GORM's own affair, in any of these ways, for any number of rows.
//
// A conflicting row may be left alone (DoNothing), or get plain columns, or everything that is sealed: UpdateAll, or
// clause.AssignmentColumns with all sealed columns, by Columns that contain those of the encryption context. Of a row that may
// not have been inserted, the next update asks the database. Rows that get their ids from the INSERT are inserted or left alone;
// plain columns of another row are not written then (rowseal.ErrNotReady).
//
// Exec and Raw are passed on, and so is SQL text in conditions. A value that is set and not sealed is refused there too, by
// rowseal's types themselves. A condition that compares a sealed column with a value in any other way (Where(&User{Email: set}),
// maps, clause.Eq and the like) is rowseal.ErrUnsealed; rows are found by Equal and In.
//
// # Order of events
//
// Rows are sealed before GORM begins its transaction, unless hooks (BeforeCreate, BeforeSave, BeforeUpdate) may still change
// them, or the encryption context has a foreign key that GORM sets. Where the context has an id that a row does not have yet,
// the database is asked for it, or the row is inserted with a NULL key, which is wrapped and updated in the same transaction;
// TableOptions.Order chooses. Associations are sealed when GORM saves them, within the transaction.
//
// Plugin.NoKMSInTransaction refuses requests to a KMS in your own transactions. There, rows do not learn how the transaction
// ends: the next update of the same struct asks the database what it has, unless you call Model.Committed. A struct whose
// transaction was rolled back can be written again; Save inserts it again if its INSERT was rolled back.
//
// # Reading
//
// Loading asks no KMS, so that its log names the rows that somebody asked for. Open opens what was loaded through GORM, by
// Find, Preload, Joins or ScanRows, if the key columns were selected too. The scope OpenOnFind, and TableOptions.OpenOnFind, open
// what a query finds. Pluck, Scan into other types, and maps have ciphertexts.
//
// # Logs and dry runs
//
// GORM's logger prints ciphertexts, and "[unsealed]" for what is set, at every level, and asks no KMS. So does a dry run, whose
// statement has the values that are set as they are.
//
// A *gorm.DB with the plugin, and its sessions, are safe for concurrent use; a row is as safe as any struct.
package gormseal
