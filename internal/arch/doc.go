// Package arch holds the rules of the house as tests: which package may import which, what every package must document,
// and what no file may mention. A new package fails until the table in arch_test.go says what it may import.
package arch
