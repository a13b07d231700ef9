package gcpkms

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"time"

	cloudkms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rowseal/rowseal/kms"
)

// Google's limits for software and external keys, in bytes: those of EncryptRequest in
// https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1. HSM keys take less, which only Google knows.
const (
	maxPlaintext = 64 << 10
	maxContext   = 64 << 10
)

type service struct {
	key keyName
	connection
}

func newService(key keyName, c connection) *service { return &service{key: key, connection: c} }

func (s *service) Info() kms.Info {
	return kms.Info{KeyID: s.key.String(), BatchSize: 1, ContextEnforced: true, Quota: quota, Price: price}
}

func (s *service) Close() error { return s.close() }

// Format prints the key's id alone, for every verb.
func (s *service) Format(f fmt.State, _ rune) {
	io.WriteString(f, "gcpkms.Service("+s.key.String()+")")
}

// LogValue implements slog.LogValuer.
func (s *service) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (s *service) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

func (s *service) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(ctx, items, s.encrypt)
}

func (s *service) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(ctx, items, s.decrypt)
}

// each makes a request for each item. Key sends one at a time, and has counted the first.
func each(ctx context.Context, items []kms.Item, do func(context.Context, kms.Item) ([]byte, error)) []kms.Result {
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i].Ref = it.Ref
		if i > 0 {
			results[i].Err = kms.CountRequest(ctx)
		}
		if results[i].Err == nil {
			results[i].Data, results[i].Err = do(ctx, it)
		}
	}
	return results
}

func (s *service) encrypt(ctx context.Context, it kms.Item) ([]byte, error) {
	aad, err := contextOf(it)
	if err != nil {
		return nil, err
	}
	if len(it.Data) > maxPlaintext {
		return nil, tooLarge("plaintext", len(it.Data), maxPlaintext)
	}
	answer, err := send(ctx, s, kms.OpEncrypt, (*cloudkms.KeyManagementClient).Encrypt, &kmspb.EncryptRequest{
		Name:                              s.key.String(),
		Plaintext:                         it.Data,
		PlaintextCrc32C:                   checksum(it.Data),
		AdditionalAuthenticatedData:       aad,
		AdditionalAuthenticatedDataCrc32C: checksum(aad),
	}, forms(it.Data, aad))
	switch {
	case err != nil:
		return nil, err
	case !answer.VerifiedPlaintextCrc32C || !answer.VerifiedAdditionalAuthenticatedDataCrc32C:
		return nil, damaged("Google has not seen the checksums of the request")
	case !matches(answer.CiphertextCrc32C, answer.Ciphertext):
		return nil, damaged("the answer's checksum does not match")
	case !s.key.isOf(answer.Name):
		return nil, fmt.Errorf("gcpkms: the answer is by %.300q, which is no version of this key: %w", answer.Name, kms.ErrWrongAnswer)
	}
	return answer.Ciphertext, nil
}

// decrypt: that Google has checked the request's checksums shows in nothing but its error; see DecryptResponse. To Google a
// ciphertext of no bytes is a field that the request lacks, and no ciphertext that does not open.
func (s *service) decrypt(ctx context.Context, it kms.Item) ([]byte, error) {
	aad, err := contextOf(it)
	if err != nil {
		return nil, err
	}
	if len(it.Data) == 0 {
		return nil, kms.ErrDecryptionFailed
	}
	answer, err := send(ctx, s, kms.OpDecrypt, (*cloudkms.KeyManagementClient).Decrypt, &kmspb.DecryptRequest{
		Name:                              s.key.String(),
		Ciphertext:                        it.Data,
		CiphertextCrc32C:                  checksum(it.Data),
		AdditionalAuthenticatedData:       aad,
		AdditionalAuthenticatedDataCrc32C: checksum(aad),
	}, forms(it.Data, aad))
	if err != nil {
		return nil, err
	}
	if !matches(answer.PlaintextCrc32C, answer.Plaintext) {
		clear(answer.Plaintext)
		return nil, damaged("the answer's checksum does not match")
	}
	return answer.Plaintext, nil
}

func contextOf(it kms.Item) ([]byte, error) {
	aad, err := it.ContextBytes()
	switch {
	case errors.Is(err, kms.ErrInvalidRequest):
		return nil, fmt.Errorf("gcpkms: %w", err)
	case err != nil: // of a caller's own encoding
		return nil, fmt.Errorf("gcpkms: %w: %w", err, kms.ErrInvalidRequest)
	case len(aad) > maxContext:
		return nil, tooLarge("context", len(aad), maxContext)
	}
	return aad, nil
}

func tooLarge(what string, n, limit int) error {
	return fmt.Errorf("gcpkms: a %s of %d bytes; Google takes %d: %w", what, n, limit, kms.ErrInvalidRequest)
}

// method is one of the client's.
type method[Q, A any] = func(*cloudkms.KeyManagementClient, context.Context, *Q, ...gax.CallOption) (*A, error)

// send makes one request. No error repeats what it sent.
func send[Q, A any](
	ctx context.Context, s *service, op kms.Op, do method[Q, A], request *Q, sent []string,
) (*A, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	client, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	limited := ctx
	if s.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	answer, err := do(client, limited, request, gax.WithRetry(nil))
	if err == nil {
		return answer, nil
	}
	if ended := ended(ctx); ended != nil {
		return nil, ended
	}
	return nil, failure(op, err, sent...)
}

// forms are how a text may show bytes.
func forms(all ...[]byte) (texts []string) {
	for _, b := range all {
		texts = append(texts, string(b), base64.StdEncoding.EncodeToString(b))
	}
	return texts
}

// ended is ctx's error, also in the moment in which gRPC has noticed the deadline and ctx has not.
func ended(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, castagnoli)))
}

// matches wants a checksum: that of no bytes is 0, which an absent one must not pass for.
func matches(sum *wrapperspb.Int64Value, b []byte) bool {
	return sum != nil && sum.Value == checksum(b).Value
}
