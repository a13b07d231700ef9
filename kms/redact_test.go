package kms_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

const secret = "a data key, 32 bytes of secrets."

// forms is how programs print bytes.
func forms(s string) []string {
	b := []byte(s)
	return []string{
		s, hex.EncodeToString(b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b), base64.StdEncoding.EncodeToString(b),
		strings.Trim(fmt.Sprint(b), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
}

// printed is all that fmt, slog and encoding/json say of v, alone and within other values.
func printed(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, held := range []any{v, []any{v}, map[string]any{"v": v}, struct{ V any }{v}, &struct{ V any }{v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%T"} {
			fmt.Fprintf(&out, verb+"\n", held)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("v", "v", held)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("v", "v", held)
		b, err := json.Marshal(held)
		if err != nil {
			t.Errorf("encoding/json: %v", err)
		}
		out.Write(b)
	}
	return out.String()
}

// Invariant 7.
func TestNothingThatHoldsAKeyPrintsIt(t *testing.T) {
	item := kms.Item{Data: []byte(secret), Context: kms.Context{"model_id": secret}}
	result := kms.Result{Data: []byte(secret)}
	rewrap := kms.RewrapItem{Item: item, To: kms.Context{"model_id": secret}}
	failed := kms.Result{Data: []byte(secret), Err: kms.ErrThrottled}
	for _, v := range []any{
		item, &item, []kms.Item{item}, result, &result, []kms.Result{result}, failed, rewrap, &rewrap, []kms.RewrapItem{rewrap},
	} {
		text := printed(t, v)
		for _, form := range forms(secret) {
			if strings.Contains(text, form) {
				t.Errorf("%T is printed with its data, as %q:\n%s", v, form, text)
			}
		}
		if !strings.Contains(text, "32 bytes") && !strings.Contains(text, "throttled") {
			t.Errorf("%T: its size is not printed:\n%s", v, text)
		}
	}
}

// Handlers other than those of log/slog look at values in ways of their own.
func TestSlogGetsAText(t *testing.T) {
	item := kms.Item{Data: []byte(secret)}
	for _, v := range []any{item, kms.RewrapItem{Item: item}, kms.Result{Data: []byte(secret)}} {
		if got := slog.AnyValue(v).Resolve(); got.Kind() != slog.KindString || !strings.HasSuffix(got.String(), "(32 bytes)") {
			t.Errorf("%T resolves to a %s, %v", v, got.Kind(), got)
		}
	}
}

// credentialed is a service that holds what must not be printed either.
type credentialed struct {
	*kmstest.Fake
	token string
}

func TestAKeyPrintsItsIdAlone(t *testing.T) {
	key := kms.NewKey(credentialed{&kmstest.Fake{ID: "vault/users"}, secret}, nil)
	for _, v := range []any{key, *key, key.EncryptOnly(), []*kms.Key{key}, struct{ key *kms.Key }{key}} {
		text := printed(t, v)
		for _, form := range forms(secret) {
			if strings.Contains(text, form) {
				t.Errorf("%T is printed with its service, as %q:\n%s", v, form, text)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		if got := fmt.Sprintf(verb, key); got != "kms.Key(vault/users)" {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if key.String() != "vault/users" {
		t.Errorf("String() = %s", key)
	}
}
