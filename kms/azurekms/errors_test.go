package azurekms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/rowseal/rowseal/kms"
)

func body(code, inner, message string) string {
	if inner == "" {
		return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
	}
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innererror":{"code":%q}}}`, code, message, inner)
}

// Texts and codes are Azure's where it publishes them or they were recorded.
func TestErrorTable(t *testing.T) {
	const noKey = "A key with (name/id) users was not found in this key vault. If you recently deleted this key you may be able " +
		"to recover it using the correct recovery command."
	const noRight = "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role " +
		"definitions were changed recently, please observe propagation time.\r\nAction: 'Microsoft.KeyVault/vaults/keys/unwrap/action'"
	denied, disabled, notFound := kms.ErrAccessDenied, kms.ErrKeyDisabled, kms.ErrKeyNotFound
	unavailable, throttled := kms.ErrUnavailable, kms.ErrThrottled
	invalid, opaque := kms.ErrInvalidRequest, kms.ErrDecryptionFailed
	for name, c := range map[string]struct {
		status int
		body   string
		seal   error
		open   error
		text   string // of the error when sealing
	}{
		"a value that is wrong":     {400, body("BadParameter", "", "value AAECAwQF is wrong"), invalid, opaque, "BadParameter"},
		"no valid token":            {401, body("Unauthorized", "", "AKV10032: Invalid issuer."), denied, denied, "az login"},
		"no valid token, no text":   {401, "", denied, denied, "az login"},
		"no role":                   {403, body("Forbidden", "ForbiddenByRbac", noRight), denied, denied, "keys/unwrap/action"},
		"no access policy":          {403, body("Forbidden", "ForbiddenByPolicy", "Operation is not allowed."), denied, denied, "ForbiddenByPolicy"},
		"firewall":                  {403, body("Forbidden", "ForbiddenByFirewall", "Client address is not authorized."), denied, denied, "Client address"},
		"private network":           {403, body("Forbidden", "ForbiddenByConnection", "Public network access is disabled."), denied, denied, "Public network"},
		"the key does not permit":   {403, body("Forbidden", "KeyOperationForbidden", "Operation decrypt is not permitted on this key."), denied, denied, "not permitted"},
		"disabled":                  {403, body("Forbidden", "KeyDisabled", "Operation wrapKey is not allowed on a disabled key."), disabled, disabled, "disabled key"},
		"disabled, no inner code":   {403, body("Forbidden", "", "Operation encrypt is not allowed on a disabled key."), disabled, disabled, "disabled key"},
		"expired, no inner code":    {403, body("Forbidden", "", "Operation encrypt is not allowed on an expired key."), disabled, disabled, "expired key"},
		"not yet valid":             {403, body("Forbidden", "KeyNotYetValid", "x"), disabled, disabled, "KeyNotYetValid"},
		"denied, no inner code":     {403, body("Forbidden", "", "Access is disabled for this vault."), denied, denied, "Access is disabled"},
		"no key":                    {404, body("KeyNotFound", "", noKey), notFound, notFound, "recovery command"},
		"no page":                   {404, "<html>", notFound, notFound, "404"},
		"deleted, can be recovered": {409, body("Conflict", "ObjectIsDeletedButRecoverable", "x"), disabled, disabled, "Recoverable"},
		"being deleted":             {409, body("Conflict", "ObjectIsBeingDeleted", "x"), disabled, disabled, "BeingDeleted"},
		"another conflict":          {409, body("Conflict", "", "x"), unavailable, unavailable, "Conflict"},
		"throttled":                 {429, body("Throttled", "", "Request was not processed."), throttled, throttled, "Throttled"},
		"too slow":                  {408, "", unavailable, unavailable, "408"},
		"broken":                    {500, body("InternalServerError", "", "x"), unavailable, unavailable, "500"},
		"a proxy without a server":  {502, "<html>bad gateway", unavailable, unavailable, "502"},
		"moved":                     {302, "", unavailable, unavailable, "redirect, which is not followed"},
		"another method":            {405, "", invalid, invalid, "405"},
		"no JSON":                   {200, "<html>secret-page", unavailable, unavailable, "cannot be read"},
		"nothing":                   {200, "", unavailable, unavailable, "not one of Azure's"},
		"a number for a key":        {200, `{"kid":12,"value":"AAAA"}`, unavailable, unavailable, "cannot be read"},
		"no base64":                 {200, `{"kid":"x","value":"secret-page!!"}`, unavailable, unavailable, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, vaultID, transporter(func(r *http.Request) (*http.Response, error) {
				return answerOf(r, c.status, c.body), nil
			}))
			_, err := seal(t.Context(), s, []byte("x"), row)
			if !errors.Is(err, c.seal) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("seal: %v", err)
			}
			check(t, err)
			_, err = open(t.Context(), s, readKnown(t).RSA[2].Ciphertext, row)
			if !errors.Is(err, c.open) || c.open == kms.ErrDecryptionFailed && err != c.open {
				t.Errorf("open: %v", err)
			}
			check(t, err)
		})
	}
}

// check looks for what must not be in an error, all the way down.
func check(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			for _, secret := range []string{"fake_token", "Bearer", "AAECAwQF", "secret-page", "\n", "hunter2"} {
				if strings.Contains(text, secret) {
					t.Errorf("a %T shows %q: %s", err, secret, text)
				}
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		header string
		least  time.Duration
		most   time.Duration
	}{
		"seconds":            {429, "3", 3 * time.Second, 3 * time.Second},
		"unavailable":        {503, "4", 4 * time.Second, 4 * time.Second},
		"a date":             {429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), time.Second, time.Hour},
		"none":               {429, "", 0, 0},
		"zero":               {429, "0", 0, 0},
		"in the past":        {429, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 0},
		"nonsense":           {429, "soon", 0, 0},
		"below zero":         {429, "-3", 0, 0},
		"a long time":        {429, "9999999999", time.Hour, 1<<63 - 1},
		"a very long time":   {429, "99999999999999999999999", time.Hour, 1<<63 - 1},
		"of another failure": {403, "5", 0, 0},
	} {
		s := newService(t, vaultID, transporter(func(r *http.Request) (*http.Response, error) {
			resp := answerOf(r, c.status, "")
			resp.Header.Set("Retry-After", c.header)
			return resp, nil
		}))
		_, err := seal(t.Context(), s, []byte("x"), row)
		var after *kms.RetryAfter
		if errors.As(err, &after) != (c.most > 0) || after != nil && (after.Wait < c.least || after.Wait > c.most) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCredentialErrors(t *testing.T) {
	cards := &http.Request{URL: &url.URL{Host: "cards.example"}}
	answered := func(status int, body string) error {
		resp := answerOf(nil, status, body)
		resp.Header.Set("Retry-After", "2")
		return &azidentity.AuthenticationFailedError{RawResponse: resp}
	}
	for name, c := range map[string]struct {
		err  error
		want error
		text string
	}{
		"none found": {azidentity.NewCredentialUnavailableError("DefaultAzureCredential: no token\n\tEnvironmentCredential: hunter2\n\t" +
			"ManagedIdentityCredential: dial tcp: i/o timeout"), kms.ErrAccessDenied, "EnvironmentCredential, ManagedIdentityCredential; "},
		"no answer": {&azidentity.AuthenticationFailedError{}, kms.ErrAccessDenied, "az login"},
		"expired secret": {
			answered(401, `{"error":"invalid_client","error_description":"AADSTS7000222: keys are expired.","x":"hunter2"}`),
			kms.ErrAccessDenied, "AADSTS7000222",
		},
		"the host's name": {errors.New(`challenge resource "https://hunter2" doesn't match the requested domain. Set …`),
			kms.ErrAccessDenied, "doesn't match the requested domain"},
		"IMDS is updated": {answered(410, ""), kms.ErrUnavailable, "410"},
		"Entra throttles": {answered(429, ""), kms.ErrThrottled, "429"},
		"Entra is down":   {answered(503, ""), kms.ErrUnavailable, "503"},
		"a card's server": {&azcore.ResponseError{StatusCode: 400, RawResponse: answerOf(cards, 400, "")}, kms.ErrAccessDenied, "400"},
		"some other":      {errors.New("PIN hunter2 is wrong"), kms.ErrAccessDenied, "az login"},
	} {
		t.Run(name, func(t *testing.T) {
			credential := &azfake.TokenCredential{}
			credential.SetError(c.err)
			opts := optionsFor(transporter(func(*http.Request) (*http.Response, error) { panic("a request without a token") }))
			opts.Credential = credential
			s, err := New(vaultID, opts)
			if err != nil {
				t.Fatal(err)
			}
			_, err = seal(t.Context(), s, []byte("x"), row)
			var after *kms.RetryAfter
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || errors.As(err, &after) != (c.want != kms.ErrAccessDenied) {
				t.Errorf("%v", err)
			}
			check(t, err)
		})
	}
}

func TestTheErrorOfCtxPassesThrough(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	requests := 0
	s := newService(t, vaultID, transporter(func(*http.Request) (*http.Response, error) {
		requests++
		cancel()
		return nil, errors.New("cut")
	}))
	for range 2 { // the second has ended before the request
		if _, err := seal(ctx, s, []byte("x"), row); err != context.Canceled || requests != 1 {
			t.Errorf("%v after %d requests", err, requests)
		}
	}
}

func TestMessagesStayShort(t *testing.T) {
	s := newService(t, vaultID, transporter(func(r *http.Request) (*http.Response, error) {
		return answerOf(r, 403, body("Forbidden", strings.Repeat("i", 9000), strings.Repeat("ä ", 9000))), nil
	}))
	_, err := seal(t.Context(), s, []byte("x"), row)
	if len(err.Error()) > 3000 || !strings.Contains(err.Error(), "…") {
		t.Errorf("%d bytes", len(err.Error()))
	}
}
