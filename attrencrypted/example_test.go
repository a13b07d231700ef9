package attrencrypted_test

import (
	"encoding/base64"
	"fmt"

	"github.com/rowseal/rowseal/attrencrypted"
)

func Example() {
	key, err := base64.StdEncoding.DecodeString("k9/asbJ756AWTC9Qgq9tSOrNqwnL+9I858ogavG6UNM=")
	if err != nil {
		panic(err)
	}
	box, err := attrencrypted.New(key, nil)
	if err != nil {
		panic(err)
	}

	sealed, err := box.Encrypt([]byte("078-05-1120"))
	if err != nil {
		panic(err)
	}
	ssn, form, err := box.Decrypt(sealed)
	fmt.Printf("%d and %d characters open to %s (%v, %v)\n", len(sealed.Ciphertext), len(sealed.IV), ssn, form, err)

	fromRuby := attrencrypted.Value{
		Ciphertext: "UQd2kX+u8pFwfcUO3hrhDDxsgao+6w==\n", // encrypted_ssn
		IV:         "0+6SmMVr3xa5Qbmc\n", HasIV: true,    // encrypted_ssn_iv
	}
	ssn, form, err = box.Decrypt(fromRuby)
	fmt.Printf("what attr_encrypted sealed opens to %s (%v, %v)\n", ssn, form, err)

	fromRuby.IV = sealed.IV
	_, _, err = box.Decrypt(fromRuby)
	fmt.Println("under another IV:", err)
	// Output:
	// 37 and 17 characters open to 078-05-1120 (gcm, <nil>)
	// what attr_encrypted sealed opens to secret (gcm, <nil>)
	// under another IV: decryption failed
}

func ExampleDetect() {
	for _, v := range []attrencrypted.Value{
		{Ciphertext: "UQd2kX+u8pFwfcUO3hrhDDxsgao+6w==\n", IV: "0+6SmMVr3xa5Qbmc\n", HasIV: true},
		{Ciphertext: "IT5kVrDZ+t52CzVInYrbzg==\n", IV: "zTMTjy1qwoZN6c08BheiLQ==\n", HasIV: true},
		{Ciphertext: "uSUB6KGzta87yxesyVc3DA=="},
		{Ciphertext: "plaintext"},
	} {
		fmt.Println(attrencrypted.Detect(v, nil))
	}
	// Output:
	// [gcm gcm+ignored-iv]
	// [gcm gcm+ignored-iv cbc]
	// [gcm+single cbc+single]
	// []
}
