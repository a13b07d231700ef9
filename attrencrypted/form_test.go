package attrencrypted_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/attrencrypted"
)

func TestAFormHasANameAndAVerdict(t *testing.T) {
	type form = attrencrypted.Form
	const gcm, cbc = attrencrypted.GCM, attrencrypted.CBC
	for f, want := range map[form]struct {
		name     string
		insecure bool
	}{
		0:                             {"unknown", false},
		attrencrypted.Empty:           {"empty", false},
		gcm:                           {"gcm", false},
		gcm | attrencrypted.Salted:    {"gcm+salted", false},
		gcm | attrencrypted.Single:    {"gcm+single", true},
		gcm | attrencrypted.IgnoredIV: {"gcm+ignored-iv", true},
		gcm | attrencrypted.Salted | attrencrypted.IgnoredIV: {"gcm+salted+ignored-iv", true},
		cbc:                        {"cbc", true},
		cbc | attrencrypted.Salted: {"cbc+salted", true},
		cbc | attrencrypted.Single: {"cbc+single", true},
	} {
		if f.String() != want.name || f.Insecure() != want.insecure {
			t.Errorf("%s, insecure: %v; want %s, %v", f, f.Insecure(), want.name, want.insecure)
		}
		if text := must(json.Marshal(f)); string(text) != `"`+want.name+`"` {
			t.Errorf("in JSON: %s, want %q", text, want.name)
		}
	}
}

func TestDetectTellsWhatTheColumnsCanBe(t *testing.T) {
	for _, c := range []struct {
		name             string
		sealed, iv, salt int // bytes, -1: NULL
		want             string
	}{
		{"empty", 0, -1, -1, "empty"},
		{"empty, with what an earlier value left", 0, 12, 16, "empty"},
		{"GCM", 22, 12, -1, "gcm gcm+ignored-iv"},
		{"GCM of as many bytes as CBC", 32, 12, -1, "gcm gcm+ignored-iv"},
		{"GCM of nothing", 16, 12, -1, "gcm gcm+ignored-iv"},
		{"GCM with a salt", 22, 12, 16, "gcm+salted gcm+salted+ignored-iv"},
		{"GCM with a long IV", 22, 16, -1, "gcm gcm+ignored-iv"},
		{"CBC", 32, 16, -1, "gcm gcm+ignored-iv cbc"},
		{"CBC with a salt", 32, 16, 16, "gcm+salted gcm+salted+ignored-iv cbc+salted"},
		{"CBC with a short IV", 32, 15, -1, "gcm gcm+ignored-iv"},
		{"one column", 32, -1, -1, "gcm+single cbc+single"},
		{"one column, no blocks", 33, -1, -1, "gcm+single"},
		{"an empty IV is none", 32, 0, -1, "gcm+single cbc+single"},
		{"an empty salt is none", 22, 12, 0, "gcm gcm+ignored-iv"},
		{"no IV, but a salt", 32, -1, 16, "gcm+single cbc+single"},
		{"no tag", 15, 12, -1, ""},
		{"short IV", 22, 11, -1, ""},
		{"short, one column", 15, -1, -1, ""},
	} {
		for _, e := range []attrencrypted.Encoding{attrencrypted.MIME, attrencrypted.Strict, attrencrypted.Raw} {
			opts := attrencrypted.Options{Encode: e, EncodeIV: e, EncodeSalt: e}
			v := attrencrypted.Value{
				Ciphertext: spell(e, "", make([]byte, c.sealed)),
				IV:         spell(e, "", make([]byte, max(0, c.iv))), HasIV: c.iv >= 0,
				Salt: spell(e, "_", make([]byte, max(0, c.salt))), HasSalt: c.salt >= 0,
			}
			if got := names(attrencrypted.Detect(v, &opts)); got != c.want {
				t.Errorf("%s, encoded %q: %s, want %s", c.name, e, got, c.want)
			}
			if e != attrencrypted.MIME {
				continue
			}
			if got := names(attrencrypted.Detect(v, nil)); got != c.want {
				t.Errorf("%s, without options: %s, want %s", c.name, got, c.want)
			}
		}
	}
}

func TestDetectFindsTheFormOfWhatTheGemsSealed(t *testing.T) {
	for _, r := range gemRows() {
		if forms := attrencrypted.Detect(r.value, &r.opts); !slices.Contains(forms, r.form) {
			t.Errorf("%s: %v, want %v among them", r.name, forms, r.form)
		}
	}
}

func names(forms []attrencrypted.Form) string {
	var all []string
	for _, f := range forms {
		all = append(all, f.String())
	}
	return strings.Join(all, " ")
}
