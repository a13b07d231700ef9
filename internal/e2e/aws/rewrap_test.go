package aws

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/awstest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/awskms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func rewrapped(t *testing.T, k *kms.Key, item kms.RewrapItem) []byte {
	t.Helper()
	r := k.RewrapBatch(t.Context(), []kms.RewrapItem{item})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Data
}

// mover may rewrap, and neither open nor seal.
func (s stage) mover(t *testing.T) *awskms.Options {
	p := s.Principal("mover", awstest.ReEncryptFrom, awstest.ReEncryptTo)
	return &awskms.Options{Client: client(t, s.Server, region, p)}
}

func TestRewrapNeedsNoRightToDecrypt(t *testing.T) {
	s := newStage(t)
	old := s.CreateKeyOf("444455556666", region)
	moved := kms.Context{"model_name": "Person", "model_id": "42"}
	ciphertext := seal(t, key(t, old, s.options(t)))
	opts := s.mover(t)
	from, to := key(t, old, opts), key(t, s.arn, opts)

	plaintext, err := from.Decrypt(t.Context(), ciphertext, row)
	expectError(t, plaintext, err, kms.ErrAccessDenied)
	s.Requests()
	for name, item := range map[string]kms.RewrapItem{
		"to a new key":                 {To: row},
		"to a new key and new context": {To: moved},
		"to no context":                {},
	} {
		t.Run(name, func(t *testing.T) {
			item.Item, item.From = kms.Item{Data: ciphertext, Context: row}, from
			data := rewrapped(t, to, item)
			expectRequests(t, s.Server, "ReEncrypt "+s.arn+" from "+old)
			expectOpens(t, s.key(t), data, item.To)
			if _, err := key(t, old, s.options(t)).Decrypt(t.Context(), data, item.To); !errors.Is(err, kms.ErrDecryptionFailed) {
				t.Errorf("by the old key: %v", err)
			}
			s.Requests()
		})
	}
	t.Run("to a new context", func(t *testing.T) {
		data := rewrapped(t, from, kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: moved})
		expectRequests(t, s.Server, "ReEncrypt "+old+" from "+old)
		expectOpens(t, key(t, old, s.options(t)), data, moved)
	})
}

func TestRewrapNeedsBothItsRights(t *testing.T) {
	s := newStage(t)
	ciphertext := seal(t, s.key(t))
	for _, action := range []string{awstest.ReEncryptFrom, awstest.ReEncryptTo} {
		opts := &awskms.Options{Client: client(t, s.Server, region, s.Principal("half", action, awstest.Encrypt, awstest.Decrypt))}
		r := key(t, s.arn, opts).RewrapBatch(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: ciphertext, Context: row}, To: row}})[0]
		expectError(t, r.Data, r.Err, kms.ErrAccessDenied)
	}
}

func TestRewrapMovesToTheNewestMaterial(t *testing.T) {
	s := newStage(t)
	ciphertext := seal(t, s.key(t))
	s.Rotate(s.arn)
	data := rewrapped(t, key(t, s.arn, s.mover(t)), kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, To: row})
	if was, is := awstest.Version(ciphertext), awstest.Version(data); was != 1 || is != 2 {
		t.Errorf("from material %d to %d", was, is)
	}
}

func TestAKeyringRewrapsWithoutDecrypting(t *testing.T) {
	s := newStage(t)
	old := s.CreateKey(region)
	ring := func(opts *awskms.Options, numbers ...int) *rowseal.Keyring {
		versions := map[int]rowseal.Version{1: {Number: 1, Key: key(t, old, opts)}, 2: {Number: 2, Key: key(t, s.arn, opts)}}
		var chosen []rowseal.Version
		for _, n := range numbers {
			chosen = append(chosen, versions[n])
		}
		r, err := rowseal.NewKeyring(chosen...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	wrapped, err := ring(s.options(t), 1).Encrypt(t.Context(), dataKey, row)
	if err != nil {
		t.Fatal(err)
	}
	s.Requests()
	moved, err := ring(s.mover(t), 2, 1).Rewrap(t.Context(), wrapped, row, row)
	if err != nil {
		t.Fatal(err)
	}
	expectRequests(t, s.Server, "ReEncrypt "+s.arn+" from "+old)
	plaintext, err := ring(s.options(t), 2).Decrypt(t.Context(), moved, row)
	if err != nil || string(plaintext) != string(dataKey) {
		t.Errorf("%d bytes, %v", len(plaintext), err)
	}
}

// Where one client cannot reach both keys, the old key decrypts and the new one encrypts.
func TestKeysApartAreRewrappedHere(t *testing.T) {
	s, elsewhere := newStage(t), newStage(t)
	far := s.CreateKey("us-east-1")
	inFarRegion := key(t, far, &awskms.Options{Client: client(t, s.Server, "us-east-1", s.all)})
	for name, from := range map[string]*kms.Key{
		"another Region":   inFarRegion,
		"another endpoint": elsewhere.key(t),
		"another provider": kms.NewKey(kmstest.NewFake(), nil),
	} {
		t.Run(name, func(t *testing.T) {
			item := kms.RewrapItem{Item: kms.Item{Data: seal(t, from), Context: row}, From: from, To: row}
			s.Requests()
			data := rewrapped(t, s.key(t), item)
			for _, r := range s.Requests() {
				if r.Op == "ReEncrypt" {
					t.Errorf("asked the server to rewrap: %+v", r)
				}
			}
			expectOpens(t, s.key(t), data, row)
		})
	}
}

// The same id names another key to another account: there the ciphertext of a healthy row would not open.
func TestIDsWithoutAnAccountAreResolvedByTheirOwnClient(t *testing.T) {
	s := newStage(t)
	theirs := s.PrincipalOf("444455556666", "app", awstest.Encrypt, awstest.Decrypt, awstest.ReEncryptFrom, awstest.ReEncryptTo)
	old := s.CreateKeyOf("444455556666", region)
	s.PointAlias("alias/users", old)
	s.PointAlias("alias/users", s.arn)
	to := s.key(t)
	for _, id := range []string{"alias/users", old[len(old)-36:], strings.Replace(old, old[len(old)-40:], "alias/users", 1), old} {
		t.Run(id, func(t *testing.T) {
			from := key(t, id, &awskms.Options{Client: client(t, s.Server, region, theirs)})
			ciphertext := seal(t, from)
			s.Requests()
			data := rewrapped(t, to, kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, From: from, To: row})
			if strings.HasPrefix(id, "arn:") {
				expectRequests(t, s.Server, "ReEncrypt "+s.arn+" from "+id)
			} else {
				expectRequests(t, s.Server, "Decrypt "+id, "Encrypt "+s.arn)
			}
			expectOpens(t, to, data, row)
		})
	}
}

// Clients that New makes are of one caller: the environment's.
func TestIDsWithoutAnAccountAreRewrappedByTheServerForTheSameCaller(t *testing.T) {
	s := newStage(t)
	s.PointAlias("alias/users", s.CreateKey(region))
	opts := s.options(t)
	rewrap := func(from, to *kms.Key) {
		t.Helper()
		ciphertext := seal(t, from)
		s.Requests()
		rewrapped(t, to, kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: row}, From: from, To: row})
		expectRequests(t, s.Server, "ReEncrypt "+s.arn+" from alias/users")
	}
	rewrap(key(t, "alias/users", opts), key(t, s.arn, opts))
	environment(t, s.Server, s.all)
	rewrap(key(t, "alias/users", nil), key(t, s.arn, nil))
}

// The server tells a ciphertext that is none before it looks at rights: the right shows only because it is asked for alone.
func TestTheRightToDecryptIsAskedForAlone(t *testing.T) {
	s := newStage(t)
	sealer := key(t, s.arn, &awskms.Options{Client: client(t, s.Server, region, s.Principal("sealer", awstest.Encrypt))})
	if err := sealer.CheckDecrypt(t.Context(), row); !errors.Is(err, kms.ErrAccessDenied) {
		t.Errorf("without the right: %v", err)
	}
	_, err := sealer.Decrypt(t.Context(), []byte("no ciphertext"), row)
	expectError(t, nil, err, kms.ErrDecryptionFailed)
	if err := s.key(t).CheckDecrypt(t.Context(), row); err != nil {
		t.Errorf("with the right: %v", err)
	}
	var dry []bool
	for _, r := range s.Requests() {
		dry = append(dry, r.DryRun)
	}
	if len(dry) != 3 || !dry[0] || dry[1] || !dry[2] {
		t.Errorf("dry runs: %v", dry)
	}
}
