package lockbox_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/lockbox"
)

func TestDerivedKeysAreTheGems(t *testing.T) {
	for _, row := range gemBoxes.AttributeKeys {
		key, err := lockbox.AttributeKey(row.MasterKey, row.Table, row.Attribute)
		if err != nil || !bytes.Equal(key, row.Key) {
			t.Errorf("the key of %s.%s is not the gem's (%v)", row.Table, row.Attribute, err)
		}
	}
	if len(gemBoxes.AttributeKeys) != 5 {
		t.Errorf("%d rows, want 5", len(gemBoxes.AttributeKeys))
	}
}

func TestADerivedKeyNeedsAMasterKeyATableAndAnAttribute(t *testing.T) {
	for _, c := range []struct {
		masterKey        []byte
		table, attribute string
	}{
		{nil, "users", "email_ciphertext"},
		{testKey[:31], "users", "email_ciphertext"},
		{testKey, "", "email_ciphertext"},
		{testKey, "users", ""},
	} {
		if key, err := lockbox.AttributeKey(c.masterKey, c.table, c.attribute); err == nil || key != nil {
			t.Errorf("%d bytes, table %q, attribute %q: no error", len(c.masterKey), c.table, c.attribute)
		}
	}
}

func TestParseKeyReads64HexDigits(t *testing.T) {
	text := hex.EncodeToString(testKey)
	for _, s := range []string{text, strings.ToUpper(text)} {
		if key, err := lockbox.ParseKey(s); err != nil || !bytes.Equal(key, testKey) {
			t.Errorf("64 digits are not read: %v", err)
		}
	}
	for name, s := range map[string]string{
		"empty": "", "short": text[2:], "long": text + "00", "odd": text[1:], "a line end": text + "\n",
		"another letter": "g" + text[1:], "raw bytes": string(testKey),
	} {
		key, err := lockbox.ParseKey(s)
		if err == nil || key != nil {
			t.Errorf("%s: no error", name)
		} else if s != "" && strings.Contains(err.Error(), s) || !strings.Contains(err.Error(), "want 64 hex digits") {
			t.Errorf("%s: %q shows the key, or does not say what is wanted", name, err)
		}
	}
}
