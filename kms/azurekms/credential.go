package azurekms

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/rowseal/rowseal/kms"
)

const credentialHint = "the credentials may be missing, expired or another tenant's: run \"az login\", or check AZURE_TENANT_ID, " +
	"AZURE_CLIENT_ID and the secret or identity"

// defaultCredential looks at the environment and asks nobody.
func defaultCredential(co azcore.ClientOptions) (azcore.TokenCredential, error) {
	c, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: azcore.ClientOptions{Cloud: co.Cloud, Transport: co.Transport},
	})
	if err != nil {
		return nil, fmt.Errorf("azurekms: credentials: %v: %w", err, kms.ErrAccessDenied)
	}
	return c, nil
}

// credentialError tells why there is no token: what Microsoft Entra says, or else what the credential does.
func credentialError(op operation, err error) error {
	reason, mapped := err.Error(), kms.ErrAccessDenied
	var response *azcore.ResponseError
	if errors.As(err, &response) { // whose text is a whole answer
		reason = joined(" ", "status", fmt.Sprint(response.StatusCode), response.ErrorCode)
	}
	answer, description := entraAnswer(err)
	if answer != nil {
		reason = joined(": ", fmt.Sprint(answer.StatusCode), description)
		if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError {
			mapped = sentinel(answer.StatusCode)
		}
	}
	return withWait(fmt.Errorf("azurekms: %s: no token: %s: %w", op, joined("; ", reason, credentialHint), mapped), answer)
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
