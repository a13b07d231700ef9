package azurekms

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/rowseal/rowseal/kms"
)

const credentialHint = "the credentials may be missing, expired or another tenant's: run \"az login\", or check AZURE_TENANT_ID, " +
	"AZURE_CLIENT_ID and the secret, certificate or identity"

// defaultCredential looks at the environment and asks nobody. Its errors are not shown: they repeat values of variables.
func defaultCredential(co azcore.ClientOptions) (azcore.TokenCredential, error) {
	if co.Transport == nil {
		co.Transport = tokenClient()
	}
	c, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{
		Cloud: co.Cloud, Transport: co.Transport, Retry: policy.RetryOptions{MaxRetries: -1},
	}})
	if err != nil {
		return nil, fmt.Errorf("azurekms: the credentials cannot be used: check AZURE_TOKEN_CREDENTIALS (dev, prod, or a credential's "+
			"name) and AZURE_AUTHORITY_HOST: %w", kms.ErrAccessDenied)
	}
	return c, nil
}

// tokenClient asks for tokens. They may take longer than a vault's answers, and are too rare to keep connections for.
func tokenClient() *http.Client {
	t := newTransport()
	t.ResponseHeaderTimeout = 0 // kms.Key's timeout and the ctx end it
	t.DisableKeepAlives = true
	return newHTTPClient(t)
}

// credentialError tells why there is no token.
func credentialError(op operation, err error) error {
	reason, is := localReason(err)
	var response *azcore.ResponseError
	if errors.As(err, &response) { // whose text is a whole answer
		reason, is = joined(" ", "status", fmt.Sprint(response.StatusCode), response.ErrorCode), kms.ErrAccessDenied
	}
	answer, description := entraAnswer(err)
	if answer != nil {
		reason, is = joined(": ", fmt.Sprint(answer.StatusCode), description), kms.ErrAccessDenied
		if s := sentinel(answer.StatusCode); s == kms.ErrThrottled || s == kms.ErrUnavailable {
			is = s
		}
	}
	if is == kms.ErrAccessDenied {
		reason = joined("; ", reason, credentialHint)
	}
	return withWait(fmt.Errorf("azurekms: %s: no token: %s: %w", op, reason, is), answer)
}

var (
	credentialNames = regexp.MustCompile(`\b(Environment|WorkloadIdentity|ManagedIdentity|AzureCLI|AzureDeveloperCLI|AzurePowerShell|` +
		`ClientSecret|ClientCertificate|ClientAssertion|UsernamePassword)Credential\b`)
	knownTexts = regexp.MustCompile(`no such file or directory|file name too long|permission denied|is a directory|` +
		`doesn't match the requested domain|no WWW-Authenticate header|could not find a valid resource in the WWW-Authenticate header`)
)

// localReason is for a credential that got no answer. A credential's own text may repeat a secret: that of a file that cannot be read
// has its name, and some people put the file's content where the name belongs. So only words that are known are kept.
func localReason(err error) (reason string, is error) {
	text := err.Error()
	var failed *azidentity.AuthenticationFailedError // none of the credentials that are only tried out, like a missing managed identity
	if what := networkTexts.FindString(text); what != "" && errors.As(err, &failed) {
		return "the server that hands out tokens does not answer: " + what, kms.ErrUnavailable
	}
	names := credentialNames.FindAllString(text, -1)
	slices.Sort(names)
	return joined(": ", strings.Join(slices.Compact(names), ", "), knownTexts.FindString(text)), kms.ErrAccessDenied
}

// entraAnswer is Microsoft Entra's answer to a request for a token, if there was one.
func entraAnswer(err error) (answer *http.Response, description string) {
	var failed *azidentity.AuthenticationFailedError
	if !errors.As(err, &failed) || failed.RawResponse == nil {
		return nil, ""
	}
	var body struct {
		Description string `json:"error_description"`
	}
	if b, err := runtime.Payload(failed.RawResponse); err == nil {
		_ = json.Unmarshal(b, &body) // managed identities answer in other forms: then the status tells
	}
	return failed.RawResponse, body.Description
}
