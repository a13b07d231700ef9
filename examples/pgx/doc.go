// Command pgx is a small web service whose customers have sealed e-mail addresses, phone numbers and dates of birth, with
// net/http, pgx and PostgreSQL. Command gorm beside it is the same with an ORM: doc.go, customer.go and store.go differ.
package main
