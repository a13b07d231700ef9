// Package columns has tests alone: they write and read the types of rowseal's columns in every way that programs without an
// ORM have, with database/sql, sqlx and pgx.
package columns
