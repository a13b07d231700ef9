// Command gorm is a small web service whose customers have sealed e-mail addresses, phone numbers and dates of birth, with
// net/http, GORM and PostgreSQL. Command pgx beside it is the same without an ORM: doc.go, customer.go and store.go differ.
package main
