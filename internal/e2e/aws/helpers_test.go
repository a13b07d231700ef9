// Package aws tests kms/awskms against AWS KMS: a server of its protocol in this process, and the real one or an emulator
// where environment variables name it.
package aws

import (
	"errors"
	"net/http"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
)

const region = "eu-west-1"

var (
	row     = kms.Context{"model_name": "User", "model_id": "42"}
	dataKey = []byte("32 bytes, one such key for a row")
)

func client(t *testing.T, server *awstest.Server, region string, p *awstest.Principal) *sdk.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return sdk.New(sdk.Options{
		Region:       region,
		BaseEndpoint: awssdk.String(server.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(p.AccessKey, p.SecretKey, p.Token),
		HTTPClient:   &http.Client{Transport: transport},
	})
}

// environment has the SDK find this principal and this server, and nothing of the machine's own.
func environment(t *testing.T, server *awstest.Server, p *awstest.Principal) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": t.TempDir() + "/none", "AWS_SHARED_CREDENTIALS_FILE": t.TempDir() + "/none",
		"AWS_PROFILE": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "",
		"AWS_REGION": region, "AWS_ENDPOINT_URL_KMS": server.URL,
		"AWS_ACCESS_KEY_ID": p.AccessKey, "AWS_SECRET_ACCESS_KEY": p.SecretKey, "AWS_SESSION_TOKEN": p.Token,
	} {
		t.Setenv(name, value)
	}
}

func service(t *testing.T, id string, opts *awskms.Options) kms.Service {
	t.Helper()
	s, err := awskms.New(id, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func key(t *testing.T, id string, opts *awskms.Options) *kms.Key {
	t.Helper()
	k := kms.NewKey(service(t, id, opts), nil)
	t.Cleanup(func() { k.Close() })
	return k
}

func seal(t *testing.T, k *kms.Key) []byte {
	t.Helper()
	ciphertext, err := k.Encrypt(t.Context(), dataKey, row)
	if err != nil {
		t.Fatal(err)
	}
	return ciphertext
}

func expectOpens(t *testing.T, k *kms.Key, ciphertext []byte, ec kms.Context) {
	t.Helper()
	plaintext, err := k.Decrypt(t.Context(), ciphertext, ec)
	if err != nil || string(plaintext) != string(dataKey) {
		t.Errorf("%d bytes, %v", len(plaintext), err)
	}
}

func expectError(t *testing.T, data []byte, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || data != nil {
		t.Errorf("%d bytes and %v, want %q", len(data), err, want)
	}
}

// expectRequests compares what the server saw since the last call with "OP KEY [from SOURCE]".
func expectRequests(t *testing.T, server *awstest.Server, want ...string) {
	t.Helper()
	var got []string
	for _, r := range server.Requests() {
		text := r.Op + " " + r.KeyID
		if r.Op == "ReEncrypt" {
			text += " from " + r.SourceKeyID
		}
		got = append(got, text)
	}
	if len(got) != len(want) {
		t.Errorf("requests: %q, want %q", got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("request %d: %q, want %q", i+1, got[i], want[i])
		}
	}
}
