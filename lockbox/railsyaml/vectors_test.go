package railsyaml

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/vectors"
)

type typedRow struct {
	Type       lockbox.Type
	ReadBack   json.RawMessage `json:"read_back"`
	Serialized []byte
	Ciphertext *string
}

// gemRows are the hashes and arrays of vectors/lockbox_types.json: what Lockbox 1.4.1 and Active Record made of them.
func gemRows(t testing.TB) (key []byte, rows []typedRow) {
	t.Helper()
	var file struct {
		Key    string
		Values []typedRow
	}
	b, err := vectors.FS.ReadFile("lockbox_types.json")
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err == nil {
		key, err = hex.DecodeString(file.Key)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range file.Values {
		if row.Type == lockbox.Hash || row.Type == lockbox.Array {
			rows = append(rows, row)
		}
	}
	if len(rows) < 6 {
		t.Fatalf("%d rows of hashes and arrays, want all 6", len(rows))
	}
	return key, rows
}

func TestWhatRailsSealedIsReadBack(t *testing.T) {
	key, rows := gemRows(t)
	box, err := lockbox.New(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.Ciphertext == nil { // Active Record stores an empty array as NULL, and there is nothing to read
			if !reflect.DeepEqual(throughJSON(t, row.ReadBack), []any{}) || row.Serialized != nil {
				t.Errorf("a NULL that is read back as %s", row.ReadBack)
			}
			continue
		}
		plaintext, err := box.Decrypt([]byte(*row.Ciphertext), nil)
		if err != nil || !bytes.Equal(plaintext, row.Serialized) {
			t.Fatalf("%s: opens to %q (%v), want %q", row.ReadBack, plaintext, err, row.Serialized)
		}
		var got any
		if row.Type == lockbox.Hash {
			got, err = decodeWith(t, Hash{}, plaintext)
		} else {
			got, err = decodeWith(t, Array{}, plaintext)
		}
		if err != nil || !reflect.DeepEqual(throughJSON(t, got), throughJSON(t, row.ReadBack)) {
			t.Errorf("%q is read as %v (%v), want %s", plaintext, got, err, row.ReadBack)
		}
	}
}

func decodeWith[T any](t testing.TB, _ T, b []byte) (T, error) {
	t.Helper()
	codec, err := lockbox.CodecOf[T]("")
	if err != nil {
		t.Fatal(err)
	}
	return codec.Decode(b)
}

func throughJSON(t testing.TB, v any) (got any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhatRailsSealedIsWrittenAsTheSameBytes(t *testing.T) {
	_, rows := gemRows(t)
	for _, row := range rows {
		if row.Serialized == nil {
			continue
		}
		exact, err := decodeExact(row.Serialized)
		if err != nil {
			t.Fatal(err)
		}
		got, err := exact.AppendSealed(nil)
		if err != nil {
			t.Fatal(err)
		}
		equalBytes(t, "exactly", got, row.Serialized)
		equalBytes(t, "from Go", fromGo(t, row), []byte(wantFromGo(string(row.Serialized))))
	}
}

// fromGo writes what a Hash or an Array was read.
func fromGo(t *testing.T, row typedRow) []byte {
	t.Helper()
	var got []byte
	var err error
	if row.Type == lockbox.Hash {
		var h Hash
		if err = h.DecodeSealed(row.Serialized); err == nil {
			got, err = h.AppendSealed(nil)
		}
	} else {
		var a Array
		if err = a.DecodeSealed(row.Serialized); err == nil {
			got, err = a.AppendSealed(nil)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantFromGo is what is written of a map: the bytes of Rails, except where the order of its keys is not that of their
// bytes, and where it has symbols.
func wantFromGo(rails string) string {
	switch rails {
	case "---\n:sym: value\n:other: :symbol\n":
		return "---\nother: symbol\nsym: value\n"
	case "---\né: |-\n  multi\n  line\ntime: '2026-01-01'\n":
		return "---\ntime: '2026-01-01'\né: |-\n  multi\n  line\n"
	}
	return rails
}
