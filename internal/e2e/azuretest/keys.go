package azuretest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Key is a key with its versions.
type Key struct {
	server *Server
	id     string
	make   func() material

	// What follows is guarded by the server's lock.
	versions   []*version
	notBefore  time.Time
	expires    time.Time
	disabled   bool
	deleted    bool
	operations []string // nil: all
	answersAs  string   // the id that answers carry instead of the key's own
}

type version struct {
	id string
	material
}

// material is what an RSA or an AES key can do. A result that is not ok is Azure's BadParameter.
type material interface {
	do(op string, p parameters) (answer, bool)
}

type parameters struct {
	Alg   string `json:"alg"`
	Value b64    `json:"value"`
	IV    b64    `json:"iv"`
	Tag   b64    `json:"tag"`
	AAD   b64    `json:"aad"`
}

type answer struct {
	Kid   string `json:"kid"`
	Alg   string `json:"alg,omitempty"`
	Value b64    `json:"value"`
	IV    b64    `json:"iv,omitempty"`
	Tag   b64    `json:"tag,omitempty"`
}

// b64 is base64url without padding, as JSON Web Keys have it.
type b64 []byte

func (b b64) MarshalText() ([]byte, error) { return base64.RawURLEncoding.AppendEncode(nil, b), nil }

func (b *b64) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.AppendDecode(nil, text)
	return err
}

// RSA makes an RSA-2048 key with this id. Those of other servers in this process may be the same.
func (s *Server) RSA(id string) *Key { return s.add(id, s.newRSA) }

// AES makes an oct-HSM key of 256 bits, whose answers have an IV of 12 bytes.
func (s *Server) AES(id string) *Key { return s.add(id, func() material { return newAES(0) }) }

// PaddedAES makes one whose IVs come with four zero bytes behind, as a Managed HSM was seen to answer.
func (s *Server) PaddedAES(id string) *Key { return s.add(id, func() material { return newAES(4) }) }

func (s *Server) add(id string, make func() material) *Key {
	k := &Key{server: s, id: id, make: make}
	k.Rotate()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[strings.ToLower(id)] = k
	return k
}

// Rotate adds a version, which is the newest from now on.
func (k *Key) Rotate() {
	id := make([]byte, 16)
	rand.Read(id)
	v := &version{hex.EncodeToString(id), k.make()}
	k.change(func() { k.versions = append(k.versions, v) })
}

// Number returns which of the key's versions has this id, counted from 1; 0 if none.
func (k *Key) Number(version string) (n int) {
	k.change(func() { n = k.index(version) + 1 })
	return n
}

func (k *Key) index(id string) int {
	return slices.IndexFunc(k.versions, func(v *version) bool { return v.id == id })
}

func (k *Key) change(f func()) {
	k.server.mu.Lock()
	defer k.server.mu.Unlock()
	f()
}

// SetEnabled enables or disables the key.
func (k *Key) SetEnabled(enabled bool) { k.change(func() { k.disabled = !enabled }) }

// SetDeleted soft-deletes the key, or recovers it.
func (k *Key) SetDeleted(deleted bool) { k.change(func() { k.deleted = deleted }) }

// SetValid limits the time in which the key seals. Zero times do not.
func (k *Key) SetValid(notBefore, expires time.Time) {
	k.change(func() { k.notBefore, k.expires = notBefore, expires })
}

// Permit sets the key's permitted operations.
func (k *Key) Permit(operations ...string) { k.change(func() { k.operations = operations }) }

// AnswerAs has answers carry the id of another key, with a version. "" undoes it.
func (k *Key) AnswerAs(kid string) { k.change(func() { k.answersAs = kid }) }

// operate does what a caller asks, and checks it in Azure's order.
func (s *Server) operate(p *Principal, op string, r *http.Request) (*answer, *failure) {
	path := strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' })
	switch {
	case op == "" || r.Method != http.MethodPost || len(path) < 3 || len(path) > 4 || path[0] != "keys":
		return nil, &failure{http.StatusNotFound, "NotFound", "", "no such operation"}
	case !slices.Contains(p.rights, op):
		return nil, forbidden(p, op, r.URL)
	case !apiVersion.MatchString(r.URL.Query().Get("api-version")):
		return nil, badParameter("The specified version is not recognized.")
	}
	var body parameters
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, badParameter("The request body is not JSON.")
	}
	wanted := ""
	if len(path) == 4 {
		wanted = path[2]
	}
	v, kid, fail := s.usable("https://"+r.Host+"/keys/"+path[1], wanted, op)
	if fail != nil {
		return nil, fail
	}
	a, ok := v.do(op, body)
	if !ok {
		return nil, badParameter("The parameter is incorrect.")
	}
	a.Kid = kid
	return &a, nil
}

// usable returns the version, the newest if wanted is "", and the id for the answer.
func (s *Server) usable(id, wanted, op string) (*version, string, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := id[strings.LastIndex(id, "/")+1:]
	k := s.keys[strings.ToLower(id)]
	if k == nil || k.deleted || wanted != "" && k.index(wanted) < 0 {
		return nil, "", &failure{http.StatusNotFound, "KeyNotFound", "", "A key with (name/id) " + name + " was not found in this key " +
			"vault. If you recently deleted this key you may be able to recover it using the correct recovery command."}
	}
	v := k.versions[len(k.versions)-1]
	if wanted != "" {
		v = k.versions[k.index(wanted)]
	}
	seals := op == "wrapKey" || op == "encrypt"
	refuse := func(inner, text string) (*version, string, *failure) {
		return nil, "", &failure{http.StatusForbidden, "Forbidden", inner, "Operation " + op + " is not " + text}
	}
	switch now := time.Now(); {
	case k.disabled:
		return refuse("KeyDisabled", "allowed on a disabled key.")
	case seals && !k.expires.IsZero() && now.After(k.expires):
		return refuse("KeyExpired", "allowed on an expired key.")
	case seals && now.Before(k.notBefore):
		return refuse("KeyNotYetValid", "allowed on a not yet valid key.")
	case k.operations != nil && !slices.Contains(k.operations, op):
		return refuse("KeyOperationForbidden", "permitted on this key.")
	}
	kid := k.id + "/" + v.id
	if k.answersAs != "" {
		kid = k.answersAs
	}
	return v, kid, nil
}

func badParameter(text string) *failure {
	return &failure{http.StatusBadRequest, "BadParameter", "", text}
}

func forbidden(p *Principal, op string, u *url.URL) *failure {
	return &failure{http.StatusForbidden, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\n" +
		"If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n" +
		"Caller: appid=" + p.name + "\r\nAction: '" + op + "'\r\nResource: '" + u.Path + "'"}
}

type rsaKey struct{ private *rsa.PrivateKey }

// spares are the RSA keys of all servers, made once: each takes most of a second under the race detector. The nth of a server
// is the nth here, so that no server has one twice.
var spares struct {
	sync.Mutex
	keys []rsaKey
}

func spare(n int) rsaKey {
	spares.Lock()
	defer spares.Unlock()
	for len(spares.keys) <= n {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		spares.keys = append(spares.keys, rsaKey{private})
	}
	return spares.keys[n]
}

func (s *Server) newRSA() material { return spare(int(s.rsaKeys.Add(1)) - 1) }

func (k rsaKey) do(op string, p parameters) (a answer, ok bool) {
	if p.Alg != "RSA-OAEP-256" || p.IV != nil || p.Tag != nil || p.AAD != nil {
		return a, false
	}
	var err error
	if op == "wrapKey" || op == "encrypt" {
		a.Value, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &k.private.PublicKey, p.Value, nil)
	} else {
		a.Value, err = rsa.DecryptOAEP(sha256.New(), nil, k.private, p.Value, nil)
	}
	return a, err == nil
}

// Public returns the public half of the newest version and that version: what anyone may have of an RSA key.
func (k *Key) Public() (public *rsa.PublicKey, version string) {
	k.change(func() {
		v := k.versions[len(k.versions)-1]
		public, version = &v.material.(rsaKey).private.PublicKey, v.id
	})
	return public, version
}

type aesKey struct {
	aead    cipher.AEAD
	padding int
}

func newAES(padding int) material {
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aesKey{aead, padding}
}

func (k aesKey) do(op string, p parameters) (a answer, ok bool) {
	if p.Alg != "A256GCM" || len(p.Value) == 0 {
		return a, false
	}
	n := k.aead.NonceSize()
	switch op {
	case "encrypt":
		a.IV = make([]byte, n+k.padding)
		rand.Read(a.IV[:n])
		sealed := k.aead.Seal(nil, a.IV[:n], p.Value, p.AAD)
		tag := len(sealed) - k.aead.Overhead()
		a.Alg, a.Value, a.Tag = p.Alg, sealed[:tag], sealed[tag:]
		return a, true
	case "decrypt":
		if len(p.IV) != n+k.padding || strings.Trim(string(p.IV[n:]), "\x00") != "" {
			return a, false
		}
		opened, err := k.aead.Open(nil, p.IV[:n], append(slices.Clone(p.Value), p.Tag...), p.AAD)
		a.Alg, a.Value = p.Alg, opened
		return a, err == nil
	}
	return a, false
}
