package lockbox_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/vectors"
)

// hexBytes are bytes that the vectors give in hex: keys.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// gemBoxes are vectors/lockbox.json: what Lockbox 1.4.1 wrote.
var gemBoxes = readVectors[struct {
	Box    []gemBox
	Hybrid []struct {
		Encryption hexBytes `json:"encryption_key"`
		Decryption hexBytes `json:"decryption_key"`
		gemBox
	}
	Rotation []struct {
		Key      hexBytes
		Previous []struct {
			Key       hexBytes
			Algorithm lockbox.Algorithm
		} `json:"previous_versions"`
		Ciphertext string
		Plaintext  []byte
	}
	AttributeKeys []struct {
		MasterKey hexBytes `json:"master_key"`
		Table     string
		Attribute string
		Key       hexBytes
	} `json:"attribute_keys"`
	Padding []struct {
		Size    int
		Message []byte
		Padded  []byte
	}
}]("lockbox.json")

type gemBox struct {
	Algorithm  lockbox.Algorithm
	Key        hexBytes
	Padding    int
	AD         []byte `json:"associated_data"`
	Encode     bool
	Plaintext  []byte
	Ciphertext string // base64: the message as written where Encode is true, else of its bytes
}

// sealed is what the gem's encrypt returned.
func (g gemBox) sealed() []byte {
	if g.Encode {
		return []byte(g.Ciphertext)
	}
	return must(base64.StdEncoding.DecodeString(g.Ciphertext))
}

// gemTypes are vectors/lockbox_types.json: what Lockbox 1.4.1 and Active Record made of typed attributes.
var gemTypes = readVectors[struct {
	Key    hexBytes
	Values []struct {
		Type       lockbox.Type
		Value      json.RawMessage
		ReadBack   json.RawMessage `json:"read_back"`
		Serialized *[]byte
		Ciphertext *string
	}
}]("lockbox_types.json")

func readVectors[T any](name string) (v T) {
	if err := json.Unmarshal(must(vectors.FS.ReadFile(name)), &v); err != nil {
		panic(err)
	}
	return v
}

func newBox(t testing.TB, key []byte, opts *lockbox.Options) *lockbox.Box {
	t.Helper()
	box, err := lockbox.New(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
