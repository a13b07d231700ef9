package blindindex_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/rowseal/rowseal/blindindex"
)

// masterKey is 32 random bytes of the application's configuration; lockbox.ParseKey reads them from hex.
var masterKey = bytes.Repeat([]byte{7}, blindindex.KeySize)

// A column is filled, and searched, with the same options. (Leave Algorithm out for Argon2id, which FIPS 140-3 does not
// approve.)
func Example() {
	key, err := blindindex.KeyOf(masterKey, "users", "email_bidx")
	if err != nil {
		panic(err)
	}
	emails, err := blindindex.New(key, &blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, Normalize: "strip+lower"})
	if err != nil {
		panic(err)
	}

	stored, err := emails.Index("Ada@Example.org") // INSERT … email_bidx = stored
	if err != nil {
		panic(err)
	}
	sought, err := emails.Index(" ada@example.org") // … WHERE email_bidx = sought
	if err != nil {
		panic(err)
	}
	fmt.Println(stored == sought)
	fmt.Println(stored, stored.Text())
	// Output:
	// true
	// [index] oIIrZgZUt/paNsvuKKOflrd3acY7QCu5hHRl4VHNPAU=
}

func ExampleIndexer_ComputeAll() {
	opts := &blindindex.Options{
		Algorithm:   blindindex.HMACSHA256,
		Normalize:   "digits+last4",
		Normalizers: map[string]func(string) (string, error){"last4": last4},
		Size:        2,
	}
	phones, err := blindindex.New(masterKey, opts)
	if err != nil {
		panic(err)
	}
	indexes, err := phones.ComputeAll(context.Background(), []string{"+49 30 555-1234", "unknown", "040 666 1234"})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%q\n", indexes)
	// Output: ["FVo=" "" "FVo="]
}

// last4 leaves shorter numbers out of the index.
func last4(s string) (string, error) {
	if len(s) < 4 {
		return "", blindindex.ErrNull
	}
	return s[len(s)-4:], nil
}

// The phone numbers of a million customers: an index of the whole number, and a short one of its last four digits.
func ExamplePlan() {
	whole := blindindex.PlannedIndex{Bits: 256, DomainBits: 34} // ten digits
	last4 := blindindex.PlannedIndex{Bits: 16, DomainBits: 14}

	fmt.Println(blindindex.Plan{Rows: 1_000_000, Indexes: []blindindex.PlannedIndex{whole}}.Leak())
	leak := blindindex.Plan{Rows: 1_000_000, Indexes: []blindindex.PlannedIndex{last4}}.Leak()
	fmt.Println(leak)
	_, most, _ := leak.Room()
	fmt.Println("room for a further index of at most", most, "bits")
	// Output:
	// 1000000 rows, indexes of 34 bits in all: 5.82e-05 coincidences, linkable: equal indexes prove equal values. Sound are 10 to 18 bits in all (one index of size 2)
	// 1000000 rows, indexes of 14 bits in all: 61 coincidences, sound: equal indexes do not prove equal values; open what a search finds, and compare
	// room for a further index of at most 4 bits
}
