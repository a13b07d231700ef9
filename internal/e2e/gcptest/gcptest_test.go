package gcptest

import (
	"net/url"
	"strings"
	"testing"

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
