package lockbox_test

import (
	"errors"
	"fmt"
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
	// lockbox: type "date" does not fit a Go int: use type integer, or Go's time.Time
}
