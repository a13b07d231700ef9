package azurekms

import (
	"encoding/binary"
)

const (
	rsaMagic = "RSZ1"
	aesMagic = "RSZ2"

	nonceSize = 12
	tagSize   = 16

	minWrapped = 256  // RSA-2048, the smallest key that Azure makes
	maxWrapped = 1024 // RSA-8192, twice the largest

	minIV = nonceSize
	maxIV = 16 // some HSMs answer 12 bytes and four zeros

	maxRSAPlaintext = 64 << 10
	minAESPlaintext = 1       // the client leaves an empty value out of the request
	maxAESPlaintext = 4 << 10 // Azure states none; its throughput figures are for 4 KiB
)

// header is what both forms begin with, and what the RSA form authenticates: magic ‖ version length ‖ version.
func header(magic, version string) []byte {
	return append(append([]byte(magic), byte(len(version))), version...)
}

// parseHeader returns the version, which may be empty, and what follows it.
func parseHeader(b []byte, magic string) (version string, rest []byte, ok bool) {
	if len(b) <= len(magic) || string(b[:len(magic)]) != magic {
		return "", nil, false
	}
	n, rest := int(b[len(magic)]), b[len(magic)+1:]
	if len(rest) < n {
		return "", nil, false
	}
	version = string(rest[:n])
	return version, rest[n:], version == "" || validVersion.MatchString(version)
}

// rsaCiphertext is a ciphertext of an RSA key in its parts.
type rsaCiphertext struct {
	version string
	wrapped []byte
	sealed  []byte // nonce ‖ ciphertext ‖ tag
}

func parseRSA(b []byte) (c rsaCiphertext, ok bool) {
	version, rest, ok := parseHeader(b, rsaMagic)
	if !ok || len(rest) < 2 {
		return rsaCiphertext{}, false
	}
	n, rest := int(binary.BigEndian.Uint16(rest)), rest[2:]
	if n < minWrapped || n > maxWrapped || len(rest) < n+nonceSize+tagSize || len(rest) > n+nonceSize+tagSize+maxRSAPlaintext {
		return rsaCiphertext{}, false
	}
	return rsaCiphertext{version: version, wrapped: rest[:n], sealed: rest[n:]}, true
}

func (c rsaCiphertext) bytes() []byte {
	b := binary.BigEndian.AppendUint16(header(rsaMagic, c.version), uint16(len(c.wrapped)))
	return append(append(b, c.wrapped...), c.sealed...)
}

// aesCiphertext is a ciphertext of an AES key in its parts.
type aesCiphertext struct {
	version    string
	iv         []byte
	ciphertext []byte
	tag        []byte
}

func parseAES(b []byte) (c aesCiphertext, ok bool) {
	version, rest, ok := parseHeader(b, aesMagic)
	if !ok || len(rest) < 1 {
		return aesCiphertext{}, false
	}
	n, rest := int(rest[0]), rest[1:]
	if n < minIV || n > maxIV || len(rest) < n+minAESPlaintext+tagSize || len(rest) > n+maxAESPlaintext+tagSize {
		return aesCiphertext{}, false
	}
	tag := len(rest) - tagSize
	return aesCiphertext{version: version, iv: rest[:n], ciphertext: rest[n:tag], tag: rest[tag:]}, true
}

func (c aesCiphertext) bytes() []byte {
	b := append(header(aesMagic, c.version), byte(len(c.iv)))
	return append(append(append(b, c.iv...), c.ciphertext...), c.tag...)
}
