package lockbox_test

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

func Example() {
	key, err := lockbox.ParseKey("8d1294e18723d445801fe7fe8517eec6ee3bfe0efa42fb7c8db36d21083f6451")
	if err != nil {
		panic(err)
	}
	box, err := lockbox.New(key, nil)
	if err != nil {
		panic(err)
	}

	sealed, err := box.Encrypt([]byte("hi@example.org"), []byte("users.email_ciphertext"))
	if err != nil {
		panic(err)
	}
	email, err := box.Decrypt(sealed, []byte("users.email_ciphertext"))
	fmt.Printf("%d characters open to %s (%v)\n", len(sealed), email, err)

	_, err = box.Decrypt(sealed, []byte("users.name_ciphertext"))
	fmt.Println("in another column:", err, errors.Is(err, lockbox.ErrDecryptionFailed))

	fromRuby := "AnJUueUHAOr9/xfzG4BCiZIM+mHrMQ9Il7lqTivaVhIy79HfR4nGae3e"
	email, err = box.Decrypt([]byte(fromRuby), nil)
	fmt.Printf("what Lockbox sealed opens to %s (%v)\n", email, err)
	// Output:
	// 56 characters open to hi@example.org (<nil>)
	// in another column: decryption failed true
	// what Lockbox sealed opens to hi@example.org (<nil>)
}

// One row's data key makes one box; each field of the row writes in its own format.
func ExampleBox_WithFormat() {
	dataKey := make([]byte, lockbox.KeySize) // of zeros, for the example
	row, err := lockbox.New(dataKey, nil)
	if err != nil {
		panic(err)
	}
	notes := row.WithFormat(lockbox.Format{Padding: 16})
	for _, note := range []string{"", "fail", "consider", "length16statuses"} {
		sealed, _ := notes.Encrypt([]byte(note), []byte("users.notes_ciphertext"))
		fmt.Println(len(note), "bytes become", len(sealed), "characters")
	}
	// Output:
	// 0 bytes become 60 characters
	// 4 bytes become 60 characters
	// 8 bytes become 60 characters
	// 16 bytes become 80 characters
}

// A table that Lockbox alone encrypts has a master key, and derives a key for each column.
func ExampleAttributeKey() {
	masterKey, err := lockbox.ParseKey("a2bebb70fb06e10137fd4d98c7cab892f91b375b70d38a92bf0c65afdee799d5")
	if err != nil {
		panic(err)
	}
	key, err := lockbox.AttributeKey(masterKey, "users", "email_ciphertext")
	fmt.Printf("%.8x… %v\n", key, err) // an example may show a key
	// Output: 4a188dadc828b9e4… <nil>
}

func ExampleCodecOf() {
	codec, err := lockbox.CodecOf[time.Time](lockbox.Date)
	if err != nil {
		panic(err)
	}
	sealedBytes, err := codec.Append(nil, time.Date(2026, time.February, 28, 9, 30, 0, 0, time.UTC))
	fmt.Printf("%s %v\n", sealedBytes, err)

	_, err = lockbox.CodecOf[int](lockbox.Date)
	fmt.Println(err)
	// Output:
	// 2026-02-28 <nil>
	// lockbox: type "date" does not fit a Go int: use type integer, json, or Go's time.Time
}

// New data uses XChaCha20 where the mode of the program allows it.
func ExampleNew_algorithm() {
	algorithm := lockbox.XChaCha20
	if fips140.Enforced() { // New would return ErrNotFIPS
		algorithm = lockbox.AESGCM
	}
	key := make([]byte, lockbox.KeySize) // of zeros, for the example
	box, err := lockbox.New(key, &lockbox.Options{Algorithm: algorithm, AssociatedData: []byte("users.email_ciphertext")})
	if err != nil {
		panic(err)
	}
	sealed, err := box.Encrypt([]byte("hi@example.org"), nil) // nil: the associated data of the box
	if err != nil {
		panic(err)
	}
	email, err := box.Decrypt(sealed, nil)
	fmt.Printf("%s %v\n", email, err)
	// Output: hi@example.org <nil>
}

// A column moves from a key that is derived from a master key, under its old name and unbound, to data keys and bound fields.
func ExamplePrevious() {
	masterKey := make([]byte, lockbox.KeySize) // of zeros, for the example
	oldKey, err := lockbox.AttributeKey(masterKey, "people", "mail_ciphertext")
	if err != nil {
		panic(err)
	}
	dataKey := []byte("32 random bytes, one key per row")
	box, err := lockbox.New(dataKey, &lockbox.Options{
		AssociatedData: []byte("users.email_ciphertext"),
		Previous:       []lockbox.Previous{{Key: oldKey, AssociatedData: []byte{}}},
	})
	if err != nil {
		panic(err)
	}

	old, err := lockbox.New(oldKey, nil)
	if err != nil {
		panic(err)
	}
	sealed, err := old.Encrypt([]byte("hi@example.org"), nil)
	if err != nil {
		panic(err)
	}
	email, err := box.Decrypt(sealed, nil)
	fmt.Printf("%s %v\n", email, err)
	// Output: hi@example.org <nil>
}

// What the gem sealed with a pair of keys opens, but not in FIPS 140-3 mode.
func ExampleNewHybrid() {
	keys, err := lockbox.ParseHybridKeys("", "2912f1dd1f484d3d1f8781ae6144fb9bc5dddebc2e5644a63aeb5b90eaadf694"+
		"81418159611137d8683e406ba954c03ac8914d76cba572a536b1f964aa2ee370")
	if err != nil {
		panic(err)
	}
	fromRuby := []byte("MZrGWKzdVMds/9gfe32Ccjf5hS/kFGsx3XHa8xVp56xYiypD1fgbmejMbMM6BRwUqB6BkYg75VkiRDzqC9u0Vnx3GcGuWGxFMR9zfE0q3ts=")

	box, err := lockbox.NewHybrid(keys, nil)
	refused := errors.Is(err, lockbox.ErrNotFIPS)
	opened := false
	if err == nil {
		message, err := box.Decrypt(fromRuby, nil)
		opened = err == nil && len(message) == 40
	}
	fmt.Println("opened, or refused by FIPS 140-3:", opened || refused)
	// Output: opened, or refused by FIPS 140-3: true
}

func ExampleBox_EncryptFile() {
	dataKey := make([]byte, lockbox.KeySize) // of zeros, for the example
	box, err := lockbox.New(dataKey, &lockbox.Options{Format: lockbox.Format{Raw: true}})
	if err != nil {
		panic(err)
	}
	sealed, err := box.EncryptFile(strings.NewReader("a driving licence"), 0, nil)
	fmt.Println(len(sealed), "bytes", err)

	content, err := box.DecryptFile(bytes.NewReader(sealed), 0, nil)
	fmt.Printf("%s %v\n", content, err)

	_, err = box.EncryptFile(strings.NewReader("a driving licence"), 10, nil)
	fmt.Println(errors.Is(err, lockbox.ErrTooLarge))
	// Output:
	// 45 bytes <nil>
	// a driving licence <nil>
	// true
}

// Go has no decimal type: a decimal is a string, a *big.Rat, or a type of some library that writes itself as text.
func ExampleCodecOf_decimal() {
	text, err := lockbox.CodecOf[string](lockbox.Decimal)
	if err != nil {
		panic(err)
	}
	sealedBytes, err := text.Append(nil, "19.90")
	fmt.Printf("%s %v\n", sealedBytes, err)

	rat, err := lockbox.CodecOf[*big.Rat]("")
	if err != nil {
		panic(err)
	}
	price, err := rat.Decode(sealedBytes)
	fmt.Println(price, err)
	// Output:
	// 19.9 <nil>
	// 199/10 <nil>
}

func ExampleCodecOf_json() {
	type settings struct {
		Theme string `json:"theme"`
	}
	codec, err := lockbox.CodecOf[settings](lockbox.JSON)
	if err != nil {
		panic(err)
	}
	sealedBytes, err := codec.Append(nil, settings{"dark"})
	fmt.Printf("%s %v\n", sealedBytes, err)
	// Output: {"theme":"dark"} <nil>
}

func ExampleCodecOf_inet() {
	codec, err := lockbox.CodecOf[netip.Prefix]("")
	if err != nil {
		panic(err)
	}
	sealedBytes, err := codec.Append(nil, netip.MustParsePrefix("10.1.2.3/8"))
	fmt.Println(sealedBytes, err)
	network, err := codec.Decode(sealedBytes)
	fmt.Println(network, err)
	// Output:
	// [0 8 10 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] <nil>
	// 10.0.0.0/8 <nil>
}

// Money is sealed as the cents and the currency, as a custom type of the Rails app does.
type Money struct {
	Cents    int64
	Currency string
}

func (Money) SealedType() lockbox.Type { return "money" }

func (m Money) AppendSealed(dst []byte) ([]byte, error) {
	return fmt.Appendf(dst, "%d %s", m.Cents, m.Currency), nil
}

func (m *Money) DecodeSealed(b []byte) error {
	if _, err := fmt.Sscanf(string(b), "%d %s", &m.Cents, &m.Currency); err != nil {
		return errors.New("not money: want cents and a currency") // without the value
	}
	return nil
}

func ExampleValue() {
	codec, err := lockbox.CodecOf[Money]("")
	if err != nil {
		panic(err)
	}
	sealedBytes, err := codec.Append(nil, Money{1990, "EUR"})
	fmt.Printf("%s %v\n", sealedBytes, err)
	price, err := codec.Decode(sealedBytes)
	fmt.Println(price.Cents, price.Currency, err)
	// Output:
	// 1990 EUR <nil>
	// 1990 EUR <nil>
}
