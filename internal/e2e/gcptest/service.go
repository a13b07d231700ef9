package gcptest

import (
	"context"
	"fmt"
	"hash/crc32"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	limit    = 64 << 10
	limitHSM = 8 << 10 // plaintext and AAD together

	aadField = "additional_authenticated_data"
)

// Encrypt implements kmspb.KeyManagementServiceServer.
func (s *Server) Encrypt(ctx context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	return serve(ctx, s, r, s.encrypt)
}

// Decrypt implements kmspb.KeyManagementServiceServer.
func (s *Server) Decrypt(ctx context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	return serve(ctx, s, r, s.decrypt)
}

// serve is the way of every request around the hooks.
func serve[Q, A proto.Message](
	ctx context.Context, s *Server, request Q, do func(context.Context, Q) (A, error),
) (answer A, err error) {
	number, hooks := s.arrive()
	if hooks.Before != nil {
		if err := hooks.Before(ctx, number); err != nil {
			return answer, err
		}
	}
	if hooks.Received != nil {
		hooks.Received(request)
	}
	s.mu.Lock()
	if err = s.quota(); err == nil {
		answer, err = do(ctx, request)
	}
	s.mu.Unlock()
	if err == nil && hooks.Answer != nil {
		hooks.Answer(answer)
	}
	return answer, err
}

func (s *Server) arrive() (number int, hooks Hooks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return s.requests, s.hooks
}

func (s *Server) quota() error {
	if s.throttled == 0 {
		return nil
	}
	s.throttled--
	details := []protoadapt.MessageV1{info("RATE_LIMIT_EXCEEDED", "quota_metric", "cloudkms.googleapis.com/crypto_requests")}
	if s.wait > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(s.wait)})
	}
	return fail(codes.ResourceExhausted, "Quota exceeded for quota metric 'Cryptographic requests' and limit 'Cryptographic "+
		"requests per minute' of service 'cloudkms.googleapis.com' for consumer 'project_number:123456789012'.", details...)
}

func (s *Server) encrypt(ctx context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	key, err := s.key(ctx, r.Name, Encrypter)
	if err != nil {
		return nil, err
	}
	if err := verify("plaintext", r.Plaintext, r.PlaintextCrc32C); err != nil {
		return nil, err
	}
	if err := verify(aadField, r.AdditionalAuthenticatedData, r.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	if err := key.fits(r.Plaintext, r.AdditionalAuthenticatedData); err != nil {
		return nil, err
	}
	if key.primary == nil {
		return nil, fail(codes.FailedPrecondition, key.name+" has no primary version.")
	}
	if err := key.primary.usable(); err != nil {
		return nil, err
	}
	ciphertext := key.primary.seal(r.Plaintext, r.AdditionalAuthenticatedData)
	return &kmspb.EncryptResponse{
		Name:                    key.primary.name,
		Ciphertext:              ciphertext,
		CiphertextCrc32C:        checksum(ciphertext),
		VerifiedPlaintextCrc32C: r.PlaintextCrc32C != nil,
		VerifiedAdditionalAuthenticatedDataCrc32C: r.AdditionalAuthenticatedDataCrc32C != nil,
		ProtectionLevel: key.level(),
	}, nil
}

func (s *Server) decrypt(ctx context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	key, err := s.key(ctx, r.Name, Decrypter)
	if err != nil {
		return nil, err
	}
	if err := verify("ciphertext", r.Ciphertext, r.CiphertextCrc32C); err != nil {
		return nil, err
	}
	if err := verify(aadField, r.AdditionalAuthenticatedData, r.AdditionalAuthenticatedDataCrc32C); err != nil {
		return nil, err
	}
	plaintext, primary, err := key.open(r.Ciphertext, r.AdditionalAuthenticatedData)
	if err != nil {
		return nil, err
	}
	return &kmspb.DecryptResponse{
		Plaintext:       plaintext,
		PlaintextCrc32C: checksum(plaintext),
		UsedPrimary:     primary,
		ProtectionLevel: key.level(),
	}, nil
}

// key finds the key, for those who may use it. For others it makes no difference whether there is one.
func (s *Server) key(ctx context.Context, name string, r Right) (*Key, error) {
	if err := s.admit(ctx, name, r); err != nil {
		return nil, err
	}
	if k := s.keys[name]; k != nil {
		return k, nil
	}
	return nil, fail(codes.NotFound, fmt.Sprintf("CryptoKey %s not found.", name))
}

func (k *Key) level() kmspb.ProtectionLevel {
	if k.hsm {
		return kmspb.ProtectionLevel_HSM
	}
	return kmspb.ProtectionLevel_SOFTWARE
}

func (k *Key) fits(plaintext, aad []byte) error {
	switch {
	case k.hsm && len(plaintext)+len(aad) > limitHSM:
		return fail(codes.InvalidArgument, "The combined length of plaintext and "+aadField+" must be no larger than 8KiB.")
	case len(plaintext) > limit:
		return fail(codes.InvalidArgument, "The plaintext must be no larger than 64KiB.")
	case len(aad) > limit:
		return fail(codes.InvalidArgument, "The "+aadField+" must be no larger than 64KiB.")
	}
	return nil
}

func verify(field string, data []byte, sum *wrapperspb.Int64Value) error {
	if sum == nil || sum.Value == checksum(data).Value {
		return nil
	}
	text := fmt.Sprintf("The checksum in field %s_crc32c did not match the data in field %[1]s.", field)
	return fail(codes.InvalidArgument, text)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, castagnoli)))
}

func fail(code codes.Code, text string, details ...protoadapt.MessageV1) error {
	st, err := status.New(code, text).WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return st.Err()
}
