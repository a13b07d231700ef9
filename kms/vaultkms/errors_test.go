package vaultkms_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
)

func TestErrorsMatchTheirSentinel(t *testing.T) {
	tests := []struct {
		status int
		text   string // "": an empty body
		want   error
	}{
		{400, "encryption key not found", kms.ErrKeyNotFound},
		{400, "refusing to use soft-deleted key", kms.ErrKeyDisabled},
		{400, "message encryption not supported for key type ed25519", kms.ErrInvalidRequest},
		{400, "missing client token", kms.ErrAccessDenied},
		{400, "what nobody has heard of", kms.ErrInvalidRequest},
		{400, "", kms.ErrInvalidRequest},
		{401, "", kms.ErrAccessDenied},
		{403, "permission denied", kms.ErrAccessDenied},
		{403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n", kms.ErrAccessDenied},
		{403, "", kms.ErrAccessDenied},
		{404, `no handler for route "nowhere/encrypt/users". route entry not found.`, kms.ErrKeyNotFound},
		{404, "unsupported path", kms.ErrKeyNotFound},
		{404, "", kms.ErrKeyNotFound},
		{405, "1 error occurred:\n\t* unsupported operation\n\n", kms.ErrInvalidRequest},
		{408, "", kms.ErrUnavailable},
		{412, "required index state not present", kms.ErrUnavailable},
		{413, "", kms.ErrInvalidRequest},
		{429, `request path "transit/encrypt/users": rate limit quota exceeded`, kms.ErrThrottled},
		{429, "", kms.ErrThrottled},
		{472, "", kms.ErrUnavailable},
		{473, "", kms.ErrUnavailable},
		{500, "internal error", kms.ErrUnavailable},
		{500, "JSON string value exceeds allowed length", kms.ErrInvalidRequest},
		{500, "1 error occurred:\n\t* failed to RSA decrypt the ciphertext: crypto/rsa: decryption error\n\n", kms.ErrDecryptionFailed},
		{502, "", kms.ErrUnavailable},
		{503, "Vault is sealed", kms.ErrUnavailable},
		{503, "", kms.ErrUnavailable},
		{504, "", kms.ErrUnavailable},
		{200, "", kms.ErrUnavailable},
		{204, "", kms.ErrUnavailable},
	}
	for _, test := range tests {
		e := newEngine(t)
		e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
			if s.probe() {
				return false
			}
			if test.text == "" {
				w.WriteHeader(test.status)
			} else {
				refuse(w, test.status, test.text)
			}
			return true
		}
		for _, op := range operations {
			for _, r := range op.do(t, e.service(t), rows(1)) {
				if !errors.Is(r.Err, test.want) || len(r.Data) > 0 {
					t.Errorf("%s, %d %q: %v, want %v", op.name, test.status, test.text, r.Err, test.want)
				}
			}
		}
	}
}

func TestErrorsOfItemsMatchTheirSentinel(t *testing.T) {
	for text, want := range map[string]error{
		"cipher: message authentication failed":                                    kms.ErrDecryptionFailed,
		"chacha20poly1305: message authentication failed":                          kms.ErrDecryptionFailed,
		"invalid ciphertext: no prefix":                                            kms.ErrDecryptionFailed,
		"invalid ciphertext: wrong number of fields":                               kms.ErrDecryptionFailed,
		"invalid ciphertext length":                                                kms.ErrDecryptionFailed,
		"failed to RSA decrypt the ciphertext: crypto/rsa: decryption error":       kms.ErrDecryptionFailed,
		"invalid ciphertext: version is too new":                                   kms.ErrKeyNotFound,
		"no such key version":                                                      kms.ErrKeyNotFound,
		"ciphertext or signature version is disallowed by policy (too old)":        kms.ErrKeyDisabled,
		"refusing to use soft-deleted key":                                         kms.ErrKeyDisabled,
		noContext:                                                                  kms.ErrInvalidRequest,
		"requested version for encryption is less than the minimum":                kms.ErrInvalidRequest,
		"failed to RSA encrypt the plaintext: message too long for RSA public key": kms.ErrInvalidRequest,
		"permission denied":                                                        kms.ErrAccessDenied,
		"what nobody has heard of":                                                 kms.ErrInvalidRequest,
	} {
		e := newEngine(t)
		e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
			if !s.probe() {
				a.status, a.Results[0] = 400, result{"reference": "0", "error": text}
			}
			return false
		}
		for _, op := range operations {
			r := op.do(t, e.service(t), rows(1))[0]
			if !errors.Is(r.Err, want) {
				t.Errorf("%s, %q: %v, want %v", op.name, text, r.Err, want)
			}
			if want == kms.ErrDecryptionFailed && r.Err != kms.ErrDecryptionFailed {
				t.Errorf("%s: %v is not opaque", op.name, r.Err)
			}
			if want != kms.ErrDecryptionFailed && !strings.Contains(r.Err.Error(), text) {
				t.Errorf("%s: %v does not say %q", op.name, r.Err, text)
			}
		}
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	inAMinute := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		status           int
		header           string
		least, mostAsked time.Duration // 0: none
	}{
		{429, "7", 7 * time.Second, 7 * time.Second},
		{503, "3", 3 * time.Second, 3 * time.Second},
		{503, inAMinute, 50 * time.Second, time.Minute},
		{429, "", 0, 0},
		{429, "9223372037", time.Hour, 1 << 62}, // more nanoseconds than a Duration has
		{503, strings.Repeat("9", 30), time.Hour, 1 << 62},
		{429, "soon", 0, 0},
		{429, "-1", 0, 0},
		{403, "7", 0, 0},
	} {
		e := newEngine(t)
		e.alter = func(w http.ResponseWriter, _ sent, _ *answer) bool {
			w.Header().Set("Retry-After", test.header)
			w.WriteHeader(test.status)
			return true
		}
		err := e.service(t).Encrypt(t.Context(), rows(1))[0].Err
		var asked time.Duration
		if r := (*kms.RetryAfter)(nil); errors.As(err, &r) {
			asked = r.Wait
		}
		if asked < test.least || asked > test.mostAsked {
			t.Errorf("%d with Retry-After %q: %v", test.status, test.header, err)
		}
	}
}

// The server repeats whatever it has been sent.
func TestErrorsShowNothingOfWhatWasSent(t *testing.T) {
	for _, inItems := range []bool{true, false} {
		e := newEngine(t)
		e.alter = func(w http.ResponseWriter, s sent, a *answer) bool {
			if s.probe() {
				return false
			}
			says := "I do not like token=" + s.Header.Get("X-Vault-Token") + " nor " + s.Body + fmt.Sprint(s.Items[0])
			if inItems {
				a.status = 400
				for i := range a.Results {
					a.Results[i]["error"] = says
				}
				return false
			}
			text, _ := json.Marshal(says)
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"errors":[%s]}`, text)
			return true
		}
		for _, op := range operations {
			items := rows(3)
			for _, r := range op.do(t, e.service(t), items) {
				if r.Err == nil || !strings.Contains(r.Err.Error(), "I do not like") {
					t.Errorf("%s: %v does not say what the server says", op.name, r.Err)
				}
				for _, text := range printed(r.Err) {
					for _, secret := range secrets(items) {
						if strings.Contains(text, secret) {
							t.Errorf("%s: an error shows %q:\n%s", op.name, secret, text)
						}
					}
				}
			}
		}
	}
}

func TestNothingExportedShowsTheToken(t *testing.T) {
	e := newEngine(t)
	s := e.service(t)
	key := kms.NewKey(s, nil)
	e.Close()
	_, err := key.Encrypt(t.Context(), []byte("the data key of row 0"), row(0))
	for _, value := range []any{s, key, *key, err, struct{ S kms.Service }{s}} {
		for _, text := range printed(value) {
			if strings.Contains(text, token) {
				t.Errorf("%T shows the token: %s", value, text)
			}
		}
	}
	if got, want := fmt.Sprintf("%v %+v", s, s), "vaultkms.Service(vault/users) vaultkms.Service(vault/users)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func secrets(items []kms.Item) []string {
	found := []string{token, token[4:20]}
	for _, it := range items {
		mime, _ := it.ContextMIME()
		found = append(found, string(it.Data), base64.StdEncoding.EncodeToString(it.Data)[:16], mime[:16])
	}
	return found
}

func printed(value any) []string {
	var log strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).InfoContext(context.Background(), "a value", "value", value)
	}
	asJSON, _ := json.Marshal(value)
	return []string{fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%s", value), log.String(), string(asJSON)}
}
