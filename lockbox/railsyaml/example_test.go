package railsyaml_test

import (
	"errors"
	"fmt"

	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/lockbox/railsyaml"
)

// A program reads what Rails sealed.
func Example() {
	key := make([]byte, lockbox.KeySize) // of zeros, for the example
	box, err := lockbox.New(key, nil)
	if err != nil {
		panic(err)
	}
	sealed, err := box.Encrypt([]byte("---\n:theme: dark\nlanguages:\n- de\n- 'no'\nversion: 1e3\n"), nil) // as Rails does
	if err != nil {
		panic(err)
	}

	codec, err := lockbox.CodecOf[railsyaml.Hash](lockbox.Hash)
	if err != nil {
		panic(err)
	}
	plaintext, err := box.Decrypt(sealed, nil)
	if err != nil {
		panic(err)
	}
	settings, err := codec.Decode(plaintext)
	fmt.Printf("%v %q (%v)\n", settings["theme"], settings["languages"], err)
	fmt.Printf("%T %[1]v\n", settings["version"])

	_, err = codec.Decode([]byte("--- !ruby/object:User\nname: x\n"))
	fmt.Println(err, errors.Is(err, railsyaml.ErrTag))
	// Output:
	// dark ["de" "no"] (<nil>)
	// string 1e3
	// railsyaml: line 1: !ruby/object:User: not a plain value: only plain hashes, arrays, text and numbers are read true
}

// A program changes what Rails reads, and keeps the order and the symbols.
func ExampleRubyHash() {
	var settings railsyaml.RubyHash
	if err := settings.DecodeSealed([]byte("---\n:theme: :dark\nage: 7\n")); err != nil {
		panic(err)
	}
	settings.Set(railsyaml.Symbol("theme"), railsyaml.Symbol("light"))
	settings.Set("languages", []string{"de", "no"})

	text, err := settings.AppendSealed(nil)
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// ---
	// :theme: :light
	// age: 7
	// languages:
	// - de
	// - 'no'
	// <nil>
}

func ExampleHash_Into() {
	var sealed railsyaml.Hash
	if err := sealed.DecodeSealed([]byte("---\n:theme: dark\n:limit: 3\n")); err != nil {
		panic(err)
	}
	var settings struct {
		Theme string `json:"theme"`
		Limit int    `json:"limit"`
	}
	err := sealed.Into(&settings)
	fmt.Printf("%+v %v\n", settings, err)
	// Output: {Theme:dark Limit:3} <nil>
}
