package gcptest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"sync"
	"time"
)

// How the secrets begin that are in credential files or made of them, for tests that look for them. Private keys have no such
// beginning.
const (
	TokenPrefix   = "ya29."                // of access tokens
	RefreshPrefix = "1//gcptest-refresh-"  // of logins
	SecretPrefix  = "GOCSPX-gcptest-"      // of their clients
	JWTPrefix     = "eyJhbGciOiJSUzI1NiIs" // {"alg":"RS256",
)

// signingKey is that of all service accounts: making one takes most of a second under the race detector. Its id tells them
// apart.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// KeyFile returns a key file of a service account, for GOOGLE_APPLICATION_CREDENTIALS. Who signs with the key has the rights
// of the token's account. Google's client of Cloud KMS asks nobody for tokens then: it signs them itself
// (https://google.aip.dev/auth/4111).
func (s *Server) KeyFile(token string) []byte {
	id := rand.Text()
	s.stand(id, token)
	der, err := x509.MarshalPKCS8PrivateKey(signingKey())
	if err != nil {
		panic(err)
	}
	return file(map[string]string{
		"type":           "service_account",
		"project_id":     "my-project",
		"private_key_id": id,
		"private_key":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":   email(id),
		"token_uri":      "https://" + tokenHost + "/token",
	})
}

func email(keyID string) string {
	return strings.ToLower(keyID) + "@my-project.iam.gserviceaccount.com"
}

// LoginFile returns what gcloud auth application-default login leaves, of somebody who has the token's account. Google's client
// asks the token endpoint for access tokens then.
func (s *Server) LoginFile(token string) []byte {
	refresh := RefreshPrefix + rand.Text()
	s.stand(refresh, token)
	return file(map[string]string{
		"type":          "authorized_user",
		"client_id":     "gcptest.apps.googleusercontent.com",
		"client_secret": SecretPrefix + rand.Text(),
		"refresh_token": refresh,
	})
}

func (s *Server) stand(id, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[id] = token
}

// RevokeFiles deletes the keys and logins of an account. The token itself stays.
func (s *Server) RevokeFiles(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, of := range s.files {
		if of == token {
			delete(s.files, id)
		}
	}
}

func file(fields map[string]string) []byte {
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return b
}

// signer returns the token of the account that signed a JWT for this service, and "" if none did.
func (s *Server) signer(jwt string) (token string) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return ""
	}
	var header struct {
		Alg string
		Kid string
	}
	var claims struct {
		Iss, Scope string
		Iat, Exp   int64
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !decode(parts[0], &header) || !decode(parts[1], &claims) {
		return ""
	}
	signed := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := time.Now().Unix()
	switch {
	case header.Alg != "RS256", claims.Iss != email(header.Kid),
		!strings.Contains(claims.Scope, "https://www.googleapis.com/auth/cloud"), // …-platform or …kms
		now < claims.Iat-60, claims.Exp < now, claims.Exp-claims.Iat > 3600,
		rsa.VerifyPKCS1v15(&signingKey().PublicKey, crypto.SHA256, signed[:], signature) != nil:
		return ""
	}
	return s.files[header.Kid]
}

func decode(part string, v any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, v) == nil
}

// serveToken is the token endpoint: https://developers.google.com/identity/protocols/oauth2/web-server#offline
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	token := s.files[r.FormValue("refresh_token")]
	s.mu.Unlock()
	status, answer := http.StatusOK, map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/token":
		http.NotFound(w, r)
		return
	case r.FormValue("grant_type") != "refresh_token":
		status, answer = http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"}
	case !strings.HasPrefix(r.FormValue("client_secret"), SecretPrefix):
		status, answer = http.StatusUnauthorized, map[string]any{"error": "invalid_client"}
	case token == "":
		status = http.StatusBadRequest
		answer = map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}
