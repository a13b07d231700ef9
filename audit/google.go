package audit

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// googleEntry is what is read of a log entry: https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry, whose payload is an
// https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog.
type googleEntry struct {
	Timestamp time.Time `json:"timestamp"`
	InsertID  string    `json:"insertId"`
	LogName   string    `json:"logName"`
	Payload   *struct {
		Service  string `json:"serviceName"`
		Method   string `json:"methodName"`
		Resource string `json:"resourceName"`
		Caller   struct {
			Email   string `json:"principalEmail"`
			Subject string `json:"principalSubject"`
		} `json:"authenticationInfo"`
		Request struct {
			Address string `json:"callerIp"`
		} `json:"requestMetadata"`
		Status struct {
			Code int `json:"code"`
		} `json:"status"`
	} `json:"protoPayload"`
}

var googleOps = map[string]kms.Op{
	"Encrypt": kms.OpEncrypt, "RawEncrypt": kms.OpEncrypt,
	"Decrypt": kms.OpDecrypt, "RawDecrypt": kms.OpDecrypt, "AsymmetricDecrypt": kms.OpDecrypt,
}

func readGoogle(entry []byte) ([]Event, bool) {
	var g googleEntry
	if json.Unmarshal(entry, &g) != nil || g.Payload == nil || g.Timestamp.IsZero() {
		return nil, false
	}
	if g.Payload.Service != "cloudkms.googleapis.com" {
		return nil, true
	}
	method := g.Payload.Method[strings.LastIndexByte(g.Payload.Method, '.')+1:]
	op, ok := googleOps[method]
	if !ok {
		if !strings.HasSuffix(g.LogName, "activity") { // who looked at a key's description
			return nil, true
		}
		op = OpManage
	}
	key, version, _ := strings.Cut(g.Payload.Resource, "/cryptoKeyVersions/")
	e := Event{
		Time: g.Timestamp, Source: GoogleAudit, Op: op, Action: method, Outcome: OK, KeyID: key, KeyVersion: version,
		Principal: cmp.Or(g.Payload.Caller.Email, g.Payload.Caller.Subject), Address: g.Payload.Request.Address, Request: g.InsertID,
	}
	if code := g.Payload.Status.Code; code != 0 {
		e.Outcome, e.Error = Failed, cmp.Or(grpcCodes[code], "code "+strconv.Itoa(code))
	}
	return []Event{e}, true
}

// grpcCodes are the names that Google's own logs show: https://grpc.io/docs/guides/status-codes/.
var grpcCodes = map[int]string{
	1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 7: "PERMISSION_DENIED",
	8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 13: "INTERNAL", 14: "UNAVAILABLE", 16: "UNAUTHENTICATED",
}

func versionText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
