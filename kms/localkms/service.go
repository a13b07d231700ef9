package localkms

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/rowseal/rowseal/kms"
)

const batchSize = 1000

// service is a key as kms.Service, kms.Rewrapper and kms.KeyVersioner. It holds no key material between requests.
type service struct {
	name string
	path string
}

func (s service) Info() kms.Info {
	return kms.Info{KeyID: idPrefix + s.name, BatchSize: batchSize, ContextEnforced: true, Rewrap: kms.RewrapAnyContext}
}

func (s service) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return request(ctx, s, items, func(it kms.Item) int { return it.Ref }, sealItem)
}

func (s service) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return request(ctx, s, items, func(it kms.Item) int { return it.Ref }, openItem)
}

func (s service) Rewrap(ctx context.Context, items []kms.RewrapItem) []kms.Result {
	return request(ctx, s, items, func(it kms.RewrapItem) int { return it.Ref }, rewrapItem)
}

// KeyVersion implements kms.KeyVersioner.
func (s service) KeyVersion(b []byte) string {
	c, ok := parseCiphertext(b)
	if !ok {
		return ""
	}
	return strconv.FormatUint(uint64(c.version), 10)
}

// request reads the key file once and does each item with it.
func request[I any](
	ctx context.Context, s service, items []I, ref func(I) int, do func(*keyFile, I) ([]byte, error),
) []kms.Result {
	f, refused := s.load(ctx)
	if refused == nil {
		defer f.wipe()
	}
	results := make([]kms.Result, len(items))
	for i, it := range items {
		results[i].Ref = ref(it)
		if refused == nil {
			refused = ctx.Err()
		}
		if refused != nil {
			results[i].Err = refused
			continue
		}
		results[i].Data, results[i].Err = do(f, it)
	}
	return results
}

func (s service) load(ctx context.Context) (*keyFile, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := readKeyFile(s.path, s.name)
	if err != nil {
		return nil, err
	}
	if f.Disabled {
		f.wipe()
		return nil, fmt.Errorf("localkms: the key is switched off; run \"rowseal keys enable %s\" to use it again: %w",
			s.name, kms.ErrKeyDisabled)
	}
	return f, nil
}

func sealItem(f *keyFile, it kms.Item) ([]byte, error) {
	ec, err := contextBytes(it)
	if err != nil {
		return nil, err
	}
	return f.seal(it.Data, ec)
}

func openItem(f *keyFile, it kms.Item) ([]byte, error) {
	ec, err := contextBytes(it)
	if err != nil {
		return nil, err
	}
	return f.open(it.Data, ec)
}

func rewrapItem(f *keyFile, it kms.RewrapItem) ([]byte, error) {
	target := it.Target()
	plaintext, err := openItem(f, it.Item)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	target.Data = plaintext
	return sealItem(f, target)
}

func contextBytes(it kms.Item) ([]byte, error) {
	b, err := it.ContextBytes()
	if err != nil && !errors.Is(err, kms.ErrInvalidRequest) {
		err = fmt.Errorf("%w: %w", err, kms.ErrInvalidRequest)
	}
	return b, err
}
