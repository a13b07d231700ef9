package awstest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const (
	maxPlaintext  = 4096
	maxCiphertext = 6144
	maxContext    = 8192
)

func (s *Server) encrypt(in *request) (*answer, error) {
	if err := validate(in.Plaintext, "plaintext", maxPlaintext, in.EncryptionContext); err != nil {
		return nil, err
	}
	k, err := s.usable(in, in.KeyID, Encrypt)
	if err != nil {
		return nil, err
	}
	return &answer{KeyID: k.arn, CiphertextBlob: k.seal(in.Plaintext, in.EncryptionContext)}, nil
}

func (s *Server) decrypt(in *request) (*answer, error) {
	if in.DryRun && slices.Contains(in.DryRunModifiers, "IGNORE_CIPHERTEXT") {
		if _, err := s.usable(in, in.KeyID, Decrypt); err != nil {
			return nil, err
		}
		return nil, failure("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	}
	k, plaintext, err := s.open(in, in.KeyID, Decrypt, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	return &answer{KeyID: k.arn, Plaintext: plaintext}, nil
}

func (s *Server) reEncrypt(in *request) (*answer, error) {
	if err := validate(in.CiphertextBlob, "ciphertextBlob", maxCiphertext, in.DestinationEncryptionContext); err != nil {
		return nil, err
	}
	to, err := s.usable(in, in.DestinationKeyID, ReEncryptTo)
	if err != nil {
		return nil, err
	}
	from, plaintext, err := s.open(in, in.SourceKeyID, ReEncryptFrom, in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	return &answer{SourceKeyID: from.arn, KeyID: to.arn, CiphertextBlob: to.seal(plaintext, in.DestinationEncryptionContext)}, nil
}

// open opens with the key that is named, or with the one that the ciphertext names.
func (s *Server) open(in *request, id, action string, context map[string]string) (*key, []byte, error) {
	if err := validate(in.CiphertextBlob, "ciphertextBlob", maxCiphertext, context); err != nil {
		return nil, nil, err
	}
	b, ok := parseBlob(in.CiphertextBlob)
	if !ok {
		return nil, nil, failure("InvalidCiphertextException", "")
	}
	k, err := s.openingKey(in, id, action, b)
	if err != nil {
		return nil, nil, err
	}
	if k.id != b.keyID {
		return nil, nil, failure("IncorrectKeyException",
			"The key ID in the request does not identify a CMK that can perform this operation.")
	}
	plaintext, ok := k.open(b, context)
	if !ok {
		return nil, nil, failure("InvalidCiphertextException", "")
	}
	return k, plaintext, nil
}

func (s *Server) openingKey(in *request, id, action string, b blob) (*key, error) {
	if id != "" {
		return s.usable(in, id, action)
	}
	for _, k := range s.keys {
		if k.id == b.keyID && k.region == in.region && in.principal.Allow(action, k.arn) {
			return k, k.checkState()
		}
	}
	return nil, failure("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, "+
		"does not exist in this region, or you are not allowed to access.")
}

// usable finds a key by any form of its id, and checks the right to it and its state.
func (s *Server) usable(in *request, id, action string) (*key, error) {
	k, err := s.find(in, id)
	if err != nil {
		return nil, err
	}
	if !in.principal.Allow(action, k.arn) {
		return nil, failure("AccessDeniedException", "User: arn:aws:iam::%s:user/%s is not authorized to perform: %s on resource: %s "+
			"because no identity-based policy allows the %s action", in.principal.Account, in.principal.Name, action, k.arn, action)
	}
	return k, k.checkState()
}

func (s *Server) find(in *request, id string) (*key, error) {
	if id == "" || len(id) > 2048 {
		return nil, failure("ValidationException", "1 validation error detected: Value '%s' at 'keyId' failed to satisfy constraint: "+
			"Member must have length greater than or equal to 1", id)
	}
	arn := id
	switch {
	case strings.HasPrefix(id, "arn:"):
		if region := strings.Split(id, ":")[3]; region != in.region {
			return nil, failure("NotFoundException", "Invalid arn %s", region)
		}
	case strings.HasPrefix(id, "alias/"):
		arn = fmt.Sprintf("arn:%s:kms:%s:%s:%s", partition(in.region), in.region, in.principal.Account, id)
	default:
		arn = fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", partition(in.region), in.region, in.principal.Account, id)
	}
	if strings.Contains(arn, ":alias/") {
		target, ok := s.aliases[arn]
		if !ok {
			return nil, failure("NotFoundException", "Alias %s is not found.", arn)
		}
		arn = target
	}
	if k := s.keys[arn]; k != nil {
		return k, nil
	}
	return nil, failure("NotFoundException", "Key '%s' does not exist", arn)
}

func (k *key) checkState() error {
	switch k.state {
	case Enabled:
		return nil
	case Disabled:
		return failure("DisabledException", "%s is disabled.", k.arn)
	case PendingDeletion:
		return failure("KMSInvalidStateException", "%s is pending deletion.", k.arn)
	default:
		return failure("KMSInvalidStateException", "%s is pending import.", k.arn)
	}
}

// validate words its refusals as the service does, with the values that it was sent.
func validate(data []byte, name string, most int, context map[string]string) error {
	if len(data) < 1 || len(data) > most {
		return failure("ValidationException", "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "+
			"Member must have length less than or equal to %d", data, name, most)
	}
	if canonical := aad(context); len(canonical) > maxContext {
		return failure("ValidationException", "1 validation error detected: Value '%s' at 'encryptionContext' failed to satisfy "+
			"constraint: Member must have length less than or equal to %d", canonical, maxContext)
	}
	return nil
}

// blob is a ciphertext: "\x01\x02\x02\x00" ‖ length of the key's id ‖ id ‖ version, 4 bytes ‖ nonce, 12 ‖ ciphertext ‖ tag, 16.
type blob struct {
	keyID   string
	version uint32
	header  []byte
	sealed  []byte
}

const magic = "\x01\x02\x02\x00"

func parseBlob(ciphertext []byte) (blob, bool) {
	rest, ok := strings.CutPrefix(string(ciphertext), magic)
	if !ok || len(rest) < 1 || len(rest) < 1+int(rest[0])+4 {
		return blob{}, false
	}
	n := 1 + int(rest[0])
	header := len(magic) + n + 4
	return blob{
		keyID: rest[1:n], version: binary.BigEndian.Uint32(ciphertext[len(magic)+n:]),
		header: ciphertext[:header], sealed: ciphertext[header:],
	}, true
}

func (m *material) seal(plaintext []byte, context map[string]string) []byte {
	header := append([]byte(magic), byte(len(m.id)))
	header = append(header, m.id...)
	header = binary.BigEndian.AppendUint32(header, uint32(len(m.versions)-1))
	return m.aead(len(m.versions)-1).Seal(header, nil, plaintext, append(slices.Clone(header), aad(context)...))
}

func (m *material) open(b blob, context map[string]string) ([]byte, bool) {
	if int64(b.version) >= int64(len(m.versions)) {
		return nil, false
	}
	plaintext, err := m.aead(int(b.version)).Open(nil, nil, b.sealed, append(slices.Clone(b.header), aad(context)...))
	return plaintext, err == nil
}

func (m *material) aead(version int) cipher.AEAD {
	block, err := aes.NewCipher(m.versions[version])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// aad is the context with its names sorted; none and an empty one are the same.
func aad(context map[string]string) []byte {
	if len(context) == 0 {
		return nil
	}
	b, err := json.Marshal(context)
	if err != nil {
		panic(err)
	}
	return b
}
