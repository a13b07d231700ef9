package azurekms

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys/fake"

	"github.com/rowseal/rowseal/kms"
)

const (
	vaultID = "https://myvault.vault.azure.net/keys/users"
	hsmID   = "https://myhsm.managedhsm.azure.net/keys/users"
)

var row = kms.Context{"model_name": "User", "model_id": "42"}

type knownCase struct {
	Name                  string
	Context               kms.Context
	Plaintext, Ciphertext []byte
}

// known is what another implementation of the format wrote, with the keys that open it.
type known struct {
	Version string
	RSAKey  []byte `json:"rsa_key"`
	RSA     []knownCase
	AESKey  []byte `json:"aes_key"`
	AES     []knownCase
}

func readKnown(t testing.TB) (k known) {
	t.Helper()
	data, err := os.ReadFile("testdata/known_python.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// fakeKeys is Azure with the known keys as the one version of "users".
type fakeKeys struct {
	version string
	private *rsa.PrivateKey
	block   cipher.Block
	asked   int
	// change, if not nil, alters answers.
	change func(*result)
}

func newFakeKeys(t testing.TB) *fakeKeys {
	t.Helper()
	k := readKnown(t)
	private, err := x509.ParsePKCS8PrivateKey(k.RSAKey)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(k.AESKey)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeKeys{version: k.Version, private: private.(*rsa.PrivateKey), block: block}
}

type (
	parameters = azkeys.KeyOperationParameters
	result     = azkeys.KeyOperationResult
)

// answer is the result of do, by the newest version or the one asked for.
func (f *fakeKeys) answer(id, name, version string, p parameters, do func(parameters) (result, error)) (
	r result, e azfake.ErrorResponder,
) {
	f.asked++
	if n, v, greedy := strings.Cut(name, "/"); greedy { // the official fake's pattern takes the version for a part of the name
		name, version = n, v
	}
	if version != "" && version != f.version || name != "users" {
		e.SetResponseError(http.StatusNotFound, "KeyNotFound")
		return r, e
	}
	r, err := do(p)
	if err != nil {
		e.SetResponseError(http.StatusBadRequest, "BadParameter")
		return r, e
	}
	r.KID = to.Ptr(azkeys.ID(id + "/" + f.version))
	if f.change != nil {
		f.change(&r)
	}
	return r, e
}

func (f *fakeKeys) wrap(p parameters) (r result, err error) {
	r.Result, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &f.private.PublicKey, p.Value, nil)
	return r, err
}

func (f *fakeKeys) unwrap(p parameters) (r result, err error) {
	r.Result, err = rsa.DecryptOAEP(sha256.New(), nil, f.private, p.Value, nil)
	return r, err
}

func (f *fakeKeys) encrypt(p parameters) (r result, err error) {
	aead, err := cipher.NewGCMWithRandomNonce(f.block)
	if err != nil {
		return r, err
	}
	sealed := aead.Seal(nil, nil, p.Value, p.AdditionalAuthenticatedData)
	tag := len(sealed) - tagSize
	r.IV, r.Result, r.AuthenticationTag = sealed[:nonceSize], sealed[nonceSize:tag], sealed[tag:]
	return r, nil
}

func (f *fakeKeys) decrypt(p parameters) (r result, err error) {
	sealed := append(bytes.Clone(p.Value), p.AuthenticationTag...)
	if len(p.IV) == nonceSize { // the only one that FIPS 140-3 mode permits
		aead, err := cipher.NewGCMWithRandomNonce(f.block)
		if err != nil {
			return r, err
		}
		r.Result, err = aead.Open(nil, nil, append(bytes.Clone(p.IV), sealed...), p.AdditionalAuthenticatedData)
		return r, err
	}
	aead, err := cipher.NewGCMWithNonceSize(f.block, len(p.IV))
	if err != nil {
		return r, err
	}
	r.Result, err = aead.Open(nil, p.IV, sealed, p.AdditionalAuthenticatedData)
	return r, err
}

// service is a key of the fake.
func (f *fakeKeys) service(t testing.TB, id string) kms.Service {
	t.Helper()
	server := &fake.Server{
		WrapKey: func(_ context.Context, name, version string, p parameters, _ *azkeys.WrapKeyOptions) (
			resp azfake.Responder[azkeys.WrapKeyResponse], e azfake.ErrorResponder,
		) {
			r, e := f.answer(id, name, version, p, f.wrap)
			resp.SetResponse(http.StatusOK, azkeys.WrapKeyResponse{KeyOperationResult: r}, nil)
			return resp, e
		},
		UnwrapKey: func(_ context.Context, name, version string, p parameters, _ *azkeys.UnwrapKeyOptions) (
			resp azfake.Responder[azkeys.UnwrapKeyResponse], e azfake.ErrorResponder,
		) {
			r, e := f.answer(id, name, version, p, f.unwrap)
			resp.SetResponse(http.StatusOK, azkeys.UnwrapKeyResponse{KeyOperationResult: r}, nil)
			return resp, e
		},
		Encrypt: func(_ context.Context, name, version string, p parameters, _ *azkeys.EncryptOptions) (
			resp azfake.Responder[azkeys.EncryptResponse], e azfake.ErrorResponder,
		) {
			r, e := f.answer(id, name, version, p, f.encrypt)
			resp.SetResponse(http.StatusOK, azkeys.EncryptResponse{KeyOperationResult: r}, nil)
			return resp, e
		},
		Decrypt: func(_ context.Context, name, version string, p parameters, _ *azkeys.DecryptOptions) (
			resp azfake.Responder[azkeys.DecryptResponse], e azfake.ErrorResponder,
		) {
			r, e := f.answer(id, name, version, p, f.decrypt)
			resp.SetResponse(http.StatusOK, azkeys.DecryptResponse{KeyOperationResult: r}, nil)
			return resp, e
		},
	}
	return newService(t, id, fake.NewServerTransport(server))
}

func newService(t testing.TB, id string, transport policy.Transporter) kms.Service {
	t.Helper()
	s, err := New(id, optionsFor(transport))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func optionsFor(transport policy.Transporter) *Options {
	co := &azkeys.ClientOptions{}
	co.Transport = transport
	return &Options{AcceptPublicKeyWrapping: true, Credential: &azfake.TokenCredential{}, ClientOptions: co}
}

const challenge = `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://azure.net"`

// transporter is a server as a function. Requests without a token get Azure's challenge and are not passed on.
type transporter func(*http.Request) (*http.Response, error)

func (f transporter) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" {
		resp := answerOf(r, http.StatusUnauthorized, "")
		resp.Header.Set("WWW-Authenticate", challenge)
		return resp, nil
	}
	return f(r)
}

func answerOf(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		Request: r, StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

func seal(ctx context.Context, s kms.Service, plaintext []byte, ec kms.Context) ([]byte, error) {
	r := s.Encrypt(ctx, []kms.Item{{Data: plaintext, Context: ec}})[0]
	return r.Data, r.Err
}

func open(ctx context.Context, s kms.Service, ciphertext []byte, ec kms.Context) ([]byte, error) {
	r := s.Decrypt(ctx, []kms.Item{{Data: ciphertext, Context: ec}})[0]
	return r.Data, r.Err
}
