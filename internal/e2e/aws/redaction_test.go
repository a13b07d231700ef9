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
	"os"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/internal/e2e/e2etest"
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

func expectNothingShown(t *testing.T, what, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %.40q:\n%s", what, secret, text)
		}
	}
}

// echo refuses with what the request holds, as AWS does with some of it: with all its headers, or with the session token alone.
func echo(code string, headers bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var all bytes.Buffer
		if headers {
			r.Header.Write(&all)
		}
		fmt.Fprintln(&all, r.Header.Get("X-Amz-Security-Token"))
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
	items := []kms.Item{{Data: dataKey, Context: ec}}
	sealed := []kms.Item{{Data: ciphertext, Context: ec}}
	for _, code := range []string{
		"ValidationException", "SerializationException", "InvalidSignatureException", "IncompleteSignatureException",
		"MissingAuthenticationTokenException", "UnrecognizedClientException", "ExpiredTokenException", "InvalidCiphertextException",
		"IncorrectKeyException", "NewsException", "",
		"AccessDeniedException", "NotFoundException", "DisabledException", "KMSInvalidStateException", "ThrottlingException",
		"KMSInternalException", "InvalidKeyUsageException", "InvalidArnException", // these messages are shown
	} {
		for _, headers := range []bool{true, false} {
			s.Next(3, echo(code, headers))
			for _, err := range []error{
				s.service(t).Encrypt(t.Context(), items)[0].Err,
				s.service(t).Decrypt(t.Context(), sealed)[0].Err,
				s.service(t).(kms.Rewrapper).Rewrap(t.Context(), []kms.RewrapItem{{Item: sealed[0], To: ec}})[0].Err,
			} {
				if err == nil {
					t.Fatalf("%s: no error", code)
				}
				expectNothingShown(t, code, e2etest.Printed(err)+quiet.Sdump(err), hidden)
			}
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
		text := e2etest.Printed(v)
		expectNothingShown(t, what, text, hidden)
		if what == "a service" && !strings.Contains(text, "awskms.Service("+s.arn+")") {
			t.Errorf("the key's id is not printed: %s", text)
		}
	}
}

// Handlers other than those of log/slog look at values in ways of their own.
func TestSlogGetsAText(t *testing.T) {
	s := newStage(t)
	for _, v := range []any{*s.options(t), s.service(t)} {
		if got := slog.AnyValue(v).Resolve(); got.Kind() != slog.KindString {
			t.Errorf("%T resolves to a %s", v, got.Kind())
		}
	}
}

// TestErrorsShowNoSecrets and the like can fail: the secrets are where they are looked for.
func TestTheSearchFindsSecrets(t *testing.T) {
	s := newStage(t)
	for _, v := range []any{*s.all, map[string][]byte{"k": dataKey}, kms.Context{"id": contextValue}} {
		text := e2etest.Printed(v)
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

	expectNothingShown(t, "Options", e2etest.Printed(awskms.Options{Endpoint: endpoint}), []string{password})

	t.Setenv("AWS_ENDPOINT_URL_KMS", "")
	os.Unsetenv("AWS_ENDPOINT_URL_KMS")
	for _, variable := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"} {
		t.Setenv(variable, endpoint)
		_, err = awskms.New(s.arn, nil)
		expectError(t, nil, err, kms.ErrInvalidRequest)
		expectNothingShown(t, variable, fmt.Sprint(err), []string{password})
	}
}
