package aws

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

const contextValue = "ada.lovelace@example.org"

// secrets are what must not be printed, in the forms that programs print.
func secrets(s stage, ciphertext []byte) (forms []string) {
	for _, secret := range []string{
		string(dataKey), contextValue, s.all.AccessKey, s.all.SecretKey, s.all.Token, string(ciphertext), "Signature=", "Credential=",
	} {
		b := []byte(secret)
		forms = append(forms, secret, hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), strings.Trim(fmt.Sprint(b), "[]"))
	}
	return forms
}

// printed is all that fmt, slog, encoding/json and a dumper that ignores methods say of v.
func printed(v any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", []any{v, &v})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("v", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("v", "v", v)
	if b, err := json.Marshal(v); err == nil {
		out.Write(b)
	}
	return out.String()
}

func expectNothingShown(t *testing.T, what, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %.40q:\n%s", what, secret, text)
		}
	}
}

// echo refuses with all that the request holds, as AWS does with some of it.
func echo(code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var all bytes.Buffer
		r.Header.Write(&all)
		var in struct {
			Plaintext         []byte
			EncryptionContext map[string]string
		}
		json.Unmarshal(body, &in)
		awstest.Refuse(code, all.String()+string(body)+string(in.Plaintext)+fmt.Sprint(in.EncryptionContext))(w, r)
	}
}

func TestErrorsShowNoSecrets(t *testing.T) {
	s := newStage(t)
	ec := kms.Context{"model_id": contextValue}
	ciphertext, err := s.key(t).Encrypt(t.Context(), dataKey, ec)
	if err != nil {
		t.Fatal(err)
	}
	hidden := secrets(s, ciphertext)
	quiet := spew.ConfigState{DisableMethods: true, MaxDepth: 20}
	for _, code := range []string{
		"ValidationException", "SerializationException", "InvalidSignatureException", "IncompleteSignatureException",
		"MissingAuthenticationTokenException", "UnrecognizedClientException", "ExpiredTokenException", "InvalidCiphertextException",
		"IncorrectKeyException", "NewsException", "",
	} {
		items := []kms.Item{{Data: dataKey, Context: ec}}
		s.Next(3, echo(code))
		errs := []error{
			s.service(t).Encrypt(t.Context(), items)[0].Err,
			s.service(t).Decrypt(t.Context(), []kms.Item{{Data: ciphertext, Context: ec}})[0].Err,
			s.service(t).(kms.Rewrapper).Rewrap(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: ciphertext, Context: ec}, To: ec}})[0].Err,
		}
		for _, err := range errs {
			if err == nil {
				t.Fatalf("%s: no error", code)
			}
			expectNothingShown(t, code, printed(err)+quiet.Sdump(err), hidden)
		}
	}
}

func TestServicesAndOptionsShowNoSecrets(t *testing.T) {
	s := newStage(t)
	environment(t, s.Server, s.all)
	k := key(t, s.arn, nil)
	ciphertext := seal(t, k) // the client has its credentials now
	hidden := secrets(s, ciphertext)
	opts := s.options(t)
	for what, v := range map[string]any{
		"a service":            service(t, s.arn, nil),
		"a service's value":    service(t, s.arn, opts),
		"a field":              struct{ S kms.Service }{service(t, s.arn, nil)},
		"options":              *opts,
		"a pointer to options": opts,
		"a key":                k,
	} {
		text := printed(v)
		expectNothingShown(t, what, text, hidden)
		if what == "a service" && !strings.Contains(text, "awskms("+s.arn+")") {
			t.Errorf("the key's id is not printed: %s", text)
		}
	}
}

// The test above can fail: the secrets are where they are looked for.
func TestTheSearchFindsSecrets(t *testing.T) {
	s := newStage(t)
	for _, v := range []any{*s.all, map[string][]byte{"k": dataKey}, kms.Context{"id": contextValue}} {
		text := printed(v)
		found := false
		for _, secret := range secrets(s, []byte("ciphertext")) {
			found = found || strings.Contains(text, secret)
		}
		if !found {
			t.Errorf("nothing found in %T", v)
		}
	}
}

// A password in an endpoint would be in every error of the network.
func TestAnEndpointsPasswordIsRefusedAndNotShown(t *testing.T) {
	s := newStage(t)
	const password = "endpoint-password"
	endpoint := "http://user:" + password + "@127.0.0.1:1"
	environment(t, s.Server, s.all)
	_, err := awskms.New(s.arn, &awskms.Options{Endpoint: endpoint})
	expectError(t, nil, err, kms.ErrInvalidRequest)
	expectNothingShown(t, "Options.Endpoint", fmt.Sprint(err), []string{password})

	t.Setenv("AWS_ENDPOINT_URL_KMS", endpoint)
	_, err = awskms.New(s.arn, nil)
	expectError(t, nil, err, kms.ErrInvalidRequest)
	expectNothingShown(t, "AWS_ENDPOINT_URL_KMS", fmt.Sprint(err), []string{password})
}
