package gcpkms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"google.golang.org/api/option"

	"github.com/rowseal/rowseal/kms"
)

const (
	secretKey       = "secret-private-key"
	secretPlaintext = "secret-plaintext-of-32-bytes...."
)

// printed is how programs print a value.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "value", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "value", v)
	if j, err := json.Marshal(v); err == nil {
		b.Write(j)
	}
	return b.String()
}

func expectClean(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{secretKey, secretPlaintext} {
		decimal := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), decimal, b64(secret)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows %q:\n%s", what, form, text)
			}
		}
	}
}

// b64 is the part of the base64 of a text that does not depend on what follows.
func b64(s string) string {
	j, _ := json.Marshal([]byte(s[:len(s)/3*3]))
	return strings.Trim(string(j), `"`)
}

func TestNothingShowsCredentials(t *testing.T) {
	opts := Options{ClientOptions: []option.ClientOption{
		option.WithAuthCredentialsJSON(option.ServiceAccount, []byte(`{"private_key": "`+secretKey+`"}`)),
		option.WithAPIKey(secretKey),
	}}
	s, err := New(testID, &opts)
	if err != nil {
		t.Fatal(err)
	}
	key := kms.NewKey(s, nil)
	defer key.Close()
	for what, v := range map[string]any{
		"Options": opts, "*Options": &opts, "a struct of Options": struct{ O Options }{opts},
		"the service": s, "a struct of it": struct{ S kms.Service }{s}, "the key": key,
	} {
		expectClean(t, what, printed(t, v))
	}
	for _, v := range []any{opts, s} { // for handlers that look at values in ways of their own
		if got := slog.AnyValue(v).Resolve(); got.Kind() != slog.KindString {
			t.Errorf("%T resolves to a %s", v, got.Kind())
		}
	}
	if text := fmt.Sprint(s); text != "gcpkms.Service("+testID+")" || strings.Count(printed(t, s), text) < 10 {
		t.Errorf("the service is printed as %s", printed(t, s))
	}
	expectClean(t, "an error", printed(t, seal(t.Context(), s, secretPlaintext).Err))
}

// Google's client can log requests and answers; these hold data keys.
func TestTheDebugLogOfGooglesClientStaysOff(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	text := standardError(t, func() {
		srv := new(server)
		s := open(t, &Options{ClientOptions: srv.start(t)})
		if r := seal(t.Context(), s, secretPlaintext); r.Err != nil {
			t.Error(r.Err)
		}
		if r := one(s.Decrypt(t.Context(), []kms.Item{{Data: []byte(secretPlaintext)}})); r.Err != nil {
			t.Error(r.Err)
		}
	})
	if text != "" {
		t.Errorf("printed:\n%s", text)
	}
}

// standardError is what is written to it meanwhile.
func standardError(t *testing.T, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = w
	defer func() { os.Stderr = before }()
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	do()
	w.Close()
	return <-text
}
