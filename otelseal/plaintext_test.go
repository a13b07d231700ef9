package otelseal_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/otelseal"
)

func TestNothingShowsADataKeyOrItsCiphertext(t *testing.T) {
	const dataKey = "0123456789abcdefghijklmnopqrstuv"
	fake := &kmstest.Fake{ID: "vault/users", Support: kms.RewrapAnyContext}
	w := newWorld(t, otelseal.Options{Actor: true, Redaction: &audit.Redaction{ShowAll: true}})
	key := w.key(fake)
	wrapped, err := key.Encrypt(t.Context(), []byte(dataKey), user(1))
	if err != nil {
		t.Fatal(err)
	}
	key.Decrypt(t.Context(), wrapped, user(1))
	key.Decrypt(t.Context(), wrapped, user(2))
	key.RewrapBatch(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: wrapped, Context: user(1)}, To: user(3)}})

	spans := w.spans.GetSpans()
	if len(spans) != 4 {
		t.Fatalf("%d spans, want 4", len(spans))
	}
	asJSON, err := json.Marshal(w.metrics())
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%s %+v", asJSON, w.metrics())
	for _, s := range spans {
		all += fmt.Sprintf("%+v %v\n", s, attrs(s))
	}
	if !strings.Contains(all, `"model_id":"2"`) {
		t.Fatal("even the contexts are not there")
	}
	for _, secret := range [][]byte{[]byte(dataKey), wrapped[16:]} {
		asBytes := strings.Trim(fmt.Sprint(secret), "[]")
		for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret), asBytes} {
			if strings.Contains(all, form) {
				t.Errorf("%q is in:\n%s", form, all)
			}
		}
	}
}
