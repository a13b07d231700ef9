package localkms

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rowseal/rowseal/kms"
)

const (
	formatName   = "rowseal local key "
	formatNumber = 1
	format       = formatName + "1"

	maxFileSize = 1 << 20 // some 7,000 versions

	masterKeySize = 32
)

// ErrKeyFile tells that a key file is truncated, altered, misnamed, of a newer format, or no file. The error's text says which,
// and the remedy. Such a file is never overwritten.
var ErrKeyFile = fmt.Errorf("key file unusable (%w)", kms.ErrInvalidRequest)

// defect is what is wrong with a key file, and what the owner can do. It shows nothing of the file but names and numbers.
type defect struct{ what, remedy string }

func (d defect) Error() string { return d.what + "; it is left as it is: " + d.remedy }

// damage is a defect that an intact copy mends.
func damage(what string) defect { return defect{what, "restore it from your backup"} }

var (
	errNotJSON    = damage("it is truncated or altered: not JSON")
	errTooLarge   = damage(fmt.Sprintf("it has more than %d bytes, which no key file has", maxFileSize))
	errNotRegular = defect{"it is not a regular file", "move it away, and if there was a key, restore that from your backup"}
	errDangling   = defect{"it is a symbolic link that leads to no file", "put that file back, or remove the link"}
)

func unusable(path string, why error) error {
	return fmt.Errorf("localkms: %s: %w: %w", path, why, ErrKeyFile)
}

// keyFile is the content of NAME.json. Versions ascend by number; Current seals, and all of them open.
type keyFile struct {
	Format   string    `json:"format"`
	Name     string    `json:"name"`
	Disabled bool      `json:"disabled"`
	Current  uint32    `json:"current"`
	Versions []version `json:"versions"`
	// SHA256 is the hex SHA-256 of this JSON without white space and with an empty sha256. It finds accidents; whoever can
	// alter the file on purpose can also compute it.
	SHA256 string `json:"sha256"`
}

type version struct {
	Number  uint32    `json:"number"`
	Created time.Time `json:"created"`
	Key     masterKey `json:"key"`
}

// masterKey hides its bytes in a closure. A pointer would not do: fmt follows it when the verb is a wrong one.
type masterKey struct{ bytes func() []byte }

// newMasterKey takes the slice over.
func newMasterKey(b []byte) masterKey { return masterKey{func() []byte { return b }} }

// MarshalText implements encoding.TextMarshaler for the key file: strict base64.
func (k masterKey) MarshalText() ([]byte, error) {
	if k.bytes == nil {
		return nil, errors.New("missing key")
	}
	return base64.StdEncoding.AppendEncode(nil, k.bytes()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Its error tells nothing of the text.
func (k *masterKey) UnmarshalText(text []byte) error {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err != nil || n != masterKeySize {
		clear(raw)
		return errors.New("not 32 bytes in base64")
	}
	*k = newMasterKey(raw[:n])
	return nil
}

func (f *keyFile) wipe() {
	for _, v := range f.Versions {
		clear(v.Key.bytes())
	}
}

func (f *keyFile) version(number uint32) (masterKey, bool) {
	for _, v := range f.Versions {
		if v.Number == number {
			return v.Key, true
		}
	}
	return masterKey{}, false
}

// encode returns the file's bytes, with the checksum that they need.
func (f *keyFile) encode() ([]byte, error) {
	compact, err := f.canonical()
	if err != nil {
		return nil, err
	}
	defer clear(compact)
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// canonical returns the JSON without white space, with the checksum that it needs.
func (f *keyFile) canonical() ([]byte, error) {
	summed := *f
	summed.SHA256 = ""
	unsummed, err := json.Marshal(summed)
	if err != nil {
		return nil, err
	}
	defer clear(unsummed)
	sum := sha256.Sum256(unsummed)
	summed.SHA256 = hex.EncodeToString(sum[:])
	return json.Marshal(summed)
}

// parseKeyFile reads what encode wrote. White space apart, each byte must be as encode writes it, so that no altered file
// passes for another meaning of the same. Its errors are defects: the texts of encoding/json's errors can hold pieces of a key.
func parseKeyFile(data []byte, name string) (*keyFile, error) {
	if err := checkFormat(data); err != nil {
		return nil, err
	}
	f := new(keyFile)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, damage("it is altered: it has fields or values that its format does not know")
	}
	if err := f.checkBytes(data); err != nil {
		return nil, err
	}
	if err := f.checkContent(name); err != nil {
		f.wipe()
		return nil, err
	}
	return f, nil
}

func checkFormat(data []byte) error {
	if !json.Valid(data) {
		return errNotJSON
	}
	var header struct {
		Format string `json:"format"`
	}
	err := json.Unmarshal(data, &header)
	switch {
	case err == nil && header.Format == format:
		return nil
	case err == nil && isNewer(header.Format):
		return defect{"its format is newer than this version of rowseal",
			"update rowseal (a backup in the old format would lack its latest versions)"}
	default:
		return defect{fmt.Sprintf("it is altered or no key file: its format is not %q", format),
			"restore it from your backup, or if it is no key, move it away"}
	}
}

func isNewer(other string) bool {
	number, ok := strings.CutPrefix(other, formatName)
	n, err := strconv.Atoi(number)
	return ok && err == nil && n > formatNumber
}

func (f *keyFile) checkBytes(data []byte) error {
	var got bytes.Buffer
	defer func() { clear(got.Bytes()) }()
	if err := json.Compact(&got, data); err != nil {
		return errNotJSON
	}
	want, err := f.canonical()
	defer clear(want)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		return defect{"it is altered: its checksum is that of another content",
			"restore it from your backup, or undo the change if you made one"}
	}
	return nil
}

func (f *keyFile) checkContent(name string) error {
	if f.Name != name {
		return defect{fmt.Sprintf("it holds the key %q, and a key file must keep its name", f.Name),
			fmt.Sprintf("rename it to %s, unless there is one", f.Name+extension)}
	}
	last := uint32(0)
	for _, v := range f.Versions {
		if v.Number <= last {
			return damage("its versions are not in ascending order")
		}
		last = v.Number
	}
	if _, ok := f.version(f.Current); !ok {
		return damage(fmt.Sprintf("it lacks the version %d that it calls current", f.Current))
	}
	return nil
}
