package awstest

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// request and answer have the fields of all operations.
type request struct {
	op        string
	region    string
	principal *Principal

	KeyID             string `json:"KeyId"`
	Plaintext         []byte
	CiphertextBlob    []byte
	EncryptionContext map[string]string
	DryRun            bool
	DryRunModifiers   []string

	SourceKeyID      string `json:"SourceKeyId"`
	DestinationKeyID string `json:"DestinationKeyId"`

	SourceEncryptionContext, DestinationEncryptionContext map[string]string
}

type answer struct {
	KeyID          string `json:"KeyId,omitempty"`
	SourceKeyID    string `json:"SourceKeyId,omitempty"`
	Plaintext      []byte `json:",omitempty"`
	CiphertextBlob []byte `json:",omitempty"`
}

// apiError is an error as the service words it.
type apiError struct{ code, message string }

func (e *apiError) Error() string { return e.code + ": " + e.message }

func failure(code, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

// statuses other than 400.
var statuses = map[string]int{
	"KMSInternalException":       http.StatusInternalServerError,
	"InternalFailure":            http.StatusInternalServerError,
	"KeyUnavailableException":    http.StatusInternalServerError,
	"DependencyTimeoutException": http.StatusServiceUnavailable,
	"ServiceUnavailable":         http.StatusServiceUnavailable,
	"DryRunOperationException":   http.StatusPreconditionFailed,
}

func (e *apiError) write(w http.ResponseWriter) {
	status := statuses[e.code]
	if status == 0 {
		status = http.StatusBadRequest
	}
	reply(w, status, map[string]string{"__type": e.code, "message": e.message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-RequestId", random(16))
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	in := request{op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")}
	parseErr := json.Unmarshal(body, &in)
	if h := s.begin(r, in); h != nil {
		h(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.handle(r, body, &in, parseErr)
	if err != nil {
		err.(*apiError).write(w)
		return
	}
	if arn := s.named["KeyId"]; arn != "" {
		out.KeyID = arn
	}
	if arn := s.named["SourceKeyId"]; arn != "" && out.SourceKeyID != "" {
		out.SourceKeyID = arn
	}
	reply(w, http.StatusOK, out)
}

// begin notes the request and returns what answers it in place of the service.
func (s *Server) begin(r *http.Request, in request) http.HandlerFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := Request{Op: in.op, KeyID: in.KeyID + in.DestinationKeyID, SourceKeyID: in.SourceKeyID, DryRun: in.DryRun}
	if accessKey, _, err := credential(r.Header.Get("Authorization")); err == nil && s.principals[accessKey] != nil {
		seen.Principal = s.principals[accessKey].Name
	}
	s.requests = append(s.requests, seen)
	if len(s.next) == 0 {
		return nil
	}
	h := s.next[0]
	s.next = s.next[1:]
	return h
}

func (s *Server) handle(r *http.Request, body []byte, in *request, parseErr error) (*answer, error) {
	if err := s.authenticate(r, body, in); err != nil {
		return nil, err
	}
	if parseErr != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, failure("SerializationException", "%s", body)
	}
	switch in.op {
	case "Encrypt":
		return s.encrypt(in)
	case "Decrypt":
		return s.decrypt(in)
	case "ReEncrypt":
		return s.reEncrypt(in)
	default:
		return nil, failure("UnknownOperationException", "")
	}
}

// authenticate makes the signature once more, with the SDK's own signer.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (s *Server) authenticate(r *http.Request, body []byte, in *request) error {
	authorization := r.Header.Get("Authorization")
	if authorization == "" {
		return failure("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	accessKey, region, err := credential(authorization)
	if err != nil {
		return failure("IncompleteSignatureException", "Authorization header requires 'Credential' parameter. Authorization=%s", authorization)
	}
	p := s.principals[accessKey]
	if p == nil || p.Token != r.Header.Get("X-Amz-Security-Token") {
		return failure("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	if p.Expired {
		return failure("ExpiredTokenException", "The security token included in the request is expired")
	}
	expected, err := sign(r, body, region, p)
	if err != nil || subtle.ConstantTimeCompare([]byte(expected), []byte(authorization)) != 1 {
		return failure("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. The Canonical String for this request should have been\n'POST\n/\n\n"+
			"host:%s\nx-amz-security-token:%s\n'", r.Host, r.Header.Get("X-Amz-Security-Token"))
	}
	in.principal, in.region = p, region
	return nil
}

// credential reads "AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/kms/aws4_request, SignedHeaders=…, Signature=…".
func credential(authorization string) (accessKey, region string, err error) {
	rest, ok := strings.CutPrefix(authorization, "AWS4-HMAC-SHA256 Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if !ok || len(parts) != 5 || parts[3] != "kms" || parts[4] != "aws4_request" {
		return "", "", fmt.Errorf("awstest: no credential for kms: %q", authorization)
	}
	return parts[0], parts[2], nil
}

func sign(r *http.Request, body []byte, region string, p *Principal) (authorization string, err error) {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if v := r.Header.Values(name); len(v) > 0 && !strings.EqualFold(name, "Content-Length") {
			again.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	hash := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: p.AccessKey, SecretAccessKey: p.SecretKey, SessionToken: p.Token}
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(hash[:]), "kms", region, at); err != nil {
		return "", err
	}
	return again.Header.Get("Authorization"), nil
}
