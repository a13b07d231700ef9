package vaultkms

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

var (
	// errNeedsContext: what a derived key says.
	errNeedsContext = fmt.Errorf("no context: %w", kms.ErrInvalidRequest)
	// errTooLarge: the server may take less.
	errTooLarge = fmt.Errorf("more than the server takes in one request: %w", kms.ErrInvalidRequest)
	// errVersion: the version that a ciphertext names is the trouble, not the key.
	errVersion    = errors.New("in this version")
	errNoVersion  = fmt.Errorf("%w %w", kms.ErrKeyNotFound, errVersion)
	errOldVersion = fmt.Errorf("%w %w", kms.ErrKeyDisabled, errVersion)
)

const denied = "the token has expired, or lacks \"update\" on this path, or there is no such key, which is denied in the same words"

// plainHTTP is what Go's server says, in plain text, where it expects TLS.
const plainHTTP = "Client sent an HTTP request to an HTTPS server"

// causes maps what Vault and OpenBao answer: the first line that fits. The texts are those of sdk/helper/keysutil/policy.go,
// builtin/logical/transit and http/ of both.
var causes = []struct {
	status int    // 0: any
	text   string // in one of the server's errors; "": any
	is     error
	advice string
}{
	{0, "missing 'context'", errNeedsContext, "the key is derived"},
	{0, "message authentication failed", kms.ErrDecryptionFailed, ""},
	{0, "version is too new", errNoVersion, "it is another key, or one restored from an old backup"},
	{0, "no such key version", errNoVersion, "the key has been trimmed"},
	{0, "too old", errOldVersion, "lower the key's min_decryption_version, rewrap, and raise it again; a version that has been trimmed is lost"},
	{0, "soft-deleted", kms.ErrKeyDisabled, "it can be restored: soft-delete-restore"},
	{0, "invalid ciphertext", kms.ErrDecryptionFailed, ""},
	{0, "failed to RSA decrypt", kms.ErrDecryptionFailed, ""},
	{0, "encryption key not found", kms.ErrKeyNotFound, "see \"vault list\" of the engine's keys"},
	{0, "unknown key type " + makesNoKey, kms.ErrKeyNotFound, "there is no key of this name, and none is made by using it"},
	{0, "no handler for route", kms.ErrKeyNotFound, "no engine is mounted there, or the namespace is another"},
	{0, "unsupported path", kms.ErrKeyNotFound, "the engine mounted there is none of type transit"},
	{0, "unsupported operation", kms.ErrInvalidRequest, "the engine mounted there is none of type transit"},
	{0, "not supported for key type", kms.ErrInvalidRequest, "make a key of type aes256-gcm96"},
	{0, "missing client token", kms.ErrAccessDenied, "set VAULT_TOKEN, or hand over a client that has logged in"},
	{0, "permission denied", kms.ErrAccessDenied, denied},
	{0, "error parsing JSON", errTooLarge, "of OpenBao, it means max_request_json_strings or max_request_json_memory of the listener"},
	{0, "exceeded maximum", errTooLarge, "see max_request_json_strings and max_request_json_memory of OpenBao's listener"},
	{0, "exceeds allowed", errTooLarge, "see max_json_array_element_count, max_json_string_value_length and max_json_token of Vault's listener"},
	{0, "request body too large", errTooLarge, "see max_request_size of the listener"},
	{0, plainHTTP, kms.ErrInvalidRequest, "does the address begin with https://?"},
	{0, "quota exceeded", kms.ErrThrottled, "see sys/quotas"},
	{0, "is sealed", kms.ErrUnavailable, "unseal it"},
	{http.StatusUnauthorized, "", kms.ErrAccessDenied, denied},
	{http.StatusForbidden, "", kms.ErrAccessDenied, denied},
	{http.StatusNotFound, "", kms.ErrKeyNotFound, "no engine is mounted there, or the namespace is another"},
	{http.StatusRequestTimeout, "", kms.ErrUnavailable, ""},
	{http.StatusPreconditionFailed, "", kms.ErrUnavailable, "the node is behind"},
	{http.StatusRequestEntityTooLarge, "", errTooLarge, "see max_request_size of the listener, and the limits of proxies"},
	{http.StatusTooManyRequests, "", kms.ErrThrottled, ""},
	{472, "", kms.ErrUnavailable, "a standby of disaster recovery"},
	{473, "", kms.ErrUnavailable, "a performance standby"},
}

// message is what a server has said about a request or an item of it.
type message struct {
	path    string
	status  int
	texts   []string
	sent    []string // what must not be quoted
	noToken string   // as that of the reply
}

func (m message) error() error {
	for _, c := range causes {
		says := func(text string) bool { return strings.Contains(text, c.text) }
		if (c.status == 0 || c.status == m.status) && (c.text == "" || slices.ContainsFunc(m.texts, says)) {
			return m.as(c.is, c.advice)
		}
	}
	if m.status/100 == 3 || m.status >= 500 { // 3xx: a redirect to what redirects again
		return m.as(kms.ErrUnavailable, "")
	}
	return m.as(kms.ErrInvalidRequest, "")
}

// as keeps ErrDecryptionFailed opaque.
func (m message) as(err error, advice string) error {
	if errors.Is(err, kms.ErrDecryptionFailed) {
		return kms.ErrDecryptionFailed
	}
	if errors.Is(err, kms.ErrAccessDenied) && m.noToken != "" {
		advice = m.noToken
	}
	text := m.text()
	if text == "" {
		text = "HTTP status " + strconv.Itoa(m.status)
	}
	if advice != "" {
		text += " (" + advice + ")"
	}
	return fmt.Errorf("vaultkms: %s: %s: %w", m.path, text, err)
}

// text is what the server said, in one line.
func (m message) text() string {
	const most = 300 // bytes
	text := strings.Join(strings.Fields(strings.Join(m.texts, "; ")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return kms.WithoutEchoes(text, m.sent...)
}

// noReply is the error of a request without an answer. It does not wrap the cause: a timeout of the client would be taken for one
// of the caller's ctx.
func noReply(path string, cause error) error {
	if u := (*url.Error)(nil); errors.As(cause, &u) {
		cause = u.Err // without the address, which may have a password
	}
	text := cause.Error()
	m := message{path: path, texts: []string{text}}
	switch {
	case strings.Contains(text, "token contains non-printable"): // so says the API's client
		return m.as(kms.ErrAccessDenied, "a line break at its end, perhaps")
	case strings.Contains(text, "unsupported protocol scheme"):
		return m.as(kms.ErrInvalidRequest, "the client's address does not begin with https://")
	case strings.Contains(text, "invalid proxy address"): // and then quotes it, with its password
		m.texts = []string{"HTTPS_PROXY or HTTP_PROXY is not a URL"}
		return m.as(kms.ErrInvalidRequest, "")
	}
	return m.as(kms.ErrUnavailable, "")
}
