package e2e

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
)

const secret = "ada.lovelace@example.org"

type user struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Notes           rowseal.Sealed[[]byte] `rowseal:"raw"`
}

// TestDumpersAndTestDiffsShowNoPlaintext holds invariant 7 against libraries that read unexported fields and ignore methods.
func TestDumpersAndTestDiffsShowNoPlaintext(t *testing.T) {
	needles := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), byteList(secret)}
	for state, u := range users(t) {
		for library, text := range dumps(u) {
			for _, needle := range append(needles, dataKeys(t, u)...) {
				if strings.Contains(text, needle) {
					t.Errorf("%s shows the plaintext or the data key of a row that is %s:\n%s", library, state, text)
				}
			}
		}
	}
}

// TestTheDumpersWouldShowAPlainField proves that the test above can fail.
func TestTheDumpersWouldShowAPlainField(t *testing.T) {
	type plain struct{ email string }
	for library, text := range dumps(plain{secret}) {
		if !strings.Contains(text, secret) {
			t.Errorf("%s does not show even a plain field:\n%s", library, text)
		}
	}
}

// users are rows in every state that holds a plaintext or an unwrapped key.
func users(t *testing.T) map[string]user {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(testkms.New(false), nil)})
	if err != nil {
		t.Fatal(err)
	}
	model, err := rowseal.NewModel[user]("users", ring, nil)
	if err != nil {
		t.Fatal(err)
	}
	set := func() user {
		u := user{ID: 1}
		u.Email.Set(secret)
		u.Notes.Set([]byte(secret))
		return u
	}
	sealed := set()
	if err := model.Seal(context.Background(), &sealed); err != nil {
		t.Fatal(err)
	}
	read := sealed
	if got, err := read.Email.Get(); err != nil || got != secret {
		t.Fatalf("Get: %q, %v", got, err)
	}
	return map[string]user{"set": set(), "sealed": sealed, "read": read}
}

// dataKeys are the row's data key in the forms that a dump could have. The test key shows it to whoever has the wrapped key.
func dataKeys(t *testing.T, u user) []string {
	t.Helper()
	if u.EncryptedKMSKey.IsNull() {
		return nil
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(testkms.New(false), nil)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Decrypt(context.Background(), u.EncryptedKMSKey.Wrapped(), kms.Context{"model_name": "user", "model_id": "1"})
	if err != nil {
		t.Fatal(err)
	}
	return []string{string(key), hex.EncodeToString(key), byteList(string(key))}
}

// byteList is how dumpers print bytes: "97 100 97".
func byteList(s string) string { return strings.Trim(fmt.Sprint([]byte(s)), "[]") }

// dumps are what test libraries print of a value, on its own and as a difference.
func dumps[T any](v T) map[string]string {
	var other T
	failed := &recorder{}
	assert.Equal(failed, other, v)
	assert.Equal(failed, &other, &v)
	quiet := spew.ConfigState{Indent: " ", DisableMethods: true}
	exportAll := cmp.Exporter(func(reflect.Type) bool { return true })
	return map[string]string{
		"testify":                failed.String(),
		"spew":                   spew.Sdump(v, &v),
		"spew without methods":   quiet.Sdump(v, &v),
		"spew %#v":               spew.Sprintf("%#+v", v),
		"go-cmp":                 diff(other, v, exportAll),
		"fmt of a pointer":       fmt.Sprintf("%v %+v %#v", &v, &v, &v),
		"fmt of a slice and map": fmt.Sprintf("%+v %#v", []T{v}, map[string]T{"v": v}),
	}
}

func diff(a, b any, options ...cmp.Option) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprint(p)
		}
	}()
	return cmp.Diff(a, b, options...)
}

// recorder is a test that keeps what an assertion says.
type recorder struct{ strings.Builder }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(r, format, args...) }
