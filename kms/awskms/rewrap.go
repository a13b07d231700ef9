package awskms

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/rowseal/rowseal/kms"
)

// Rewrap implements kms.Rewrapper with ReEncrypt: the plaintext stays at AWS.
func (s *service) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	return reencrypter{from: s, to: s}.Rewrap(ctx, items)
}

// RewrapFrom implements kms.CrossRewrapper for keys that this key's client can reach: of any account, in the same region and
// at the same endpoint. This key's credentials then need the rights to both. An id without an account names a key of the
// caller's, so that this client must be the same caller.
func (s *service) RewrapFrom(from kms.Service) kms.Rewrapper {
	other, ok := from.(*service)
	if !ok || other.place() != s.place() || other.id.account == "" && !s.sameCaller(other) {
		return nil
	}
	return reencrypter{from: other, to: s}
}

// sameCaller: clients that New made have the environment's credentials.
func (s *service) sameCaller(other *service) bool {
	return s.client == other.client || s.transport != nil && other.transport != nil
}

type place struct{ region, endpoint string }

func (s *service) place() place {
	o := s.client.Options()
	return place{o.Region, aws.ToString(o.BaseEndpoint)}
}

type reencrypter struct{ from, to *service }

func (r reencrypter) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	return each(items, func(it kms.RewrapItem) kms.Result {
		data, err := r.rewrap(ctx, it)
		return kms.Result{Data: data, Err: err, Ref: it.Ref}
	})
}

// rewrap names both keys; the ciphertext's own only as long as decrypt would.
func (r reencrypter) rewrap(ctx context.Context, it kms.RewrapItem) ([]byte, error) {
	if len(it.Data) == 0 || len(it.Data) > maxCiphertext {
		return nil, kms.ErrDecryptionFailed
	}
	in := &sdk.ReEncryptInput{
		SourceKeyId:                  &r.from.id.text,
		SourceEncryptionContext:      encryptionContext(it.Context),
		CiphertextBlob:               it.Data,
		DestinationKeyId:             &r.to.id.text,
		DestinationEncryptionContext: encryptionContext(it.To),
	}
	out, err := r.to.client.ReEncrypt(ctx, in, once)
	if err == nil {
		return r.rewrapped(out, r.from.id.isRelated, errAnotherKey)
	}
	if !isIncorrectKey(err) || len(r.from.allowed) == 0 {
		return nil, serviceError(ctx, err, r.to.sent(ctx, it.Data, it.Context, it.To))
	}
	if err := kms.CountRequest(ctx); err != nil {
		return nil, err
	}
	in.SourceKeyId = nil
	if out, err = r.to.client.ReEncrypt(ctx, in, once); err != nil {
		return nil, serviceError(ctx, err, r.to.sent(ctx, it.Data, it.Context, it.To))
	}
	return r.rewrapped(out, r.from.isAllowed, kms.ErrDecryptionFailed)
}

// rewrapped returns the new ciphertext if the right keys opened the old one and made it.
func (r reencrypter) rewrapped(out *sdk.ReEncryptOutput, right func(arn string) bool, otherwise error) ([]byte, error) {
	if !right(aws.ToString(out.SourceKeyId)) {
		return nil, otherwise
	}
	if !r.to.id.isKey(aws.ToString(out.KeyId)) || len(out.CiphertextBlob) == 0 {
		return nil, errAnotherKey
	}
	return out.CiphertextBlob, nil
}
