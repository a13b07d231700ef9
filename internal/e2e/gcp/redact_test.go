package gcp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/rowseal/rowseal/internal/e2e/gcptest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/gcpkms"
)

const contextValue = "secret-context-value"

// Nothing that a program may print after any of the errors shows the token, the plaintext or the context.
func TestNothingSecretIsPrinted(t *testing.T) {
	faults := map[string]func(w *world){
		"none": func(*world) {},
		"denied": func(w *world) {
			w.Revoke(w.token, keyID, gcptest.Encrypter)
			w.Revoke(w.token, keyID, gcptest.Decrypter)
		},
		"expired":     func(w *world) { w.Expire(w.token) },
		"disabled":    func(w *world) { w.key.SetState(0, gcptest.Disabled) },
		"throttled":   func(w *world) { w.Throttle(ever, 1<<40) },
		"unreachable": func(w *world) { w.Stop() },
	}
	for _, code := range []codes.Code{codes.InvalidArgument, codes.PermissionDenied, codes.NotFound, codes.Internal, codes.Unknown} {
		faults["echoed as "+code.String()] = func(w *world) { w.SetHooks(gcptest.Hooks{Before: echo(code)}) }
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var log bytes.Buffer
			opts := &gcpkms.Options{ClientOptions: w.Client(w.token)}
			s, err := gcpkms.New(keyID, opts)
			if err != nil {
				t.Fatal(err)
			}
			key := kms.NewKey(s, nil)
			defer key.Close()
			c := kms.Context{"id": contextValue}
			ciphertext, err := key.Encrypt(t.Context(), dataKey, c)
			if err != nil {
				t.Fatal(err)
			}
			fault(w)
			_, sealErr := key.Encrypt(t.Context(), dataKey, c)
			got, openErr := key.Decrypt(t.Context(), ciphertext, c)
			_, wrongErr := key.Decrypt(t.Context(), ciphertext, kms.Context{"id": contextValue + "2"})
			clear(got)
			for _, v := range []any{opts, *opts, s, key, sealErr, openErr, wrongErr, errors.Join(sealErr, openErr)} {
				print(&log, v)
			}
			clean(t, log.String(), w.token)
		})
	}
}

// echo refuses with all that a request holds.
func echo(code codes.Code) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		headers, _ := metadata.FromIncomingContext(ctx)
		text := fmt.Sprintf("authorization: %s, aad {\"id\":%q}", headers.Get("authorization"), contextValue)
		if method, _ := grpc.Method(ctx); strings.HasSuffix(method, "/Encrypt") {
			text += fmt.Sprintf(", plaintext %q, %s", dataKey, base64.StdEncoding.EncodeToString(dataKey))
		}
		return status.Error(code, text)
	}
}

// A token source that fails may say anything.
func TestWhatATokenSourceSaysIsNotPrinted(t *testing.T) {
	w := newWorld(t)
	for _, source := range []oauth2.TokenSource{
		failing{errors.New("no token but " + w.token)},
		failing{&oauth2.RetrieveError{
			Response: &http.Response{StatusCode: 400}, Body: []byte(w.token),
			ErrorCode: "invalid_grant", ErrorDescription: w.token,
		}},
		oauth2.StaticTokenSource(&oauth2.Token{AccessToken: w.token + "\nX-Other: header"}),
	} {
		s := serviceWith(t, keyID, w.ClientOf(source))
		err := one(s.Encrypt(t.Context(), item(dataKey))).Err
		if err == nil {
			t.Error("it works")
			continue
		}
		var log bytes.Buffer
		print(&log, err)
		clean(t, log.String(), w.token)
	}
}

type failing struct{ err error }

func (f failing) Token() (*oauth2.Token, error) { return nil, f.err }

// print writes a value in every way that programs do.
func print(log *bytes.Buffer, v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(log, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(log, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(log, nil)).Info("json", "v", v)
	if j, err := json.Marshal(v); err == nil {
		log.Write(j)
	}
	if _, ok := v.(error); ok {
		spew.Fdump(log, v)
	}
}

func clean(t *testing.T, log, token string) {
	t.Helper()
	for what, secret := range map[string]string{"the token": token, "the plaintext": string(dataKey), "the context": contextValue} {
		for _, form := range []string{
			secret,
			hex.EncodeToString([]byte(secret)),
			base64.StdEncoding.EncodeToString([]byte(secret[:len(secret)/3*3])),
			strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
		} {
			if strings.Contains(log, form) {
				t.Errorf("%s is printed:\n%s", what, log)
			}
		}
	}
}
