package azure

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"

	"github.com/rowseal/rowseal/internal/e2e/azuretest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/azurekms"
)

const (
	secretPlaintext = "plaintext-that-nobody-may-see-00"
	secretContext   = "context-that-nobody-may-see"
)

// echo answers with the status and everything that the request had in it, as careless proxies do.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":"BadParameter","message":%q}}`, "headers "+fmt.Sprint(r.Header)+" body "+string(body))
	}
}

// page answers with the same as no JSON.
func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(status)
		fmt.Fprintf(w, "%v %s", r.Header, body)
	}
}

// Whatever fails: neither tokens nor client secrets, neither plaintext nor context, in any print of the error or in a log.
func TestNothingSecretIsPrinted(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		var logged strings.Builder
		logger := slog.New(slog.NewTextHandler(&logged, nil))

		s, err := azurekms.New(w.id, &azurekms.Options{
			AcceptPublicKeyWrapping: true, Credential: w.both.ClientSecret(t, w.Server), ClientOptions: w.ClientOptions(),
		})
		if err != nil {
			t.Fatal(err)
		}
		key := kms.NewKey(s, nil)
		ec := kms.Context{"model_id": secretContext}
		ciphertext, err := key.Encrypt(t.Context(), []byte(secretPlaintext), ec)
		if err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		note := func(err error) {
			if err == nil {
				t.Error("no error to look at")
			}
			logger.Error("failed", "err", err, "key", key, "service", s)
			for ; err != nil; err = errors.Unwrap(err) {
				fmt.Fprintf(&printed, "%v %+v %#v %s %q\n", err, err, err, err, err)
			}
		}
		for _, status := range []int{302, 400, 401, 403, 404, 409, 429, 500, 503} {
			for _, f := range []http.HandlerFunc{echo(status), page(status), page(200)} {
				w.Fail(1, f)
				note(s.Encrypt(t.Context(), []kms.Item{{Data: []byte(secretPlaintext), Context: ec}})[0].Err)
				w.Fail(1, f)
				note(s.Decrypt(t.Context(), []kms.Item{{Data: ciphertext, Context: ec}})[0].Err)
			}
		}
		w.both.Revoke()
		_, err = key.Decrypt(t.Context(), ciphertext, ec)
		note(err)
		_, err = key.Decrypt(t.Context(), ciphertext, kms.Context{"model_id": secretContext + "2"})
		note(err)
		w.Close()
		_, err = key.Encrypt(t.Context(), []byte(secretPlaintext), ec)
		note(err)

		searched(t, "an error", printed.String())
		searched(t, "a log", logged.String())
	})
}

// The SDK's own log, which a program can listen to, prints Azure's error bodies and redacts the rest.
func TestTheClientsLogShowsNothingSecret(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		var mu sync.Mutex
		var logged strings.Builder
		azlog.SetListener(func(_ azlog.Event, text string) {
			mu.Lock()
			defer mu.Unlock()
			logged.WriteString(text)
		})
		defer azlog.SetListener(nil)
		ec := kms.Context{"model_id": secretContext}
		item := kms.Item{Data: []byte(secretPlaintext), Context: ec}
		for _, p := range []*azuretest.Principal{w.both, w.sealer, w.nobody} {
			s := w.service(t, w.id, p)
			r := s.Encrypt(t.Context(), []kms.Item{item})[0]
			s.Decrypt(t.Context(), []kms.Item{{Data: r.Data, Context: ec}})
		}
		searched(t, "the SDK's log", logged.String())
	})
}

// searched fails if the text is empty or shows a secret.
func searched(t *testing.T, where, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("%s is empty: nothing was tested", where)
	}
	for _, secret := range []string{
		azuretest.TokenPrefix, azuretest.SecretPrefix, "Bearer azure", secretPlaintext, secretContext,
		base64.RawURLEncoding.EncodeToString([]byte(secretPlaintext)), base64.StdEncoding.EncodeToString([]byte(secretPlaintext)),
		base64.RawURLEncoding.EncodeToString([]byte(`{"model_id":"` + secretContext))[:40],
	} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s shows %q: …%s", where, secret, text[max(0, i-200):min(len(text), i+50)])
		}
	}
}
