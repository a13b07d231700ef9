package gcptest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const name = "projects/p/locations/global/keyRings/r/cryptoKeys/k"

// A client that does not do what the service asks for is refused, so that passing means something.
func TestTheServerIsAsStrictAsTheService(t *testing.T) {
	s := New(t)
	s.CreateKey(name)
	token := s.Token()
	s.Grant(token, "projects/p", Encrypter)
	trust := credentials.NewClientTLSFromCert(s.roots, "")
	conn, err := grpc.NewClient(s.listener.Addr().String(), grpc.WithTransportCredentials(trust))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := kmspb.NewKeyManagementServiceClient(conn)

	bearer := []string{"authorization", "Bearer " + token}
	route := []string{"x-goog-request-params", "name=" + url.QueryEscape(name)}
	both := append(append([]string{}, bearer...), route...)
	for what, c := range map[string]struct {
		headers []string
		request *kmspb.EncryptRequest
		want    codes.Code
		says    string
	}{
		"right":             {both, &kmspb.EncryptRequest{Name: name}, codes.OK, ""},
		"no token":          {route, &kmspb.EncryptRequest{Name: name}, codes.Unauthenticated, "credentials"},
		"no routing header": {bearer, &kmspb.EncryptRequest{Name: name}, codes.InvalidArgument, "x-goog-request-params"},
		"another key's route": {append(bearer[:2:2], "x-goog-request-params", "name=x"), &kmspb.EncryptRequest{Name: name},
			codes.InvalidArgument, "x-goog-request-params"},
		"wrong checksum": {both, &kmspb.EncryptRequest{Name: name, Plaintext: []byte("x"), PlaintextCrc32C: wrapperspb.Int64(1)},
			codes.InvalidArgument, "plaintext_crc32c"},
		"wrong checksum of no AAD": {both, &kmspb.EncryptRequest{Name: name, AdditionalAuthenticatedDataCrc32C: wrapperspb.Int64(1)},
			codes.InvalidArgument, "additional_authenticated_data_crc32c"},
		"too large": {both, &kmspb.EncryptRequest{Name: name, Plaintext: make([]byte, limit+1)}, codes.InvalidArgument, "64KiB"},
	} {
		answer, err := client.Encrypt(metadata.AppendToOutgoingContext(t.Context(), c.headers...), c.request)
		if status.Code(err) != c.want || !strings.Contains(status.Convert(err).Message(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && (answer.VerifiedPlaintextCrc32C || answer.VerifiedAdditionalAuthenticatedDataCrc32C) {
			t.Errorf("%s: checksums that were not sent are verified", what)
		}
	}
	_, err = client.Decrypt(metadata.AppendToOutgoingContext(t.Context(), both...), &kmspb.DecryptRequest{Name: name})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("opening without the right: %v", err)
	}
}

func fields(t *testing.T, file []byte) (fields map[string]string) {
	t.Helper()
	if err := json.Unmarshal(file, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestASignatureStandsForItsAccountOnly(t *testing.T) {
	s := New(t)
	token := s.Token()
	file := fields(t, s.KeyFile(token))
	other := fields(t, s.KeyFile(s.Token()))
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	sign := func(changes map[string]any) string {
		claims := map[string]any{"iss": file["client_email"], "scope": "https://www.googleapis.com/auth/cloudkms",
			"iat": time.Now().Unix(), "exp": time.Now().Unix() + 3600}
		maps.Copy(claims, changes)
		text := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]}) + "." + part(claims)
		hash := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	right := sign(nil)
	if got := s.signer(right); got != token {
		t.Errorf("%s is of %q", right, got)
	}
	dot := strings.LastIndex(right, ".")
	text, foreign := right[:dot], sign(map[string]any{"exp": time.Now().Unix() + 60})
	for what, jwt := range map[string]string{
		"another signature": text + foreign[strings.LastIndex(foreign, "."):],
		"no signature":      text,
		"another account":   sign(map[string]any{"iss": other["client_email"]}),
		"another scope":     sign(map[string]any{"scope": "https://www.googleapis.com/auth/drive"}),
		"of yesterday":      sign(map[string]any{"iat": time.Now().Unix() - 90000, "exp": time.Now().Unix() - 86400}),
		"of tomorrow":       sign(map[string]any{"iat": time.Now().Unix() + 86400, "exp": time.Now().Unix() + 90000}),
		"too long":          sign(map[string]any{"exp": time.Now().Unix() + 7200}),
	} {
		if got := s.signer(jwt); got != "" {
			t.Errorf("%s: is taken", what)
		}
	}
	s.RevokeFiles(token)
	if s.signer(right) != "" {
		t.Error("a key that is deleted is taken")
	}
}

func TestTheTokenEndpointKnowsItsLogins(t *testing.T) {
	s := New(t)
	token := s.Token()
	file := fields(t, s.LoginFile(token))
	client := s.tokens.Client()
	ask := func(changes map[string]string) string {
		t.Helper()
		form := url.Values{"grant_type": {"refresh_token"}, "client_secret": {file["client_secret"]}, "refresh_token": {file["refresh_token"]}}
		for name, value := range changes {
			form.Set(name, value)
		}
		answer, err := client.PostForm("https://"+s.Address(tokenHost)+"/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil || (answer.StatusCode == http.StatusOK) != strings.Contains(string(b), token) {
			t.Errorf("%v: status %d, %s, %v", changes, answer.StatusCode, b, err)
		}
		return string(b)
	}
	if got := fields(t, []byte(strings.Replace(ask(nil), `"expires_in":3599,`, "", 1)))["access_token"]; got != token {
		t.Errorf("got %q", got)
	}
	for want, changes := range map[string]map[string]string{
		"unsupported_grant_type": {"grant_type": "password"},
		"invalid_client":         {"client_secret": "guessed"},
		"invalid_grant":          {"refresh_token": "guessed"},
	} {
		if got := ask(changes); !strings.Contains(got, `"error":"`+want+`"`) {
			t.Errorf("%v: %s", changes, got)
		}
	}
	s.RevokeFiles(token)
	if got := ask(nil); !strings.Contains(got, "expired or revoked") {
		t.Errorf("a login that is revoked: %s", got)
	}
}
