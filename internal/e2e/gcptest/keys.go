package gcptest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"slices"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// The states of a key version that tests use.
const (
	Enabled          = kmspb.CryptoKeyVersion_ENABLED
	Disabled         = kmspb.CryptoKeyVersion_DISABLED
	DestroyScheduled = kmspb.CryptoKeyVersion_DESTROY_SCHEDULED
	Destroyed        = kmspb.CryptoKeyVersion_DESTROYED
)

// Key is a key of purpose ENCRYPT_DECRYPT. It has no state of its own; its versions do.
type Key struct {
	server   *Server
	name     string
	hsm      bool
	versions []*keyVersion
	primary  *keyVersion // nil: none
}

type keyVersion struct {
	name  string
	id    []byte // in the ciphertext; says nothing
	aead  cipher.AEAD
	state kmspb.CryptoKeyVersion_CryptoKeyVersionState
}

// CreateKey makes a software key with one version, or adds a version to one that is there.
func (s *Server) CreateKey(name string) *Key {
	s.mu.Lock()
	k := s.keys[name]
	if k == nil {
		k = &Key{server: s, name: name}
		s.keys[name] = k
	}
	s.mu.Unlock()
	k.Rotate()
	return k
}

// UseHSM makes the key one of protection level HSM, with its limits.
func (k *Key) UseHSM() {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	k.hsm = true
}

// Rotate adds a version and makes it primary.
func (k *Key) Rotate() {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	v := &keyVersion{
		name:  fmt.Sprintf("%s/cryptoKeyVersions/%d", k.name, len(k.versions)+1),
		id:    append([]byte{0}, random(35)...),
		aead:  newAEAD(),
		state: Enabled,
	}
	k.versions, k.primary = append(k.versions, v), v
}

// SetState changes the state of version n (from 1), or of all if n is 0.
func (k *Key) SetState(n int, state kmspb.CryptoKeyVersion_CryptoKeyVersionState) {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	for i, v := range k.versions {
		if n == 0 || n == i+1 {
			v.state = state
		}
	}
}

// NoPrimary leaves the key without a primary version.
func (k *Key) NoPrimary() {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	k.primary = nil
}

func (v *keyVersion) usable() error {
	if v.state == Enabled {
		return nil
	}
	text := fmt.Sprintf("%s is not enabled, current state is: %s.", v.name, v.state)
	violation := &errdetails.PreconditionFailure_Violation{Type: "KEY_" + v.state.String(), Subject: v.name}
	return fail(codes.FailedPrecondition, text,
		&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{violation}})
}

// A ciphertext is a protocol buffer, as the service's: field 1 is the version's id, field 2 nonce, ciphertext and tag.

func (v *keyVersion) seal(plaintext, aad []byte) []byte {
	return v.encode(v.aead.Seal(nil, nil, plaintext, v.associated(aad)))
}

func (v *keyVersion) encode(sealed []byte) []byte {
	b := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), v.id)
	return protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), sealed)
}

func (v *keyVersion) associated(aad []byte) []byte { return append(bytes.Clone(v.id), aad...) }

// open decrypts. The service tells a foreign ciphertext from a damaged one, or from one with another AAD.
func (k *Key) open(ciphertext, aad []byte) (plaintext []byte, primary bool, err error) {
	invalid := fail(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid.")
	id, sealed, ok := parse(ciphertext)
	if !ok {
		return nil, false, invalid
	}
	i := slices.IndexFunc(k.versions, func(v *keyVersion) bool { return bytes.Equal(v.id, id) })
	if i < 0 {
		return nil, false, fail(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	v := k.versions[i]
	if err := v.usable(); err != nil {
		return nil, false, err
	}
	plaintext, err = v.aead.Open(nil, nil, sealed, v.associated(aad))
	if err != nil || !bytes.Equal(v.encode(sealed), ciphertext) {
		return nil, false, invalid
	}
	return plaintext, v == k.primary, nil
}

func parse(ciphertext []byte) (id, sealed []byte, ok bool) {
	for field := protowire.Number(1); field <= 2; field++ {
		number, kind, n := protowire.ConsumeTag(ciphertext)
		if n < 0 || number != field || kind != protowire.BytesType {
			return nil, nil, false
		}
		value, m := protowire.ConsumeBytes(ciphertext[n:])
		if m < 0 {
			return nil, nil, false
		}
		id, sealed, ciphertext = sealed, value, ciphertext[n+m:]
	}
	return id, sealed, len(ciphertext) == 0
}

func newAEAD() cipher.AEAD {
	block, err := aes.NewCipher(random(32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
