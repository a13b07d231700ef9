package awskms

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/rowseal/rowseal/kms"
)

const (
	maxPlaintext  = 4096 // https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
	maxCiphertext = 6144 // https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
)

// service is a key as kms.Service, kms.Rewrapper, kms.CrossRewrapper, kms.DecryptChecker and io.Closer.
type service struct {
	id        keyID
	allowed   map[string]bool // ARNs
	client    *sdk.Client
	transport *http.Transport // of a client of our own, else nil
}

func (s *service) Info() kms.Info {
	return kms.Info{KeyID: s.id.text, BatchSize: 1, ContextEnforced: true, Rewrap: kms.RewrapAnyContext, Quota: quota, Price: price}
}

// Close closes idle connections, those of the caller's own client excepted.
func (s *service) Close() error {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	return nil
}

// Format prints the key's id alone, for every verb: the client has credentials.
func (s *service) Format(f fmt.State, _ rune) { io.WriteString(f, "awskms.Service("+s.id.text+")") }

// LogValue implements slog.LogValuer.
func (s *service) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (s *service) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

func (s *service) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(items, func(it kms.Item) kms.Result {
		data, err := s.encrypt(ctx, it)
		return kms.Result{Data: data, Err: err, Ref: it.Ref}
	})
}

func (s *service) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return each(items, func(it kms.Item) kms.Result {
		data, err := s.decrypt(ctx, it)
		return kms.Result{Data: data, Err: err, Ref: it.Ref}
	})
}

func each[I any](items []I, do func(I) kms.Result) []kms.Result {
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i] = do(it)
	}
	return results
}

func (s *service) encrypt(ctx context.Context, it kms.Item) ([]byte, error) {
	if n := len(it.Data); n < 1 || n > maxPlaintext {
		return nil, fmt.Errorf("awskms: a plaintext of %d bytes; AWS KMS takes 1 to %d: %w", n, maxPlaintext, kms.ErrInvalidRequest)
	}
	out, err := s.client.Encrypt(ctx, &sdk.EncryptInput{
		KeyId:             &s.id.text,
		Plaintext:         it.Data,
		EncryptionContext: encryptionContext(it.Context),
	}, once)
	if err != nil {
		return nil, serviceError(ctx, err, s.sent(ctx, it.Data, it.Context))
	}
	if !s.id.isKey(aws.ToString(out.KeyId)) || len(out.CiphertextBlob) == 0 {
		return nil, errAnotherKey
	}
	return out.CiphertextBlob, nil
}

// decrypt names the key. Only if that is not the ciphertext's own, and there are allowed keys, the ciphertext is left to say
// which one it needs.
func (s *service) decrypt(ctx context.Context, it kms.Item) ([]byte, error) {
	if len(it.Data) == 0 || len(it.Data) > maxCiphertext {
		return nil, kms.ErrDecryptionFailed
	}
	in := &sdk.DecryptInput{
		KeyId:             &s.id.text,
		CiphertextBlob:    it.Data,
		EncryptionContext: encryptionContext(it.Context),
	}
	out, err := s.client.Decrypt(ctx, in, once)
	if err == nil {
		return opened(out, s.id.isRelated, errAnotherKey)
	}
	if !isIncorrectKey(err) || len(s.allowed) == 0 {
		return nil, serviceError(ctx, err, s.sent(ctx, it.Data, it.Context))
	}
	if err := kms.CountRequest(ctx); err != nil {
		return nil, err
	}
	in.KeyId = nil
	if out, err = s.client.Decrypt(ctx, in, once); err != nil {
		return nil, serviceError(ctx, err, s.sent(ctx, it.Data, it.Context))
	}
	return opened(out, s.isAllowed, kms.ErrDecryptionFailed)
}

func (s *service) isAllowed(arn string) bool { return s.allowed[arn] }

// opened returns the plaintext if a right key gave it.
func opened(out *sdk.DecryptOutput, right func(arn string) bool, otherwise error) ([]byte, error) {
	if !right(aws.ToString(out.KeyId)) || len(out.Plaintext) == 0 {
		clear(out.Plaintext)
		return nil, otherwise
	}
	return out.Plaintext, nil
}

// CheckDecrypt makes a request that AWS only authorises, whatever the ciphertext: whether it does so before it looks at one that is
// no ciphertext is documented nowhere. Servers that do not know these fields find that nothing opens it. See
// https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html.
func (s *service) CheckDecrypt(ctx context.Context, it kms.Item) error {
	_, err := s.client.Decrypt(ctx, &sdk.DecryptInput{
		KeyId:             &s.id.text,
		CiphertextBlob:    []byte("rowseal asks whether it may decrypt; no key opens this"),
		EncryptionContext: encryptionContext(it.Context),
		DryRun:            aws.Bool(true),
		DryRunModifiers:   []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext},
	}, once)
	if err == nil {
		return errAnotherKey
	}
	if err = serviceError(ctx, err, s.sent(ctx, nil, it.Context)); errors.Is(err, kms.ErrDecryptionFailed) {
		return nil
	}
	return err
}

// sent is what a request held: an item and, in one form or another, the caller's credentials.
func (s *service) sent(ctx context.Context, data []byte, contexts ...kms.Context) func() []string {
	return func() []string {
		sent := []string{string(data), base64.StdEncoding.EncodeToString(data)}
		for _, c := range contexts {
			sent = slices.AppendSeq(sent, maps.Values(c))
		}
		if provider := s.client.Options().Credentials; provider != nil {
			if c, err := provider.Retrieve(ctx); err == nil { // from the SDK's cache
				sent = append(sent, c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
			}
		}
		return sent
	}
}

// encryptionContext leaves an empty one out: AWS makes no difference.
func encryptionContext(c kms.Context) map[string]string {
	if len(c) == 0 {
		return nil
	}
	return c
}

// once makes one request of a call: kms.Key retries. It works on a copy of the client's options.
func once(o *sdk.Options) {
	o.Retryer = aws.NopRetryer{}
	if o.Credentials != nil {
		o.Credentials = markedCredentials{o.Credentials}
	}
}
