package audit

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// azureEntry is what is read of an entry of the category AuditEvent, https://learn.microsoft.com/azure/key-vault/general/logging, and of a
// row of the table AZKVAuditLogs, https://learn.microsoft.com/azure/azure-monitor/reference/tables/azkvauditlogs, which has the same in
// other places. Names differ in case too; encoding/json does not mind.
type azureEntry struct {
	Time        time.Time       `json:"time"`
	Generated   time.Time       `json:"TimeGenerated"`
	Table       string          `json:"Type"`
	Category    string          `json:"category"`
	Operation   string          `json:"operationName"`
	ResultType  string          `json:"resultType"`
	Result      string          `json:"resultSignature"`
	Correlation string          `json:"correlationId"`
	Address     string          `json:"callerIpAddress"`
	Identity    json.RawMessage `json:"identity"` // {"claim": {…}}, or the same as text
	azureTarget
	Properties azureTarget `json:"properties"`
}

type azureTarget struct {
	ID     string      `json:"id"`
	Status json.Number `json:"httpStatusCode"` // text, where a query's answer was printed
}

var azureOps = map[string]kms.Op{
	"KeyWrap": kms.OpEncrypt, "KeyEncrypt": kms.OpEncrypt, "KeyUnwrap": kms.OpDecrypt, "KeyDecrypt": kms.OpDecrypt,
}

// azureManage: https://learn.microsoft.com/azure/key-vault/general/logging#interpret-your-key-vault-logs
var azureManage = regexp.MustCompile(`^(?:Key(?:Create|Import|Update|Delete|Recover|Purge|Backup|Restore|Release|Rotate)|Vault(?:Put|Patch|Delete|Recover)|` +
	`RoleAssignment|VaultAccessPolicy)`)

func readAzure(entry []byte) ([]Event, bool) {
	var a azureEntry
	if json.Unmarshal(entry, &a) != nil || a.Operation == "" || a.Category == "" && a.Table == "" || a.Time.IsZero() && a.Generated.IsZero() {
		return nil, false
	}
	if a.Properties.ID == "" && a.Properties.Status == "" {
		a.Properties = a.azureTarget
	}
	status, _ := a.Properties.Status.Int64() // 0: not told
	op, ok := azureOps[a.Operation]
	if !ok && azureManage.MatchString(a.Operation) {
		op, ok = OpManage, true
	}
	principal := a.principal()
	if !ok || a.Category != "AuditEvent" && a.Table != "AZKVAuditLogs" ||
		principal == "" && status == http.StatusUnauthorized { // with which each client asks where to get a token
		return nil, true
	}
	key, version := azureKey(a.Properties.ID)
	e := Event{
		Time: later(a.Time, a.Generated), Source: AzureAudit, Op: op, Action: a.Operation, Outcome: OK, KeyID: key, KeyVersion: version,
		Principal: principal, Address: a.Address, Request: a.Correlation,
	}
	if status >= 400 || a.ResultType != "" && a.ResultType != "Success" {
		e.Outcome, e.Error = Failed, cmp.Or(a.Result, a.ResultType, "failed")
	}
	return []Event{e}, true
}

// principal is a person's name, or an application's id with that of what it runs as.
func (a *azureEntry) principal() string {
	claims := a.claims()
	claim := func(names ...string) string {
		for _, name := range names {
			if text, _ := claims[name].(string); text != "" {
				return text
			}
		}
		return ""
	}
	if name := claim("upn", "unique_name", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"); name != "" {
		return name
	}
	object := claim("oid", "http://schemas.microsoft.com/identity/claims/objectidentifier")
	if app := claim("appid", "azp"); app != "" {
		return strings.TrimSpace("app " + app)
	}
	return object
}

func (a *azureEntry) claims() map[string]any {
	var identity struct {
		Claim map[string]any `json:"claim"`
	}
	raw := []byte(a.Identity)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	_ = json.Unmarshal(raw, &identity) // without claims it is nobody
	return identity.Claim
}

// azureKey splits https://NAME.vault.azure.net/keys/NAME/VERSION.
func azureKey(id string) (key, version string) {
	if at := strings.Index(id, "/keys/"); at >= 0 {
		name, version, _ := strings.Cut(id[at+len("/keys/"):], "/")
		return id[:at] + "/keys/" + name, version
	}
	return id, ""
}
